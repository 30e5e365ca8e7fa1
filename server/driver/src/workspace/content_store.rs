//! The content of recorded file versions: the artifact store, with a cache in memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use claudecluster_protocol::{BlobId, ErrorBody, change::FileVersion};
use claudecluster_store::Store;
use claudecluster_worker::changes::FileContent;

/// Bytes of file content kept in memory.
const CACHE_BYTES: usize = 64 << 20;

/// Loads and saves the content of file versions. Clones share the cache.
#[derive(Clone)]
pub(crate) struct ContentStore {
    store: Store,
    cache: Arc<Mutex<ContentCache>>,
}

#[derive(Default)]
struct ContentCache {
    bytes: usize,
    by_id: HashMap<BlobId, bytes::Bytes>,
}

impl ContentStore {
    /// Returns a content store with an empty cache.
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            cache: Arc::default(),
        }
    }

    /// Returns the journal and artifact store beneath.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Loads the content of a version, from memory if it was loaded before.
    pub(crate) fn load(&self, version: &FileVersion) -> Result<FileContent, ErrorBody> {
        if let Some(bytes) = self.cache().by_id.get(&version.blob) {
            return Ok(FileContent {
                bytes: bytes.clone(),
                mode: version.mode,
            });
        }
        let content = load_content(&self.store, version)?;
        let mut cache = self.cache();
        if cache.bytes + content.bytes.len() > CACHE_BYTES {
            *cache = ContentCache::default();
        }
        if cache
            .by_id
            .insert(version.blob.clone(), content.bytes.clone())
            .is_none()
        {
            cache.bytes += content.bytes.len();
        }
        Ok(content)
    }

    /// Loads the content of a version if there is one.
    pub(crate) fn load_optional(
        &self,
        version: Option<&FileVersion>,
    ) -> Result<Option<FileContent>, ErrorBody> {
        version.map(|version| self.load(version)).transpose()
    }

    /// Saves content as an artifact and returns its version.
    pub(crate) fn save(&self, content: &FileContent) -> Result<FileVersion, ErrorBody> {
        save_content(&self.store, content)
    }

    /// Saves content as an artifact if there is any, and returns its version.
    pub(crate) fn save_optional(
        &self,
        content: Option<&FileContent>,
    ) -> Result<Option<FileVersion>, ErrorBody> {
        content.map(|content| self.save(content)).transpose()
    }

    fn cache(&self) -> MutexGuard<'_, ContentCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Loads the content of a version from the artifact store.
pub(crate) fn load_content(store: &Store, version: &FileVersion) -> Result<FileContent, ErrorBody> {
    let bytes = store
        .get_blob(&version.blob)
        .map_err(ErrorBody::from)?
        .ok_or_else(|| {
            ErrorBody::internal(format!("the artifact {} no longer exists", version.blob))
                .with_hint("start the goal again")
        })?;
    Ok(FileContent {
        bytes: bytes.into(),
        mode: version.mode,
    })
}

/// Saves content in the artifact store and returns its version.
pub(crate) fn save_content(store: &Store, content: &FileContent) -> Result<FileVersion, ErrorBody> {
    Ok(FileVersion {
        blob: store.put_blob(&content.bytes).map_err(ErrorBody::from)?,
        mode: content.mode,
    })
}
