//! What can be written at a place of a plan.

use std::{
    collections::BTreeSet,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use claudecluster_core::plan::{PlanPath, PlanPathStep};
use claudecluster_protocol::RelPath;
use lsp_types::CompletionItemKind;
use serde_json::json;

use super::{
    outline::{Outline, Spot},
    schema,
};

/// Of a folder with more files than these some are not offered before more is typed.
const MOST_FILES: usize = 200;

/// Something that can be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Candidate {
    pub(super) label: String,
    pub(super) kind: CompletionItemKind,
    pub(super) detail: Option<String>,
    pub(super) words: Option<String>,
    /// As JSON.
    pub(super) insert: String,
    pub(super) is_snippet: bool,
    /// What the text that is replaced is compared with.
    pub(super) filter: String,
}

/// The candidates for an offset, in the order in which they are to be shown, and what they replace.
/// Reads folders below `root` where paths can be written.
pub(super) fn at(
    text: &str,
    offset: usize,
    snippets: bool,
    root: Option<&Path>,
) -> (Range<usize>, Vec<Candidate>) {
    let outline = Outline::of(text);
    let (spot, range) = outline.spot(offset);
    let writer = Writer {
        text,
        outline: &outline,
        range: range.clone(),
        snippets,
    };
    let found = match spot {
        Spot::Key(object) => writer.keys(&object),
        Spot::Value(place) => writer.values(&place, root),
        Spot::Between => Vec::new(),
    };
    (range, found)
}

struct Writer<'a> {
    text: &'a str,
    outline: &'a Outline,
    range: Range<usize>,
    snippets: bool,
}

