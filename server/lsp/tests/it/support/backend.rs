//! A driver that records what it is asked. Its proposals replace one piece of text by another,
//! wherever that piece stands now.

mod permissions;
mod tasks;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use claudecluster_core::review::words::merge_words;
use claudecluster_protocol::{
    AttemptId, ChangeKind, ErrorBody, Event, EventBody, EventSeq, GoalId, GoalSpec, GoalState,
    HunkId, Plan, RelPath, TaskId, TaskState, Timestamp, Usd,
    api::{Answer, Call, Decision, DecisionReport},
    change::{ConflictView, HunkOrigin, HunkOriginState, HunkStatus, HunkView, Provenance},
    event::{StreamItem, Verdict},
    goal::{GoalSummary, GoalView, HunkCounts, TaskView},
    permission::{PermissionAnswer, PermissionRequest},
    resolution::Resolution,
    submitted::SubmittedGoal,
};
use claudecluster_service::{
    DocumentEdit, Editor, EditorAttachment, EventReceiver, LiveTexts, Permit, Service, TextSource,
};
use tokio::sync::{Notify, mpsc, watch};

use self::tasks::task_view;

type Result<T> = std::result::Result<T, ErrorBody>;

/// A change that is proposed: `old` becomes `new` in the file `path`, or the file as a whole does.
#[derive(Clone)]
pub(crate) struct Proposal {
    pub(crate) id: HunkId,
    pub(crate) path: PathBuf,
    pub(crate) whole: Option<ChangeKind>,
    pub(crate) old: String,
    pub(crate) new: String,
    /// Where its words can be merged with what is there, it is clean.
    pub(crate) merges: bool,
    /// Another task that proposes something else there, where there is one.
    pub(crate) rival: Option<&'static str>,
}

/// A change that has landed: `text` is what it put there.
#[derive(Clone)]
pub(crate) struct Landing {
    pub(crate) id: HunkId,
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) landed: Vec<Landing>,
    /// The files whose text has settled.
    pub(crate) settled: Vec<PathBuf>,
    pub(crate) submitted: Vec<GoalSpec>,
    /// The goal that every goal is the same as.
    pub(crate) same_as: Option<GoalId>,
    pub(crate) decisions: Vec<Decision>,
    pub(crate) cancelled: Vec<GoalId>,
    pub(crate) approved: Vec<GoalId>,
    /// The plans that were approved, where they were edited.
    pub(crate) plans: Vec<Option<Plan>>,
    /// The paused tasks that were approved.
    pub(crate) started: Vec<(GoalId, TaskId)>,
    pub(crate) retried: Vec<(GoalId, Option<TaskId>)>,
    /// Answers to permission requests, with who gave them.
    pub(crate) permitted: Vec<(PermissionAnswer, Option<String>)>,
    pub(crate) goals: Vec<GoalView>,
    pub(crate) proposals: Vec<Proposal>,
    /// Proposals made so far: their identifiers are never used twice.
    proposed: usize,
    pub(crate) editors: Vec<Arc<dyn Editor>>,
    watchers: Vec<mpsc::Sender<StreamItem>>,
    events: u64,
}

/// The driver. A prompt of `wait` waits for [`Recorder::release`]; one of `panic` panics.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) state: Mutex<State>,
    pub(crate) released: Notify,
    pub(crate) cancelled: Notify,
    pub(crate) submitted: Notify,
    pub(crate) retrying: Notify,
    pub(crate) approving: Notify,
    pub(crate) permitting: Notify,
    pub(crate) settling: Notify,
    /// Every file has one hunk that holds its whole text: a request then tells what it saw.
    pub(crate) echo: bool,
    /// The text that hunks were asked for last, and what is held to keep the answer from coming.
    pub(crate) asked: watch::Sender<String>,
    pub(crate) answering: tokio::sync::Mutex<()>,
}

impl Recorder {
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self
            .state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    pub(crate) fn editor(&self) -> Arc<dyn Editor> {
        self.with(|state| state.editors[0].clone())
    }

    /// Adds a goal with one proposal after the other.
    pub(crate) fn propose(
        &self,
        workspace: &Path,
        goal: &str,
        file: &str,
        changes: &[(&str, &str)],
    ) {
        self.add_goal(workspace, goal, GoalState::Proposed);
        self.with(|state| {
            for (old, new) in changes {
                state.proposed += 1;
                state.proposals.push(Proposal {
                    id: HunkId::new(format!("{goal}.{}", state.proposed)),
                    path: workspace.join(file),
                    whole: None,
                    old: (*old).to_owned(),
                    new: (*new).to_owned(),
                    merges: false,
                    rival: None,
                });
            }
        });
    }

