//! The keys and values of an incomplete plan, read from its tokens.
//!
//! An incomplete text has no syntax tree, and users request completions in incomplete texts.

use std::{collections::BTreeMap, ops::Range};

use claudecluster_core::plan::{PlanPath, PlanPathStep};
use jsonc_parser::{Scanner, ScannerOptions, tokens::Token};

/// The keys and scalar values of a text, in their order.
pub(crate) struct PlanOutline {
    pub(crate) items: Vec<OutlineItem>,
    /// The spot before each token, with the start of the token.
    spots: Vec<(usize, CompletionSpot)>,
    /// The spot after the last token.
    end: CompletionSpot,
}

/// A key or a scalar value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OutlineItem {
    /// The place; that of a key has the key itself as its last step.
    pub(crate) place: PlanPath,
    pub(crate) is_key: bool,
    pub(crate) range: Range<usize>,
    pub(crate) text: String,
}

/// A position in a plan, by what a completion there may insert.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum CompletionSpot {
    /// A key of the object at this place.
    Key(PlanPath),
    /// The value at this place.
    Value(PlanPath),
    /// Punctuation only.
    Between,
}

impl PlanOutline {
    /// Reads the tokens of a text.
    pub(crate) fn scan(text: &str) -> Self {
        let mut walker = TokenReader {
            text,
            stack: Vec::new(),
            done: false,
            items: Vec::new(),
            spots: Vec::new(),
        };
        let mut base = 0;
        while base < text.len() {
            base = walker.read_tokens(base);
        }
        Self {
            end: walker.next_spot(),
            items: walker.items,
            spots: walker.spots,
        }
    }

    /// Returns the key or value that contains an offset or ends at it.
    pub(crate) fn item_at(&self, offset: usize) -> Option<&OutlineItem> {
        let mut items = self.items.iter();
        items.find(|item| item.range.start <= offset && offset <= item.range.end)
    }

    /// Returns what can be written at an offset, and the range it replaces.
    pub(crate) fn spot_at(&self, offset: usize) -> (CompletionSpot, Range<usize>) {
        let within = |item: &&OutlineItem| item.range.start < offset && offset < item.range.end;
        let unfinished = |item: &&OutlineItem| {
            // A word or an unclosed string continues at its end.
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
                CompletionSpot::Key(above.unwrap_or_default())
            } else {
                CompletionSpot::Value(item.place.clone())
            };
            return (spot, item.range.clone());
        }
        let before = self.spots.iter().find(|(start, _)| offset <= *start);
        let spot = before.map_or(&self.end, |(_, spot)| spot);
        (spot.clone(), offset..offset)
    }

    /// Returns the scalar value at a place.
    pub(crate) fn value_at(&self, place: &PlanPath) -> Option<&str> {
        let mut items = self.items.iter();
        let item = items.find(|item| !item.is_key && item.place == *place)?;
        Some(&item.text)
    }

    /// Returns the scalar elements of the array at a place.
    pub(crate) fn elements_of(&self, array: &PlanPath) -> impl Iterator<Item = &OutlineItem> {
        self.items.iter().filter(move |item| {
            let above = item.place.split_last();
            !item.is_key
                && above.is_some_and(|(above, last)| {
                    above == *array && matches!(last, PlanPathStep::Index(_))
                })
        })
    }

    /// Returns the keys of the object at a place.
    pub(crate) fn keys_of(&self, object: &PlanPath) -> impl Iterator<Item = &OutlineItem> {
        self.items.iter().filter(move |item| {
            let above = item.place.split_last();
            item.is_key && above.is_some_and(|(above, _)| above == *object)
        })
    }

    /// Returns the ids of the tasks by their index.
    pub(crate) fn task_ids(&self) -> BTreeMap<usize, &str> {
        let ids = self.items.iter().filter(|item| !item.is_key);
        ids.filter_map(|item| {
            let index = item.place.task_index()?;
            (item.place == PlanPath::of_task(index).join_key("id"))
                .then_some((index, item.text.as_str()))
        })
        .collect()
    }
}

/// An object or array that is not closed yet.
enum OpenContainer {
    Object {
        key: Option<String>,
        after: LastTokenKind,
    },
    Array {
        index: usize,
        after: LastTokenKind,
    },
}

/// The last token of an object or array.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LastTokenKind {
    /// The opening bracket, or a comma.
    Start,
    Key,
    Colon,
    Value,
}

struct TokenReader<'a> {
    text: &'a str,
    stack: Vec<OpenContainer>,
    /// Whether the outermost value has ended.
    done: bool,
    items: Vec<OutlineItem>,
    spots: Vec<(usize, CompletionSpot)>,
}

