//! The open documents, as the editor has reported them.

pub(crate) mod anchor;
pub(crate) mod closing;
mod edit_tracker;
pub(crate) mod lines;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::Arc,
};

use claudecluster_core::text::{self, ContentChange, PositionEncoding};
use claudecluster_protocol::editor::LineRange;
use claudecluster_service::{EditedLines, OpenDocument};
use lsp_types::Uri;
use parking_lot::RwLock;
use ropey::Rope;
use tokio::sync::{Mutex, oneshot, watch};

use self::edit_tracker::EditTracker;
use crate::uri;

/// A document at one moment. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct DocumentSnapshot {
    pub(crate) uri: Uri,
    /// The file the document shows; `None` for schemes such as `untitled:`.
    pub(crate) path: Option<PathBuf>,
    /// The client's version number, unchanged: some clients skip numbers.
    pub(crate) version: i32,
    pub(crate) text: Rope,
    /// The lines of the user's most recent edit, as the client counts lines.
    pub(crate) edited: Option<EditedLines>,
}

impl DocumentSnapshot {
    /// Converts the snapshot for the driver; `None` for a document that shows no file.
    pub(crate) fn to_open(&self) -> Option<OpenDocument> {
        Some(OpenDocument {
            edited: self
                .edited
                .as_ref()
                .map(|edited| in_driver_lines(&self.text, edited)),
            path: self.path.clone()?,
            version: self.version,
            text: self.text.clone(),
        })
    }

    /// Returns a hash of the text, comparable within one run of the server.
    pub(crate) fn text_hash(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

/// Converts the lines of an edit from the client's count to the driver's.
fn in_driver_lines(text: &Rope, edited: &EditedLines) -> EditedLines {
    let range = LineRange {
        start_line: edited.lines.start,
        end_line: edited.lines.end,
    };
    let range = lines::to_driver_lines(text, range);
    EditedLines {
        lines: range.start_line..range.end_line,
        at: edited.at,
    }
}

struct TrackedDocument {
    now: DocumentSnapshot,
    /// Announces each new version. Dropped when the document is closed.
    versions: watch::Sender<i32>,
    /// Held while an edit of the server is in flight, so there is never more than one.
    edit_lock: Arc<Mutex<()>>,
    expected: Option<ExpectedText>,
    /// Receives the last snapshot of the document when the document is closed.
    on_close: Option<oneshot::Sender<DocumentSnapshot>>,
    /// The tick of the last opening or change, for [`OpenDocuments::all`].
    touched: u64,
}

/// The text that an edit of the server should lead to.
struct ExpectedText {
    text: Rope,
    /// The document at the moment it had the text. Kept if a later change of the same message
    /// replaces the text again.
    observed: Option<DocumentSnapshot>,
}

/// All open documents of one editor.
///
/// The loop writes them; the driver and background tasks read them from other threads. Both maps
/// are in one table behind one lock, because they must agree at every moment. Every method is
/// synchronous, so a change is applied before anything is awaited.
#[derive(Default)]
pub(crate) struct OpenDocuments {
    table: RwLock<DocumentTable>,
}

#[derive(Default)]
struct DocumentTable {
    by_uri: HashMap<Uri, TrackedDocument>,
    /// The document of each file; of several, the one opened last.
    by_path: HashMap<PathBuf, Uri>,
    /// Counts openings and changes.
    ticks: u64,
}

impl DocumentTable {
    fn next_tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }
}

impl OpenDocuments {
    /// Adds a document. A client that opens a document twice replaces its text.
    pub(crate) fn open(&self, uri: Uri, version: i32, text: &str) {
        let path = uri::to_path(&uri);
        let now = DocumentSnapshot {
            uri: uri.clone(),
            path: path.clone(),
            version,
            text: Rope::from_str(text),
            edited: None,
        };
        let mut table = self.table.write();
        let touched = table.next_tick();
        if let Some(path) = path {
            table.by_path.insert(path, uri.clone());
        }
        if let Some(document) = table.by_uri.get_mut(&uri) {
            document.now = now;
            document.touched = touched;
            document.versions.send_replace(version);
            return;
        }
        let document = TrackedDocument {
            now,
            versions: watch::Sender::new(version),
            edit_lock: Arc::default(),
            expected: None,
            on_close: None,
            touched,
        };
        table.by_uri.insert(uri, document);
    }