    /// Adds a proposal for a file as a whole to a goal.
    pub(crate) fn propose_file(&self, workspace: &Path, goal: &str, file: &str, kind: ChangeKind) {
        self.propose(workspace, goal, file, &[("", "made up\n")]);
        self.with(|state| {
            if let Some(proposal) = state.proposals.last_mut() {
                proposal.whole = Some(kind);
            }
        });
    }

    pub(crate) fn add_goal(&self, workspace: &Path, goal: &str, state: GoalState) {
        let view = view(workspace, goal, state);
        self.with(|all| {
            all.goals
                .retain(|known| known.summary.id != view.summary.id);
            all.goals.push(view);
        });
    }

    /// Adds a change that has landed to a goal.
    pub(crate) fn land(&self, workspace: &Path, goal: &str, file: &str, text: &str) {
        self.add_goal(workspace, goal, GoalState::Landed);
        self.with(|state| {
            state.proposed += 1;
            let hunks = state
                .goals
                .iter_mut()
                .filter(|g| g.summary.id == GoalId::new(goal));
            hunks.for_each(|goal| {
                goal.summary.hunks = HunkCounts {
                    landed: 1,
                    undone: 1,
                    ..HunkCounts::default()
                };
            });
            state.landed.push(Landing {
                id: HunkId::new(format!("{goal}.{}", state.proposed)),
                path: workspace.join(file),
                text: text.to_owned(),
            });
        });
    }

    /// Gives a goal a task of an agent, which can repair its work.
    pub(crate) fn add_agent(&self, goal: &str) {
        self.with(|state| {
            let id = GoalId::new(goal);
            for view in state.goals.iter_mut().filter(|view| view.summary.id == id) {
                view.summary.tasks = 2;
                view.tasks_detail =
                    vec![task_view("t".into(), "Rename things", TaskState::Succeeded)];
            }
        });
    }

    /// Gives a goal a plan, with its tasks in the given states.
    pub(crate) fn plan(&self, goal: &str, plan: &Plan, states: &[TaskState]) {
        self.with(|state| {
            let id = GoalId::new(goal);
            for view in state.goals.iter_mut().filter(|view| view.summary.id == id) {
                let tasks = plan.tasks.iter().zip(states);
                view.tasks_detail = tasks
                    .map(|(spec, &state)| TaskView {
                        depends_on: spec.depends_on.clone(),
                        ..task_view(spec.id.clone(), spec.title_or_id(), state)
                    })
                    .collect();
                view.plan = Some(plan.clone());
            }
        });
    }

    /// Changes a goal's state and tells the watchers.
    pub(crate) async fn set_state(&self, goal: &str, now: GoalState) {
        self.with(|state| {
            let id = GoalId::new(goal);
            for view in state.goals.iter_mut().filter(|view| view.summary.id == id) {
                view.summary.state = now;
            }
        });
        self.event(
            goal,
            EventBody::GoalChanged {
                state: now,
                error: None,
            },
        )
        .await;
    }

    pub(crate) async fn event(&self, goal: &str, body: EventBody) {
        let (seq, watchers) = self.with(|state| {
            state.events += 1;
            (state.events, state.watchers.clone())
        });
        let event = Event {
            seq: EventSeq(seq),
            at: Timestamp(seq),
            goal_id: GoalId::new(goal),
            body,
        };
        for watcher in watchers {
            let _ = watcher
                .send(StreamItem::Event(Box::new(event.clone())))
                .await;
        }
    }

    fn hunks_of(&self, path: &Path, current: &str) -> Vec<HunkView> {
        if self.echo {
            return vec![hunk("g1.1", path, current, "", current)];
        }
        self.with(|state| {
            let here = state
                .proposals
                .iter()
                .filter(|proposal| proposal.path == path);
            here.map(|p| p.view(current)).collect()
        })
    }
}

fn view(workspace: &Path, goal: &str, state: GoalState) -> GoalView {
    let workspace = workspace.to_string_lossy().into_owned();
    GoalView {
        summary: GoalSummary {
            id: GoalId::new(goal),
            workspace: workspace.clone(),
            prompt: "make it better".into(),
            state,
            tasks: 0,
            succeeded: 0,
            running: 0,
            permissions_waiting: 0,
            paused: 0,
            hunks: HunkCounts {
                pending: 1,
                ..HunkCounts::default()
            },
            cost_usd: Usd::ZERO,
            submitted_at: Timestamp(0),
            updated_at: Timestamp(0),
            error: None,
        },
        spec: GoalSpec::new(workspace, "make it better"),
        plan: None,
        tasks_detail: Vec::new(),
        gates: Vec::new(),
        permissions: Vec::new(),
        decided: Vec::new(),
        time_left: None,
        network: Vec::new(),
    }
}

