//! The check of a plan's text.
//!
//! The check finds:
//! - text that is not JSON;
//! - JSON that is not a [`Plan`];
//! - violated rules of `core::plan`;
//! - paths that do not exist.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use claudecluster_core::plan::{self, PlanPath, PlanPathStep, PlanProblem, PlanProblemKind};
use claudecluster_protocol::{Plan, RelPath};
use claudecluster_service::agent_catalog;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::{
    schema::schema_at,
    syntax::{ParsedPlanText, PlanSyntaxKind, PlanSyntaxNode},
};

/// The most findings in one text.
const MOST_FINDINGS: usize = 100;

/// A mistake, a warning or a hint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PlanFinding {
    pub(crate) kind: FindingKind,
    /// The place in the plan; `None` if the text is not JSON.
    pub(crate) place: Option<PlanPath>,
    /// The marked range in bytes.
    pub(crate) range: Range<usize>,
    pub(crate) message: String,
    /// Other places that the finding concerns.
    pub(crate) related: Vec<RelatedPlace>,
    /// The key or id that was probably intended.
    pub(crate) meant: Option<String>,
}

/// A place that a finding concerns, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RelatedPlace {
    pub(crate) place: PlanPath,
    pub(crate) range: Range<usize>,
    pub(crate) message: String,
}

/// The kind of a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FindingKind {
    NotJson,
    TrailingComma,
    UnknownKey,
    DuplicateKey,
    MissingKey,
    WrongValue,
    Rule(PlanProblemKind),
    MissingPath,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FindingSeverity {
    Error,
    Warning,
    Hint,
}

impl FindingKind {
    /// Returns the code of the diagnostic.
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

    pub(crate) fn severity(self) -> FindingSeverity {
        match self {
            Self::Rule(PlanProblemKind::Overlap) => FindingSeverity::Warning,
            Self::Rule(kind) if !kind.is_error() => FindingSeverity::Hint,
            Self::MissingPath => FindingSeverity::Hint,
            _ => FindingSeverity::Error,
        }
    }
}

/// The context in which a plan is checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlanContext {
    /// The workspace folder of the plan.
    pub(crate) root: Option<PathBuf>,
    /// Whether the goal or the settings have gates.
    pub(crate) has_gates: bool,
}

/// A plan's text and the findings about it.
pub(crate) struct CheckedPlan {
    pub(crate) text: ParsedPlanText,
    pub(crate) findings: Vec<PlanFinding>,
    /// The plan; that of a text with mistakes has placeholders at their places.
    pub(crate) plan: Option<Plan>,
}

impl CheckedPlan {
    /// Whether the plan has no mistakes.
    pub(crate) fn is_valid(&self) -> bool {
        let mut findings = self.findings.iter();
        let is_error = |one: &PlanFinding| one.kind.severity() == FindingSeverity::Error;
        self.plan.is_some() && !findings.any(is_error)
    }
}

/// Checks a text. Blocks on the disk if the context has a workspace folder.
pub(crate) fn check_plan(text: String, context: &PlanContext) -> CheckedPlan {
    let text = ParsedPlanText::parse(text);
    let mut checker = PlanChecker {
        text: &text,
        findings: Vec::new(),
        unreadable: Vec::new(),
    };
    if let Some(fault) = &text.fault {
        let kind = match fault.is_trailing_comma {
            true => FindingKind::TrailingComma,
            false => FindingKind::NotJson,
        };
        checker.add_finding(kind, None, fault.range.clone(), fault.message.clone());
    }
    let plan = text.root.as_ref().and_then(|root| checker.read_plan(root));
    if let Some(plan) = &plan {
        checker.check_rules(plan, context.has_gates);
        if let Some(root) = &context.root {
            checker.check_paths(plan, root);
        }
    }
    let mut findings = checker.findings;
    findings.sort_by_key(|finding| finding.range.start);
    findings.truncate(MOST_FINDINGS);
    let mut checked = CheckedPlan {
        findings,
        plan,
        text,
    };
    checked.read_strictly();
    checked
}

