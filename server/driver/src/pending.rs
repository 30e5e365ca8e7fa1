//! What is left to decide: each entry of a proposal against the text that is there now.

use claudecluster_core::{
    lifecycle::{FileEntry, Goal},
    merge::Side,
    review::{Hunk, HunkKey, HunkState, Review},
};
use claudecluster_protocol::{
    ErrorBody, FileMode, HunkId,
    change::{ChangeKind, ConflictView, HunkStatus, HunkView, Provenance},
};
use claudecluster_worker::changes::Content;

use crate::{
    current::Current,
    proposal::as_text,
    reviews::{Known, Left, why},
    settings::MergeWords,
    shared::Shared,
};

/// Text shown of a whole-file hunk; the rest is there, but nobody reads it in a list.
const SHOWN_BYTES: usize = 256 << 10;

/// The three versions of one file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions {
    pub(crate) base: Option<Content>,
    pub(crate) current: Option<Content>,
    pub(crate) proposed: Option<Content>,
    /// Lines of the current text that are the developer's right now.
    pub(crate) typed: Option<std::ops::Range<u32>>,
}

/// Which part of a file's change a hunk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// Some of its lines.
    Lines(HunkKey),
    /// Its mode.
    Mode,
    /// All of it.
    Whole,
}

/// A hunk with what is needed to carry a verdict out.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) view: HunkView,
    pub(crate) part: Part,
    /// The current text has it already.
    pub(crate) present: bool,
}

impl Pending {
    /// Whether the hunk is clean only because the words of both sides are merged.
    pub(crate) fn is_by_words(&self) -> bool {
        self.view.status == HunkStatus::Clean && self.view.merged.is_some()
    }
}

impl Versions {
    /// The versions of an entry, with the current one as given.
    pub(crate) fn of(
        shared: &Shared,
        entry: &FileEntry,
        current: Option<Content>,
    ) -> Result<Self, ErrorBody> {
        Ok(Self {
            base: shared.content_of(entry.file.base.as_ref())?,
            current,
            proposed: shared.content_of(entry.file.proposed.as_ref())?,
            typed: None,
        })
    }

    /// The three texts, where the file can be reviewed by lines.
    pub(crate) fn texts(&self) -> Option<(&str, &str, &str)> {
        Some((
            as_text(self.base.as_ref()?)?,
            as_text(self.current.as_ref()?)?,
            as_text(self.proposed.as_ref()?)?,
        ))
    }

    /// Whether nobody has changed the file since its base.
    pub(crate) fn is_untouched(&self) -> bool {
        // An empty buffer at the place of a file that is not there yet is what an editor shows to
        // somebody who looks for the file: nobody's text.
        let nothing = self.current.as_ref().is_none_or(|c| c.bytes.is_empty());
        self.current == self.base || self.base.is_none() && nothing
    }
}

/// The hunks of one entry, those that are there already included.
pub(crate) fn hunks(
    shared: &Shared,
    goal: &Goal,
    entry: &FileEntry,
    versions: &Versions,
) -> Result<Vec<Pending>, ErrorBody> {
    if entry.is_settled() {
        return Ok(Vec::new());
    }
    let current = versions.current.as_ref();
    if let Some((text, mode)) = current.and_then(|c| Some((as_text(c)?, c.mode)))
        && let Some(found) = hunks_of_text(shared, goal, entry, text.into(), Some(mode))?
    {
        return Ok(found);
    }
    Ok(vec![whole_hunk(goal, entry, versions)])
}

/// The same where the file is text now. `None` where its change has no lines: it is created, deleted
/// or no text. The mode is that of the file; `None` where only a buffer is known.
pub(crate) fn hunks_of_text(
    shared: &Shared,
    goal: &Goal,
    entry: &FileEntry,
    current: Current<'_>,
    mode: Option<FileMode>,
) -> Result<Option<Vec<Pending>>, ErrorBody> {
    if entry.is_settled() {
        return Ok(Some(Vec::new()));
    }
    if current.has_nul() {
        return Ok(None);
    }
    let by_words = shared.config.settings.review.merge_words;
    shared
        .reviews
        .with(shared, goal, entry, current, |review, known| {
            let mut found: Vec<Pending> = review
                .hunks()
                .iter()
                .map(|hunk| {
                    let known = known.get_mut(&hunk.key);
                    lines_hunk(goal, entry, review, hunk, known, by_words)
                })
                .collect();
            found.extend(mode_hunk(goal, entry, mode));
            found
        })
}

