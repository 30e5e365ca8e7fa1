//! `claudecluster diff`

use claudecluster_protocol::{
    GoalId,
    api::{Answer, Call},
    path::bytes_of_text,
};

use super::Context;
use crate::{
    client::unexpected,
    failure::{Exit, Outcome},
    ui::{
        Ui,
        text::{self, BOLD, CYAN, GREEN, PLAIN, RED, YELLOW},
    },
};

pub(super) async fn run(cx: &mut Context, goal_id: GoalId) -> Outcome<Exit> {
    let wanted = Call::Diff {
        goal_id,
        task_id: None,
        path: None,
        hunk_id: None,
    };
    match cx.client()?.call(wanted).await? {
        Answer::Diff { diff, omitted } if cx.ui.json => {
            cx.ui
                .json(&serde_json::json!({"diff": diff, "omitted": omitted}))?;
        }
        Answer::Diff { diff, omitted } => {
            print(&mut cx.ui, &diff)?;
            for line in omitted {
                // Not on stdout: `git apply` reads that.
                let line = text::one_line(&line);
                let _ = std::io::Write::write_fmt(
                    &mut std::io::stderr(),
                    format_args!("not in the diff: {line}\n"),
                );
            }
        }
        other => return Err(unexpected(&other).into()),
    }
    Ok(Exit::Done)
}

/// Prints a diff: for people in colour and safe to look at, for programs byte by byte.
pub(super) fn print(ui: &mut Ui, diff: &str) -> Outcome<()> {
    if !ui.colors() {
        ui.bytes(&bytes_of_text(diff))?;
        return Ok(());
    }
    for line in diff.split_terminator('\n') {
        let style = match line.as_bytes() {
            [b'd', b'i', b'f', b'f', b' ', ..]
            | [b'+', b'+', b'+', b' ', ..]
            | [b'-', b'-', b'-', b' ', ..] => BOLD,
            [b'@', b'@', ..] => CYAN,
            [b'+', ..] => GREEN,
            [b'-', ..] => RED,
            [b'\\', ..] => YELLOW,
            _ => PLAIN,
        };
        let safe = text::safe(line.trim_end_matches('\r'));
        ui.line(format!("{style}{safe}{style:#}"))?;
    }
    Ok(())
}
