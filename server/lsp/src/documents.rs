//! The open documents, as the editor has told them.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use claudecluster_core::text::{self, ContentChange, PositionEncoding};
use claudecluster_driver::{Edited, OpenDocument};
use dashmap::DashMap;
use lsp_types::Uri;
use ropey::Rope;
use tokio::sync::{Mutex, oneshot, watch};

use crate::{
    typed::{self, Typed},
    uri,
};

/// A document at one moment. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) uri: Uri,
    /// The file it shows, if it shows one.
    pub(crate) path: Option<PathBuf>,
    /// The client's number, as it came: some clients leave numbers out.
    pub(crate) version: i32,
    pub(crate) text: Rope,
    /// Where the user typed last, in the client's lines.
    pub(crate) edited: Option<Edited>,
}

impl Snapshot {
    /// As the driver sees it; `None` for a document that shows no file.
    pub(crate) fn to_open(&self) -> Option<OpenDocument> {
        Some(OpenDocument {
            edited: self
                .edited
                .as_ref()
                .map(|edited| typed::in_text_lines(&self.text, edited)),
            path: self.path.clone()?,
            version: self.version,
            text: self.text.clone(),
        })
    }

    /// Tells texts apart, within one run of the server.
    pub(crate) fn hash(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

struct Document {
    now: Snapshot,
    /// Announces each new version. Its end means that the document has been closed.
    versions: watch::Sender<i32>,
    /// Held while an edit of ours is on its way: never two at once.
    editing: Arc<Mutex<()>>,
    expectation: Option<Expectation>,
    /// Whoever waits for its end hears how it was last.
    end: Option<oneshot::Sender<Snapshot>>,
    /// When it was last opened or changed, by the clock of [`Documents`].
    touched: u64,
}

/// A text that an edit of ours should lead to.
struct Expectation {
    text: Rope,
    /// The document at the moment it had that text. Later changes of the same message do not undo
    /// that it was there.
    met: Option<Snapshot>,
}

/// All open documents. Every method is synchronous: the change a message tells is made before
/// anything is awaited.
#[derive(Default)]
pub(crate) struct Documents {
    by_uri: DashMap<Uri, Document>,
    by_path: DashMap<PathBuf, Uri>,
    clock: AtomicU64,
}

impl Documents {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn open(&self, uri: Uri, version: i32, text: &str) {
        let path = uri::to_path(&uri);
        if let Some(path) = &path {
            self.by_path.insert(path.clone(), uri.clone());
        }
        let now = Snapshot {
            uri: uri.clone(),
            path,
            version,
            text: Rope::from_str(text),
            edited: None,
        };
        let touched = self.tick();
        if let Some(mut document) = self.by_uri.get_mut(&uri) {
            // A client that opens twice means the second.
            document.now = now;
            document.touched = touched;
            document.versions.send_replace(version);
            return;
        }
        let document = Document {
            now,
            versions: watch::Sender::new(version),
            editing: Arc::default(),
            expectation: None,
            end: None,
            touched,
        };
        self.by_uri.insert(uri, document);
    }

    /// Makes the changes in their order. `false` if the document is not open.
    pub(crate) fn change(
        &self,
        uri: &Uri,
        version: i32,
        changes: &[ContentChange],
        encoding: PositionEncoding,
    ) -> bool {
        let touched = self.tick();
        let Some(mut document) = self.by_uri.get_mut(uri) else {
            return false;
        };
        let document = &mut *document;
        document.now.version = version;
        document.touched = touched;
        let mut typed = Typed::new(document.now.edited.take());
        for change in changes {
            let before = document.now.text.clone();
            text::apply(&mut document.now.text, change, encoding);
            typed.take(&before, &document.now.text, change);
            if let Some(expectation) = &mut document.expectation
                && expectation.met.is_none()
                && expectation.text == document.now.text
            {
                expectation.met = Some(document.now.clone());
                typed.was_ours();
            }
        }
        document.now.edited = typed.finish();
        document.versions.send_replace(version);
        true
    }

    pub(crate) fn close(&self, uri: &Uri) {
        let Some((_, document)) = self.by_uri.remove(uri) else {
            return;
        };
        if let Some(path) = &document.now.path {
            // Another address of the same file may have taken the path over.
            self.by_path.remove_if(path, |_, owner| owner == uri);
        }
        if let Some(end) = document.end {
            // Nobody listens any more where it took too long.
            let _ = end.send(document.now);
        }
    }

    pub(crate) fn get(&self, uri: &Uri) -> Option<Snapshot> {
        self.by_uri.get(uri).map(|document| document.now.clone())
    }

    /// Whether the document is still at this version.
    pub(crate) fn has(&self, uri: &Uri, version: i32) -> bool {
        self.by_uri
            .get(uri)
            .is_some_and(|document| document.now.version == version)
    }

    pub(crate) fn at(&self, path: &Path) -> Option<Snapshot> {
        let uri = self.by_path.get(path)?.clone();
        self.get(&uri)
    }

    /// All documents, last touched first.
    pub(crate) fn all(&self) -> Vec<Snapshot> {
        let mut all: Vec<_> = self
            .by_uri
            .iter()
            .map(|document| (document.touched, document.now.clone()))
            .collect();
        all.sort_by_key(|&(touched, _)| std::cmp::Reverse(touched));
        all.into_iter().map(|(_, now)| now).collect()
    }

    /// The addresses of all documents.
    pub(crate) fn uris(&self) -> Vec<Uri> {
        self.by_uri
            .iter()
            .map(|entry| entry.key().clone())
            .collect()
    }

    /// A receiver of the document's versions.
    pub(crate) fn versions(&self, uri: &Uri) -> Option<watch::Receiver<i32>> {
        Some(self.by_uri.get(uri)?.versions.subscribe())
    }

    /// The lock that edits of the document take.
    pub(crate) fn editing(&self, uri: &Uri) -> Option<Arc<Mutex<()>>> {
        Some(self.by_uri.get(uri)?.editing.clone())
    }

    /// Gives the document as it was last once it is closed. Replaces an earlier call.
    pub(crate) fn end(&self, uri: &Uri) -> Option<oneshot::Receiver<Snapshot>> {
        let (sender, receiver) = oneshot::channel();
        self.by_uri.get_mut(uri)?.end = Some(sender);
        Some(receiver)
    }

    /// Watches out for the moment the document has this text. Replaces an earlier expectation.
    pub(crate) fn expect(&self, uri: &Uri, text: Option<&str>) {
        if let Some(mut document) = self.by_uri.get_mut(uri) {
            document.expectation = text.map(|text| Expectation {
                text: Rope::from_str(text),
                met: None,
            });
        }
    }

    /// The document at the moment it had the expected text.
    pub(crate) fn met(&self, uri: &Uri) -> Option<Snapshot> {
        self.by_uri.get(uri)?.expectation.as_ref()?.met.clone()
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
    fn versions_are_the_clients_and_an_expected_text_is_noticed_in_passing() {
        let documents = Documents::default();
        let uri = Uri::parse("file:///w/a.rs").unwrap();
        documents.open(uri.clone(), 7, "one\n");
        documents.expect(&uri, Some("one two\n"));
        let changes = [insert(0, 3, " two"), insert(0, 7, "!")];
        assert!(documents.change(&uri, 41, &changes, PositionEncoding::Utf16));
        let now = documents.at(Path::new("/w/a.rs")).unwrap();
        assert_eq!(
            (now.version, now.text.to_string().as_str()),
            (41, "one two!\n")
        );
        let met = documents.met(&uri).unwrap();
        assert_eq!(
            (met.version, met.text.to_string().as_str()),
            (41, "one two\n")
        );
        documents.expect(&uri, None);
        assert!(documents.met(&uri).is_none());

        let mut versions = documents.versions(&uri).unwrap();
        documents.close(&uri);
        assert!(documents.at(Path::new("/w/a.rs")).is_none());
        assert!(
            futures::FutureExt::now_or_never(versions.changed())
                .unwrap()
                .is_err()
        );
    }

    #[test]
    fn documents_without_a_file_are_kept_but_are_not_the_drivers() {
        let documents = Documents::default();
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
        let documents = Documents::default();
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