impl TokenReader<'_> {
    /// Reads tokens from `base` to the end of the text, or of a line with an invalid token.
    ///
    /// Returns the offset at which reading continues.
    fn read_tokens(&mut self, base: usize) -> usize {
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
                // The closing quote belongs to another string on a later line.
                Ok(Some(Token::String(_))) if end > line => {
                    self.read_unclosed(base + start..base + line);
                    return base + line;
                }
                Ok(Some(token)) => self.read_token(&token, base + start..base + end),
                Err(_) => {
                    self.read_unclosed(base + start..base + line);
                    return (base + line).max(base + start + 1);
                }
            }
        }
    }

    /// Reads an unclosed string, which the user is writing.
    fn read_unclosed(&mut self, range: Range<usize>) {
        let raw = &self.text[range.clone()];
        if let Some(inner) = raw.strip_prefix('"') {
            // The rest of the line after it was there before.
            let end = inner.find([',', '}', ']', ':']).unwrap_or(inner.len());
            let inner = inner[..end].trim_end();
            let range = range.start..range.start + 1 + inner.len();
            self.add_scalar(inner.to_owned(), range);
        }
    }

    fn read_token(&mut self, token: &Token<'_>, range: Range<usize>) {
        if !matches!(token, Token::CommentLine(_) | Token::CommentBlock(_)) {
            let spot = self.next_spot();
            self.spots.push((range.start, spot));
        }
        match token {
            Token::OpenBrace => self.open_container(OpenContainer::Object {
                key: None,
                after: LastTokenKind::Start,
            }),
            Token::OpenBracket => self.open_container(OpenContainer::Array {
                index: 0,
                after: LastTokenKind::Start,
            }),
            Token::CloseBrace | Token::CloseBracket => {
                self.stack.pop();
                self.end_value();
            }
            Token::Comma => match self.stack.last_mut() {
                Some(OpenContainer::Object { after, key }) => {
                    *after = LastTokenKind::Start;
                    *key = None;
                }
                Some(OpenContainer::Array { index, after }) => {
                    *index += 1;
                    *after = LastTokenKind::Start;
                }
                None => {}
            },
            Token::Colon => {
                if let Some(OpenContainer::Object { after, .. }) = self.stack.last_mut() {
                    *after = LastTokenKind::Colon;
                }
            }
            Token::String(text) => self.add_scalar(text.to_string(), range),
            Token::Word(word) | Token::Number(word) => self.add_scalar((*word).to_owned(), range),
            Token::Boolean(_) | Token::Null => {
                let text = self.text[range.clone()].to_owned();
                self.add_scalar(text, range);
            }
            Token::CommentLine(_) | Token::CommentBlock(_) => {}
        }
    }

    fn open_container(&mut self, container: OpenContainer) {
        self.assume_comma();
        self.stack.push(container);
    }

    /// Continues after a value of an array as if there were a comma.
    fn assume_comma(&mut self) {
        if let Some(OpenContainer::Array { index, after }) = self.stack.last_mut()
            && *after == LastTokenKind::Value
        {
            *index += 1;
            *after = LastTokenKind::Start;
        }
    }

    fn add_scalar(&mut self, text: String, range: Range<usize>) {
        self.assume_comma();
        let is_key = match self.stack.last_mut() {
            Some(OpenContainer::Object { key, after }) if *after != LastTokenKind::Colon => {
                *key = Some(text.clone());
                *after = LastTokenKind::Key;
                true
            }
            _ => false,
        };
        let place = self.current_place();
        self.items.push(OutlineItem {
            place,
            is_key,
            range,
            text,
        });
        if !is_key {
            self.end_value();
        }
    }

    fn end_value(&mut self) {
        match self.stack.last_mut() {
            Some(OpenContainer::Object { after, .. } | OpenContainer::Array { after, .. }) => {
                *after = LastTokenKind::Value;
            }
            None => self.done = true,
        }
    }

    fn current_place(&self) -> PlanPath {
        let steps = self.stack.iter().filter_map(|frame| match frame {
            OpenContainer::Object { key, .. } => key.clone().map(PlanPathStep::Key),
            OpenContainer::Array { index, .. } => Some(PlanPathStep::Index(*index)),
        });
        steps.collect()
    }

    /// Returns what can be written after the tokens read so far.
    fn next_spot(&self) -> CompletionSpot {
        match self.stack.last() {
            None if self.done => CompletionSpot::Between,
            None => CompletionSpot::Value(PlanPath::default()),
            Some(OpenContainer::Object { after, .. }) => match after {
                // A comma has cleared the key, so the place is that of the object.
                LastTokenKind::Start => CompletionSpot::Key(self.current_place()),
                LastTokenKind::Colon => CompletionSpot::Value(self.current_place()),
                LastTokenKind::Key | LastTokenKind::Value => CompletionSpot::Between,
            },
            Some(OpenContainer::Array { after, .. }) => match after {
                LastTokenKind::Start => CompletionSpot::Value(self.current_place()),
                LastTokenKind::Key | LastTokenKind::Colon | LastTokenKind::Value => {
                    CompletionSpot::Between
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares what can be written at the `|`, and the text it replaces.
    fn check(text: &str, expected: &str) {
        let at = text.find('|').unwrap();
        let text = text.replacen('|', "", 1);
        let (spot, range) = PlanOutline::scan(&text).spot_at(at);
        let spot = match spot {
            CompletionSpot::Key(place) => format!("key of {place}"),
            CompletionSpot::Value(place) => format!("value of {place}"),
            CompletionSpot::Between => "between".to_owned(),
        };
        assert_eq!(format!("{spot} <{}>", &text[range]), expected, "{text}");
    }

    #[test]
    fn spots_in_complete_texts() {
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
    fn spots_in_incomplete_texts() {
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
    fn ids_are_found_around_mistakes() {
        let text = "{\"tasks\": [\n{\"id\": \"a\"},\n{\"id\": \"b\", \"dependsOn\": [\"]},\n{\"id\": \"c\"}";
        let outline = PlanOutline::scan(text);
        let ids: Vec<_> = outline.task_ids().into_values().collect();
        assert_eq!(ids[..2], ["a", "b"]);
    }
}
