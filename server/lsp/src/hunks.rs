//! Pending hunks and landed changes of an open document, in the client's terms.

use std::collections::{BTreeMap, HashMap, HashSet};

use claudecluster_core::text::PositionEncoding;
use claudecluster_protocol::{
    GoalId, HunkId,
    agent::AgentInput,
    change::{ChangeKind, HunkOrigin, HunkStatus, HunkView, Provenance},
};
use claudecluster_service::agent_catalog;
use lsp_types::Range;

use crate::{
    documents::{
        DocumentSnapshot,
        lines::{full_line_range, lines_touch, to_client_lines},
    },
    phrases,
    session::EditorSession,
};

/// Returns the pending hunks of a document; none if it shows no file.
///
/// Comparing texts and reading proposals happens on another thread. Callers take the snapshot before
/// they await this.
pub(crate) async fn pending_hunks(
    session: &EditorSession,
    document: &DocumentSnapshot,
) -> Vec<HunkView> {
    let Some(path) = document.path.clone() else {
        return Vec::new();
    };
    let text = document.text.clone();
    let found = session.query_texts(move |texts| {
        let mut hunks = texts.hunks_in(&path, (&text).into());
        let lines = hunks
            .iter_mut()
            .map(|hunk| (&mut hunk.start_line, &mut hunk.end_line));
        to_client_lines(&text, lines);
        Ok(hunks)
    });
    found.await.unwrap_or_default()
}

/// Returns the landed and pending changes that the lines of a document come from.
///
/// As with [`pending_hunks`], callers take the snapshot before they await this.
pub(crate) async fn line_origins(
    session: &EditorSession,
    document: &DocumentSnapshot,
) -> Vec<HunkOrigin> {
    let Some(path) = document.path.clone() else {
        return Vec::new();
    };
    let text = document.text.clone();
    let found = session.query_texts(move |texts| {
        let mut origins = texts.origins(&path, &String::from(&text));
        let lines = origins
            .iter_mut()
            .map(|origin| (&mut origin.start_line, &mut origin.end_line));
        to_client_lines(&text, lines);
        Ok(origins)
    });
    found.await.unwrap_or_default()
}

/// Describes a hunk, in words that follow "Accept".
pub(crate) fn describe_change(hunk: &HunkView) -> String {
    let path = &hunk.path;
    match (hunk.whole, hunk.kind, &hunk.from) {
        (false, ..) => "change".to_owned(),
        (_, ChangeKind::Create, _) => format!("new file {path}"),
        (_, ChangeKind::Delete, _) => format!("deletion of {path}"),
        (_, ChangeKind::Rename, Some(from)) => format!("rename of {from} to {path}"),
        (_, ChangeKind::Mode, _) => format!("mode change of {path} ({})", hunk.new_text),
        (_, ChangeKind::Modify | ChangeKind::Rename, _) => format!("new content of {path}"),
    }
}

/// Returns the title of the task that made a hunk.
pub(crate) fn maker_title(hunk: &HunkView) -> String {
    task_title(&hunk.provenance).unwrap_or_else(|| "a task".to_owned())
}

/// Returns the title of the task whose text a hunk conflicts with; `None` if it is the user's text.
pub(crate) fn rival_title(hunk: &HunkView) -> Option<String> {
    task_title(&hunk.mine_by)
}

/// Returns the title of the task that decided a text.
pub(crate) fn task_title(provenance: &[Provenance]) -> Option<String> {
    provenance
        .first()
        .map(|task| phrases::short_title(&task.title))
}

/// Returns the title of a conflict, which names both sides.
pub(crate) fn conflict_title(hunk: &HunkView) -> String {
    let rival = rival_title(hunk).unwrap_or_else(|| "you".to_owned());
    format!("Conflict between {rival} and {}", maker_title(hunk))
}

/// Returns the conflicts that a repair task could resolve.
///
/// These are conflicts of lines whose change was made by an agent and not by a program.
pub(crate) async fn repairable_conflicts(
    session: &EditorSession,
    hunks: &[HunkView],
) -> HashSet<HunkId> {
    let mut conflicts: BTreeMap<GoalId, Vec<(&HunkView, &Provenance)>> = BTreeMap::new();
    for hunk in hunks.iter().filter(|hunk| is_conflict(hunk) && !hunk.whole) {
        if let Some(by) = hunk.provenance.first() {
            conflicts.entry(goal_of(hunk)).or_default().push((hunk, by));
        }
    }
    let catalog = agent_catalog();
    let mut found = HashSet::new();
    for (goal, conflicts) in conflicts {
        let Ok(goal) = session.goal_view(&goal).await else {
            continue;
        };
        let agents: HashMap<_, _> = goal
            .tasks_detail
            .iter()
            .map(|task| (&task.id, task.agent))
            .collect();
        let by_agent = |by: &Provenance| {
            let agent = agents.get(&by.task);
            agent.is_some_and(|&agent| catalog.get(agent).input == AgentInput::Instructions)
        };
        let repairable = conflicts.iter().filter(|(_, by)| by_agent(by));
        found.extend(repairable.map(|(hunk, _)| hunk.id.clone()));
    }
    found
}

/// Returns the goal that a hunk belongs to.
pub(crate) fn goal_of(hunk: &HunkView) -> GoalId {
    hunk.id
        .goal()
        .unwrap_or_else(|| GoalId::new(hunk.id.as_str()))
}

/// Whether a hunk is in conflict with the current text.
pub(crate) fn is_conflict(hunk: &HunkView) -> bool {
    hunk.status == HunkStatus::Conflict
}

/// Returns the range of a hunk, from the start of its first line to the end of its last.
pub(crate) fn hunk_range(
    document: &DocumentSnapshot,
    hunk: &HunkView,
    encoding: PositionEncoding,
) -> Range {
    full_line_range(&document.text, (hunk.start_line, hunk.end_line), encoding)
}

/// Whether a hunk has a line in common with a range. An insertion has the line it goes before.
pub(crate) fn hunk_touches(document: &DocumentSnapshot, hunk: &HunkView, range: Range) -> bool {
    lines_touch(&document.text, (hunk.start_line, hunk.end_line), range)
}

/// Whether an origin has a line in common with a range. A deletion has the line it was before.
pub(crate) fn origin_touches(
    document: &DocumentSnapshot,
    origin: &HunkOrigin,
    range: Range,
) -> bool {
    lines_touch(&document.text, (origin.start_line, origin.end_line), range)
}