impl Proposal {
    fn view(&self, current: &str) -> HunkView {
        let mut lines = hunk(self.id.as_str(), &self.path, current, &self.old, &self.new);
        if let Some(title) = self.rival {
            lines.mine_pending = true;
            lines.mine_by = vec![Provenance {
                title: title.into(),
                ..lines.provenance[0].clone()
            }];
        }
        match self.whole {
            None if self.merges && lines.merged.is_some() => HunkView {
                status: HunkStatus::Clean,
                new_text: lines.merged.clone().unwrap(),
                conflict: None,
                ..lines
            },
            None => lines,
            Some(kind) => HunkView {
                kind,
                whole: true,
                from: (kind == ChangeKind::Rename).then(|| RelPath::new("old.rs").unwrap()),
                ..lines
            },
        }
    }
}

fn origin(hunk: &HunkView, state: HunkOriginState) -> HunkOrigin {
    let goal_id = hunk.id.goal().unwrap();
    HunkOrigin {
        goal_id,
        prompt: "make it better".into(),
        hunk_id: hunk.id.clone(),
        state,
        start_line: hunk.start_line,
        end_line: hunk.end_line,
        provenance: hunk.provenance.clone(),
        landed_at: None,
    }
}

/// Where its old text is gone, the hunk conflicts with the first line.
fn hunk(id: &str, path: &Path, current: &str, old: &str, new: &str) -> HunkView {
    let at = current.find(old);
    let line = |at: usize| current[..at].matches('\n').count() as u32;
    let start_line = line(at.unwrap_or(0));
    HunkView {
        id: HunkId::new(id),
        path: RelPath::new(path.file_name().unwrap().to_string_lossy()).unwrap(),
        kind: ChangeKind::Modify,
        from: None,
        whole: false,
        status: if at.is_some() {
            HunkStatus::Clean
        } else {
            HunkStatus::Conflict
        },
        held: Vec::new(),
        runs: None,
        start_line,
        end_line: start_line + old.matches('\n').count().max(1) as u32,
        old_text: old.to_owned(),
        new_text: new.to_owned(),
        words: Vec::new(),
        conflict: at.is_none().then(|| ConflictView {
            base: old.to_owned(),
            mine: first_line(current).to_owned(),
            theirs: new.to_owned(),
        }),
        mine_by: Vec::new(),
        mine_pending: false,
        merged: at
            .is_none()
            .then(|| merge_words(old, first_line(current), new))
            .flatten(),
        provenance: vec![Provenance {
            why: Some("`old` said <nothing>.".into()),
            task: TaskId::new("t"),
            title: "Rename things".into(),
            attempt: AttemptId(1),
        }],
    }
}

fn first_line(text: &str) -> &str {
    text.split_inclusive('\n').next().unwrap_or_default()
}

impl Recorder {
    /// Makes an edit and looks whether its text came.
    async fn edit(&self, path: &Path, change: impl FnOnce(&str) -> Result<String>) -> Result<()> {
        let editor = self.editor();
        let document = editor.document(path).expect("it is open");
        let after = change(&document.text.to_string())?;
        let edit = DocumentEdit {
            document,
            after: after.clone(),
            label: "accept".to_owned(),
        };
        match editor.edit(edit).await {
            Ok(observed) if observed.text == *after => Ok(()),
            Ok(_) => Err(ErrorBody::stale("another text was observed")),
            Err(error) => Err(ErrorBody::stale(error.to_string())),
        }
    }

    async fn resolve(&self, proposal: &Proposal, resolution: &Resolution) -> Result<()> {
        let theirs = &proposal.new;
        self.edit(&proposal.path, |text| {
            let mine = first_line(text);
            let rest = &text[mine.len()..];
            Ok(match resolution {
                Resolution::Mine | Resolution::Repair => text.to_owned(),
                Resolution::Theirs => format!("{theirs}{rest}"),
                Resolution::Both => format!("{mine}{theirs}{rest}"),
                Resolution::Merged => {
                    let merged = merge_words(&proposal.old, mine, theirs);
                    format!("{}{rest}", merged.expect("it is offered"))
                }
                Resolution::Markers => {
                    format!("<<<<<<< mine\n{mine}=======\n{theirs}>>>>>>> theirs\n{rest}")
                }
                Resolution::Text { text } => format!("{text}{rest}"),
            })
        })
        .await
    }
}

