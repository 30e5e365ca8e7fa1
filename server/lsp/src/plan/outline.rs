//! What a plan's text says up to where it breaks off: half a text has no syntax tree, and that is when
//! its author asks for completions.

use std::{collections::BTreeMap, ops::Range};

use claudecluster_core::plan::{PlanPath, PlanPathStep};
use jsonc_parser::{Scanner, ScannerOptions, tokens::Token};

/// The keys and values of a text, in their order.
pub(crate) struct Outline {
    pub(crate) items: Vec<Item>,
    /// Where the text is at each place between its tokens.
    spots: Vec<(usize, Spot)>,
    end: Spot,
}

/// A key, or a value that has no parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Item {
    /// Of a key with itself as the last step.
    pub(crate) place: PlanPath,
    pub(crate) is_key: bool,
    pub(crate) range: Range<usize>,
    pub(crate) text: String,
}

/// What can be written somewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Spot {
    /// A key of the object at this place.
    Key(PlanPath),
    /// The value at this place.
    Value(PlanPath),
    /// Only what goes between values.
    Between,
}

impl Outline {
    pub(crate) fn of(text: &str) -> Self {
        let mut walker = Walker {
            text,
            stack: Vec::new(),
            done: false,
            items: Vec::new(),
            spots: Vec::new(),
        };
        let mut base = 0;
        while base < text.len() {
            base = walker.run(base);
        }
        Self {
            end: walker.spot(),
            items: walker.items,
            spots: walker.spots,
        }
    }

    /// The key or value that an offset is in or at the end of, if it is in one.
    pub(crate) fn item(&self, offset: usize) -> Option<&Item> {
        let mut items = self.items.iter();
        items.find(|item| item.range.start <= offset && offset <= item.range.end)
    }

    /// What can be written at an offset, in place of which range.
    pub(crate) fn spot(&self, offset: usize) -> (Spot, Range<usize>) {
        let within = |item: &&Item| item.range.start < offset && offset < item.range.end;
        let unfinished = |item: &&Item| {
            // A word, or a string that is not closed, goes on at its end.
            let open =
                item.range.len() == item.text.len() || item.range.len() == item.text.len() + 1;
            open && item.range.start < offset && item.range.end == offset
        };
        let item = self
            .items
            .iter()
            .find(|item| within(item) || unfinished(item));
        if let Some(item) = item {
            let spot = if item.is_key {
                let above = item.place.split_last().map(|(above, _)| above);
                Spot::Key(above.unwrap_or_default())
            } else {
                Spot::Value(item.place.clone())
            };
            return (spot, item.range.clone());
        }
        let before = self.spots.iter().find(|(start, _)| offset <= *start);
        let spot = before.map_or(&self.end, |(_, spot)| spot);
        (spot.clone(), offset..offset)
    }

    /// The value at a place.
    pub(crate) fn value(&self, place: &PlanPath) -> Option<&str> {
        let mut items = self.items.iter();
        let item = items.find(|item| !item.is_key && item.place == *place)?;
        Some(&item.text)
    }

    /// The values right in the array at a place, with their ranges.
    pub(crate) fn elements(&self, array: &PlanPath) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| {
            let above = item.place.split_last();
            !item.is_key
                && above
                    .is_some_and(|(above, last)| above == *array && matches!(last, PlanPathStep::Index(_)))
        })
    }

    /// The keys of the object at a place.
    pub(crate) fn keys(&self, object: &PlanPath) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| {
            let above = item.place.split_last();
            item.is_key && above.is_some_and(|(above, _)| above == *object)
        })
    }

    /// The ids of the tasks, by their index.
    pub(crate) fn task_ids(&self) -> BTreeMap<usize, &str> {
        let ids = self.items.iter().filter(|item| !item.is_key);
        ids.filter_map(|item| {
            let index = item.place.task_index()?;
            (item.place == PlanPath::task(index).with("id")).then_some((index, item.text.as_str()))
        })
        .collect()
    }
}

