//! `claudecluster show`

use claudecluster_driver::worker::network::HostPort;
use claudecluster_protocol::{
    GoalId, TaskId, TaskState, Usd,
    change::HunkView,
    goal::{AttemptView, GoalView, SandboxKind, TaskView},
    network::HostTraffic,
};
use claudecluster_service::TypedCalls;
use serde::Serialize;

use super::{CommandContext, selection::HunkSelection, summary};
use crate::{
    exit::{CommandExit, CommandResult},
    ui::{
        Ui,
        render::{self, TreeItem, gate_line, goal_now, task_mark},
        text::{self, BOLD, DIM, PLAIN, RED, StyledLine, YELLOW},
    },
};

pub(super) async fn show_goal(
    cx: &mut CommandContext,
    goal: &GoalId,
) -> CommandResult<CommandExit> {
    let client = cx.client()?;
    let view = client.goal(goal).await?.value;
    let hunks = HunkSelection::all(goal.clone()).hunks(&client).await?;
    if cx.ui.json {
        cx.ui.json(&GoalJson {
            view: &view,
            changes: &hunks,
        })?;
        return Ok(CommandExit::Done);
    }
    print_header(&mut cx.ui, &view)?;
    for line in task_lines(&view) {
        cx.ui.line(line.styled())?;
    }
    for request in &view.permissions {
        cx.ui.line(text::permission_line(request).styled())?;
    }
    if let Some(next) = approval_commands(&view) {
        cx.ui.line(StyledLine::new().add(YELLOW, next).styled())?;
    }
    for gate in &view.gates {
        cx.ui
            .line(gate_line(&gate.command.to_string(), gate.passed, gate.duration_ms).styled())?;
        if !gate.passed {
            print_indented(&mut cx.ui, &gate.output)?;
        }
    }
    print_denied_hosts(&mut cx.ui, &view)?;
    print_changes(&mut cx.ui, &view, &hunks)?;
    Ok(CommandExit::Done)
}

/// The denied hosts for which the command is printed that allows them.
const ALLOWED_BY_COMMAND: usize = 5;

/// Returns the setting that allows a host, and the word for it.
fn setting_for(host: &HostTraffic) -> (&'static str, String) {
    let address = host.address();
    let (setting, value) = match HostPort::parse(&address, None) {
        Ok(target) => target.allowing_setting(),
        Err(_) => ("network.allow", address),
    };
    (setting, text::shell_word(&value))
}