impl Writer<'_> {
    /// The keys an object has and does not have yet.
    fn keys(&self, object: &PlanPath) -> Vec<Candidate> {
        let Some(allowed) = schema::at(object) else {
            return Vec::new();
        };
        let written = self.outline.keys(object);
        let taken: BTreeSet<&str> = written
            .filter(|item| item.range != self.range)
            .map(|item| item.text.as_str())
            .collect();
        // The value, and the comma before the next key, may be there already.
        let rest = self.text[self.range.end..].trim_start();
        let (has_value, more) = (rest.starts_with(':'), rest.starts_with('"'));
        let keys = allowed.keys().into_iter();
        keys.filter(|key| !taken.contains(key.name))
            .map(|key| {
                let name = json!(key.name).to_string();
                let comma = if more { "," } else { "" };
                let (insert, is_snippet) = match has_value {
                    true => (name.clone(), false),
                    false => match (self.snippets, with_cursor(key.empty)) {
                        (true, Some(empty)) => (format!("{name}: {empty}{comma}"), true),
                        _ => (format!("{name}: {}{comma}", key.empty), false),
                    },
                };
                Candidate {
                    label: key.name.to_owned(),
                    kind: CompletionItemKind::Property,
                    detail: key.required.then(|| "required".to_owned()),
                    words: Some(key.words.replace('\n', " ")),
                    insert,
                    is_snippet,
                    filter: name,
                }
            })
            .collect()
    }

    fn values(&self, place: &PlanPath, root: Option<&Path>) -> Vec<Candidate> {
        let Some(allowed) = schema::at(place) else {
            return Vec::new();
        };
        if allowed.is_boolean() {
            let word = |word: &str| Candidate {
                insert: word.to_owned(),
                filter: word.to_owned(),
                ..candidate(word, CompletionItemKind::Keyword)
            };
            return vec![word("true"), word("false")];
        }
        let choices = allowed.choices();
        if !choices.is_empty() {
            let choice = |(name, words): &(&str, &str)| Candidate {
                words: Some((*words).to_owned()),
                ..candidate(name, CompletionItemKind::EnumMember)
            };
            return choices.iter().map(choice).collect();
        }
        match place.steps() {
            [.., PlanPathStep::Key(key), PlanPathStep::Index(_)] => match key.as_str() {
                "dependsOn" => self.tasks(place),
                "writes" => self.paths(root),
                "gates" => self.gates(place),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// The tasks that this one can wait for: not itself, none that waits for it, none twice.
    fn tasks(&self, place: &PlanPath) -> Vec<Candidate> {
        let ids = self.outline.task_ids();
        let (Some(own), Some((array, _))) = (place.task_index(), place.split_last()) else {
            return Vec::new();
        };
        let elements = self.outline.elements(&array);
        let mut out: BTreeSet<&str> = elements
            .filter(|item| item.range != self.range)
            .map(|item| item.text.as_str())
            .collect();
        let mut below: Vec<&str> = ids.get(&own).copied().into_iter().collect();
        while let Some(id) = below.pop() {
            if !out.insert(id) {
                continue;
            }
            for (index, child) in &ids {
                let parents = PlanPath::task(*index).with("dependsOn");
                if self.outline.elements(&parents).any(|item| item.text == id) {
                    below.push(child);
                }
            }
        }
        let free = ids.iter().filter(|(_, id)| !out.contains(*id));
        free.map(|(index, id)| {
            let title = self.outline.value(&PlanPath::task(*index).with("title"));
            Candidate {
                detail: title.map(str::to_owned),
                ..candidate(id, CompletionItemKind::Reference)
            }
        })
        .collect()
    }

    /// Commands that are gates elsewhere.
    fn gates(&self, place: &PlanPath) -> Vec<Candidate> {
        let here = place.split_last().map(|(array, _)| array);
        let here = here.unwrap_or_default();
        let mut seen: BTreeSet<&str> = self
            .outline
            .elements(&here)
            .map(|item| item.text.as_str())
            .collect();
        let is_gate = |place: &PlanPath| matches!(place.steps(), [.., PlanPathStep::Key(key), PlanPathStep::Index(_)] if key == "gates");
        let items = self.outline.items.iter();
        items
            .filter(|item| !item.is_key && is_gate(&item.place))
            .filter(|item| seen.insert(&item.text))
            .map(|item| candidate(&item.text, CompletionItemKind::Value))
            .collect()
    }

    /// What is in the folder that has been written so far.
    fn paths(&self, root: Option<&Path>) -> Vec<Candidate> {
        let Some(root) = root else {
            return Vec::new();
        };
        let written = self.text[self.range.clone()].trim_matches('"');
        let folder = written.rfind('/').map_or("", |at| &written[..at]);
        let within = match folder {
            "" => root.to_owned(),
            _ => match RelPath::new(folder) {
                Ok(folder) => root.join(folder.to_path_buf()),
                Err(_) => return Vec::new(),
            },
        };
        let mut found = entries(&within);
        found.truncate(MOST_FILES);
        let before = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let path = |(name, is_folder): (String, bool)| {
            let (end, kind) = match is_folder {
                true => ("/", CompletionItemKind::Folder),
                false => ("", CompletionItemKind::File),
            };
            candidate(&format!("{before}{name}{end}"), kind)
        };
        found.into_iter().map(path).collect()
    }
}

/// Names in a folder, folders first. What is no UTF-8, and git's own folder, is no task's to write.
fn entries(folder: &Path) -> Vec<(String, bool)> {
    let read: Vec<(PathBuf, bool)> = match fs::read_dir(folder) {
        Ok(read) => read
            .flatten()
            .map(|entry| {
                (
                    entry.path(),
                    entry.file_type().is_ok_and(|kind| kind.is_dir()),
                )
            })
            .collect(),
        // A folder that is not there yet has nothing to offer.
        Err(_) => Vec::new(),
    };
    let mut found: Vec<(String, bool)> = read
        .iter()
        .filter_map(|(path, is_folder)| {
            let name = path.file_name()?.to_str()?;
            (name != ".git").then(|| (name.to_owned(), *is_folder))
        })
        .collect();
    found.sort_by(|(a, a_folder), (b, b_folder)| b_folder.cmp(a_folder).then(a.cmp(b)));
    found
}

/// A string.
fn candidate(text: &str, kind: CompletionItemKind) -> Candidate {
    let insert = json!(text).to_string();
    Candidate {
        label: text.to_owned(),
        kind,
        detail: None,
        words: None,
        filter: insert.clone(),
        insert,
        is_snippet: false,
    }
}

/// An empty value with the cursor in it; `None` where it is not written in.
fn with_cursor(empty: &str) -> Option<&'static str> {
    match empty {
        "\"\"" => Some("\"$0\""),
        "[]" => Some("[$0]"),
        "{}" => Some("{$0\\}"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is offered at the `|`: what is written, for what is replaced.
    fn offered(text: &str, root: Option<&Path>) -> Vec<String> {
        let offset = text.find('|').unwrap();
        let text = text.replacen('|', "", 1);
        let (range, found) = at(&text, offset, false, root);
        found
            .into_iter()
            .map(|one| format!("{}<{}>", one.insert, &text[range.clone()]))
            .collect()
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(offered(text, None), expected, "{text}");
    }

    #[test]
    fn keys_that_are_not_there_yet() {
        check(
            r#"{"goal": "x", "gates": [], "|"}"#,
            &[
                r#""maxParallel": 1<"">"#,
                r#""budgetUsd": 1<"">"#,
                r#""tasks": []<"">"#,
            ],
        );
        let pause = offered(r#"{"tasks": [{| "id": "a"}]}"#, None);
        assert!(
            pause.contains(&r#""pause": true,<>"#.to_owned()),
            "{pause:?}"
        );
        let renamed = offered(r#"{"ta|": []}"#, None);
        assert!(
            renamed.contains(&r#""tasks"<"ta">"#.to_owned()),
            "{renamed:?}"
        );
    }

    #[test]
    fn the_cursor_goes_where_something_is_to_be_written() {
        let (_, found) = at("{", 1, true, None);
        let gates = found.iter().find(|one| one.label == "gates").unwrap();
        assert_eq!(gates.insert, "\"gates\": [$0]");
        assert!(gates.is_snippet);
        let budget = found.iter().find(|one| one.label == "budgetUsd").unwrap();
        assert!(!budget.is_snippet);
    }

    #[test]
    fn values_that_are_known() {
        check(
            r#"{"tasks": [{"agent": "n|"}]}"#,
            &[
                r#""claude-code"<"n">"#,
                r#""native"<"n">"#,
                r#""command"<"n">"#,
            ],
        );
        check(r#"{"tasks": [{"pause": |}]}"#, &["true<>", "false<>"]);
        check(
            r#"{"gates": ["make"], "tasks": [{"gates": ["a", "|"]}]}"#,
            &[r#""make"<"">"#],
        );
        check(r#"{"goal": "|"}"#, &[]);
    }

    #[test]
    fn tasks_that_can_come_before() {
        let plan = |written: &str| {
            format!(
                "{{\"tasks\": [\n{{\"id\": \"a\"}},\n{{\"id\": \"b\", \"dependsOn\": [{written}]}},\n\
                 {{\"id\": \"c\", \"dependsOn\": [\"b\"]}},\n{{\"id\": \"d\"}}]}}"
            )
        };
        check(&plan("|"), &[r#""a"<>"#, r#""d"<>"#]);
        check(&plan("\"d\", |"), &[r#""a"<>"#]);
        check(&plan("\"a|\""), &[r#""a"<"a">"#, r#""d"<"a">"#]);
    }

    #[test]
    fn paths_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("src/deep")).unwrap();
        fs::create_dir(folder.path().join(".git")).unwrap();
        fs::write(folder.path().join("a.rs"), "").unwrap();
        fs::write(folder.path().join("src/b.rs"), "").unwrap();
        let at = |written: &str| {
            let text = format!("{{\"tasks\": [{{\"writes\": [\"{written}|\"]}}]}}");
            offered(&text, Some(folder.path()))
        };
        assert_eq!(at(""), [r#""src/"<"">"#, r#""a.rs"<"">"#]);
        assert_eq!(
            at("src/"),
            [r#""src/deep/"<"src/">"#, r#""src/b.rs"<"src/">"#]
        );
        assert!(at("../").is_empty());
        assert!(at("nothing/").is_empty());
    }
}
