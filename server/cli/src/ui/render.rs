//! Formats a goal as lines of text. Pure: the same board at the same moment gives the same lines.

use std::collections::BTreeSet;

use anstyle::Style;
use claudecluster_protocol::{GoalState, Span, TaskId, TaskState, Timestamp, Usd, goal::GoalView};

use super::{
    board::{GoalBoard, TaskRow},
    text::{self, BLUE, BOLD, CYAN, DIM, GREEN, PLAIN, RED, StyledLine, YELLOW},
};

/// Returns the mark and the colour of a task's state.
pub(crate) fn task_mark(state: TaskState) -> (&'static str, Style) {
    match state {
        TaskState::Waiting => ("○", DIM),
        TaskState::Ready => ("◌", BLUE),
        TaskState::Paused => ("‖", YELLOW),
        TaskState::Running => ("●", CYAN),
        TaskState::Succeeded => ("✓", GREEN),
        TaskState::Failed => ("✗", RED),
        TaskState::Skipped => ("–", DIM),
        TaskState::Cancelled => ("⊘", YELLOW),
    }
}

/// Returns the colour of a goal's state.
pub(crate) fn goal_style(state: GoalState) -> Style {
    match state {
        GoalState::Proposed | GoalState::Landed => GREEN,
        GoalState::Failed => RED,
        GoalState::AwaitingApproval | GoalState::Cancelled | GoalState::Rejected => YELLOW,
        _ => CYAN,
    }
}

/// Describes a goal's state.
pub(crate) fn goal_words(state: GoalState) -> &'static str {
    match state {
        GoalState::Submitted => "taking a snapshot",
        GoalState::Planning => "planning",
        GoalState::AwaitingApproval => "plan waiting for approval",
        GoalState::Running => "running",
        GoalState::Merging => "merging",
        GoalState::Gating => "running gates",
        GoalState::Proposed => "proposed",
        GoalState::Landed => "applied",
        GoalState::Rejected => "rejected",
        GoalState::Failed => "failed",
        GoalState::Cancelled => "cancelled",
    }
}

/// Describes a goal's state with its colour, and tells whether the goal is paused.
pub(crate) fn goal_now(goal: &GoalView) -> (Style, &'static str) {
    if goal.is_paused() {
        return (YELLOW, "paused");
    }
    let state = goal.summary.state;
    (goal_style(state), goal_words(state))
}

/// Returns the live view: a line for the goal, its tasks as a tree, its gates.
pub(crate) fn board_lines(board: &GoalBoard, now: Timestamp, width: usize) -> Vec<StyledLine> {
    let mut lines = vec![header_line(board, now)];
    if board.rows.is_empty() && !board.doing.is_empty() {
        lines.push(StyledLine::new().add(DIM, format!("└─ {}", board.doing)));
    }
    let items: Vec<TreeItem<'_>> = board
        .rows
        .iter()
        .map(|row| TreeItem {
            id: &row.id,
            depends_on: &row.depends_on,
        })
        .collect();
    for place in tree_rows(&items) {
        let row = &board.rows[place.index];
        lines.push(task_line(row, &place, now, width));
    }
    lines.extend(board.permissions.iter().map(text::permission_line));
    for gate in &board.gates {
        lines.push(gate_line(
            &gate.command.to_string(),
            gate.passed,
            gate.duration_ms,
        ));
    }
    if board.state == GoalState::Gating && !board.doing.is_empty() {
        lines.push(StyledLine::new().add(CYAN, "● ").add(DIM, &board.doing));
    }
    lines.into_iter().map(|line| line.fit(width)).collect()
}

/// Formats a gate's result as a line.
pub(crate) fn gate_line(command: &str, passed: bool, duration_ms: u64) -> StyledLine {
    let (mark, style) = if passed { ("✓", GREEN) } else { ("✗", RED) };
    StyledLine::new()
        .add(style, format!("{mark} "))
        .add(PLAIN, format!("gate {command}"))
        .add(DIM, format!("  {}", text::duration_text(Span(duration_ms))))
}

fn header_line(board: &GoalBoard, now: Timestamp) -> StyledLine {
    let mut line = StyledLine::new()
        .add(BOLD, format!("{} ", board.goal))
        .add(goal_style(board.state), goal_words(board.state));
    if !board.rows.is_empty() {
        let done = board
            .rows
            .iter()
            .filter(|row| row.state == TaskState::Succeeded)
            .count();
        line.push(PLAIN, format!(" {} ", progress_bar(done, board.rows.len())));
        line.push(DIM, format!("{done}/{}", board.rows.len()));
    }
    if let Some(submitted) = board.submitted {
        let until = board.settled.unwrap_or(now);
        line.push(
            DIM,
            format!("  {}", text::duration_text(until.span_since(submitted))),
        );
    }
    if board.cost() > Usd::ZERO {
        line.push(DIM, format!("  {}", board.cost()));
    }
    if !board.prompt.is_empty() {
        line.push(DIM, "  ");
        line.push(PLAIN, text::one_line(&board.prompt));
    }
    line
}

