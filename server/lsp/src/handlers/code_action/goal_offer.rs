//! A goal that a code action offers, and the place it is offered for.

use std::path::Path;

use claudecluster_core::display_text::line as plain_text;
use claudecluster_protocol::{
    RelPath,
    editor::{EditorSettings, LineRange},
    goal::GoalScopeKind,
};
use lsp_types::Diagnostic;

use crate::documents::{DocumentSnapshot, lines::ClientLines};

/// The place for which goals are offered.
pub(super) struct OfferContext<'a> {
    pub(super) document: &'a DocumentSnapshot,
    /// The document's file, relative to its workspace folder.
    pub(super) path: RelPath,
    /// The lines of the request.
    pub(super) lines: LineRange,
    /// Whether the client asks by itself, to show a light bulb.
    pub(super) automatic: bool,
    pub(super) settings: EditorSettings,
}

/// A goal that a code action offers.
pub(super) struct GoalOffer {
    /// The start of the action's title.
    pub(super) verb: String,
    /// The rest of the title, in words of others.
    pub(super) about: String,
    pub(super) prompt: String,
    pub(super) kind: GoalScopeKind,
    /// The lines that the goal is about above all.
    pub(super) range: Option<LineRange>,
    /// The diagnostic that the goal would fix.
    pub(super) fixes: Option<Diagnostic>,
}

impl OfferContext<'_> {
    /// Returns the lines of the document.
    pub(super) fn text(&self) -> ClientLines<'_> {
        ClientLines(&self.document.text)
    }

    /// Returns the name of the file, safe to use in a sentence.
    pub(super) fn file_name(&self) -> String {
        plain_text::to_line(&self.path.display(), 300)
    }

    /// Returns the extension of the file in lower case.
    pub(super) fn extension(&self) -> String {
        let path = Path::new(self.path.as_str());
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.unwrap_or_default().to_ascii_lowercase()
    }
}
