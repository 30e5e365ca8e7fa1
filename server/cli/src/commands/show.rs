//! `claudecluster show`

use claudecluster_protocol::{
    GoalId, TaskState, Usd,
    change::HunkView,
    goal::{AttemptView, GoalView, SandboxKind, TaskView},
};
use claudecluster_service::TypedCalls;
use serde::Serialize;

use super::{Context, selection::Selection, summary};
use crate::{
    failure::{Exit, Outcome},
    ui::{
        Ui,
        render::{self, TreeItem, gate_line, goal_now, task_mark},
        text::{self, BOLD, DIM, Line, PLAIN, RED, YELLOW},
    },
};

pub(super) async fn run(cx: &mut Context, goal: &GoalId) -> Outcome<Exit> {
    let client = cx.client()?;
    let view = client.goal(goal).await?.value;
    let hunks = Selection::all(goal.clone()).hunks(&client).await?;
    if cx.ui.json {
        cx.ui.json(&Shown {
            view: &view,
            changes: &hunks,
        })?;
        return Ok(Exit::Done);
    }
    header(&mut cx.ui, &view)?;
    for line in tasks(&view) {
        cx.ui.line(line.styled())?;
    }
    for request in &view.permissions {
        cx.ui.line(text::permission(request).styled())?;
    }
    if let Some(next) = approvals(&view) {
        cx.ui.line(Line::new().add(YELLOW, next).styled())?;
    }
    for gate in &view.gates {
        cx.ui
            .line(gate_line(&gate.command.to_string(), gate.passed, gate.duration_ms).styled())?;
        if !gate.passed {
            indented(&mut cx.ui, &gate.output)?;
        }
    }
    changes(&mut cx.ui, &view, &hunks)?;
    Ok(Exit::Done)
}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    view: &'a GoalView,
    /// The pending hunks; the others are in `decided`.
    changes: &'a [HunkView],
}

/// Every hunk with what became of it, and what can be done.
fn changes(ui: &mut Ui, view: &GoalView, hunks: &[HunkView]) -> Outcome<()> {
    let counts = summary::counts(&view.summary.hunks);
    if counts.is_empty() {
        return Ok(());
    }
    ui.line(Line::new().add(BOLD, counts).styled())?;
    for line in summary::files(hunks, &view.decided, text::now()) {
        ui.line(line.styled())?;
    }
    Ok(())
}

fn header(ui: &mut Ui, view: &GoalView) -> Outcome<()> {
    let goal = &view.summary;
    let (style, words) = goal_now(view);
    ui.line(
        Line::new()
            .add(BOLD, format!("{} ", goal.id))
            .add(style, words)
            .add(PLAIN, format!("  {}", text::one_line(&goal.prompt)))
            .styled(),
    )?;
    let took = goal.updated_at.since(goal.submitted_at);
    ui.line(
        Line::new()
            .add(
                DIM,
                format!(
                    "{}  {}  {}",
                    goal.workspace,
                    text::span(took),
                    goal.cost_usd
                ),
            )
            .styled(),
    )?;
    if let Some(error) = &goal.error {
        ui.line(
            Line::new()
                .add(RED, text::one_line(&error.message))
                .styled(),
        )?;
        if let Some(hint) = &error.hint {
            ui.line(Line::new().add(DIM, text::one_line(hint)).styled())?;
        }
    }
    Ok(())
}

/// How to let the tasks start that wait for it, if any do.
pub(super) fn approvals(view: &GoalView) -> Option<String> {
    let (id, tasks) = (&view.summary.id, view.paused());
    let commands: Vec<_> = tasks
        .map(|task| format!("claudecluster approve {id} --task {}", task.id))
        .collect();
    if commands.is_empty() {
        return None;
    }
    let commands = commands.join("   ");
    Some(format!(
        "let it start: {commands}   stop the goal: claudecluster cancel {id}"
    ))
}

/// The tasks as a tree, each with its attempts.
pub(super) fn tasks(view: &GoalView) -> Vec<Line> {
    let tasks = &view.tasks_detail;
    let items: Vec<TreeItem<'_>> = tasks
        .iter()
        .map(|task| TreeItem {
            id: &task.id,
            depends_on: &task.depends_on,
        })
        .collect();
    let mut lines = Vec::new();
    for place in render::tree(&items) {
        let task = &tasks[place.index];
        lines.push(task_line(task, &place.prefix, place.also.len() > 1));
        let indent = place.prefix.replace("├─", "│ ").replace("└─", "  ");
        for attempt in &task.attempts {
            lines.push(attempt_line(attempt, &indent));
        }
    }
    lines
}

fn task_line(task: &TaskView, prefix: &str, join: bool) -> Line {
    let (mark, style) = task_mark(task.state);
    let mut line = Line::new()
        .add(DIM, prefix)
        .add(style, format!("{mark} "))
        .add(BOLD, task.id.as_str());
    if task.title != task.id.as_str() {
        line.push(PLAIN, format!("  {}", task.title));
    }
    line.push(DIM, format!("  {}", task.agent));
    if join {
        let after: Vec<&str> = task.depends_on.iter().map(AsRef::as_ref).collect();
        line.push(DIM, format!("  after {}", after.join(", ")));
    }
    if task.state == TaskState::Paused {
        line.push(style, "  waits for approval");
    }
    if let Some(repair) = &task.repair {
        line.push(YELLOW, format!("  {}", text::repair(repair)));
    }
    if !task.changed.is_empty() {
        let files: Vec<String> = task.changed.iter().map(|path| path.display()).collect();
        line.push(DIM, format!("  {}", files.join(" ")));
    }
    line
}

fn attempt_line(attempt: &AttemptView, indent: &str) -> Line {
    let mut line = Line::new().add(DIM, format!("{indent}  {}. ", attempt.id));
    match (attempt.stop, attempt.ended_at) {
        (Some(stop), _) => line.push(RED, text::stop(stop)),
        (None, Some(_)) => line.push(PLAIN, "done"),
        (None, None) => line.push(PLAIN, "running"),
    }
    if let Some(ended) = attempt.ended_at {
        line.push(
            DIM,
            format!("  {}", text::span(ended.since(attempt.started_at))),
        );
    }
    if attempt.usage.cost_usd > Usd::ZERO {
        line.push(DIM, format!("  {}", attempt.usage.cost_usd));
    }
    if attempt.sandbox == Some(SandboxKind::Copy) {
        line.push(DIM, "  in a copy");
    }
    if !attempt.summary.is_empty() {
        line.push(DIM, format!("  {}", text::one_line(&attempt.summary)));
    }
    line
}

fn indented(ui: &mut Ui, output: &str) -> Outcome<()> {
    for line in text::safe(output).lines() {
        ui.line(format!("    {line}"))?;
    }
    Ok(())
}