    /// Applies the changes of one message in order. Returns `false` if the document is not open.
    pub(crate) fn change(
        &self,
        uri: &Uri,
        version: i32,
        changes: &[ContentChange],
        encoding: PositionEncoding,
    ) -> bool {
        let mut table = self.table.write();
        let touched = table.next_tick();
        let Some(document) = table.by_uri.get_mut(uri) else {
            return false;
        };
        document.now.version = version;
        document.touched = touched;
        let mut tracker = EditTracker::new(document.now.edited.take());
        for change in changes {
            let before = document.now.text.clone();
            text::apply_change(&mut document.now.text, change, encoding);
            tracker.record_change(&before, &document.now.text, change);
            if let Some(expected) = &mut document.expected
                && expected.observed.is_none()
                && expected.text == document.now.text
            {
                expected.observed = Some(document.now.clone());
                tracker.ignore_message();
            }
        }
        document.now.edited = tracker.finish();
        document.versions.send_replace(version);
        true
    }

    /// Removes a document and hands its last snapshot to the receiver of [`OpenDocuments::on_close`].
    pub(crate) fn close(&self, uri: &Uri) {
        let mut table = self.table.write();
        let Some(document) = table.by_uri.remove(uri) else {
            return;
        };
        if let Some(path) = &document.now.path
            // Another address of the same file may have taken the path over.
            && table.by_path.get(path) == Some(uri)
        {
            table.by_path.remove(path);
        }
        drop(table);
        if let Some(on_close) = document.on_close {
            // The receiver is gone if the deletion took too long.
            let _ = on_close.send(document.now);
        }
    }

    /// Returns the document at an address.
    pub(crate) fn get(&self, uri: &Uri) -> Option<DocumentSnapshot> {
        let table = self.table.read();
        table.by_uri.get(uri).map(|document| document.now.clone())
    }

    /// Returns the document that shows a file.
    pub(crate) fn get_by_path(&self, path: &Path) -> Option<DocumentSnapshot> {
        let table = self.table.read();
        let document = table.by_uri.get(table.by_path.get(path)?)?;
        Some(document.now.clone())
    }

    /// Whether the document is still at a version.
    pub(crate) fn is_at_version(&self, uri: &Uri, version: i32) -> bool {
        let table = self.table.read();
        let document = table.by_uri.get(uri);
        document.is_some_and(|document| document.now.version == version)
    }

    /// Returns all documents, the one touched last first.
    pub(crate) fn all(&self) -> Vec<DocumentSnapshot> {
        let table = self.table.read();
        let documents = table.by_uri.values();
        let mut all: Vec<_> = documents
            .map(|document| (document.touched, document.now.clone()))
            .collect();
        drop(table);
        all.sort_by_key(|&(touched, _)| std::cmp::Reverse(touched));
        all.into_iter().map(|(_, now)| now).collect()
    }

    /// Returns the addresses of all documents.
    pub(crate) fn uris(&self) -> Vec<Uri> {
        self.table.read().by_uri.keys().cloned().collect()
    }

    /// Subscribes to the versions of a document.
    pub(crate) fn watch_versions(&self, uri: &Uri) -> Option<watch::Receiver<i32>> {
        let table = self.table.read();
        Some(table.by_uri.get(uri)?.versions.subscribe())
    }

    /// Returns the lock that an edit of the document holds while it is in flight.
    pub(crate) fn edit_lock(&self, uri: &Uri) -> Option<Arc<Mutex<()>>> {
        let table = self.table.read();
        Some(table.by_uri.get(uri)?.edit_lock.clone())
    }

