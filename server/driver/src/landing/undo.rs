//! Landings taken back.

use claudecluster_core::{
    lifecycle::{FileEntry, Landing},
    review,
};
use claudecluster_protocol::{ErrorBody, EventBody, change::FileVersion, event::Verdict};
use claudecluster_worker::changes::Content;

use super::{Done, TRIES, Turn, moving};
use crate::{proposal::as_text, verdict::Change};

impl Turn<'_> {
    /// Takes the last landings of an entry back, the latest first, keeping what was typed since.
    pub(super) async fn undo(&mut self, entry: &FileEntry) -> Result<Done, ErrorBody> {
        let mut done = Done::default();
        let mut entry = entry.clone();
        while let Some(landing) = entry.landings.pop() {
            match self.undo_landing(&entry, &landing).await? {
                Some(fact) => done.facts.push(fact),
                None => {
                    done.conflicts += landing.hunks;
                    break;
                }
            }
            entry.file.base.clone_from(&landing.base);
        }
        Ok(done)
    }

    /// The fact of an undone landing; `None` where the text it left has been changed since.
    async fn undo_landing(
        &mut self,
        entry: &FileEntry,
        landing: &Landing,
    ) -> Result<Option<EventBody>, ErrorBody> {
        let mode =
            |version: &Option<FileVersion>| version.as_ref().map(|v| v.mode).unwrap_or_default();
        let load = |blob: &Option<claudecluster_protocol::BlobId>, mode| {
            let version = blob.as_ref().map(|blob| FileVersion {
                blob: blob.clone(),
                mode,
            });
            self.shared.content_of(version.as_ref())
        };
        let before = load(&landing.landed.before, mode(&landing.base))?;
        let after = load(&landing.landed.after, mode(&landing.after))?;
        for _ in 0..TRIES {
            let versions = self.versions(entry).await?;
            let target = match undone(&before, &after, &versions.current) {
                Some(target) => target,
                None => return Ok(None),
            };
            let change = Change {
                hunks: Vec::new(),
                parts: Vec::new(),
                current: target,
                base: None,
                proposed: None,
            };
            let Some(observed) = self.write(entry, &versions, &change).await? else {
                continue;
            };
            let hunks = vec![claudecluster_protocol::HunkId::new(format!(
                "{}.undo",
                self.goal.id
            ))];
            return Ok(Some(EventBody::Reviewed {
                path: entry.file.path.clone(),
                entry: entry.file.entry,
                verdict: Verdict::Undo,
                hunks,
                base: landing.base.clone(),
                proposed: entry.file.proposed.clone(),
                landed: Some(self.landed(&versions.current, &observed)?),
                reason: self.decision.reason.clone(),
            }));
        }
        Err(moving(&entry.file.path))
    }
}

/// The file as if a landing had not happened; `None` where its text has been changed since.
fn undone(
    before: &Option<Content>,
    after: &Option<Content>,
    current: &Option<Content>,
) -> Option<Option<Content>> {
    if current.as_ref().map(|c| &c.bytes) == after.as_ref().map(|c| &c.bytes) {
        return Some(before.clone());
    }
    let (before_text, after_text, current_text) = (
        before.as_ref().and_then(as_text)?,
        after.as_ref().and_then(as_text)?,
        current.as_ref().and_then(as_text)?,
    );
    let undone = review::undo(before_text, after_text, current_text);
    if undone.conflicts > 0 {
        return None;
    }
    let mode = before
        .as_ref()
        .map(|content| content.mode)
        .unwrap_or_default();
    Some(Some(Content {
        bytes: undone.text.into_bytes().into(),
        mode,
    }))
}
