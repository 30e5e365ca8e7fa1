//! What is wrong with a plan's text, and what is worth a look: what is no JSON, what is no plan
//! ([`Plan`] itself says so), what `core` says of it, and paths that are not there.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use claudecluster_core::plan::{self, Place, PlanProblem, ProblemKind, Step};
use claudecluster_driver::agent_catalog;
use claudecluster_protocol::{Plan, RelPath};
use serde_json::Value;
use serde_path_to_error::Segment;

use super::{
    schema,
    text::{Kind, Node, PlanText},
};

/// More mistakes of one kind are no help.
const MOST: usize = 100;

/// Something that is wrong, or worth a look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    pub(crate) what: What,
    /// Where, for what can be corrected; nothing where the text is no JSON.
    pub(crate) place: Option<Place>,
    pub(crate) range: Range<usize>,
    pub(crate) message: String,
    /// The other places it is about, each with what it has to do with it.
    pub(crate) related: Vec<Related>,
    /// What was probably meant.
    pub(crate) meant: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Related {
    pub(crate) place: Place,
    pub(crate) range: Range<usize>,
    pub(crate) message: String,
}

/// What kind of problem it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    NotJson,
    TrailingComma,
    UnknownKey,
    DuplicateKey,
    MissingKey,
    WrongValue,
    Rule(ProblemKind),
    MissingPath,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Severity {
    Error,
    Warning,
    Hint,
}

impl What {
    /// A name for programs.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NotJson => "not-json",
            Self::TrailingComma => "trailing-comma",
            Self::UnknownKey => "unknown-key",
            Self::DuplicateKey => "duplicate-key",
            Self::MissingKey => "missing-key",
            Self::WrongValue => "wrong-value",
            Self::Rule(kind) => kind.as_str(),
            Self::MissingPath => "missing-path",
        }
    }

    pub(crate) fn severity(self) -> Severity {
        match self {
            Self::Rule(ProblemKind::Overlap) => Severity::Warning,
            Self::Rule(kind) if !kind.is_error() => Severity::Hint,
            Self::MissingPath => Severity::Hint,
            _ => Severity::Error,
        }
    }
}

/// What a plan is looked at with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// The workspace it is for.
    pub(crate) root: Option<PathBuf>,
    /// Whether its goal has gates of its own.
    pub(crate) gates: bool,
}

/// A plan's text with everything that is to be said about it.
pub(crate) struct Checked {
    pub(crate) text: PlanText,
    pub(crate) problems: Vec<Problem>,
    /// What it says. There is one as well where problems were looked past.
    pub(crate) plan: Option<Plan>,
}

impl Checked {
    pub(crate) fn is_valid(&self) -> bool {
        let mut problems = self.problems.iter();
        self.plan.is_some() && !problems.any(|one| one.what.severity() == Severity::Error)
    }
}

/// Looks at a text. May ask the disk about paths.
pub(crate) fn check(text: String, around: &Surroundings) -> Checked {
    let text = PlanText::new(text);
    let mut found = Finder {
        text: &text,
        problems: Vec::new(),
        broken: Vec::new(),
    };
    if let Some(broken) = &text.broken {
        let what = match broken.trailing_comma {
            true => What::TrailingComma,
            false => What::NotJson,
        };
        found.add(what, None, broken.range.clone(), broken.message.clone());
    }
    let plan = text.root.as_ref().and_then(|root| found.read(root));
    if let Some(plan) = &plan {
        found.rules(plan, around.gates);
        if let Some(root) = &around.root {
            found.paths(plan, root);
        }
    }
    let mut problems = found.problems;
    problems.sort_by_key(|problem| problem.range.start);
    problems.truncate(MOST);
    let mut checked = Checked {
        problems,
        plan,
        text,
    };
    checked.read_strictly();
    checked
}

impl Checked {
    /// Where nothing is wrong, the text is read once more as whoever runs it reads it: what is called
    /// right here runs.
    fn read_strictly(&mut self) {
        if !self.is_valid() {
            return;
        }
        match serde_json::from_str::<Plan>(&self.text.text) {
            Ok(plan) => self.plan = Some(plan),
            Err(error) => {
                let line = self.text.text.split_inclusive('\n').take(error.line());
                let end = line.map(str::len).sum::<usize>();
                let start = self.text.text[..end]
                    .trim_end()
                    .rfind('\n')
                    .map_or(0, |at| at + 1);
                self.problems.push(Problem {
                    what: What::WrongValue,
                    place: None,
                    range: start..end,
                    message: error.to_string(),
                    related: Vec::new(),
                    meant: None,
                });
            }
        }
    }
}

