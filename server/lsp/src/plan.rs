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

use std::{collections::BTreeSet, path::Path};

use claudecluster_protocol::{ErrorBody, GoalId, GoalState};
use claudecluster_service::{Service, ServiceClient, TypedCalls};

pub(crate) use self::{
    actions::plan_actions,
    approve::approve_plan,
    completion::{complete_at, completion_options, register_completion},
    diagnostics::plan_diagnostics,
    hover::explain_item,
    lens::plan_lenses,
    open::open_plan,
};
use crate::blocking::run_blocking;

/// Removes the plan documents of finished goals from a folder, unless they were edited.
///
/// # Errors
///
/// The goals cannot be listed, or the folder cannot be read or written.
pub(crate) async fn remove_finished<S: Service + ?Sized>(
    service: &ServiceClient<S>,
    folder: &Path,
) -> Result<(), ErrorBody> {
    let goals = service.goals().await?.value;
    let open: BTreeSet<GoalId> = goals
        .into_iter()
        .filter(|goal| !matches!(goal.state, GoalState::Landed | GoalState::Rejected))
        .map(|goal| goal.id)
        .collect();
    let folder = folder.to_owned();
    run_blocking(move || {
        // An unknown goal has been removed, so it is finished as well.
        files::remove_unedited(&folder, |goal| !open.contains(goal)).map_err(|error| {
            let folder = folder.display();
            ErrorBody::environment(format!("cannot remove old plans from {folder}: {error}"))
                .with_hint("check the permissions of the state folder")
        })
    })
    .await
}
