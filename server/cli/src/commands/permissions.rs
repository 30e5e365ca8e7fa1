//! `claudecluster permissions`, `allow` and `deny`

use claudecluster_protocol::{
    api::Call,
    permission::{PermissionAnswer, PermissionDecision, PermissionRequest, PermissionScope},
};

use claudecluster_service::TypedCalls;

use super::{Context, steer};
use crate::{
    cli::{AllowArgs, DenyArgs, Reach},
    failure::{Exit, Outcome},
    ui::text::{self, BOLD, DIM, Line, PLAIN, YELLOW},
};

pub(super) async fn list(cx: &mut Context) -> Outcome<Exit> {
    let requests = cx.client()?.permissions().await?;
    if cx.ui.json {
        for request in &requests {
            cx.ui.json(request)?;
        }
        return Ok(Exit::Done);
    }
    if requests.is_empty() && !cx.ui.quiet {
        cx.ui.line("no worker waits for permission")?;
    }
    for request in &requests {
        for line in lines(request) {
            cx.ui.line(line.styled())?;
        }
    }
    Ok(Exit::Done)
}

/// Who asks for what since when, all of it, and what can be said.
fn lines(request: &PermissionRequest) -> Vec<Line> {
    let mut tasks: Vec<&str> = request.task_ids.iter().map(AsRef::as_ref).collect();
    if tasks.is_empty() {
        tasks.push("planner");
    }
    let head = Line::new()
        .add(BOLD, format!("{} ", request.id))
        .add(PLAIN, format!("{} ", request.goal_id))
        .add(PLAIN, text::one_line(&tasks.join(", ")))
        .add(YELLOW, format!("  {}", text::one_line(&request.tool)))
        .add(
            DIM,
            format!("  {}", text::ago(request.asked_at, text::now())),
        );
    // Whoever allows something has to see all of it, not its first line.
    let detail = text::safe(&request.detail);
    let detail = detail
        .lines()
        .map(|line| Line::new().add(PLAIN, format!("    {line}")));
    let id = &request.id;
    let how = format!(
        "    claudecluster allow {id} [--task|--goal]   claudecluster deny {id} [--reason TEXT]"
    );
    [head]
        .into_iter()
        .chain(detail)
        .chain([Line::new().add(DIM, how)])
        .collect()
}

pub(super) async fn allow(cx: &mut Context, args: AllowArgs) -> Outcome<Exit> {
    let answer = PermissionAnswer {
        scope: scope(args.reach),
        ..PermissionAnswer::new(args.request, PermissionDecision::Allow)
    };
    let said = format!("{} allowed", answer.request_id);
    steer::steer(cx, Call::Permit { answer }, &said).await
}

pub(super) async fn deny(cx: &mut Context, args: DenyArgs) -> Outcome<Exit> {
    let answer = PermissionAnswer {
        scope: scope(args.reach),
        reason: args.reason,
        ..PermissionAnswer::new(args.request, PermissionDecision::Deny)
    };
    let said = format!("{} denied; the worker goes on without", answer.request_id);
    steer::steer(cx, Call::Permit { answer }, &said).await
}

fn scope(reach: Reach) -> PermissionScope {
    match reach {
        Reach { goal: true, .. } => PermissionScope::Goal,
        Reach { task: true, .. } => PermissionScope::Task,
        _ => PermissionScope::Once,
    }
}
