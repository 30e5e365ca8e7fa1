//! `claudecluster.goal.submit`: a goal from the arguments and the settings of an editor.

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
};

use claudecluster_core::display_text::line as plain_text;
use claudecluster_protocol::{
    ErrorBody, GoalId, GoalScope, GoalSpec, Plan, RelPath,
    editor::{EditorSettings, LineRange, RangeAnchor, ScopeArgs, SubmitArgs},
    goal::{GoalScopeKind, GoalSelection},
    submitted::SubmittedGoal,
};
use claudecluster_service::TypedCalls;
use tokio::sync::oneshot;

use crate::{
    background::progress::describe_outcome,
    documents::{anchor, lines},
    phrases::count_noun,
    question,
    session::EditorSession,
    uri,
};

type Result<T> = std::result::Result<T, ErrorBody>;

/// Submits a goal, unless an equal goal is still open.
pub(crate) async fn submit_goal(
    session: &Arc<EditorSession>,
    args: SubmitArgs,
) -> Result<SubmittedGoal> {
    // Before the first await: the scope is the documents as they are at this point of the wire.
    let spec = to_spec(session, args.clone())?;
    if args.again {
        let goal_id = session.service().submit_again(spec).await?;
        return Ok(SubmittedGoal {
            goal_id,
            duplicate_of: None,
        });
    }
    let submitted = session.service().submit_once(spec).await?;
    if let Some(same) = &submitted.duplicate_of
        && args.ask.unwrap_or(!session.client_shows_events())
    {
        let asking = ask_about_duplicate(session.clone(), same.clone(), args);
        session.tasks.spawn(asking);
    }
    Ok(submitted)
}

/// Reports that an equal goal is open, and starts another one if the user wants it.
async fn ask_about_duplicate(session: Arc<EditorSession>, same: GoalId, args: SubmitArgs) {
    const SHOW: &str = "Show";
    const ANOTHER: &str = "Start another";
    let about = match session.goal_view(&same).await {
        Ok(view) => format!(
            "{same} already has this goal: {}",
            plain_text::to_line(&view.summary.prompt, 60)
        ),
        Err(_) => format!("{same} already has this goal"),
    };
    // No event settles this question.
    let (_open, settled) = oneshot::channel();
    let answer = question::ask_user(&session.client, &about, &[SHOW, ANOTHER], settled).await;
    match answer.as_deref() {
        Some(SHOW) => {
            let message = describe_progress(&session, &same).await;
            session.show_info(format!("{same}: {message}")).await;
        }
        Some(ANOTHER) => {
            // The text may have changed while the question was open.
            let started = match to_spec(&session, args) {
                Ok(spec) => session.service().submit_again(spec).await,
                Err(error) => Err(error),
            };
            match started {
                Ok(goal) => session.show_info(format!("Started {goal}")).await,
                Err(error) => {
                    session
                        .show_error("cannot start another goal", &error)
                        .await;
                }
            }
        }
        // Closed without an answer, or the client shows no questions: no other goal is started.
        _ => {}
    }
}

/// Describes the progress or the outcome of a goal.
async fn describe_progress(session: &EditorSession, goal: &GoalId) -> String {
    match session.goal_view(goal).await {
        Ok(view) if view.summary.state.is_active() => {
            let goal = &view.summary;
            format!(
                "{}, {} of {} done",
                goal.state.as_str(),
                goal.succeeded,
                count_noun(goal.tasks as usize, "task")
            )
        }
        _ => describe_outcome(session, goal).await,
    }
}

/// Creates the specification of a goal: its arguments come first, then the editor's settings.
fn to_spec(session: &EditorSession, args: SubmitArgs) -> Result<GoalSpec> {
    if args.prompt.trim().is_empty() && args.plan.is_none() {
        return Err(ErrorBody::user("prompt: a goal needs a prompt or a plan")
            .with_hint("describe the change you want"));
    }
    let settings = session.settings.current();
    let asked = args.scope.unwrap_or_default();
    let kind = asked
        .kind
        .unwrap_or_else(|| settings.scope.unwrap_or_default().into());
    let named = asked
        .uris
        .iter()
        .map(|uri| uri::parse_file(uri))
        .collect::<Result<Vec<_>>>()?;
    let root = choose_workspace(session, &named)?;
    let scope = to_scope(session, &root, kind, &asked, &named)?;
    let settings = match &args.plan {
        Some(plan) => without_overridden(plan, settings),
        None => settings,
    };
    let gates = if args.gates.is_empty() {
        settings.gates.unwrap_or_default()
    } else {
        args.gates
    };
    Ok(GoalSpec {
        workspace: root.to_string_lossy().into_owned(),
        prompt: args.prompt,
        scope,
        plan: args.plan,
        agent: args.agent.or(settings.agent),
        model: args.model.or(settings.model),
        jobs: args.jobs.or(settings.jobs).map(NonZeroU32::get),
        budget_usd: args.budget_usd.or(settings.budget_usd),
        timeout: None,
        gates,
        plan_only: false,
        apply: false,
        unattended: false,
        env: session.config.env.clone(),
    })
}