/// How many hunks of one entry are left to decide.
pub(crate) fn left(
    shared: &Shared,
    goal: &Goal,
    entry: &FileEntry,
    versions: &Versions,
) -> Result<Left, ErrorBody> {
    let mut left = Left::default();
    if entry.is_settled() {
        return Ok(left);
    }
    let current = versions.current.as_ref();
    if let Some((text, mode)) = current.and_then(|c| Some((as_text(c)?, c.mode))) {
        let reviews = &shared.reviews;
        let by_words = shared.config.settings.review.merge_words;
        let counted = reviews.with(shared, goal, entry, text.into(), |review, known| {
            let mut left = Left::default();
            for hunk in review
                .hunks()
                .iter()
                .filter(|h| h.state != HunkState::Present)
            {
                let known = known.get_mut(&hunk.key);
                let conflicts = entry.is_alternative()
                    || hunk.state == HunkState::Conflict
                        && !lands_by_words(entry, review, hunk, known, by_words);
                left.add(conflicts);
            }
            left
        })?;
        if let Some(mut counted) = counted {
            let mode = mode_hunk(goal, entry, Some(mode)).filter(|mode| !mode.present);
            if let Some(mode) = mode {
                counted.add(mode.view.status == HunkStatus::Conflict);
            }
            return Ok(counted);
        }
    }
    let whole = whole_hunk(goal, entry, versions);
    if !whole.present {
        left.add(whole.view.status == HunkStatus::Conflict);
    }
    Ok(left)
}

/// Whether a conflict is none because the words of both sides are merged. A stretch that several hunks
/// share stays one: its text cannot be shown, or landed, for each of them.
fn lands_by_words(
    entry: &FileEntry,
    review: &Review<'_>,
    hunk: &Hunk,
    known: Option<&mut Known>,
    by_words: MergeWords,
) -> bool {
    by_words == MergeWords::On
        && !entry.is_alternative()
        && review.is_alone(hunk)
        && known.is_some_and(|known| known.merged(review, hunk).is_some())
}

fn lines_hunk(
    goal: &Goal,
    entry: &FileEntry,
    review: &Review<'_>,
    hunk: &Hunk,
    mut known: Option<&mut Known>,
    by_words: MergeWords,
) -> Pending {
    let part = Part::Lines(hunk.key);
    let (id, provenance) = match &known {
        Some(known) => (known.id.clone(), known.provenance.clone()),
        None => (id(goal, entry, part), all(goal, entry)),
    };
    let mut view = view_of(id, entry, part, ChangeKind::Modify);
    let merged = match &mut known {
        _ if by_words == MergeWords::Off => None,
        Some(known) if entry.is_alternative() => known.woven(review, hunk),
        Some(known) => known.merged(review, hunk),
        _ => None,
    };
    let lands = lands_by_words(entry, review, hunk, known.as_deref_mut(), by_words);
    if hunk.state == HunkState::Conflict && !lands {
        view.status = HunkStatus::Conflict;
    }
    view.start_line = hunk.current.start;
    view.end_line = hunk.current.end;
    view.old_text = review.old_text(hunk).to_owned();
    view.new_text = match &merged {
        Some(merged) if lands => merged.clone(),
        _ => review.new_text(hunk).to_owned(),
    };
    view.merged = merged;
    view.provenance = provenance;
    if view.status == HunkStatus::Conflict {
        let (merge, region) = (review.merge(), review.region(hunk));
        let text = |side| merge.text_of(&region, side).to_owned();
        view.conflict = Some(ConflictView {
            base: text(Side::Base),
            mine: text(Side::Ours),
            theirs: text(Side::Theirs),
        });
    } else if let Some(known) = known {
        view.words = known.words(&view.old_text, &view.new_text);
    }
    Pending {
        view,
        part,
        present: hunk.state == HunkState::Present,
    }
}