struct Finder<'a> {
    text: &'a PlanText,
    problems: Vec<Problem>,
    /// Where something else was put to read on: what the rules say of that is not said.
    broken: Vec<Place>,
}

impl Finder<'_> {
    fn add(
        &mut self,
        what: What,
        place: Option<Place>,
        range: Range<usize>,
        message: impl Into<String>,
    ) -> &mut Problem {
        let at = self.problems.len();
        self.problems.push(Problem {
            what,
            place,
            range,
            message: message.into(),
            related: Vec::new(),
            meant: None,
        });
        &mut self.problems[at]
    }

    /// Reads the plan, past every value that is not what it should be.
    fn read(&mut self, root: &Node) -> Option<Plan> {
        if !matches!(root.kind, Kind::Object(_)) {
            // Lists would pass for objects whose keys are in order.
            let range = self.text.mark(&Place::default());
            self.add(What::WrongValue, None, range, "a plan is an object");
            return None;
        }
        self.duplicate_keys(root, &Place::default());
        let mut value = root.to_value();
        for _ in 0..MOST {
            let error = match serde_path_to_error::deserialize::<_, Plan>(&value) {
                Ok(plan) => return Some(plan),
                Err(error) => error,
            };
            let place = place(error.path());
            let message = error.into_inner().to_string();
            self.mismatch(&place, &message);
            look_past(&mut value, &place, &message);
            self.broken.push(match missing_field(&message) {
                Some(key) => place.with(key),
                None => place,
            });
        }
        None
    }

    fn duplicate_keys(&mut self, node: &Node, place: &Place) {
        match &node.kind {
            Kind::Object(entries) => {
                for (i, entry) in entries.iter().enumerate() {
                    let place = place.clone().with(&entry.key);
                    if entries[..i].iter().any(|one| one.key == entry.key) {
                        let message = format!("the key `{}` is there already", entry.key);
                        let at = Some(place.clone());
                        self.add(What::DuplicateKey, at, entry.key_range.clone(), message);
                    }
                    self.duplicate_keys(&entry.value, &place);
                }
            }
            Kind::Array(elements) => {
                for (i, element) in elements.iter().enumerate() {
                    self.duplicate_keys(element, &place.clone().at(i));
                }
            }
            _ => {}
        }
    }

    /// Tells of a key or a value that a plan does not have there.
    fn mismatch(&mut self, place: &Place, message: &str) {
        let range = self.text.mark(place);
        if let Some(key) = missing_field(message) {
            let message = format!("the key `{key}` is missing");
            self.add(
                What::MissingKey,
                Some(place.clone().with(key)),
                range,
                message,
            );
            return;
        }
        let Some((above, Step::Key(key))) = place.split_last() else {
            self.add(What::WrongValue, Some(place.clone()), range, message);
            return;
        };
        if !message.starts_with("unknown field") {
            // A value that is long is marked by its key, so the message has to name it.
            let message = format!("`{key}`: {message}");
            self.add(What::WrongValue, Some(place.clone()), range, message);
            return;
        }
        let range = self
            .text
            .entry(place)
            .map_or(range, |one| one.key_range.clone());
        let known = schema::at(&above)
            .map(|allowed| allowed.keys())
            .unwrap_or_default();
        let names = || known.iter().map(|key| key.name);
        let meant = plan::nearest(key, names()).map(str::to_owned);
        let message = match &meant {
            Some(meant) => format!("there is no key `{key}`; did you mean `{meant}`?"),
            None => {
                let names: Vec<_> = names().map(|name| format!("`{name}`")).collect();
                format!("there is no key `{key}`; there are {}", names.join(", "))
            }
        };
        self.add(What::UnknownKey, Some(place.clone()), range, message)
            .meant = meant;
    }

    fn rules(&mut self, plan: &Plan, has_gates: bool) {
        for problem in plan::inspect(plan, &agent_catalog()) {
            let of_gates = problem.kind == ProblemKind::NoGates;
            if of_gates && has_gates || self.follows(&problem) {
                continue;
            }
            let edges = problem.kind == ProblemKind::Cycle;
            let related: Vec<_> = problem
                .related
                .into_iter()
                .map(|(place, message)| Related {
                    range: self.text.mark(&place),
                    place,
                    message,
                })
                .collect();
            let range = self.text.mark(&problem.place);
            let first = Related {
                place: problem.place,
                range,
                message: String::new(),
            };
            // A cycle is told at each of its edges: any of them may be the one that is wrong.
            let places = if edges { related.len() + 1 } else { 1 };
            let all: Vec<_> = std::iter::once(first).chain(related).collect();
            for at in 0..places {
                let others = all.iter().enumerate().filter(|(n, _)| *n != at);
                let others = others.map(|(n, one)| Related {
                    message: if n == 0 {
                        "and this task waits, too".to_owned()
                    } else {
                        one.message.clone()
                    },
                    ..one.clone()
                });
                let related = others.collect();
                let (place, range) = (all[at].place.clone(), all[at].range.clone());
                let message = problem.message.clone();
                let told = self.add(What::Rule(problem.kind), Some(place), range, message);
                told.related = related;
                told.meant.clone_from(&problem.meant);
            }
        }
    }

    /// Whether a problem is only there because something else was put where a mistake was.
    fn follows(&self, problem: &PlanProblem) -> bool {
        let task = problem.place.task_index();
        let about_missing = matches!(
            problem.kind,
            ProblemKind::MissingInstructions | ProblemKind::MissingCommand | ProblemKind::TaskCount
        );
        self.broken.iter().any(|broken| {
            problem.place.is_in(broken) && !broken.steps().is_empty()
                || about_missing && broken.task_index() == task
        })
    }

    /// Files that tasks are expected to write and that are not there: usual for those that are to be
    /// made, and a misspelling otherwise.
    fn paths(&mut self, plan: &Plan, root: &Path) {
        for (i, task) in plan.tasks.iter().enumerate() {
            for (j, path) in task.writes.iter().enumerate() {
                let place = Place::task(i).with("writes").at(j);
                if path.contains(['*', '?', '[', '{'])
                    || self.broken.iter().any(|broken| place.is_in(broken))
                {
                    continue;
                }
                let Ok(relative) = RelPath::new(path.strip_suffix('/').unwrap_or(path)) else {
                    continue;
                };
                if root
                    .join(relative.to_path_buf())
                    .symlink_metadata()
                    .is_err()
                {
                    let message = format!("{path} is not there; the task may make it");
                    let range = self.text.mark(&place);
                    self.add(What::MissingPath, Some(place), range, message);
                }
            }
        }
    }
}

