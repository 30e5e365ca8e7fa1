//! `claudecluster logs`

use claudecluster_driver::worker::agent::registry;
use claudecluster_protocol::{
    GoalId, TaskId,
    api::GoalArtifact,
    event::AgentEvent,
    goal::{GoalView, TaskView},
    plan::AgentName,
};
use claudecluster_service::TypedCalls;

use super::CommandContext;
use crate::{
    cli::LogsArgs,
    client::DaemonClient,
    exit::{CommandExit, CommandResult},
    ui::{
        Ui,
        board::doing_of,
        text::{self, BOLD, CYAN, DIM, GREEN, PLAIN, RED, StyledLine},
    },
};

pub(super) async fn print_logs(
    cx: &mut CommandContext,
    args: LogsArgs,
) -> CommandResult<CommandExit> {
    let client = cx.client()?;
    let view = client.goal(&args.goal).await?.value;
    if let Some(task) = &args.task {
        check_task(&view, task)?;
    }
    let transcripts = list_transcripts(&client, &args.goal, args.task.as_ref()).await?;
    if args.raw {
        for transcript in &transcripts {
            cx.ui.foreign_bytes(&client.blob(&transcript.id).await?)?;
        }
        return Ok(CommandExit::Done);
    }
    if cx.ui.json {
        for transcript in &transcripts {
            cx.ui.json(transcript)?;
        }
        return Ok(CommandExit::Done);
    }
    let wanted = |task: &&TaskView| args.task.as_ref().is_none_or(|id| *id == task.id);
    for task in view.tasks_detail.iter().filter(wanted) {
        print_attempts(&mut cx.ui, task)?;
        for transcript in transcripts
            .iter()
            .filter(|t| t.task_id.as_ref() == Some(&task.id))
        {
            print_transcript(&mut cx.ui, &client, transcript, task.agent).await?;
        }
    }
    let planner = view.spec.main_agent();
    for transcript in transcripts.iter().filter(|t| t.task_id.is_none()) {
        print_transcript(&mut cx.ui, &client, transcript, planner).await?;
    }
    Ok(CommandExit::Done)
}

fn check_task(view: &GoalView, task: &TaskId) -> CommandResult<()> {
    if view.tasks_detail.iter().any(|known| known.id == *task) {
        return Ok(());
    }
    let names: Vec<&str> = view
        .tasks_detail
        .iter()
        .map(|task| task.id.as_str())
        .collect();
    let goal = &view.summary.id;
    let error = claudecluster_protocol::ErrorBody::user(format!("{goal} has no task {task}"));
    Err(error
        .with_hint(format!("its tasks are: {}", names.join(", ")))
        .into())
}

async fn list_transcripts(
    client: &DaemonClient,
    goal: &GoalId,
    task: Option<&TaskId>,
) -> CommandResult<Vec<GoalArtifact>> {
    let mut found = client.artifacts(goal).await?;
    found.retain(|artifact| {
        artifact.kind == "transcript"
            && artifact.bytes.is_some()
            && task.is_none_or(|task| artifact.task_id.as_ref() == Some(task))
    });
    Ok(found)
}

/// Prints a task's attempts, one line each.
fn print_attempts(ui: &mut Ui, task: &TaskView) -> CommandResult<()> {
    ui.line(
        StyledLine::new()
            .add(BOLD, task.id.as_str())
            .add(DIM, format!("  {}  {}", task.agent, task.state.as_str()))
            .styled(),
    )?;
    for attempt in &task.attempts {
        let mut line = StyledLine::new().add(DIM, format!("  attempt {}: ", attempt.id));
        match (attempt.stop, attempt.ended_at) {
            (Some(stop), _) => line.push(RED, text::stop_reason_text(stop)),
            (None, Some(_)) => line.push(GREEN, "done"),
            (None, None) => line.push(PLAIN, "running"),
        }
        if !attempt.summary.is_empty() {
            line.push(PLAIN, format!("  {}", text::one_line(&attempt.summary)));
        }
        ui.line(line.styled())?;
    }
    if !task.network.is_empty() {
        let hosts = format!("  network: {}", text::hosts_text(&task.network, 0));
        ui.line(StyledLine::new().add(DIM, hosts).styled())?;
    }
    Ok(())
}

/// Prints the words and actions of a session.
async fn print_transcript(
    ui: &mut Ui,
    client: &DaemonClient,
    transcript: &GoalArtifact,
    agent: AgentName,
) -> CommandResult<()> {
    let bytes = client.blob(&transcript.id).await?;
    let name = format!("  {}", transcript.name);
    ui.line(StyledLine::new().add(DIM, name).styled())?;
    for line in readable_lines(&registry().replay(agent, &bytes)) {
        ui.line(format!("    {}", line.styled()))?;
    }
    Ok(())
}

/// Formats events as lines: words as they were written, every other event as one line.
fn readable_lines(events: &[AgentEvent]) -> Vec<StyledLine> {
    let mut lines = Vec::new();
    let mut words = String::new();
    for event in events {
        // Words come in pieces that are not lines.
        if let AgentEvent::Text { text } = event {
            words.push_str(text);
            continue;
        }
        add_words(&mut lines, &mut words);
        match event {
            AgentEvent::Output { text } => {
                lines.extend(text.lines().map(|line| StyledLine::new().add(DIM, line)));
            }
            other => lines.extend(doing_of(other).map(|doing| StyledLine::new().add(CYAN, doing))),
        }
    }
    add_words(&mut lines, &mut words);
    lines
}

fn add_words(lines: &mut Vec<StyledLine>, words: &mut String) {
    lines.extend(words.lines().map(|line| StyledLine::new().add(PLAIN, line)));
    words.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_words_become_lines() {
        let text = |text: &str| AgentEvent::Text {
            text: text.to_owned(),
        };
        let events = [
            text("Let me "),
            text("look.\nThen"),
            AgentEvent::Tool {
                name: "Read".to_owned(),
                detail: "a.rs".to_owned(),
            },
            AgentEvent::Output {
                text: "one\n\u{1b}[2Jtwo\n".to_owned(),
            },
        ];
        let shown: Vec<String> = readable_lines(&events)
            .iter()
            .map(StyledLine::plain)
            .collect();
        assert_eq!(
            shown,
            ["Let me look.", "Then", "Read a.rs", "one", "\\u{1b}[2Jtwo"]
        );
    }
}