    /// Returns a receiver of the document's last snapshot. Replaces the receiver of an earlier call.
    pub(crate) fn on_close(&self, uri: &Uri) -> Option<oneshot::Receiver<DocumentSnapshot>> {
        let (sender, receiver) = oneshot::channel();
        self.table.write().by_uri.get_mut(uri)?.on_close = Some(sender);
        Some(receiver)
    }

    /// Watches for the moment the document has a text; `None` ends watching.
    ///
    /// Replaces the text of an earlier call.
    pub(crate) fn expect_text(&self, uri: &Uri, text: Option<&str>) {
        let expected = text.map(|text| ExpectedText {
            text: Rope::from_str(text),
            observed: None,
        });
        if let Some(document) = self.table.write().by_uri.get_mut(uri) {
            document.expected = expected;
        }
    }

    /// Returns the document at the moment it had the expected text.
    pub(crate) fn observed_text(&self, uri: &Uri) -> Option<DocumentSnapshot> {
        let table = self.table.read();
        table.by_uri.get(uri)?.expected.as_ref()?.observed.clone()
    }
}

#[cfg(test)]
mod tests {
    use claudecluster_core::text::TextPosition;

    use super::*;

    fn insert(line: u32, character: u32, text: &str) -> ContentChange {
        let at = TextPosition { line, character };
        ContentChange {
            range: Some(at..at),
            text: text.into(),
        }
    }

    #[test]
    fn versions_are_the_clients_and_an_expected_text_is_observed_within_a_message() {
        let documents = OpenDocuments::default();
        let uri = Uri::parse("file:///w/a.rs").unwrap();
        documents.open(uri.clone(), 7, "one\n");
        documents.expect_text(&uri, Some("one two\n"));
        let changes = [insert(0, 3, " two"), insert(0, 7, "!")];
        assert!(documents.change(&uri, 41, &changes, PositionEncoding::Utf16));
        let now = documents.get_by_path(Path::new("/w/a.rs")).unwrap();
        assert_eq!(
            (now.version, now.text.to_string().as_str()),
            (41, "one two!\n")
        );
        let met = documents.observed_text(&uri).unwrap();
        assert_eq!(
            (met.version, met.text.to_string().as_str()),
            (41, "one two\n")
        );
        documents.expect_text(&uri, None);
        assert!(documents.observed_text(&uri).is_none());

        let mut versions = documents.watch_versions(&uri).unwrap();
        documents.close(&uri);
        assert!(documents.get_by_path(Path::new("/w/a.rs")).is_none());
        assert!(
            futures::FutureExt::now_or_never(versions.changed())
                .unwrap()
                .is_err()
        );
    }

    #[test]
    fn documents_without_a_file_are_kept_and_hidden_from_the_driver() {
        let documents = OpenDocuments::default();
        let uri = Uri::parse("untitled:Untitled-1").unwrap();
        documents.open(uri.clone(), 1, "x");
        assert!(documents.get(&uri).unwrap().to_open().is_none());
        assert!(!documents.change(
            &Uri::parse("file:///no").unwrap(),
            2,
            &[],
            PositionEncoding::Utf8
        ));
    }

    #[test]
    fn the_last_touched_document_comes_first() {
        let documents = OpenDocuments::default();
        let uris: Vec<_> = ["file:///a", "file:///b", "file:///c"]
            .iter()
            .map(|uri| Uri::parse(uri).unwrap())
            .collect();
        for uri in &uris {
            documents.open(uri.clone(), 1, "");
        }
        documents.change(&uris[1], 2, &[], PositionEncoding::Utf8);
        let order: Vec<_> = documents
            .all()
            .into_iter()
            .map(|d| d.uri.to_string())
            .collect();
        assert_eq!(order, ["file:///b", "file:///c", "file:///a"]);
    }
}
