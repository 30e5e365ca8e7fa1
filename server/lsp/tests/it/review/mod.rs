//! Pending changes in an editor.

mod display;
mod notifications;
mod requests;
