//! The one interface of the daemon for every front: the command line's socket, editors, and later
//! HTTP, ACP and MCP.
//!
//! Architecture invariants:
//! - A front speaks [`Service`] only: one [`Call`](claudecluster_protocol::api::Call) is answered by one
//!   [`Answer`](claudecluster_protocol::api::Answer), and events are streamed from a sequence number.
//! - [`Service::call`] and [`Service::events`] check the caller's rights before anything else runs. An
//!   implementation cannot be reached past that check: its methods take a [`Permit`], which only the check makes.
//! - A front takes no answer apart itself: [`TypedCalls`] does, in one place.
//! - Editors work on text that changes with every key. What they need synchronously is [`LiveTexts`]; it is for
//!   fronts inside the daemon's process, whose callers have every right.

mod caller;
mod driver_service;
mod live_texts;
mod permit;
mod rights;
mod service;
mod typed_calls;

pub use claudecluster_driver::{
    DocumentDeletion, DocumentEdit, EditError, EditedLines, Editor, OpenDocument, TextSource,
    agent_catalog,
};

pub use crate::{
    caller::{Caller, CallerName},
    live_texts::{EditorAttachment, EditorService, LiveTexts},
    permit::Permit,
    rights::{Right, Rights, right_needed},
    service::{EventReceiver, Service},
    typed_calls::{Dated, ServiceClient, TypedCalls, UnifiedDiff, unexpected_answer},
};