impl CheckedPlan {
    /// Parses a valid text once more as the driver does, so that every valid plan can run.
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
                self.findings.push(PlanFinding {
                    kind: FindingKind::WrongValue,
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

struct PlanChecker<'a> {
    text: &'a ParsedPlanText,
    findings: Vec<PlanFinding>,
    /// The places with placeholders. Violations of rules there are not reported.
    unreadable: Vec<PlanPath>,
}

impl PlanChecker<'_> {
    fn add_finding(
        &mut self,
        kind: FindingKind,
        place: Option<PlanPath>,
        range: Range<usize>,
        message: impl Into<String>,
    ) -> &mut PlanFinding {
        let at = self.findings.len();
        self.findings.push(PlanFinding {
            kind,
            place,
            range,
            message: message.into(),
            related: Vec::new(),
            meant: None,
        });
        &mut self.findings[at]
    }

    /// Reads the plan. Reports each wrong value and replaces it by a placeholder.
    fn read_plan(&mut self, root: &PlanSyntaxNode) -> Option<Plan> {
        if !matches!(root.kind, PlanSyntaxKind::Object(_)) {
            // serde would accept an array as an object whose values are in the order of its keys.
            let range = self.text.marked_range(&PlanPath::default());
            let kind = FindingKind::WrongValue;
            self.add_finding(kind, None, range, "expected an object");
            return None;
        }
        self.check_duplicate_keys(root, &PlanPath::default());
        let mut value = root.to_value();
        for _ in 0..MOST_FINDINGS {
            let error = match serde_path_to_error::deserialize::<_, Plan>(&value) {
                Ok(plan) => return Some(plan),
                Err(error) => error,
            };
            let place = to_place(error.path());
            let message = error.into_inner().to_string();
            self.report_mismatch(&place, &message);
            put_placeholder(&mut value, &place, &message);
            self.unreadable.push(match missing_field(&message) {
                Some(key) => place.join_key(key),
                None => place,
            });
        }
        None
    }

    fn check_duplicate_keys(&mut self, node: &PlanSyntaxNode, place: &PlanPath) {
        match &node.kind {
            PlanSyntaxKind::Object(entries) => {
                for (i, entry) in entries.iter().enumerate() {
                    let place = place.clone().join_key(&entry.key);
                    if entries[..i].iter().any(|one| one.key == entry.key) {
                        let message = format!("duplicate key `{}`", entry.key);
                        let at = Some(place.clone());
                        let range = entry.key_range.clone();
                        self.add_finding(FindingKind::DuplicateKey, at, range, message);
                    }
                    self.check_duplicate_keys(&entry.value, &place);
                }
            }
            PlanSyntaxKind::Array(elements) => {
                for (i, element) in elements.iter().enumerate() {
                    self.check_duplicate_keys(element, &place.clone().join_index(i));
                }
            }
            _ => {}
        }
    }

    /// Reports a missing key, an unknown key or a wrong value.
    fn report_mismatch(&mut self, place: &PlanPath, message: &str) {
        let range = self.text.marked_range(place);
        if let Some(key) = missing_field(message) {
            let message = format!("missing key `{key}`");
            let place = place.clone().join_key(key);
            self.add_finding(FindingKind::MissingKey, Some(place), range, message);
            return;
        }
        let at = Some(place.clone());
        let Some((above, PlanPathStep::Key(key))) = place.split_last() else {
            self.add_finding(FindingKind::WrongValue, at, range, message);
            return;
        };
        if !message.starts_with("unknown field") {
            // A long value is marked by its key, so the message has to name the key.
            let message = format!("`{key}`: {message}");
            self.add_finding(FindingKind::WrongValue, at, range, message);
            return;
        }
        let range = self
            .text
            .entry_at(place)
            .map_or(range, |one| one.key_range.clone());
        let known = schema_at(&above)
            .map(|allowed| allowed.keys())
            .unwrap_or_default();
        let names = || known.iter().map(|key| key.name);
        let meant = plan::nearest_word(key, names()).map(str::to_owned);
        let message = match &meant {
            Some(meant) => format!("unknown key `{key}`; did you mean `{meant}`?"),
            None => {
                let names: Vec<_> = names().map(|name| format!("`{name}`")).collect();
                format!("unknown key `{key}`; the keys are {}", names.join(", "))
            }
        };
        self.add_finding(FindingKind::UnknownKey, at, range, message)
            .meant = meant;
    }

    /// Reports violations of the rules of `core::plan`.
    fn check_rules(&mut self, plan: &Plan, has_gates: bool) {
        for problem in plan::inspect_plan(plan, &agent_catalog()) {
            let of_gates = problem.kind == PlanProblemKind::NoGates;
            if of_gates && has_gates || self.follows_placeholder(&problem) {
                continue;
            }
            let edges = problem.kind == PlanProblemKind::Cycle;
            let related: Vec<_> = problem
                .related
                .into_iter()
                .map(|(place, message)| RelatedPlace {
                    range: self.text.marked_range(&place),
                    place,
                    message,
                })
                .collect();
            let range = self.text.marked_range(&problem.place);
            let first = RelatedPlace {
                place: problem.place,
                range,
                message: String::new(),
            };
            // A cycle is reported at each of its edges, because any of them may be the wrong one.
            let places = if edges { related.len() + 1 } else { 1 };
            let all: Vec<_> = std::iter::once(first).chain(related).collect();
            for at in 0..places {
                let others = all.iter().enumerate().filter(|(n, _)| *n != at);
                let others = others.map(|(n, one)| RelatedPlace {
                    message: if n == 0 {
                        "and this task depends on it".to_owned()
                    } else {
                        one.message.clone()
                    },
                    ..one.clone()
                });
                let related = others.collect();
                let (place, range) = (all[at].place.clone(), all[at].range.clone());
                let message = problem.message.clone();
                let kind = FindingKind::Rule(problem.kind);
                let finding = self.add_finding(kind, Some(place), range, message);
                finding.related = related;
                finding.meant.clone_from(&problem.meant);
            }
        }
    }

    /// Whether a problem exists only because of a placeholder.
    fn follows_placeholder(&self, problem: &PlanProblem) -> bool {
        let task = problem.place.task_index();
        let about_missing = matches!(
            problem.kind,
            PlanProblemKind::MissingInstructions
                | PlanProblemKind::MissingCommand
                | PlanProblemKind::TaskCount
        );
        self.unreadable.iter().any(|unreadable| {
            problem.place.is_in(unreadable) && !unreadable.steps().is_empty()
                || about_missing && unreadable.task_index() == task
        })
    }

    /// Reports files to be written that do not exist: they are new, or their paths are misspelt.
    fn check_paths(&mut self, plan: &Plan, root: &Path) {
        for (i, task) in plan.tasks.iter().enumerate() {
            for (j, path) in task.writes.iter().enumerate() {
                let place = PlanPath::of_task(i).join_key("writes").join_index(j);
                if path.contains(['*', '?', '[', '{'])
                    || self
                        .unreadable
                        .iter()
                        .any(|unreadable| place.is_in(unreadable))
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
                    let message = format!("{path} does not exist; the task may create it");
                    let range = self.text.marked_range(&place);
                    self.add_finding(FindingKind::MissingPath, Some(place), range, message);
                }
            }
        }
    }
}

