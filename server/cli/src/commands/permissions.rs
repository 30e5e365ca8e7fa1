//! `claudecluster permissions`, `allow` and `deny`

use claudecluster_protocol::{
    api::Call,
    permission::{PermissionAnswer, PermissionDecision, PermissionRequest, PermissionScope},
};

use claudecluster_service::TypedCalls;

use super::{CommandContext, steer};
use crate::{
    cli::{AllowArgs, DenyArgs, PermissionReach},
    exit::{CommandExit, CommandResult},
    ui::text::{self, BOLD, DIM, PLAIN, StyledLine, YELLOW},
};

pub(super) async fn list_permissions(cx: &mut CommandContext) -> CommandResult<CommandExit> {
    let requests = cx.client()?.permissions().await?;
    if cx.ui.json {
        for request in &requests {
            cx.ui.json(request)?;
        }
        return Ok(CommandExit::Done);
    }
    if requests.is_empty() && !cx.ui.quiet {
        cx.ui.line("No open permission requests")?;
    }
    for request in &requests {
        for line in request_lines(request) {
            cx.ui.line(line.styled())?;
        }
    }
    Ok(CommandExit::Done)
}

/// Describes a permission request: the task, its waiting time, the whole input, and the possible
/// answers.
fn request_lines(request: &PermissionRequest) -> Vec<StyledLine> {
    let mut tasks: Vec<&str> = request.task_ids.iter().map(AsRef::as_ref).collect();
    if tasks.is_empty() {
        tasks.push("planner");
    }
    let head = StyledLine::new()
        .add(BOLD, format!("{} ", request.id))
        .add(PLAIN, format!("{} ", request.goal_id))
        .add(PLAIN, text::one_line(&tasks.join(", ")))
        .add(YELLOW, format!("  {}", text::one_line(&request.tool)))
        .add(
            DIM,
            format!(
                "  {}",
                text::time_since(request.asked_at, text::current_time())
            ),
        );
    // Whoever allows something has to see all of it, not its first line.
    let detail = text::escape_controls(&request.detail);
    let detail = detail
        .lines()
        .map(|line| StyledLine::new().add(PLAIN, format!("    {line}")));
    let id = &request.id;
    let always = if request.is_about_host() {
        "|--always"
    } else {
        ""
    };
    let how = format!(
        "    claudecluster allow {id} [--task|--goal{always}]   claudecluster deny {id} [--reason TEXT]"
    );
    [head]
        .into_iter()
        .chain(detail)
        .chain([StyledLine::new().add(DIM, how)])
        .collect()
}

pub(super) async fn allow_permission(
    cx: &mut CommandContext,
    args: AllowArgs,
) -> CommandResult<CommandExit> {
    let scope = if args.always {
        PermissionScope::Always
    } else {
        answer_scope(args.reach)
    };
    let answer = PermissionAnswer {
        scope,
        ..PermissionAnswer::new(args.request, PermissionDecision::Allow)
    };
    let said = match scope {
        PermissionScope::Always => format!(
            "Granted {}; the host is now in your setting network.allow",
            answer.request_id
        ),
        _ => format!("Granted {}", answer.request_id),
    };
    steer::send_and_report(cx, Call::Permit { answer }, &said).await
}

pub(super) async fn deny_permission(
    cx: &mut CommandContext,
    args: DenyArgs,
) -> CommandResult<CommandExit> {
    let answer = PermissionAnswer {
        scope: answer_scope(args.reach),
        reason: args.reason,
        ..PermissionAnswer::new(args.request, PermissionDecision::Deny)
    };
    let said = format!(
        "Denied {}; the worker continues without it",
        answer.request_id
    );
    steer::send_and_report(cx, Call::Permit { answer }, &said).await
}

fn answer_scope(reach: PermissionReach) -> PermissionScope {
    match reach {
        PermissionReach { goal: true, .. } => PermissionScope::Goal,
        PermissionReach { task: true, .. } => PermissionScope::Task,
        _ => PermissionScope::Once,
    }
}