enum Frame {
    Object { key: Option<String>, after: After },
    Array { index: usize, after: After },
}

/// What was read last in an object or array.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// Its beginning, or a comma.
    Start,
    Key,
    Colon,
    Value,
}

struct Walker<'a> {
    text: &'a str,
    stack: Vec<Frame>,
    /// Whether the value at the top has ended.
    done: bool,
    items: Vec<Item>,
    spots: Vec<(usize, Spot)>,
}

impl Walker<'_> {
    /// Reads from `base` to the end, or to the end of a line with something that is no token. Returns
    /// where to go on.
    fn run(&mut self, base: usize) -> usize {
        let text = &self.text[base..];
        let mut scanner = Scanner::new(text, &ScannerOptions::default());
        loop {
            let scanned = scanner.scan();
            let (start, end) = (scanner.token_start(), scanner.token_end());
            let line = text[start..]
                .find(['\n', '\r'])
                .map_or(text.len(), |n| start + n);
            match scanned {
                Ok(None) => return self.text.len(),
                // The closing quote was that of another string.
                Ok(Some(Token::String(_))) if end > line => {
                    self.partial(base + start..base + line);
                    return base + line;
                }
                Ok(Some(token)) => self.token(&token, base + start..base + end),
                Err(_) => {
                    self.partial(base + start..base + line);
                    return (base + line).max(base + start + 1);
                }
            }
        }
    }

    /// A string that does not end: it is what is being written.
    fn partial(&mut self, range: Range<usize>) {
        let raw = &self.text[range.clone()];
        if let Some(inner) = raw.strip_prefix('"') {
            // What comes behind it on its line belongs to what was there before.
            let end = inner.find([',', '}', ']', ':']).unwrap_or(inner.len());
            let inner = inner[..end].trim_end();
            let range = range.start..range.start + 1 + inner.len();
            self.scalar(inner.to_owned(), range);
        }
    }

    fn token(&mut self, token: &Token<'_>, range: Range<usize>) {
        if !matches!(token, Token::CommentLine(_) | Token::CommentBlock(_)) {
            let spot = self.spot();
            self.spots.push((range.start, spot));
        }
        match token {
            Token::OpenBrace => self.open(Frame::Object {
                key: None,
                after: After::Start,
            }),
            Token::OpenBracket => self.open(Frame::Array {
                index: 0,
                after: After::Start,
            }),
            Token::CloseBrace | Token::CloseBracket => {
                self.stack.pop();
                self.value_ended();
            }
            Token::Comma => match self.stack.last_mut() {
                Some(Frame::Object { after, key }) => {
                    *after = After::Start;
                    *key = None;
                }
                Some(Frame::Array { index, after }) => {
                    *index += 1;
                    *after = After::Start;
                }
                None => {}
            },
            Token::Colon => {
                if let Some(Frame::Object { after, .. }) = self.stack.last_mut() {
                    *after = After::Colon;
                }
            }
            Token::String(text) => self.scalar(text.to_string(), range),
            Token::Word(word) | Token::Number(word) => self.scalar((*word).to_owned(), range),
            Token::Boolean(_) | Token::Null => {
                let text = self.text[range.clone()].to_owned();
                self.scalar(text, range);
            }
            Token::CommentLine(_) | Token::CommentBlock(_) => {}
        }
    }

    fn open(&mut self, frame: Frame) {
        self.next_without_comma();
        self.stack.push(frame);
    }

    /// A comma that was forgotten counts as there.
    fn next_without_comma(&mut self) {
        if let Some(Frame::Array { index, after }) = self.stack.last_mut()
            && *after == After::Value
        {
            *index += 1;
            *after = After::Start;
        }
    }

    fn scalar(&mut self, text: String, range: Range<usize>) {
        self.next_without_comma();
        let is_key = match self.stack.last_mut() {
            Some(Frame::Object { key, after }) if *after != After::Colon => {
                *key = Some(text.clone());
                *after = After::Key;
                true
            }
            _ => false,
        };
        let place = self.place();
        self.items.push(Item {
            place,
            is_key,
            range,
            text,
        });
        if !is_key {
            self.value_ended();
        }
    }

    fn value_ended(&mut self) {
        match self.stack.last_mut() {
            Some(Frame::Object { after, .. } | Frame::Array { after, .. }) => *after = After::Value,
            None => self.done = true,
        }
    }

    fn place(&self) -> PlanPath {
        let steps = self.stack.iter().filter_map(|frame| match frame {
            Frame::Object { key, .. } => key.clone().map(PlanPathStep::Key),
            Frame::Array { index, .. } => Some(PlanPathStep::Index(*index)),
        });
        steps.collect()
    }

    fn spot(&self) -> Spot {
        match self.stack.last() {
            None if self.done => Spot::Between,
            None => Spot::Value(PlanPath::default()),
            Some(Frame::Object { after, .. }) => match after {
                After::Start => {
                    let above = self.place();
                    // The last key was forgotten with its comma.
                    Spot::Key(above)
                }
                After::Colon => Spot::Value(self.place()),
                After::Key | After::Value => Spot::Between,
            },
            Some(Frame::Array { after, .. }) => match after {
                After::Start => Spot::Value(self.place()),
                After::Key | After::Colon | After::Value => Spot::Between,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What can be written at the `|`, and in place of what.
    fn check(text: &str, expected: &str) {
        let at = text.find('|').unwrap();
        let text = text.replacen('|', "", 1);
        let (spot, range) = Outline::of(&text).spot(at);
        let spot = match spot {
            Spot::Key(place) => format!("key of {place}"),
            Spot::Value(place) => format!("value of {place}"),
            Spot::Between => "between".to_owned(),
        };
        assert_eq!(format!("{spot} <{}>", &text[range]), expected, "{text}");
    }

    #[test]
    fn spots_in_whole_texts() {
        check("|", "value of  <>");
        check("{|}", "key of  <>");
        check("{ \"ta|\" }", "key of  <\"ta\">");
        check("{\"tasks\": |}", "value of tasks <>");
        check("{\"tasks\": []|}", "between <>");
        check("{\"tasks\": [{\"id\": \"a\", |}]}", "key of tasks[0] <>");
        check(
            "{\"tasks\": [{}, {\"dependsOn\": [\"a\", \"|\"]}]}",
            "value of tasks[1].dependsOn[1] <\"\">",
        );
        check(
            "{\"tasks\": [{\"dependsOn\": [|]}]}",
            "value of tasks[0].dependsOn[0] <>",
        );
        check("{\"tasks\": [{\"id\": \"a\"|}]}", "between <>");
    }

    #[test]
    fn spots_in_texts_that_are_being_written() {
        check("{\"tasks\": [{\"ag|", "key of tasks[0] <\"ag>");
        check(
            "{\"tasks\": [{\"agent\": \"na|\n  }]}",
            "value of tasks[0].agent <\"na>",
        );
        check(
            "{\"tasks\": [{\n  \"dep|\n  \"title\": \"x\"}]}",
            "key of tasks[0] <\"dep>",
        );
        check(
            "{\"tasks\": [{\"dependsOn\": [\"a\", \"|]}]}",
            "value of tasks[0].dependsOn[1] <\">",
        );
        check("{\"tasks\": [{\"pause\": t|", "value of tasks[0].pause <t>");
        check("{\"tasks\": [{\"id\": \"a\"} {|}]}", "key of tasks[1] <>");
    }

    #[test]
    fn ids_are_found_around_what_is_broken() {
        let text = "{\"tasks\": [\n{\"id\": \"a\"},\n{\"id\": \"b\", \"dependsOn\": [\"]},\n{\"id\": \"c\"}";
        let outline = Outline::of(text);
        let ids: Vec<_> = outline.task_ids().into_values().collect();
        assert_eq!(ids[..2], ["a", "b"]);
    }
}
