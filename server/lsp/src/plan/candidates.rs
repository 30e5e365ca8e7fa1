//! The completions at a place of a plan.

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
    outline::{CompletionSpot, PlanOutline},
    schema::schema_at,
};

/// The most entries of a folder in one completion.
const MOST_FILES: usize = 200;

/// A completion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PlanCandidate {
    pub(super) label: String,
    pub(super) kind: CompletionItemKind,
    pub(super) detail: Option<String>,
    pub(super) description: Option<String>,
    /// The inserted text, as JSON.
    pub(super) insert: String,
    pub(super) is_snippet: bool,
    /// The text that the client compares with the replaced text.
    pub(super) filter: String,
}

/// Finds the completions at an offset, in the order of display, and the range they replace.
///
/// Reads folders below `root` if paths can be written at the offset.
pub(super) fn find_candidates(
    text: &str,
    offset: usize,
    snippets: bool,
    root: Option<&Path>,
) -> (Range<usize>, Vec<PlanCandidate>) {
    let outline = PlanOutline::scan(text);
    let (spot, range) = outline.spot_at(offset);
    let finder = CandidateFinder {
        text,
        outline: &outline,
        range: range.clone(),
        snippets,
    };
    let found = match spot {
        CompletionSpot::Key(object) => finder.find_keys(&object),
        CompletionSpot::Value(place) => finder.find_values(&place, root),
        CompletionSpot::Between => Vec::new(),
    };
    (range, found)
}

struct CandidateFinder<'a> {
    text: &'a str,
    outline: &'a PlanOutline,
    /// The range that a completion replaces.
    range: Range<usize>,
    snippets: bool,
}

impl CandidateFinder<'_> {
    /// Finds the keys that an object may have and does not have yet.
    fn find_keys(&self, object: &PlanPath) -> Vec<PlanCandidate> {
        let Some(allowed) = schema_at(object) else {
            return Vec::new();
        };
        let written = self.outline.keys_of(object);
        let taken: BTreeSet<&str> = written
            .filter(|item| item.range != self.range)
            .map(|item| item.text.as_str())
            .collect();
        // The value, and the comma before the next key, may exist already.
        let rest = self.text[self.range.end..].trim_start();
        let (has_value, more) = (rest.starts_with(':'), rest.starts_with('"'));
        let keys = allowed.keys().into_iter();
        keys.filter(|key| !taken.contains(key.name))
            .map(|key| {
                let name = json!(key.name).to_string();
                let comma = if more { "," } else { "" };
                let (insert, is_snippet) = match has_value {
                    true => (name.clone(), false),
                    false => match (self.snippets, to_snippet(key.empty)) {
                        (true, Some(empty)) => (format!("{name}: {empty}{comma}"), true),
                        _ => (format!("{name}: {}{comma}", key.empty), false),
                    },
                };
                PlanCandidate {
                    label: key.name.to_owned(),
                    kind: CompletionItemKind::Property,
                    detail: key.required.then(|| "required".to_owned()),
                    description: Some(key.description.replace('\n', " ")),
                    insert,
                    is_snippet,
                    filter: name,
                }
            })
            .collect()
    }

    fn find_values(&self, place: &PlanPath, root: Option<&Path>) -> Vec<PlanCandidate> {
        let Some(allowed) = schema_at(place) else {
            return Vec::new();
        };
        if allowed.is_boolean() {
            let word = |word: &str| PlanCandidate {
                insert: word.to_owned(),
                filter: word.to_owned(),
                ..string_candidate(word, CompletionItemKind::Keyword)
            };
            return vec![word("true"), word("false")];
        }
        let choices = allowed.choices();
        if !choices.is_empty() {
            let choice = |(name, description): &(&str, &str)| PlanCandidate {
                description: Some((*description).to_owned()),
                ..string_candidate(name, CompletionItemKind::EnumMember)
            };
            return choices.iter().map(choice).collect();
        }
        match place.steps() {
            [.., PlanPathStep::Key(key), PlanPathStep::Index(_)] => match key.as_str() {
                "dependsOn" => self.find_tasks(place),
                "writes" => self.find_paths(root),
                "gates" => self.find_gates(place),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// Finds the tasks that a task can wait for: not itself, and none that waits for it.
    fn find_tasks(&self, place: &PlanPath) -> Vec<PlanCandidate> {
        let ids = self.outline.task_ids();
        let (Some(own), Some((array, _))) = (place.task_index(), place.split_last()) else {
            return Vec::new();
        };
        let elements = self.outline.elements_of(&array);
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
                let parents = PlanPath::of_task(*index).join_key("dependsOn");
                let mut parents = self.outline.elements_of(&parents);
                if parents.any(|item| item.text == id) {
                    below.push(child);
                }
            }
        }
        let free = ids.iter().filter(|(_, id)| !out.contains(*id));
        free.map(|(index, id)| {
            let title = self
                .outline
                .value_at(&PlanPath::of_task(*index).join_key("title"));
            PlanCandidate {
                detail: title.map(str::to_owned),
                ..string_candidate(id, CompletionItemKind::Reference)
            }
        })
        .collect()
    }

    /// Finds the commands that are gates elsewhere in the plan.
    fn find_gates(&self, place: &PlanPath) -> Vec<PlanCandidate> {
        let here = place.split_last().map(|(array, _)| array);
        let here = here.unwrap_or_default();
        let mut seen: BTreeSet<&str> = self
            .outline
            .elements_of(&here)
            .map(|item| item.text.as_str())
            .collect();
        let is_gate = |place: &PlanPath| matches!(place.steps(), [.., PlanPathStep::Key(key), PlanPathStep::Index(_)] if key == "gates");
        let items = self.outline.items.iter();
        items
            .filter(|item| !item.is_key && is_gate(&item.place))
            .filter(|item| seen.insert(&item.text))
            .map(|item| string_candidate(&item.text, CompletionItemKind::Value))
            .collect()
    }

    /// Finds the entries of the folder that the written path names.
    fn find_paths(&self, root: Option<&Path>) -> Vec<PlanCandidate> {
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
        let mut found = list_folder(&within);
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
            string_candidate(&format!("{before}{name}{end}"), kind)
        };
        found.into_iter().map(path).collect()
    }
}

