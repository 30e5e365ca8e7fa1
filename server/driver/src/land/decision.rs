//! One decision, from the developer's request to the facts: its files, the landing in each, and the
//! repairs it starts.

use std::{path::PathBuf, sync::Arc};

use claudecluster_core::{
    state::{Goal, LedgerRecord},
    step::Input,
};
use claudecluster_protocol::{
    ErrorBody, EventBody, GoalId, RelPath,
    api::{Decision, DecisionReport, FileFailure},
    event::Verdict,
    resolution::Resolution,
};

use super::{
    apply::AppliedFile,
    file_decision::{FileDecision, file_decisions},
    locks::LandingLocks,
    plan::LandingContext,
    recovery::{LandingRecovery, RecoveryScope},
};
use crate::{
    blocking::run_blocking,
    config::DriverConfig,
    mailbox::DispatcherMailbox,
    proposal::repair_tasks::{self, RejectionRepairs},
    published::PublishedGoals,
    review::{
        reader::PendingReader,
        verdict::{
            self,
            named_target::{came_to_nothing, check_named},
        },
    },
    workspace::editor_registry::EditorRegistry,
};

/// Carries out decisions, one at a time in a workspace.
#[derive(Clone)]
pub(crate) struct DecisionRunner {
    pub(crate) config: Arc<DriverConfig>,
    pub(crate) goals: PublishedGoals,
    pub(crate) editors: EditorRegistry,
    pub(crate) pending: PendingReader,
    pub(crate) mailbox: DispatcherMailbox,
    pub(crate) locks: LandingLocks,
    pub(crate) recovery: LandingRecovery,
}

impl DecisionRunner {
    /// Carries out a decision against the current texts, in `only` these files if given. Also
    /// returns the files in which hunks wait because somebody types there.
    pub(crate) async fn run_decision(
        &self,
        decision: &Decision,
        only: Option<&[RelPath]>,
    ) -> Result<(DecisionReport, Vec<RelPath>), ErrorBody> {
        let id = &decision.goal_id;
        let root = PathBuf::from(&self.goals.goal(id)?.spec.workspace);
        let _one_at_a_time = self.locks.lock(&root).await;
        let recovered = self
            .recovery
            .recover_landings(&root, RecoveryScope::All)
            .await?;
        // Looked at again behind the lock: another decision may have moved the entries.
        let goal = self.goals.goal(id)?;
        if goal.files.is_empty() {
            return Err(nothing_proposed(&goal));
        }
        if decision.verdict == Verdict::Resolve {
            if decision.resolution == Some(Resolution::Repair) {
                let report = self.hand_to_repair(&goal, decision).await?;
                return Ok((self.with_state(id, report).await?, Vec::new()));
            }
            if decision.hunk_id.is_none() || decision.resolution.is_none() {
                return Err(verdict::incomplete_resolution());
            }
        }
        let repairs = self.repairs_of_rejection(&goal, decision).await?;
        let context = LandingContext {
            editors: self.editors.clone(),
            pending: self.pending.clone(),
            mailbox: self.mailbox.clone(),
            goal: goal.clone(),
            root,
            typing_pause: self.config.settings.review.typing_pause,
        };
        let files = file_decisions(&goal, decision, only);
        let done = context.apply_files(&files).await?;
        let (mut report, facts, waiting) = summed_up(&files, done);
        if only.is_none() && came_to_nothing(&report) {
            match found_done(&goal, decision, &recovered) {
                Some(path) => {
                    report.decided = 1;
                    report.files.push(path);
                }
                None => check_named(decision, &report)?,
            }
        }
        if !facts.is_empty() {
            let (goal, new) = (id.clone(), repairs.repairs_of_facts(&goal, &facts));
            report.repair = new.first().map(|new| new.task.id.clone());
            report.unrepaired = repairs.refused;
            let input = if new.is_empty() {
                Input::Reviewed { goal, facts }
            } else {
                Input::Repair {
                    goal,
                    facts,
                    repairs: new,
                }
            };
            self.mailbox.ask(input).await?;
        }
        Ok((self.with_state(id, report).await?, waiting))
    }

    /// Hands conflicts to repair tasks, as [`Resolution::Repair`] asks. The landing lock is held.
    async fn hand_to_repair(
        &self,
        goal: &Arc<Goal>,
        decision: &Decision,
    ) -> Result<DecisionReport, ErrorBody> {
        let (pending, config) = (self.pending.clone(), self.config.clone());
        let (owned_goal, asked) = (goal.clone(), decision.clone());
        let repairs = run_blocking("finding conflicts", move || {
            repair_tasks::repairs_of_conflicts(&pending, &config, &owned_goal, &asked)
        })
        .await?;
        let report = DecisionReport {
            repair: repairs.first().map(|new| new.task.id.clone()),
            ..DecisionReport::default()
        };
        let input = Input::Repair {
            goal: goal.id.clone(),
            facts: Vec::new(),
            repairs,
        };
        self.mailbox.ask(input).await?;
        Ok(report)
    }

    async fn repairs_of_rejection(
        &self,
        goal: &Arc<Goal>,
        decision: &Decision,
    ) -> Result<RejectionRepairs, ErrorBody> {
        let (pending, config) = (self.pending.clone(), self.config.clone());
        let (goal, decision) = (goal.clone(), decision.clone());
        run_blocking("finding who made a hunk", move || {
            repair_tasks::repairs_of_rejection(&pending, &config, &goal, &decision)
        })
        .await
    }