/// The change of a file's mode, beside that of its lines.
fn mode_hunk(goal: &Goal, entry: &FileEntry, current: Option<FileMode>) -> Option<Pending> {
    let base = entry.file.base.as_ref()?.mode;
    let proposed = entry.file.proposed.as_ref()?.mode;
    if base == proposed {
        return None;
    }
    // A buffer knows nothing of modes; whoever shows one has not changed it.
    let current = current.unwrap_or(base);
    let mut view = view(goal, entry, Part::Mode, ChangeKind::Mode);
    if current != base && current != proposed {
        view.status = HunkStatus::Conflict;
    }
    view.old_text = format!("{current:?}").to_lowercase();
    view.new_text = format!("{proposed:?}").to_lowercase();
    view.provenance = all(goal, entry);
    Some(Pending {
        view,
        part: Part::Mode,
        present: current == proposed,
    })
}

fn whole_hunk(goal: &Goal, entry: &FileEntry, versions: &Versions) -> Pending {
    let kind = match (&entry.file.from, &versions.base, &versions.proposed) {
        (Some(_), _, Some(_)) => ChangeKind::Rename,
        (None, None, Some(_)) => ChangeKind::Create,
        (_, _, None) => ChangeKind::Delete,
        (None, Some(_), Some(_)) => ChangeKind::Modify,
    };
    let mut view = view(goal, entry, Part::Whole, kind);
    let present = versions.current == versions.proposed;
    if !present && !versions.is_untouched() {
        view.status = HunkStatus::Conflict;
    }
    view.old_text = shown(versions.current.as_ref());
    view.new_text = shown(versions.proposed.as_ref());
    view.end_line = u32::try_from(view.old_text.lines().count()).unwrap_or(u32::MAX);
    view.provenance = all(goal, entry);
    Pending {
        view,
        part: Part::Whole,
        present,
    }
}

fn shown(content: Option<&Content>) -> String {
    match content {
        None => String::new(),
        Some(content) => match as_text(content) {
            Some(text) if text.len() <= SHOWN_BYTES => text.to_owned(),
            Some(text) => format!("({} bytes of text)\n", text.len()),
            None if content.mode == claudecluster_protocol::FileMode::Symlink => {
                format!(
                    "symbolic link to {}\n",
                    String::from_utf8_lossy(&content.bytes)
                )
            }
            None => format!("({} bytes of binary data)\n", content.bytes.len()),
        },
    }
}

fn view(goal: &Goal, entry: &FileEntry, part: Part, kind: ChangeKind) -> HunkView {
    view_of(id(goal, entry, part), entry, part, kind)
}

fn view_of(id: HunkId, entry: &FileEntry, part: Part, kind: ChangeKind) -> HunkView {
    // An alternative stands against what another task wants there: never clean.
    let status = if entry.is_alternative() {
        HunkStatus::Conflict
    } else {
        HunkStatus::Clean
    };
    HunkView {
        id,
        path: entry.file.path.clone(),
        kind,
        from: entry.file.from.clone(),
        whole: !matches!(part, Part::Lines(_)),
        status,
        held: entry.file.held.clone(),
        start_line: 0,
        end_line: 0,
        old_text: String::new(),
        new_text: String::new(),
        words: Vec::new(),
        conflict: None,
        mine_by: Vec::new(),
        mine_pending: false,
        merged: None,
        provenance: Vec::new(),
    }
}

/// The same for the same change of the same file, wherever its lines have moved.
pub(crate) fn id(goal: &Goal, entry: &FileEntry, part: Part) -> HunkId {
    let mut hash = blake3::Hasher::new();
    hash.update(&entry.file.path.to_bytes())
        .update(&[0])
        .update(&entry.file.entry.to_le_bytes());
    match part {
        Part::Lines(key) => hash.update(b"l").update(&key.0.to_le_bytes()),
        Part::Mode => hash.update(b"m"),
        Part::Whole => hash.update(b"w"),
    };
    HunkId::new(format!("{}.{}", goal.id, &hash.finalize().to_hex()[..10]))
}

/// All tasks that worked on a file, the last one first.
pub(crate) fn all(goal: &Goal, entry: &FileEntry) -> Vec<Provenance> {
    let versions = entry.file.versions.iter().rev();
    versions.map(|version| why(goal, &version.by)).collect()
}
