//! The attached editors, and the current content of files: the open buffer, or the file on disk.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use claudecluster_protocol::{ErrorBody, RelPath};
use claudecluster_worker::changes::FileContent;
use dashmap::DashMap;

use crate::workspace::{
    content_text::text_content,
    disk,
    editor::{Editor, OpenDocument},
};

/// The attached editors. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct EditorRegistry(Arc<AttachedEditors>);

#[derive(Default)]
struct AttachedEditors {
    /// By the order in which they were attached.
    by_number: DashMap<u64, Arc<dyn Editor>>,
    last_number: AtomicU64,
}

impl EditorRegistry {
    /// Attaches an editor and returns the number to detach it with.
    pub(crate) fn attach(&self, editor: Arc<dyn Editor>) -> u64 {
        let number = self.0.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.by_number.insert(number, editor);
        number
    }

    /// Detaches an editor.
    pub(crate) fn detach(&self, number: u64) {
        self.0.by_number.remove(&number);
    }

    /// Returns the number of attached editors.
    pub(crate) fn len(&self) -> usize {
        self.0.by_number.len()
    }

    /// Returns the open documents beneath `root`, of all editors. If two editors have a file open,
    /// the document of the editor attached first counts.
    pub(crate) fn documents(&self, root: &Path) -> Vec<OpenDocument> {
        let mut editors: Vec<(u64, Arc<dyn Editor>)> = self
            .0
            .by_number
            .iter()
            .map(|e| (*e.key(), e.value().clone()))
            .collect();
        editors.sort_by_key(|(number, _)| *number);
        let mut found: HashMap<PathBuf, OpenDocument> = HashMap::new();
        for document in editors.iter().flat_map(|(_, editor)| editor.documents()) {
            if document.path.starts_with(root) {
                found.entry(document.path.clone()).or_insert(document);
            }
        }
        found.into_values().collect()
    }

    /// Returns the editor that has a file open, and the document. If two have, as for
    /// [`Self::documents`].
    pub(crate) fn document(&self, path: &Path) -> Option<(Arc<dyn Editor>, OpenDocument)> {
        let mut found: Option<(u64, Arc<dyn Editor>, OpenDocument)> = None;
        for entry in &self.0.by_number {
            if let Some(document) = entry.value().document(path)
                && found
                    .as_ref()
                    .is_none_or(|(number, ..)| entry.key() < number)
            {
                found = Some((*entry.key(), entry.value().clone(), document));
            }
        }
        found.map(|(_, editor, document)| (editor, document))
    }

    /// Waits until no editor is reloading a file, then returns as [`Self::document`] does. Call this
    /// before treating a file as the disk's.
    pub(crate) async fn settled_document(
        &self,
        path: &Path,
    ) -> Option<(Arc<dyn Editor>, OpenDocument)> {
        loop {
            let found = self.document(path);
            if found.is_some() {
                return found;
            }
            let editors: Vec<_> = self
                .0
                .by_number
                .iter()
                .map(|one| one.value().clone())
                .collect();
            let mut waited = false;
            for editor in editors {
                waited |= editor.settled(path).await;
            }
            if !waited {
                // Opened between the two looks.
                return self.document(path);
            }
        }
    }

    /// Returns a file as it is now: the open buffer, or the file on disk if no editor has it open.
    pub(crate) fn current_content(
        &self,
        root: &Path,
        path: &RelPath,
    ) -> Result<Option<FileContent>, ErrorBody> {
        let on_disk = match disk::read_file(root, path) {
            Ok(on_disk) => on_disk,
            // Whatever is there is no file. Whoever writes the file looks again and says so.
            Err(disk::WriteError::NoFile(_)) => None,
            Err(error) => return Err(disk::unreadable_file(path, &error)),
        };
        let on_disk = on_disk.map(|(content, _)| content);
        if let Some((_, document)) = self.document(&root.join(path.to_path_buf())) {
            let mode = on_disk.map(|content| content.mode).unwrap_or_default();
            return Ok(Some(text_content(String::from(&document.text), mode)));
        }
        Ok(on_disk)
    }
}
