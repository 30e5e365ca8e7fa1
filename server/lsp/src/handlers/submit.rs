//! From the arguments an editor gives to a goal.

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
};

use claudecluster_protocol::{
    ErrorBody, GoalId, GoalSpec, Plan, RelPath, Scope,
    editor::{Anchor, EditorSettings, LineRange, ScopeArgs, SubmitArgs, Submitted},
    goal::{ScopeKind, Selection},
};
use tokio::sync::oneshot;

use crate::{
    anchor, hunks,
    progress::{count, outcome},
    question,
    session::Session,
    uri, words,
};

type Result<T> = std::result::Result<T, ErrorBody>;

/// Hands a goal over, unless one that is not settled is the same.
pub(crate) async fn handle(session: &Arc<Session>, args: SubmitArgs) -> Result<Submitted> {
    // Before the first wait: the scope is the documents as they are at this point of the wire.
    let spec = spec(session, args.clone())?;
    if args.again {
        let goal_id = session.backend.submit(spec).await?;
        return Ok(Submitted {
            goal_id,
            duplicate_of: None,
        });
    }
    let submitted = session.backend.submit_once(spec).await?;
    let told_by_client = session.settings.now().events == Some(true);
    if let Some(same) = &submitted.duplicate_of
        && args.ask.unwrap_or(!told_by_client)
    {
        session.spawn(ask_for_another(session.clone(), same.clone(), args));
    }
    Ok(submitted)
}

/// Tells the user that nothing was started, and starts it where they want it all the same.
async fn ask_for_another(session: Arc<Session>, same: GoalId, args: SubmitArgs) {
    const SHOW: &str = "Show";
    const ANOTHER: &str = "Start another";
    let about = match session.goal(&same).await {
        Ok(view) => format!(
            "{same} already has this goal: {}",
            words::line(&view.summary.prompt, 60)
        ),
        Err(_) => format!("{same} already has this goal"),
    };
    // Nothing that happens elsewhere settles it.
    let (_open, settled) = oneshot::channel();
    let answer = question::ask(&session.client, &about, &[SHOW, ANOTHER], settled).await;
    match answer.as_deref() {
        Some(SHOW) => {
            let message = standing(&session, &same).await;
            session.info(format!("{same}: {message}")).await;
        }
        Some(ANOTHER) => {
            // The text may have changed while the question stood there.
            let started = match spec(&session, args) {
                Ok(spec) => session.backend.submit(spec).await,
                Err(error) => Err(error),
            };
            match started {
                Ok(goal) => session.info(format!("Started {goal}")).await,
                Err(error) => session.fail("cannot start another goal", &error).await,
            }
        }
        // Closed without an answer, or a client that asks nothing: the first goal goes on alone.
        _ => {}
    }
}

/// How far a goal is, in words.
async fn standing(session: &Session, goal: &GoalId) -> String {
    match session.goal(goal).await {
        Ok(view) if view.summary.state.is_active() => {
            let goal = &view.summary;
            format!(
                "{}, {} of {} done",
                goal.state.as_str(),
                goal.succeeded,
                count(goal.tasks as usize, "task")
            )
        }
        _ => outcome(session, goal).await,
    }
}

/// The goal as the driver takes it: what it says itself, then what the editor's settings say.
pub(crate) fn spec(session: &Session, args: SubmitArgs) -> Result<GoalSpec> {
    if args.prompt.trim().is_empty() && args.plan.is_none() {
        return Err(ErrorBody::user("prompt: a goal needs a prompt or a plan")
            .hint("describe the change you want"));
    }
    let settings = session.settings.now();
    let asked = args.scope.unwrap_or_default();
    let kind = asked
        .kind
        .unwrap_or_else(|| settings.scope.unwrap_or_default().into());
    let named = asked
        .uris
        .iter()
        .map(|uri| uri::parse(uri))
        .collect::<Result<Vec<_>>>()?;
    let root = workspace(session, &named)?;
    let scope = scope(session, &root, kind, &asked, &named)?;
    let settings = match &args.plan {
        Some(plan) => beneath(plan, settings),
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
        env: session.config.env.clone(),
    })
}

