//! From merged changes to a decided goal.

use claudecluster_protocol::{
    ErrorBody, EventBody, GoalId, GoalState, RelPath, TaskState, goal::GateResult,
};

use super::{Effect, MergedProposal, StepTurn};
use crate::{policy, state::FileEntry};

impl StepTurn<'_> {
    pub(super) fn record_merge(&mut self, id: &GoalId, result: Result<MergedProposal, ErrorBody>) {
        let Some(goal) = self.state.goal(id) else {
            return;
        };
        let stopped = matches!(goal.state, GoalState::Failed | GoalState::Cancelled);
        if goal.state != GoalState::Merging && !stopped {
            return;
        }
        let failed: Vec<String> = goal
            .tasks
            .iter()
            .filter(|(_, task)| task.state == TaskState::Failed && task.repair.is_none())
            .map(|(id, task)| {
                let why = task
                    .outcome()
                    .map(|o| o.summary.clone())
                    .unwrap_or_default();
                format!("task {id} failed: {}", first_line(&why))
            })
            .collect();
        let hint = goal
            .tasks
            .values()
            .find(|task| task.state == TaskState::Failed && task.repair.is_none())
            .and_then(|task| task.outcome()?.stop)
            .map(|stop| policy::stop_hint(stop, id));
        let has_gates =
            !goal.spec.gates.is_empty() || goal.plan.as_ref().is_some_and(|p| !p.gates.is_empty());
        let MergedProposal { files, repairs } = match result {
            Ok(merged) => merged,
            Err(error) => {
                if !stopped {
                    self.change_state(id, GoalState::Failed, Some(error));
                }
                return;
            }
        };
        if !stopped && failed.is_empty() && self.repair_conflicts(id, repairs) {
            return;
        }
        let nothing = files.is_empty();
        self.record_event(id, EventBody::Proposed { files });
        if stopped {
            return;
        }
        if !failed.is_empty() {
            let error = ErrorBody::user(failed.join("; ")).with_hint(
                hint.unwrap_or_else(|| format!("see the details with: claudecluster show {id}")),
            );
            self.change_state(id, GoalState::Failed, Some(error));
        } else if has_gates {
            self.change_state(id, GoalState::Gating, None);
            self.effects.push(Effect::Gates(id.clone()));
        } else {
            self.propose_changes(id, nothing);
        }
    }

    pub(super) fn propose_changes(&mut self, id: &GoalId, nothing: bool) {
        if nothing {
            // Nothing to decide: the workspace already is as the goal wants it.
            return self.change_state(id, GoalState::Landed, None);
        }
        self.change_state(id, GoalState::Proposed, None);
        if self.state.goal(id).is_some_and(|goal| goal.spec.apply) {
            self.effects.push(Effect::Land(id.clone()));
        }
    }

    pub(super) fn record_gates(&mut self, id: &GoalId, results: Vec<GateResult>) {
        let Some(goal) = self.goal_in(id, GoalState::Gating) else {
            return;
        };
        let nothing = goal.files.is_empty();
        let failed: Vec<String> = results
            .iter()
            .filter(|gate| !gate.passed)
            .map(|gate| match gate.status {
                Some(status) => format!("`{}` exited with status {status}", gate.command),
                None => format!("`{}` did not finish", gate.command),
            })
            .collect();
        self.record_event(id, EventBody::Gated { results });
        if failed.is_empty() {
            self.propose_changes(id, nothing);
        } else {
            let error = ErrorBody::user(format!("gate failed: {}", failed.join("; "))).with_hint(format!(
                "see the output with: claudecluster show {id}; the changes are kept: claudecluster diff {id}"
            ));
            self.change_state(id, GoalState::Failed, Some(error));
        }
    }

    /// Takes the intents of verdicts that are about to be carried out. One landing at a time touches
    /// a file: what was begun before has to be settled first, by what stands before them at the least.
    pub(super) fn record_landing(
        &mut self,
        id: &GoalId,
        intents: Vec<EventBody>,
    ) -> Result<(), ErrorBody> {
        let goal = self.goal(id)?;
        let mut dropped = Vec::new();
        for intent in &intents {
            let (path, entry) = match intent {
                EventBody::LandingBegun { path, entry, .. } => (path, *entry),
                EventBody::LandingDropped { path, entry } => {
                    dropped.push((path, *entry));
                    continue;
                }
                _ => return Err(misplaced_fact(intent, "an intent")),
            };
            let Some(file) = goal.file_entry(path, entry) else {
                return Err(proposal_gone(id, path));
            };
            if !file.pending_landings.is_empty() && !dropped.contains(&(path, entry)) {
                return Err(
                    ErrorBody::stale(format!("another change to {path} is being applied"))
                        .with_hint("try again in a moment"),
                );
            }
        }
        for intent in intents {
            self.record_event(id, intent);
        }
        Ok(())
    }

    /// Takes the facts of verdicts that were carried out and observed, or seen not to be.
    pub(super) fn record_review(
        &mut self,
        id: &GoalId,
        facts: Vec<EventBody>,
    ) -> Result<(), ErrorBody> {
        let goal = self.goal(id)?;
        for fact in &facts {
            let (EventBody::Reviewed { path, entry, .. }
            | EventBody::LandingDropped { path, entry }) = fact
            else {
                return Err(misplaced_fact(fact, "a verdict"));
            };
            if goal.file_entry(path, *entry).is_none() {
                return Err(proposal_gone(id, path));
            }
        }
        self.record_decision(id, facts);
        self.finish_review(id);
        Ok(())
    }

    /// Records the facts of one decision, numbered as such: a moment does not tell decisions apart that
    /// follow each other at once.
    pub(super) fn record_decision(&mut self, id: &GoalId, facts: Vec<EventBody>) {
        let number = self.state.ledger_records;
        for mut fact in facts {
            if let EventBody::Reviewed { decision, .. } = &mut fact {
                *decision = Some(number);
            }
            self.record_event(id, fact);
        }
    }

    /// Ends a proposal once nothing is left to decide and no repair is unfinished.
    pub(super) fn finish_review(&mut self, id: &GoalId) {
        let Some(goal) = self.state.goal(id) else {
            return;
        };
        let settled = goal.files.iter().all(FileEntry::is_fully_decided)
            && goal.repairs_under_way().next().is_none();
        let landed = goal.files.iter().any(|entry| entry.landed_count() > 0);
        let state = match goal.state {
            GoalState::Proposed | GoalState::Landed | GoalState::Rejected => {
                match (settled, landed) {
                    (true, true) => GoalState::Landed,
                    (true, false) => GoalState::Rejected,
                    (false, _) => GoalState::Proposed,
                }
            }
            // Deciding what a failed or cancelled goal left does not make it succeed.
            other => other,
        };
        if state != goal.state {
            self.change_state(id, state, None);
        }
    }
}

fn misplaced_fact(fact: &EventBody, expected: &str) -> ErrorBody {
    ErrorBody::internal(format!("expected {expected}, found {fact:?}"))
        .with_hint("nothing is lost; review the pending changes and try again")
}

fn proposal_gone(goal: &GoalId, path: &RelPath) -> ErrorBody {
    ErrorBody::stale(format!("goal {goal} no longer proposes changes to {path}")).with_hint(
        format!("show pending changes with: claudecluster diff {goal}"),
    )
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