/// Lists the entries of a folder, folders first, each with whether it is a folder.
///
/// Skips names that are not UTF-8, and `.git`: no task may write them.
fn list_folder(folder: &Path) -> Vec<(String, bool)> {
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
        // A folder that does not exist has no entries.
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

/// Creates the completion of a string.
fn string_candidate(text: &str, kind: CompletionItemKind) -> PlanCandidate {
    let insert = json!(text).to_string();
    PlanCandidate {
        label: text.to_owned(),
        kind,
        detail: None,
        description: None,
        filter: insert.clone(),
        insert,
        is_snippet: false,
    }
}

/// Returns an empty value with the cursor in it; `None` for values that are not written into.
fn to_snippet(empty: &str) -> Option<&'static str> {
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

    /// Lists the completions at the `|`: the inserted text, then the replaced text.
    fn offered(text: &str, root: Option<&Path>) -> Vec<String> {
        let offset = text.find('|').unwrap();
        let text = text.replacen('|', "", 1);
        let (range, found) = find_candidates(&text, offset, false, root);
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
    fn missing_keys_are_completed() {
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
    fn snippets_have_the_cursor_in_the_value() {
        let (_, found) = find_candidates("{", 1, true, None);
        let gates = found.iter().find(|one| one.label == "gates").unwrap();
        assert_eq!(gates.insert, "\"gates\": [$0]");
        assert!(gates.is_snippet);
        let budget = found.iter().find(|one| one.label == "budgetUsd").unwrap();
        assert!(!budget.is_snippet);
    }

    #[test]
    fn known_values_are_completed() {
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
    fn tasks_without_a_cycle_are_completed() {
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
    fn existing_paths_are_completed() {
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