/// What the settings say beneath a ready plan, which comes with the goal: what it says itself comes
/// first, and an agent that none of its tasks asks for need not be there.
fn beneath(plan: &Plan, settings: EditorSettings) -> EditorSettings {
    let mut tasks = plan.tasks.iter();
    let asks = tasks.any(|task| task.agent.is_none() && task.run.is_none());
    EditorSettings {
        agent: settings.agent.filter(|_| asks),
        jobs: settings.jobs.filter(|_| plan.max_parallel.is_none()),
        budget_usd: settings.budget_usd.filter(|_| plan.budget_usd.is_none()),
        ..settings
    }
}

/// The folder a goal is about: that of the first document named, else of the document last touched,
/// else the only one.
fn workspace(session: &Session, named: &[PathBuf]) -> Result<PathBuf> {
    let roots = session.roots();
    // A folder that is named may be a link to one of them.
    let holding =
        |path: &Path| root_of(session, path).or_else(|| root_of(session, &uri::real(path)));
    if roots.is_empty() {
        return Err(ErrorBody::user("no workspace folder is open")
            .hint("open a folder or a file in a project, then try again"));
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
            .hint("open a document in the right folder, or name the folder in scope.uris")),
    }
}

/// The workspace folder a file is in; of nested ones the innermost.
pub(crate) fn root_of(session: &Session, path: &Path) -> Option<PathBuf> {
    let roots = session.roots().into_iter();
    roots
        .filter(|root| path.starts_with(root))
        .max_by_key(|root| root.components().count())
}

fn scope(
    session: &Session,
    root: &Path,
    kind: ScopeKind,
    asked: &ScopeArgs,
    named: &[PathBuf],
) -> Result<Scope> {
    let selection = match asked.range {
        Some(range) => Some(selection(
            session,
            root,
            named,
            range,
            asked.anchor.as_ref(),
        )?),
        None => None,
    };
    let files = match kind {
        ScopeKind::Workspace => Vec::new(),
        ScopeKind::Open => open_files(session, root, named)?,
        ScopeKind::Files => named_files(root, asked, named)?,
    };
    Ok(Scope {
        kind,
        files,
        globs: asked.globs.clone(),
        selection,
    })
}

/// The open documents of this folder, and those named.
fn open_files(session: &Session, root: &Path, named: &[PathBuf]) -> Result<Vec<RelPath>> {
    let open = session
        .documents
        .all()
        .into_iter()
        .filter_map(|document| document.path);
    let mut files: Vec<_> = open
        .chain(named.iter().cloned())
        .filter_map(|path| uri::relative(root, &path))
        .collect();
    files.sort();
    files.dedup();
    if files.is_empty() {
        return Err(
            ErrorBody::user(format!("no file in {} is open", root.display()))
                .hint("open the files for the goal, or use the whole workspace as its scope"),
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
            uri::relative(root, path).ok_or_else(|| {
                ErrorBody::user(format!(
                    "scope.uris[{n}]: {} is not in {}",
                    path.display(),
                    root.display()
                ))
            })
        })
        .collect()
}

fn selection(
    session: &Session,
    root: &Path,
    named: &[PathBuf],
    range: LineRange,
    anchor: Option<&Anchor>,
) -> Result<Selection> {
    if range.end_line <= range.start_line {
        return Err(ErrorBody::user(
            "scope.range: endLine must be greater than startLine",
        ));
    }
    let path = named
        .first()
        .and_then(|path| uri::relative(root, path))
        .ok_or_else(|| ErrorBody::user("scope.range: the document must be listed in scope.uris"))?;
    let document = named.first().and_then(|path| session.documents.at(path));
    let range = match (anchor, &document) {
        (None, _) => range,
        (Some(anchor), Some(document)) => {
            anchor::find(document, range, anchor).ok_or_else(moved)?
        }
        (Some(_), None) => return Err(moved()),
    };
    let range = match &document {
        Some(document) => hunks::to_text_lines(&document.text, range),
        None => range,
    };
    Ok(Selection {
        path,
        start_line: range.start_line,
        end_line: range.end_line,
        // The driver reads it, for whoever submits.
        text: None,
    })
}

/// The lines are no longer those that the goal was offered for. It is never about others instead.
fn moved() -> ErrorBody {
    ErrorBody::stale("scope.range: these lines have changed since the goal was offered")
        .hint("request code actions again")
}