impl Recorder {
    async fn submit(&self, spec: GoalSpec) -> Result<GoalId> {
        match spec.prompt.as_str() {
            "wait" => self.released.notified().await,
            "panic" => panic!("as asked"),
            "panic later" => {
                tokio::task::yield_now().await;
                panic!("as asked")
            }
            _ => {}
        }
        let goal = self.with(|state| {
            state.submitted.push(spec);
            GoalId::new(format!("g{}", state.submitted.len()))
        });
        self.submitted.notify_one();
        Ok(goal)
    }

    async fn submit_once(&self, spec: GoalSpec) -> Result<SubmittedGoal> {
        let same = self.with(|state| state.same_as.clone());
        let goal_id = match &same {
            Some(same) => same.clone(),
            None => self.submit(spec).await?,
        };
        Ok(SubmittedGoal {
            goal_id,
            duplicate_of: same,
        })
    }

    fn goals(&self) -> Vec<GoalSummary> {
        self.with(|state| {
            state
                .goals
                .iter()
                .map(|goal| goal.summary.clone())
                .collect()
        })
    }

    fn goal(&self, goal: &GoalId) -> Result<GoalView> {
        self.with(|state| {
            state
                .goals
                .iter()
                .find(|view| view.summary.id == *goal)
                .cloned()
        })
        .ok_or_else(|| ErrorBody::user(format!("there is no goal {goal}")))
    }

    fn hunks(&self, goal: Option<&GoalId>) -> Vec<HunkView> {
        self.with(|state| {
            let proposals = state.proposals.iter();
            let wanted = proposals.filter(|p| goal.is_none() || p.id.goal().as_ref() == goal);
            wanted.map(|p| p.view(&p.old)).collect()
        })
    }

    async fn decide(&self, decision: Decision) -> Result<DecisionReport> {
        let wanted = self.with(|state| {
            state.decisions.push(decision.clone());
            let proposals = state.proposals.iter().filter(|p| {
                let named = match (&decision.hunk_id, &decision.path) {
                    (Some(hunk), _) => p.id == *hunk,
                    (None, Some(path)) => p.path.ends_with(path.to_path_buf()),
                    (None, None) => true,
                };
                named && p.id.goal().as_ref() == Some(&decision.goal_id)
            });
            proposals.cloned().collect::<Vec<_>>()
        });
        let mut report = DecisionReport::default();
        let landed = self.with(|state| {
            let named = |one: &&Landing| decision.hunk_id.as_ref() == Some(&one.id);
            state.landed.iter().find(named).cloned()
        });
        if let Some(landed) = landed.filter(|_| decision.verdict == Verdict::Undo) {
            let without = |text: &str| Ok(text.replacen(&landed.text, "", 1));
            self.edit(&landed.path, without).await?;
            report.decided += 1;
        }
        for proposal in wanted {
            if decision.verdict == Verdict::Accept && proposal.whole.is_some() {
                std::fs::write(&proposal.path, &proposal.new).unwrap();
                report.decided += 1;
            } else if decision.verdict == Verdict::Accept && !decision.applied {
                let preview = |text: &str| self.preview(&proposal.id, text);
                self.edit(&proposal.path, preview).await?;
                report.decided += 1;
            } else if let Some(resolution) = &decision.resolution {
                self.resolve(&proposal, resolution).await?;
                report.decided += 1;
                if *resolution == Resolution::Repair {
                    report.repair = Some(TaskId::new("repair-t"));
                }
            }
            self.with(|state| state.proposals.retain(|p| p.id != proposal.id));
            let reviewed = EventBody::Reviewed {
                path: RelPath::new("any").unwrap(),
                entry: 0,
                verdict: decision.verdict,
                hunks: vec![proposal.id.clone()],
                base: None,
                proposed: None,
                landed: None,
                reason: decision.reason.clone(),
                of: None,
                decision: None,
            };
            self.event(decision.goal_id.as_str(), reviewed).await;
        }
        Ok(report)
    }

    /// As the driver does: what is approved has to be what was shown.
    async fn approve(&self, goal: &GoalId, plan: Option<Plan>, shown: Option<Plan>) -> Result<()> {
        let known = self.goal(goal)?;
        if shown.is_some() && shown != known.plan {
            return Err(ErrorBody::stale("the goal has another plan"));
        }
        self.with(|state| {
            state.approved.push(goal.clone());
            state.plans.push(plan);
        });
        self.approving.notify_one();
        Ok(())
    }