/// Returns the key that an error of serde reports as missing.
fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

fn to_place(path: &serde_path_to_error::Path) -> PlanPath {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(PlanPathStep::Index(*index)),
            Segment::Map { key } => Some(PlanPathStep::Key(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// Replaces the value at a place by a placeholder that can be read. Other values keep their places.
fn put_placeholder(value: &mut Value, place: &PlanPath, message: &str) {
    if let Some(key) = missing_field(message) {
        if let Some(Value::Object(object)) = find_value(value, place) {
            object.insert(key.to_owned(), placeholder_id(place));
        }
        return;
    }
    let Some((above, last)) = place.split_last() else {
        // The mistake is in no key, so the plan itself has the wrong type.
        *value = Value::Object(serde_json::Map::new());
        return;
    };
    match (find_value(value, &above), last) {
        (Some(Value::Object(object)), PlanPathStep::Key(key)) if key == "id" => {
            object.insert(key.clone(), placeholder_id(place));
        }
        (Some(Value::Object(object)), PlanPathStep::Key(key)) => {
            object.remove(key);
        }
        (Some(Value::Array(elements)), PlanPathStep::Index(index)) => {
            if let Some(element) = elements.get_mut(*index) {
                *element = match above.steps() {
                    [PlanPathStep::Key(tasks)] if tasks == "tasks" => {
                        serde_json::json!({"id": placeholder_id(place)})
                    }
                    _ => placeholder_id(place),
                };
            }
        }
        _ => {}
    }
}

/// Returns a text that no user writes, unique for each place.
fn placeholder_id(place: &PlanPath) -> Value {
    Value::String(format!("\u{0}{place}"))
}

fn find_value<'a>(value: &'a mut Value, place: &PlanPath) -> Option<&'a mut Value> {
    place
        .steps()
        .iter()
        .try_fold(value, |value, step| match step {
            PlanPathStep::Key(key) => value.get_mut(key),
            PlanPathStep::Index(index) => value.get_mut(*index),
        })
}

#[cfg(test)]
mod tests;
