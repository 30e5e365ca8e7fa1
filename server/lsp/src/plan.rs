//! Plans as documents: JSON files with diagnostics, completion, hover and code actions.
//!
//! Two kinds of files are plans:
//! - Plans of goals end in `.plan.json`. [`open_plan`] writes them below the state folder.
//! - Plans that users keep in a workspace end in `.claudecluster.json`.
//!
//! Architecture invariant: the type in `protocol` and the rules in `core::plan` decide what is wrong
//! with a plan. This module only finds the places of mistakes in a text.

mod actions;
mod approve;
mod candidates;
mod check;
mod completion;
mod diagnostics;
mod document;
mod edits;
mod files;
mod fixes;
mod hover;
mod lens;
mod open;
mod outline;
mod refactor;
mod schema;
mod syntax;

use std::{io, path::Path};

use claudecluster_protocol::{GoalId, GoalState};

pub(crate) use self::{
    actions::plan_actions,
    approve::approve_plan,
    completion::{complete_at, completion_options, register_completion},
    diagnostics::plan_diagnostics,
    hover::explain_item,
    lens::plan_lenses,
    open::open_plan,
};
use crate::backend::Backend;

/// Removes the plan documents of finished goals from a folder, unless they were edited.
///
/// # Errors
///
/// The folder cannot be read or written.
pub(crate) fn remove_finished(backend: &dyn Backend, folder: &Path) -> io::Result<()> {
    // An unknown goal has been removed, so it is finished as well.
    let is_finished = |id: &GoalId| {
        let state = backend.goal(id).map(|goal| goal.summary.state);
        state.map_or(true, |state| {
            matches!(state, GoalState::Landed | GoalState::Rejected)
        })
    };
    files::remove_unedited(folder, is_finished)
}