    fn permissions(&self) -> Vec<PermissionRequest> {
        self.with(|state| {
            let goals = state.goals.iter();
            goals.flat_map(|goal| goal.permissions.clone()).collect()
        })
    }
}

/// Answers the calls that the language server makes.
#[async_trait]
impl Service for Recorder {
    async fn answer(&self, permit: Permit<'_>, call: Call) -> Result<Answer> {
        let as_of = EventSeq(0);
        Ok(match call {
            Call::Submit { spec, again: true } => Answer::Submitted {
                goal_id: self.submit(*spec).await?,
                duplicate_of: None,
            },
            Call::Submit { spec, again: false } => {
                let SubmittedGoal {
                    goal_id,
                    duplicate_of,
                } = self.submit_once(*spec).await?;
                Answer::Submitted {
                    goal_id,
                    duplicate_of,
                }
            }
            Call::Goals => Answer::Goals {
                goals: self.goals(),
                as_of,
            },
            Call::Goal { goal_id } => Answer::Goal {
                goal: Box::new(self.goal(&goal_id)?),
                as_of,
            },
            Call::Hunks { goal_id, .. } => Answer::Hunks {
                hunks: self.hunks(goal_id.as_ref()),
            },
            Call::Content { path, .. } => Answer::Content {
                text: Some(format!("the text of {path}")),
            },
            Call::Decide { decision } => Answer::Decided {
                report: self.decide(decision).await?,
            },
            Call::Cancel { goal_id } => {
                self.with(|state| state.cancelled.push(goal_id));
                self.cancelled.notify_one();
                Answer::Done
            }
            Call::Retry { goal_id, task_id } => {
                self.with(|state| state.retried.push((goal_id, task_id)));
                self.retrying.notify_one();
                Answer::Done
            }
            Call::Approve {
                goal_id,
                task_id: Some(task),
                ..
            } => {
                self.with(|state| state.started.push((goal_id, task)));
                self.approving.notify_one();
                Answer::Done
            }
            Call::Approve {
                goal_id,
                plan,
                shown,
                task_id: None,
            } => {
                let (plan, shown) = (plan.map(|plan| *plan), shown.map(|plan| *plan));
                self.approve(&goal_id, plan, shown).await?;
                Answer::Done
            }
            Call::Permissions => Answer::Permissions {
                requests: self.permissions(),
            },
            Call::Permit { answer } => {
                let by = permit.caller_name().to_string();
                self.permitted(answer, Some(by)).await?;
                Answer::Done
            }
            other => panic!("the language server does not call {other:?}"),
        })
    }

    fn stream(&self, _: Permit<'_>, _: Option<GoalId>, _: Option<EventSeq>) -> EventReceiver {
        let (sender, receiver) = mpsc::channel(100);
        self.with(|state| state.watchers.push(sender));
        receiver
    }
}

#[async_trait]
impl LiveTexts for Recorder {
    fn hunks_in(&self, path: &Path, current: TextSource<'_>) -> Vec<HunkView> {
        self.asked.send_replace(current.whole().into_owned());
        let _not_held = self.answering.blocking_lock();
        self.hunks_of(path, &current.whole())
    }

    fn origins(&self, path: &Path, current: &str) -> Vec<HunkOrigin> {
        let pending = self.hunks_of(path, current).into_iter();
        let mut origins: Vec<_> = pending
            .map(|hunk| {
                let state = match hunk.status {
                    HunkStatus::Clean => HunkOriginState::Pending,
                    HunkStatus::Conflict => HunkOriginState::Conflict,
                };
                origin(&hunk, state)
            })
            .collect();
        let landed = self.with(|state| state.landed.clone());
        let here = landed.iter().filter(|one| one.path == path);
        origins.extend(here.filter(|one| current.contains(&one.text)).map(|one| {
            let hunk = hunk(one.id.as_str(), path, current, &one.text, "");
            origin(&hunk, HunkOriginState::Landed)
        }));
        origins
    }

    fn preview(&self, hunk: &HunkId, current: &str) -> Result<String> {
        self.with(|state| state.proposals.iter().find(|p| p.id == *hunk).cloned())
            .filter(|p| current.contains(&p.old))
            .map(|p| current.replacen(&p.old, &p.new, 1))
            .ok_or_else(|| ErrorBody::user("the hunk is not clean any more"))
    }

    async fn text_settled(&self, path: &Path) {
        self.with(|state| state.settled.push(path.to_owned()));
        self.settling.notify_one();
    }

    fn attach(&self, editor: Arc<dyn Editor>) -> EditorAttachment {
        self.with(|state| state.editors.push(editor));
        Box::new(())
    }
}