/// Draws a bar of ten places.
fn progress_bar(done: usize, all: usize) -> String {
    let full = (done * 10).checked_div(all).unwrap_or(0);
    format!("{}{}", "▰".repeat(full), "▱".repeat(10 - full))
}

fn task_line(row: &TaskRow, place: &TreeRow, now: Timestamp, width: usize) -> StyledLine {
    let (mark, style) = task_mark(row.state);
    let mut line = StyledLine::new()
        .add(DIM, &place.prefix)
        .add(style, format!("{mark} "))
        .add(PLAIN, &row.title);
    if !place.also.is_empty() {
        line.push(DIM, format!("  after {}", task_names(&place.also)));
    }
    if !row.repairs.is_empty() {
        line.push(YELLOW, format!("  repairs {}", task_names(&row.repairs)));
    }
    if let Some(started) = row.started {
        let until = row.ended.unwrap_or(now);
        line.push(
            DIM,
            format!("  {}", text::duration_text(until.span_since(started))),
        );
    }
    let cost = row.spent.cost_usd.saturating_add(row.running.cost_usd);
    if cost > Usd::ZERO {
        line.push(DIM, format!("  {cost}"));
    }
    if row.attempts > 1 {
        line.push(YELLOW, format!("  attempt {}", row.attempts));
    }
    match row.state {
        TaskState::Running => {
            // What it is doing goes last and takes what is left: it changes all the time.
            let left = width.saturating_sub(line.width() + 2);
            if left >= 8 && !row.doing.is_empty() {
                let doing = StyledLine::new()
                    .add(DIM, text::one_line(&row.doing))
                    .fit(left);
                line.push(PLAIN, "  ");
                line.0.extend(doing.0);
            }
        }
        TaskState::Succeeded => line.push(DIM, format!("  {}", text::counted(row.changed, "file"))),
        TaskState::Failed | TaskState::Cancelled => {
            if let Some(stop) = row.stop {
                line.push(style, format!("  {}", text::stop_reason_text(stop)));
            }
        }
        TaskState::Ready => {
            if let Some(at) = row.not_before.filter(|at| *at > now) {
                let wait = text::duration_text(at.span_since(now));
                let why = row.stop.map_or("failed", text::stop_reason_text);
                line.push(YELLOW, format!("  {why}; retrying in {wait}"));
            }
        }
        TaskState::Paused => line.push(style, "  waiting for approval"),
        TaskState::Waiting | TaskState::Skipped => {}
    }
    line
}

/// Lists the ids of tasks.
pub(crate) fn task_names(ids: &[TaskId]) -> String {
    ids.iter()
        .map(TaskId::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Holds a node of the graph that [`tree_rows`] draws.
#[derive(Clone, Copy)]
pub(crate) struct TreeItem<'a> {
    pub(crate) id: &'a TaskId,
    pub(crate) depends_on: &'a [TaskId],
}

/// Holds a task's position in the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TreeRow {
    /// The task's index among the items.
    pub(crate) index: usize,
    /// The branches drawn before the task.
    pub(crate) prefix: String,
    /// For a join: all tasks it depends on.
    pub(crate) also: Vec<TaskId>,
}

/// Draws a graph as a tree: each task below its last dependency, in the order of the plan. A join
/// names all its dependencies, since a tree shows only one.
pub(crate) fn tree_rows(items: &[TreeItem<'_>]) -> Vec<TreeRow> {
    let index_of = |id: &TaskId| items.iter().position(|item| item.id == id);
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); items.len()];
    let mut roots = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let parent = item.depends_on.iter().filter_map(index_of).max();
        match parent.filter(|parent| *parent != index) {
            Some(parent) => children[parent].push(index),
            None => roots.push(index),
        }
    }
    let mut places = Vec::with_capacity(items.len());
    let mut seen = BTreeSet::new();
    add_tree_rows(&roots, "", &children, items, &mut seen, &mut places);
    // A cycle has no root. Plans with one are refused, but nothing may vanish here.
    for index in 0..items.len() {
        if !seen.contains(&index) {
            add_tree_rows(&[index], "", &children, items, &mut seen, &mut places);
        }
    }
    places
}

