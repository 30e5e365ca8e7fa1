//! What is left to decide: each entry of a proposal against the text that is there now.

use claudecluster_core::{
    lifecycle::{FileEntry, Goal},
    review::{self, Contribution, HunkKey, HunkState, Review},
};
use claudecluster_protocol::{
    ErrorBody, HunkId,
    change::{ChangeKind, HunkStatus, HunkView, Provenance},
};
use claudecluster_worker::changes::Content;

use crate::{proposal::as_text, shared::Shared};

/// Text shown of a whole-file hunk; the rest is there, but nobody reads it in a list.
const SHOWN_BYTES: usize = 256 << 10;

/// The three versions of one file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions {
    pub(crate) base: Option<Content>,
    pub(crate) current: Option<Content>,
    pub(crate) proposed: Option<Content>,
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
    match versions.texts() {
        Some((base, current, proposed)) => {
            let review = Review::new(base, current, proposed);
            let mut found: Vec<Pending> = review
                .hunks()
                .iter()
                .map(|hunk| lines_hunk(goal, entry, &review, hunk))
                .collect();
            let contributions = contributions(shared, entry)?;
            for (pending, hunk) in found.iter_mut().zip(review.hunks()) {
                pending.view.provenance = provenance(entry, &contributions, base, proposed, hunk);
            }
            found.extend(mode_hunk(goal, entry, versions));
            Ok(found)
        }
        None => Ok(vec![whole_hunk(goal, entry, versions)]),
    }
}

fn lines_hunk(goal: &Goal, entry: &FileEntry, review: &Review<'_>, hunk: &review::Hunk) -> Pending {
    let part = Part::Lines(hunk.key);
    let mut view = view(goal, entry, part, ChangeKind::Modify);
    if hunk.state == HunkState::Conflict {
        view.status = HunkStatus::Conflict;
    }
    view.start_line = hunk.current.start;
    view.end_line = hunk.current.end;
    view.old_text = review.old_text(hunk).to_owned();
    view.new_text = review.new_text(hunk).to_owned();
    Pending {
        view,
        part,
        present: hunk.state == HunkState::Present,
    }
}

/// The change of a file's mode, beside that of its lines.
fn mode_hunk(goal: &Goal, entry: &FileEntry, versions: &Versions) -> Option<Pending> {
    let mode = |content: &Option<Content>| content.as_ref().map(|content| content.mode);
    let (base, current, proposed) = (
        mode(&versions.base)?,
        mode(&versions.current)?,
        mode(&versions.proposed)?,
    );
    if base == proposed {
        return None;
    }
    let mut view = view(goal, entry, Part::Mode, ChangeKind::Mode);
    if current != base && current != proposed {
        view.status = HunkStatus::Conflict;
    }
    view.old_text = format!("{current:?}").to_lowercase();
    view.new_text = format!("{proposed:?}").to_lowercase();
    view.provenance = all(entry);
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
    // An empty buffer at the place of a file that is not there yet is what an editor shows to somebody
    // who looks for the file: nobody's text.
    let nothing = |content: &Option<Content>| content.as_ref().is_none_or(|c| c.bytes.is_empty());
    let untouched =
        versions.current == versions.base || versions.base.is_none() && nothing(&versions.current);
    if !present && !untouched {
        view.status = HunkStatus::Conflict;
    }
    view.old_text = shown(versions.current.as_ref());
    view.new_text = shown(versions.proposed.as_ref());
    view.end_line = u32::try_from(view.old_text.lines().count()).unwrap_or(u32::MAX);
    view.provenance = all(entry);
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
    // An alternative stands against what another task wants there: never clean.
    let status = if entry.is_alternative() {
        HunkStatus::Conflict
    } else {
        HunkStatus::Clean
    };
    HunkView {
        id: id(goal, entry, part),
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
        provenance: Vec::new(),
    }
}

/// The same for the same change of the same file, wherever its lines have moved.
fn id(goal: &Goal, entry: &FileEntry, part: Part) -> HunkId {
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

fn all(entry: &FileEntry) -> Vec<Provenance> {
    entry
        .file
        .versions
        .iter()
        .rev()
        .map(|version| version.by.clone())
        .collect()
}

/// Each task's own two texts.
fn contributions(shared: &Shared, entry: &FileEntry) -> Result<Vec<(String, String)>, ErrorBody> {
    let text = |version: Option<&claudecluster_protocol::change::FileVersion>| {
        let content = shared.content_of(version)?;
        Ok::<_, ErrorBody>(
            content
                .as_ref()
                .and_then(as_text)
                .unwrap_or_default()
                .to_owned(),
        )
    };
    // With one task there is nothing to tell apart.
    let versions = entry
        .file
        .versions
        .iter()
        .filter(|_| entry.file.versions.len() > 1);
    versions
        .map(|v| Ok((text(v.base.as_ref())?, text(v.proposed.as_ref())?)))
        .collect()
}

fn provenance(
    entry: &FileEntry,
    contributions: &[(String, String)],
    base: &str,
    proposed: &str,
    hunk: &review::Hunk,
) -> Vec<Provenance> {
    let versions: Vec<Contribution<'_>> = contributions
        .iter()
        .map(|(base, text)| Contribution { base, text })
        .collect();
    let tasks = review::provenance(base, proposed, &versions, hunk);
    if tasks.is_empty() {
        return all(entry);
    }
    tasks
        .into_iter()
        .map(|task| entry.file.versions[task].by.clone())
        .collect()
}
