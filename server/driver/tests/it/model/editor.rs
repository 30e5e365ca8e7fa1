//! An editor with any number of documents, which treats edits as it is told.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    sync::Mutex,
};

use async_trait::async_trait;
use claudecluster_driver::{DocumentDeletion, DocumentEdit, EditError, Editor, OpenDocument};
use claudecluster_protocol::Span;
use ropey::Rope;

/// What clients have been seen to do with an edit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// Makes it and says so.
    Obeys,
    /// Makes it, and says so much later than others say things.
    Late,
    /// The developer types first, so that it comes too late and is refused as stale.
    TypesFirst,
    /// The developer types first, and it is dropped with the word that it was applied.
    DropsStale,
    /// Says that it was applied and does nothing.
    DropsSilently,
    /// The developer types before the change is reported: the report has both.
    TypesAfter,
    /// Makes it but reports the text from before: the change comes with a delay.
    ReportsLate,
    /// Makes it and never answers.
    AppliesMutely,
    /// Does nothing and never answers.
    Mute,
    /// Says no.
    Refuses,
}

/// All of them.
pub(crate) const MANNERS: [Manner; 10] = [
    Manner::Obeys,
    Manner::Late,
    Manner::TypesFirst,
    Manner::DropsStale,
    Manner::DropsSilently,
    Manner::TypesAfter,
    Manner::ReportsLate,
    Manner::AppliesMutely,
    Manner::Mute,
    Manner::Refuses,
];

/// One editor.
#[derive(Default)]
pub(crate) struct Desk {
    documents: Mutex<BTreeMap<PathBuf, OpenDocument>>,
    /// How it treats the next edits; it obeys once these are used up.
    manners: Mutex<VecDeque<Manner>>,
    /// What the developer types where a manner says so, one of these each time.
    keys: Mutex<VecDeque<char>>,
}

impl Desk {
    pub(crate) fn open(&self, path: &Path, text: &str) {
        let document = OpenDocument {
            edited: None,
            path: path.to_owned(),
            version: 1,
            text: Rope::from_str(text),
        };
        self.documents
            .lock()
            .unwrap()
            .insert(path.to_owned(), document);
    }

    pub(crate) fn close(&self, path: &Path) {
        self.documents.lock().unwrap().remove(path);
    }

    pub(crate) fn text(&self, path: &Path) -> Option<String> {
        let documents = self.documents.lock().unwrap();
        documents
            .get(path)
            .map(|document| document.text.to_string())
    }

    pub(crate) fn set(&self, path: &Path, text: &str) -> Option<OpenDocument> {
        let mut documents = self.documents.lock().unwrap();
        let document = documents.get_mut(path)?;
        document.text = Rope::from_str(text);
        document.version += 1;
        Some(document.clone())
    }

    /// Tells how the next edits are treated, and what is typed meanwhile.
    pub(crate) fn behave(&self, manners: &[Manner], keys: &[char]) {
        *self.manners.lock().unwrap() = manners.iter().copied().collect();
        *self.keys.lock().unwrap() = keys.iter().copied().collect();
    }

    /// Types a line at the end.
    fn type_something(&self, path: &Path) -> Option<OpenDocument> {
        let text = self.text(path)?;
        let key = self.keys.lock().unwrap().pop_front();
        let key = key.map(String::from).unwrap_or_default();
        self.set(path, &format!("{text}{key}"))
    }
}

#[async_trait]
impl Editor for Desk {
    fn name(&self) -> String {
        "model".into()
    }

    fn roots(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn documents(&self) -> Vec<OpenDocument> {
        self.documents.lock().unwrap().values().cloned().collect()
    }

    fn document(&self, path: &Path) -> Option<OpenDocument> {
        self.documents.lock().unwrap().get(path).cloned()
    }

    async fn settled(&self, _: &Path) -> bool {
        false
    }

    async fn edit(&self, edit: DocumentEdit) -> Result<OpenDocument, EditError> {
        let path = &edit.document.path;
        let now = self.document(path).ok_or(EditError::Closed)?;
        let manner = self.manners.lock().unwrap().pop_front();
        let manner = manner.unwrap_or(Manner::Obeys);
        if manner == Manner::Late {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
        // A client checks the version: what was computed from another text is never applied.
        if now.version != edit.document.version {
            return Err(EditError::Stale);
        }
        let made = || self.set(path, &edit.after).ok_or(EditError::Closed);
        match manner {
            Manner::Obeys | Manner::Late => made(),
            Manner::TypesFirst => {
                self.type_something(path);
                Err(EditError::Stale)
            }
            Manner::DropsStale => self.type_something(path).ok_or(EditError::Closed),
            Manner::DropsSilently => Ok(now),
            Manner::TypesAfter => {
                made()?;
                self.type_something(path).ok_or(EditError::Closed)
            }
            Manner::ReportsLate => {
                made()?;
                Ok(now)
            }
            Manner::AppliesMutely => {
                made()?;
                Err(EditError::Unconfirmed)
            }
            Manner::Mute => Err(EditError::Unconfirmed),
            Manner::Refuses => Err(EditError::Refused("read-only".into())),
        }
    }

    fn deletes(&self) -> bool {
        true
    }

    async fn delete(&self, deletion: DocumentDeletion) -> Result<OpenDocument, EditError> {
        let path = &deletion.document.path;
        std::fs::remove_file(path).map_err(|error| EditError::Refused(error.to_string()))?;
        let gone = self.documents.lock().unwrap().remove(path);
        gone.ok_or(EditError::Closed)
    }

    async fn changed(&self, path: &Path, version: i32, _wait: Span) -> Option<OpenDocument> {
        // Nothing changes here unless a step of the model changes it.
        self.document(path).filter(|now| now.version != version)
    }
}
