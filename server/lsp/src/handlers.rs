//! The handlers of methods, one file for each method.

pub(crate) mod changes;
pub(crate) mod code_action;
pub(crate) mod code_action_resolve;
pub(crate) mod code_lens;
pub(crate) mod completion;
pub(crate) mod configuration;
pub(crate) mod content;
pub(crate) mod diff;
pub(crate) mod execute_command;
pub(crate) mod hover;
pub(crate) mod initialize;
pub(crate) mod progress_cancel;
pub(crate) mod submit;
pub(crate) mod sync;
pub(crate) mod workspace_folders;