/// Names the hosts of the network that programs of the goal were kept from, and the way to allow them.
fn print_denied_hosts(ui: &mut Ui, view: &GoalView) -> CommandResult<()> {
    let denied: Vec<_> = view.network.iter().filter(|host| host.denied > 0).collect();
    if denied.is_empty() {
        return Ok(());
    }
    let named = denied.iter().map(|host| {
        let times = text::counted(usize::try_from(host.denied).unwrap_or(usize::MAX), "time");
        format!("{} ({times})", text::one_line(&host.address()))
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let line = format!("Network: denied {named}");
    ui.line(StyledLine::new().add(YELLOW, line).styled())?;
    for host in denied.iter().take(ALLOWED_BY_COMMAND) {
        let (setting, value) = setting_for(host);
        let hint = format!("  Allow a host: claudecluster config add {setting} {value}");
        ui.line(StyledLine::new().add(DIM, hint).styled())?;
    }
    Ok(())
}

/// Holds the output of `--json`.
#[derive(Serialize)]
struct GoalJson<'a> {
    #[serde(flatten)]
    view: &'a GoalView,
    /// The pending hunks. The others are in `decided`.
    changes: &'a [HunkView],
}

/// Prints every hunk with its state, and the commands that continue from there.
fn print_changes(ui: &mut Ui, view: &GoalView, hunks: &[HunkView]) -> CommandResult<()> {
    let counts = summary::hunk_counts(&view.summary.hunks);
    if counts.is_empty() {
        return Ok(());
    }
    ui.line(StyledLine::new().add(BOLD, counts).styled())?;
    for line in summary::file_lines(hunks, &view.decided, text::current_time()) {
        ui.line(line.styled())?;
    }
    Ok(())
}

fn print_header(ui: &mut Ui, view: &GoalView) -> CommandResult<()> {
    let goal = &view.summary;
    let (style, words) = goal_now(view);
    ui.line(
        StyledLine::new()
            .add(BOLD, format!("{} ", goal.id))
            .add(style, words)
            .add(PLAIN, format!("  {}", text::one_line(&goal.prompt)))
            .styled(),
    )?;
    let took = goal.updated_at.span_since(goal.submitted_at);
    ui.line(
        StyledLine::new()
            .add(
                DIM,
                format!(
                    "{}  {}  {}",
                    goal.workspace,
                    text::duration_text(took),
                    goal.cost_usd
                ),
            )
            .styled(),
    )?;
    if let Some(error) = &goal.error {
        ui.line(
            StyledLine::new()
                .add(RED, text::one_line(&error.message))
                .styled(),
        )?;
        if let Some(hint) = &error.hint {
            ui.line(StyledLine::new().add(DIM, text::one_line(hint)).styled())?;
        }
    }
    Ok(())
}

/// Returns the commands that approve the paused tasks, if there are any.
pub(super) fn approval_commands(view: &GoalView) -> Option<String> {
    let (id, tasks) = (&view.summary.id, view.paused_tasks());
    let commands: Vec<_> = tasks
        .map(|task| format!("claudecluster approve {id} --task {}", task.id))
        .collect();
    if commands.is_empty() {
        return None;
    }
    let commands = commands.join("   ");
    Some(format!(
        "Approve: {commands}   Cancel the goal: claudecluster cancel {id}"
    ))
}

/// Returns the tasks as a tree, each with its attempts.
pub(super) fn task_lines(view: &GoalView) -> Vec<StyledLine> {
    let tasks = &view.tasks_detail;
    let items: Vec<TreeItem<'_>> = tasks
        .iter()
        .map(|task| TreeItem {
            id: &task.id,
            depends_on: &task.depends_on,
        })
        .collect();
    let mut lines = Vec::new();
    for place in render::tree_rows(&items) {
        let task = &tasks[place.index];
        lines.push(task_line(task, &place.prefix, &place.also));
        let indent = place.prefix.replace("├─", "│ ").replace("└─", "  ");
        for attempt in &task.attempts {
            lines.push(attempt_line(attempt, &indent));
            // Remarks on an isolation say what is different in it, or open.
            if let Some((_, remarks)) = attempt.isolation.split_once("; ") {
                let text = format!("{indent}     isolation: {}", text::one_line(remarks));
                lines.push(StyledLine::new().add(DIM, text));
            }
        }
    }
    lines
}

fn task_line(task: &TaskView, prefix: &str, also: &[TaskId]) -> StyledLine {
    let (mark, style) = task_mark(task.state);
    let mut line = StyledLine::new()
        .add(DIM, prefix)
        .add(style, format!("{mark} "))
        .add(BOLD, task.id.as_str());
    if task.title != task.id.as_str() {
        line.push(PLAIN, format!("  {}", task.title));
    }
    line.push(DIM, format!("  {}", task.agent));
    if !also.is_empty() {
        line.push(DIM, format!("  after {}", render::task_names(also)));
    }
    if task.state == TaskState::Paused {
        line.push(style, "  waiting for approval");
    }
    if let Some(repair) = &task.repair {
        line.push(YELLOW, format!("  {}", text::repair_text(repair)));
    }
    if !task.changed.is_empty() {
        let files: Vec<String> = task.changed.iter().map(|path| path.display()).collect();
        line.push(DIM, format!("  {}", files.join(" ")));
    }
    line
}

fn attempt_line(attempt: &AttemptView, indent: &str) -> StyledLine {
    let mut line = StyledLine::new().add(DIM, format!("{indent}  {}. ", attempt.id));
    match (attempt.stop, attempt.ended_at) {
        (Some(stop), _) => line.push(RED, text::stop_reason_text(stop)),
        (None, Some(_)) => line.push(PLAIN, "done"),
        (None, None) => line.push(PLAIN, "running"),
    }
    if let Some(ended) = attempt.ended_at {
        line.push(
            DIM,
            format!(
                "  {}",
                text::duration_text(ended.span_since(attempt.started_at))
            ),
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

fn print_indented(ui: &mut Ui, output: &str) -> CommandResult<()> {
    for line in text::escape_controls(output).lines() {
        ui.line(format!("    {line}"))?;
    }
    Ok(())
}
