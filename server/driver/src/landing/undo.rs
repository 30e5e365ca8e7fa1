//! Landings taken back.

use claudecluster_core::{
    lifecycle::{FileEntry, Move},
    review,
};
use claudecluster_protocol::{BlobId, ErrorBody, EventBody, change::FileVersion, event::Verdict};
use claudecluster_worker::changes::Content;

use super::{Done, TRIES, Turn, moving};
use crate::{proposal::as_text, verdict::Change};

impl Turn<'_> {
    /// Takes the landings of an entry back that still stand, the latest first, keeping what was typed
    /// since.
    pub(super) async fn undo(&mut self, entry: &FileEntry) -> Result<Done, ErrorBody> {
        let mut done = Done::default();
        let mut entry = entry.clone();
        for (index, landing) in entry.moves.clone().iter().enumerate().rev() {
            if !landing.is_landing() || landing.standing().next().is_none() {
                continue;
            }
            let of = u32::try_from(index).unwrap_or(u32::MAX);
            match self.undo_landing(&entry, of, landing).await? {
                Some(fact) => done.facts.push(fact),
                None => {
                    let left = landing.standing().count();
                    done.conflicts += u32::try_from(left).unwrap_or(u32::MAX);
                    break;
                }
            }
            entry.file.base.clone_from(&landing.before.base);
        }
        Ok(done)
    }

    /// The fact of an undone landing; `None` where the text it left has been changed since.
    async fn undo_landing(
        &mut self,
        entry: &FileEntry,
        of: u32,
        landing: &Move,
    ) -> Result<Option<EventBody>, ErrorBody> {
        let Some(landed) = &landing.landed else {
            return Ok(None);
        };
        let mode =
            |version: &Option<FileVersion>| version.as_ref().map(|v| v.mode).unwrap_or_default();
        let load = |blob: &Option<BlobId>, mode| {
            let version = blob.as_ref().map(|blob| FileVersion {
                blob: blob.clone(),
                mode,
            });
            self.shared.content_of(version.as_ref())
        };
        let before = load(&landed.before, mode(&landing.before.base))?;
        let after = load(&landed.after, mode(&landing.after.base))?;
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
            return Ok(Some(EventBody::Reviewed {
                path: entry.file.path.clone(),
                entry: entry.file.entry,
                verdict: Verdict::Undo,
                hunks: landing.standing().cloned().collect(),
                base: landing.before.base.clone(),
                proposed: entry.file.proposed.clone(),
                landed: Some(self.landed(&versions.current, &observed)?),
                reason: self.decision.reason.clone(),
                of: Some(of),
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