    /// Adds the current state of the goal to a report.
    async fn with_state(
        &self,
        id: &GoalId,
        mut report: DecisionReport,
    ) -> Result<DecisionReport, ErrorBody> {
        let goal = self.goals.goal(id)?;
        let pending = self.pending.clone();
        report.state = Some(goal.state);
        report.hunks =
            run_blocking("counting hunks", move || Ok(pending.hunk_counts(&goal))).await?;
        Ok(report)
    }
}

/// Rejects a decision about a hunk of another goal.
pub(super) fn check_hunk_of_goal(decision: &Decision) -> Result<(), ErrorBody> {
    let id = &decision.goal_id;
    match &decision.hunk_id {
        Some(hunk) if hunk.goal().as_ref() != Some(id) => Err(ErrorBody::user(format!(
            "hunk {hunk} does not belong to goal {id}"
        ))
        .with_hint(format!("show its hunks with: claudecluster diff {id}"))),
        _ => Ok(()),
    }
}

/// Sums up the results of a decision's files: the report, the facts, and the files in which hunks
/// wait.
fn summed_up(
    files: &[FileDecision<'_>],
    done: Vec<AppliedFile>,
) -> (DecisionReport, Vec<EventBody>, Vec<RelPath>) {
    let mut report = DecisionReport::default();
    let (mut facts, mut waiting) = (Vec::new(), Vec::new());
    for (file, done) in files.iter().zip(done) {
        let path = &file.entry.file.path;
        if done.has_landed() && !report.files.contains(path) {
            report.files.push(path.clone());
        }
        if done.waiting > 0 {
            waiting.push(path.clone());
        }
        report.conflicts += done.conflicts;
        report.held += done.held;
        report.waiting += done.waiting;
        report.failed.extend(done.failed.map(|error| FileFailure {
            path: path.clone(),
            error,
        }));
        facts.extend(done.facts);
    }
    report.decided = facts.iter().map(decided_hunks).sum();
    (report, facts, waiting)
}

fn nothing_proposed(goal: &Goal) -> ErrorBody {
    let what = if goal.state.is_active() {
        "has not proposed any changes yet"
    } else {
        "has no proposed changes"
    };
    ErrorBody::user(format!(
        "goal {} {what}; it {}",
        goal.id,
        goal.state.status_phrase()
    ))
    .with_hint(format!(
        "see its progress with: claudecluster show {}",
        goal.id
    ))
}

/// Returns the file of a named hunk whose text already has what the decision asks for.
///
/// Two cases count as done:
/// - An editor never answered an earlier landing of the hunk, and the recovery before this decision
///   found it in the text.
/// - The client has made the edit itself, also if that was observed before it said so.
fn found_done(
    goal: &Goal,
    decision: &Decision,
    recovered: &[(GoalId, EventBody)],
) -> Option<RelPath> {
    let named = decision.hunk_id.as_ref()?;
    if decision.applied && decision.verdict == Verdict::Accept {
        let stands =
            |made: &LedgerRecord| made.is_landing() && made.hunks_in_effect().any(|id| id == named);
        let mut files = goal.files.iter();
        let landed = files.find(|entry| entry.ledger.iter().any(stands));
        return landed.map(|entry| entry.file.path.clone());
    }
    let about = |(goal, fact): &&(GoalId, EventBody)| {
        let hunks = match fact {
            EventBody::Reviewed { hunks, .. } => hunks.as_slice(),
            _ => &[],
        };
        *goal == decision.goal_id && hunks.contains(named)
    };
    let (_, last) = recovered.iter().rfind(about)?;
    let EventBody::Reviewed {
        path,
        verdict,
        landed: Some(landed),
        ..
    } = last
    else {
        return None;
    };
    let same = match decision.verdict {
        // What is done again has landed, too.
        Verdict::Accept => matches!(verdict, Verdict::Accept | Verdict::Redo),
        // It may have been resolved to another text than is asked for now.
        Verdict::Resolve => false,
        asked => asked == *verdict,
    };
    // A rejection that is made again leaves the file as it was.
    let touched = landed.version_before() != landed.version_after();
    (same && touched).then(|| path.clone())
}

fn decided_hunks(fact: &EventBody) -> u32 {
    match fact {
        EventBody::Reviewed { hunks, .. } => u32::try_from(hunks.len()).unwrap_or(u32::MAX),
        _ => 0,
    }
}

/// Returns the input that reports the landing of everything clean.
pub(crate) fn applied_input(goal: &GoalId, result: Result<DecisionReport, ErrorBody>) -> Input {
    let (report, failed) = match result {
        Ok(report) => {
            let failed = report
                .failed
                .iter()
                .map(|failure| failure.error.clone())
                .collect();
            (report, failed)
        }
        Err(error) => (DecisionReport::default(), vec![error]),
    };
    let fact = EventBody::Applied {
        landed: report.decided,
        conflicts: report.conflicts,
        held: report.held,
        failed,
    };
    Input::Applied {
        goal: goal.clone(),
        fact,
    }
}