fn add_tree_rows(
    level: &[usize],
    indent: &str,
    children: &[Vec<usize>],
    items: &[TreeItem<'_>],
    seen: &mut BTreeSet<usize>,
    places: &mut Vec<TreeRow>,
) {
    for (position, &index) in level.iter().enumerate() {
        if !seen.insert(index) {
            continue;
        }
        let last = position + 1 == level.len();
        let depends_on = items[index].depends_on;
        places.push(TreeRow {
            index,
            prefix: format!("{indent}{}", if last { "└─ " } else { "├─ " }),
            also: if depends_on.len() > 1 {
                depends_on.to_vec()
            } else {
                Vec::new()
            },
        });
        let inner = format!("{indent}{}", if last { "   " } else { "│  " });
        add_tree_rows(&children[index], &inner, children, items, seen, places);
    }
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::{
        AttemptId, BlobId, Event, EventBody, EventSeq, GoalId, GoalSpec, PermissionId, Plan,
        StopReason, TaskSpec,
        event::{AgentActivity, AgentEvent, AttemptOutcome, StreamItem},
        goal::AgentUsage,
        permission::PermissionRequest,
    };
    use expect_test::{Expect, expect};

    use super::*;

    /// Applies events to a board, one a second.
    struct Story {
        board: GoalBoard,
        now: u64,
    }

    impl Story {
        fn new() -> Self {
            let mut story = Self {
                board: GoalBoard::new(GoalId::new("g1")),
                now: 0,
            };
            let spec: GoalSpec = serde_json::from_str(
                r#"{"workspace": "/w", "prompt": "Sort\nthe \u001b[31mimports"}"#,
            )
            .unwrap();
            story.apply_event(EventBody::GoalSubmitted {
                spec: Box::new(spec),
            });
            story
        }

        fn apply_event(&mut self, body: EventBody) {
            self.now += 1000;
            self.board.apply(&StreamItem::Event(Box::new(Event {
                seq: EventSeq(self.now / 1000),
                at: Timestamp(self.now),
                goal_id: GoalId::new("g1"),
                body,
            })));
        }

        fn state(&mut self, state: GoalState) {
            self.apply_event(EventBody::GoalChanged { state, error: None });
        }

        fn plan(&mut self) {
            let task = |id: &str, after: &[&str]| TaskSpec {
                title: format!("Do {id}"),
                depends_on: after.iter().map(|id| TaskId::new(*id)).collect(),
                ..TaskSpec::new(id, "x")
            };
            let plan = Plan {
                tasks: vec![
                    task("api", &[]),
                    task("docs", &[]),
                    task("join", &["api", "docs"]),
                    task("fmt", &["join"]),
                ],
                ..Plan::default()
            };
            let usage = AgentUsage::default();
            self.apply_event(EventBody::Planned {
                plan,
                session: None,
                usage,
            });
            self.state(GoalState::Running);
        }

        fn start(&mut self, task: &str, attempt: u32) {
            self.apply_event(EventBody::AttemptStarted {
                task_id: task.into(),
                attempt: AttemptId(attempt),
                upstream: Vec::new(),
            });
        }

        fn end(&mut self, task: &str, stop: Option<StopReason>) {
            self.apply_event(EventBody::AttemptEnded {
                task_id: task.into(),
                attempt: AttemptId(1),
                outcome: AttemptOutcome {
                    usage: AgentUsage {
                        cost_usd: Usd::from_dollars(0.25),
                        ..AgentUsage::default()
                    },
                    ..AttemptOutcome::new(stop, "said so")
                },
            });
        }

        fn ask(&mut self, tasks: &[&str]) {
            let request = PermissionRequest {
                id: PermissionId::new("p1"),
                goal_id: GoalId::new("g1"),
                task_ids: tasks.iter().map(|id| TaskId::new(*id)).collect(),
                tool: "WebFetch".into(),
                detail: "http://example.com/\u{1b}[2J".into(),
                kind: None,
                input: BlobId::new("b"),
                asked_at: Timestamp(self.now),
            };
            let request = Box::new(request);
            self.apply_event(EventBody::PermissionAsked { request });
        }

        fn act(&mut self, task: &str, what: AgentEvent) {
            self.board
                .apply(&StreamItem::Activity(Box::new(AgentActivity {
                    goal_id: GoalId::new("g1"),
                    task_id: Some(task.into()),
                    what,
                })));
        }

        #[expect(
            clippy::needless_pass_by_value,
            reason = "expectations are written in place"
        )]
        fn check(&self, width: usize, expected: Expect) {
            let lines = board_lines(&self.board, Timestamp(self.now), width);
            assert!(lines.iter().all(|line| line.width() <= width));
            let shown: String = lines.iter().map(|line| line.plain() + "\n").collect();
            expected.assert_eq(&shown);
        }
    }

    #[test]
    fn a_goal_from_submission_to_proposal() {
        let mut story = Story::new();
        story.state(GoalState::Planning);
        story.check(
            60,
            expect![[r#"
            g1 planning  1.0s  Sort the \u{1b}[31mimports
        "#]],
        );
        story.plan();
        story.start("api", 1);
        story.start("docs", 1);
        story.act(
            "api",
            AgentEvent::Tool {
                name: "Edit".into(),
                detail: "src/api.rs".into(),
            },
        );
        story.act(
            "docs",
            AgentEvent::Text {
                text: "Let me\nlook at \u{1b}[2J it\n".into(),
            },
        );
        story.ask(&["api"]);
        story.ask(&["api", "docs"]);
        story.check(
            60,
            expect![[r#"
                g1 running ▱▱▱▱▱▱▱▱▱▱ 0/4  7.0s  Sort the \u{1b}[31mimports
                ├─ ● Do api  3.0s  Edit src/api.rs
                └─ ● Do docs  2.0s  look at \u{1b}[2J it
                   └─ ○ Do join  after api, docs
                      └─ ○ Do fmt
                ? api, docs are waiting for permission (claudecluster allow…
            "#]],
        );
        story.apply_event(EventBody::PermissionWithdrawn {
            request_id: PermissionId::new("p1"),
        });
        story.now -= 3000;
        story.check(
            60,
            expect![[r#"
            g1 running ▱▱▱▱▱▱▱▱▱▱ 0/4  5.0s  Sort the \u{1b}[31mimports
            ├─ ● Do api  1.0s  Edit src/api.rs
            └─ ● Do docs  0.0s  look at \u{1b}[2J it
               └─ ○ Do join  after api, docs
                  └─ ○ Do fmt
        "#]],
        );
        story.end("docs", None);
        story.end("api", Some(StopReason::Crashed));
        story.apply_event(EventBody::RetryScheduled {
            task_id: "api".into(),
            not_before: Timestamp(story.now + 9000),
            lesson: String::new(),
        });
        story.check(
            60,
            expect![[r#"
                g1 running ▰▰▱▱▱▱▱▱▱▱ 1/4  8.0s  $0.50  Sort the \u{1b}[31m…
                ├─ ◌ Do api  3.0s  $0.25  crashed; retrying in 8.0s
                └─ ✓ Do docs  1.0s  $0.25  0 files
                   └─ ○ Do join  after api, docs
                      └─ ○ Do fmt
            "#]],
        );
        story.start("api", 2);
        story.check(
            24,
            expect![[r#"
            g1 running ▰▰▱▱▱▱▱▱▱▱ 1…
            ├─ ● Do api  5.0s  $0.2…
            └─ ✓ Do docs  1.0s  $0.…
               └─ ○ Do join  after …
                  └─ ○ Do fmt
        "#]],
        );
        story.end("api", None);
        story.state(GoalState::Proposed);
        story.now += 100_000;
        story.check(
            60,
            expect![[r#"
            g1 proposed ▰▰▰▰▰▱▱▱▱▱ 2/4  11s  $0.75  Sort the \u{1b}[31m…
            ├─ ✓ Do api  6.0s  $0.50  attempt 2  0 files
            └─ ✓ Do docs  1.0s  $0.25  0 files
               └─ ○ Do join  after api, docs
                  └─ ○ Do fmt
        "#]],
        );
    }

    #[test]
    fn other_goals_do_not_count() {
        let mut story = Story::new();
        let before = board_lines(&story.board, Timestamp(0), 80);
        story.board.apply(&StreamItem::Event(Box::new(Event {
            seq: EventSeq(9),
            at: Timestamp(9),
            goal_id: GoalId::new("g2"),
            body: EventBody::ApprovalRequested,
        })));
        assert_eq!(board_lines(&story.board, Timestamp(0), 80), before);
    }

    #[test]
    fn a_cycle_hides_nothing() {
        let (a, b) = (TaskId::new("a"), TaskId::new("b"));
        let items = [
            TreeItem {
                id: &a,
                depends_on: std::slice::from_ref(&b),
            },
            TreeItem {
                id: &b,
                depends_on: std::slice::from_ref(&a),
            },
        ];
        assert_eq!(tree_rows(&items).len(), 2);
    }
}
