//! Plans as documents: JSON files that are checked, completed and explained while they are written, and
//! approved as they are open.
//!
//! Two kinds of files are plans. Those of goals are written below the state folder by [`open`] and end
//! in `.plan.json`; those that developers keep in a workspace end in `.claudecluster.json`.
//!
//! Architecture invariant: what is right and wrong about a plan is said by `protocol` (the type) and by
//! `core::plan` (the rules). Here it only gets its place in a text.

mod actions;
mod approve;
mod candidates;
mod completion;
mod diagnostics;
mod edits;
mod files;
mod fixes;
mod hover;
mod lens;
mod open;
mod outline;
mod problems;
mod reshape;
mod schema;
mod text;

use std::{
    io,
    path::{Path, PathBuf},
};

use claudecluster_protocol::{GoalId, GoalState, goal::GoalView};

use self::problems::{Checked, Surroundings};
pub(crate) use self::{
    actions::offered,
    approve::approve,
    completion::{complete, options as completion_options, register as register_completion},
    diagnostics::of as diagnostics,
    hover::explain,
    lens::of as lenses,
    open::open,
};
use crate::{Backend, documents::Snapshot, session::Session, uri};

/// What files that developers keep end in.
const KEPT: &str = ".claudecluster.json";

/// Whose plan a document is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Of {
    /// That of a goal.
    Goal(GoalId),
    /// One that somebody keeps in a workspace.
    Workspace,
}

/// Whose plan a document is; `None` where it is none.
fn of(session: &Session, document: &Snapshot) -> Option<Of> {
    let path = document.path.as_deref()?;
    let name = path.file_name()?.to_str()?;
    if name.ends_with(files::ENDING) {
        let folder = uri::real(session.config.plans.as_deref()?);
        let goal = name.split('.').next().filter(|goal| !goal.is_empty())?;
        return path
            .starts_with(folder)
            .then(|| Of::Goal(GoalId::new(goal)));
    }
    let kept = name.ends_with(KEPT) && session.roots().iter().any(|root| path.starts_with(root));
    kept.then_some(Of::Workspace)
}

/// A plan that is open, looked at.
struct Opened {
    of: Of,
    /// The goal, where it is the plan of one that is known.
    goal: Option<GoalView>,
    checked: Checked,
}

/// Looks at a document; `None` where it is no plan.
async fn look(session: &Session, document: &Snapshot) -> Option<Opened> {
    let of = of(session, document)?;
    let goal = goal(session, &of).await;
    let around = surroundings(session, document, goal.as_ref());
    let text = document.text.clone();
    let checked = session
        .ask(move |_| Ok(problems::check(String::from(&text), &around)))
        .await
        .ok()?;
    Some(Opened { of, goal, checked })
}

/// The goal of a plan, where it is known.
async fn goal(session: &Session, of: &Of) -> Option<GoalView> {
    match of {
        Of::Goal(goal) => session.goal(goal).await.ok(),
        Of::Workspace => None,
    }
}

fn surroundings(session: &Session, document: &Snapshot, goal: Option<&GoalView>) -> Surroundings {
    if let Some(goal) = goal {
        return Surroundings {
            root: Some(PathBuf::from(&goal.summary.workspace)),
            gates: !goal.spec.gates.is_empty(),
        };
    }
    let roots = session.roots().into_iter();
    let holds = |root: &PathBuf| {
        let path = document.path.as_ref();
        path.is_some_and(|path| path.starts_with(root))
    };
    let gates = session.settings.now().gates;
    Surroundings {
        // Of nested folders the innermost.
        root: roots
            .filter(holds)
            .max_by_key(|root| root.components().count()),
        gates: gates.is_some_and(|gates| !gates.is_empty()),
    }
}

/// Removes documents below a folder for plans whose goals are done, unless somebody has changed them.
pub(crate) fn tidy(backend: &dyn Backend, folder: &Path) -> io::Result<()> {
    // One that is not known any more is done as well.
    let is_done = |id: &GoalId| {
        let state = backend.goal(id).map(|goal| goal.summary.state);
        state.map_or(true, |state| {
            matches!(state, GoalState::Landed | GoalState::Rejected)
        })
    };
    files::tidy(folder, is_done)
}