/// The key that a message says is missing.
fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

fn place(path: &serde_path_to_error::Path) -> Place {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// Puts something that can be read where something cannot. The rest keeps its place.
fn look_past(value: &mut Value, place: &Place, message: &str) {
    if let Some(key) = missing_field(message) {
        if let Some(Value::Object(object)) = find(value, place) {
            object.insert(key.to_owned(), stand_in(place));
        }
        return;
    }
    let Some((above, last)) = place.split_last() else {
        // No key is to blame, so that only the type is left that it has to have.
        *value = Value::Object(serde_json::Map::new());
        return;
    };
    match (find(value, &above), last) {
        (Some(Value::Object(object)), Step::Key(key)) if key == "id" => {
            object.insert(key.clone(), stand_in(place));
        }
        (Some(Value::Object(object)), Step::Key(key)) => {
            object.remove(key);
        }
        (Some(Value::Array(elements)), Step::Index(index)) => {
            if let Some(element) = elements.get_mut(*index) {
                *element = match above.steps() {
                    [Step::Key(tasks)] if tasks == "tasks" => {
                        serde_json::json!({"id": stand_in(place)})
                    }
                    _ => stand_in(place),
                };
            }
        }
        _ => {}
    }
}

/// A word that nobody writes, another one at each place.
fn stand_in(place: &Place) -> Value {
    Value::String(format!("\u{0}{place}"))
}

fn find<'a>(value: &'a mut Value, place: &Place) -> Option<&'a mut Value> {
    place
        .steps()
        .iter()
        .try_fold(value, |value, step| match step {
            Step::Key(key) => value.get_mut(key),
            Step::Index(index) => value.get_mut(*index),
        })
}

#[cfg(test)]
mod tests;