/// Removes the settings that the plan of a goal overrides.
///
/// The agent is removed if no task uses the default agent, because then it need not be installed.
fn without_overridden(plan: &Plan, settings: EditorSettings) -> EditorSettings {
    let mut tasks = plan.tasks.iter();
    let asks = tasks.any(|task| task.agent.is_none() && task.run.is_none());
    EditorSettings {
        agent: settings.agent.filter(|_| asks),
        jobs: settings.jobs.filter(|_| plan.max_parallel.is_none()),
        budget_usd: settings.budget_usd.filter(|_| plan.budget_usd.is_none()),
        ..settings
    }
}

/// Chooses the workspace folder of a goal.
///
/// - Named documents: the folder of the first one.
/// - Otherwise: the folder of the document touched last.
/// - Otherwise: the only folder.
fn choose_workspace(session: &EditorSession, named: &[PathBuf]) -> Result<PathBuf> {
    let roots = session.roots();
    // A named folder may be a link to a workspace folder.
    let holding = |path: &Path| {
        let root = session.root_of(path);
        root.or_else(|| session.root_of(&uri::resolve_links(path)))
    };
    if roots.is_empty() {
        return Err(ErrorBody::user("no workspace folder is open")
            .with_hint("open a folder or a file in a project, then try again"));
    }
    if let Some(first) = named.first() {
        return holding(first).ok_or_else(|| {
            ErrorBody::user(format!(
                "scope.uris[0]: {} is in no workspace folder",
                first.display()
            ))
        });
    }
    let active = session
        .documents
        .all()
        .into_iter()
        .find_map(|document| holding(&document.path?));
    match (active, roots.as_slice()) {
        (Some(root), _) => Ok(root),
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(ErrorBody::user("several workspace folders are open")
            .with_hint("open a document in the right folder, or name the folder in scope.uris")),
    }
}

fn to_scope(
    session: &EditorSession,
    root: &Path,
    kind: GoalScopeKind,
    asked: &ScopeArgs,
    named: &[PathBuf],
) -> Result<GoalScope> {
    let selection = match asked.range {
        Some(range) => Some(to_selection(
            session,
            root,
            named,
            range,
            asked.anchor.as_ref(),
        )?),
        None => None,
    };
    let files = match kind {
        GoalScopeKind::Workspace => Vec::new(),
        GoalScopeKind::Open => open_files(session, root, named)?,
        GoalScopeKind::Files => named_files(root, asked, named)?,
    };
    Ok(GoalScope {
        kind,
        files,
        globs: asked.globs.clone(),
        selection,
    })
}

/// Returns the files of the open and the named documents in a workspace folder.
fn open_files(session: &EditorSession, root: &Path, named: &[PathBuf]) -> Result<Vec<RelPath>> {
    let open = session
        .documents
        .all()
        .into_iter()
        .filter_map(|document| document.path);
    let mut files: Vec<_> = open
        .chain(named.iter().cloned())
        .filter_map(|path| uri::relative_to(root, &path))
        .collect();
    files.sort();
    files.dedup();
    if files.is_empty() {
        return Err(
            ErrorBody::user(format!("no file in {} is open", root.display()))
                .with_hint("open the files for the goal, or use the whole workspace as its scope"),
        );
    }
    Ok(files)
}

fn named_files(root: &Path, asked: &ScopeArgs, named: &[PathBuf]) -> Result<Vec<RelPath>> {
    if named.is_empty() && asked.globs.is_empty() {
        return Err(ErrorBody::user("scope: `files` needs uris or globs"));
    }
    named
        .iter()
        .enumerate()
        .map(|(n, path)| {
            uri::relative_to(root, path).ok_or_else(|| {
                ErrorBody::user(format!(
                    "scope.uris[{n}]: {} is not in {}",
                    path.display(),
                    root.display()
                ))
            })
        })
        .collect()
}

fn to_selection(
    session: &EditorSession,
    root: &Path,
    named: &[PathBuf],
    range: LineRange,
    anchor: Option<&RangeAnchor>,
) -> Result<GoalSelection> {
    if range.end_line <= range.start_line {
        return Err(ErrorBody::user(
            "scope.range: endLine must be greater than startLine",
        ));
    }
    let path = named
        .first()
        .and_then(|path| uri::relative_to(root, path))
        .ok_or_else(|| ErrorBody::user("scope.range: the document must be listed in scope.uris"))?;
    let document = named
        .first()
        .and_then(|path| session.documents.get_by_path(path));
    let range = match (anchor, &document) {
        (None, _) => range,
        (Some(anchor), Some(document)) => {
            anchor::find_anchored(document, range, anchor).ok_or_else(lines_changed)?
        }
        (Some(_), None) => return Err(lines_changed()),
    };
    let range = match &document {
        Some(document) => lines::to_driver_lines(&document.text, range),
        None => range,
    };
    Ok(GoalSelection {
        path,
        start_line: range.start_line,
        end_line: range.end_line,
        // The driver fills the text in, for every front.
        text: None,
    })
}

/// The error for lines that have changed since their goal was offered.
fn lines_changed() -> ErrorBody {
    ErrorBody::stale("scope.range: these lines have changed since the goal was offered")
        .with_hint("request code actions again")
}
