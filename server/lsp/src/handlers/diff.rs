//! `claudecluster.hunk.diff`: one hunk as a unified diff.
//!
//! The diff is a document for clients that open documents on request, and a message for others.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use claudecluster_core::patch::{self, PatchFile, PatchFilePair};
use claudecluster_files::{open_regular_file, read_open_file};
use claudecluster_protocol::{
    ErrorBody, FileMode, HunkId, RelPath,
    change::{ChangeKind, ConflictView, HunkView},
    content::PendingSide,
    goal::GoalView,
};
use claudecluster_service::TypedCalls;

use crate::{
    blocking::run_blocking, hunks, phrases, private_files::create_private_folder,
    session::EditorSession, uri,
};

/// The most bytes of a file that is shown.
const TEXT_BYTES: u64 = 256 << 20;
/// The most lines of a diff in a message.
const MESSAGE_LINES: usize = 40;
/// The longest part of a file name in bytes. File systems allow 255 for the name with id and ending.
const LONGEST_NAME: usize = 150;

/// Shows a hunk to the user. Reports errors as messages, because the command has been replied to.
pub(crate) async fn show_hunk_diff(session: Arc<EditorSession>, goal: GoalView, hunk: HunkId) {
    if let Err(error) = try_show(&session, &goal, &hunk).await {
        session
            .show_error(&format!("cannot show {hunk}"), &error)
            .await;
    }
}

async fn try_show(session: &EditorSession, goal: &GoalView, id: &HunkId) -> Result<(), ErrorBody> {
    let (hunk, text) = find_hunk(session, goal, id).await?;
    let diff = match (hunk.whole, text) {
        (false, Some(text)) => diff_lines(session, &hunk, text).await?,
        _ => diff_file(session, goal, &hunk).await?,
    };
    let diff = format!("{}{diff}", diff_header(goal, &hunk));
    let diff = if session.capabilities().shows_documents
        && let Some(folder) = session.config.diffs.clone()
    {
        let name = diff_name(&hunk);
        let path =
            run_blocking(move || write_diff(&folder, &name, &diff).map(|path| (path, diff))).await;
        let (path, diff) = path?;
        if let Some(uri) = uri::from_path(&path)
            && session.show_document(uri).await
        {
            return Ok(());
        }
        diff
    } else {
        diff
    };
    session.show_info(shorten_diff(&diff, goal)).await;
    Ok(())
}

/// Finds a hunk and the text it is placed in: the open document's, else the file's.
async fn find_hunk(
    session: &EditorSession,
    goal: &GoalView,
    id: &HunkId,
) -> Result<(HunkView, Option<String>), ErrorBody> {
    let pending = session.service().hunks(Some(goal.summary.id.clone()), None);
    let known = pending.await?.into_iter().find(|hunk| hunk.id == *id);
    let known = known.ok_or_else(|| not_pending(id))?;
    if known.whole {
        return Ok((known, None));
    }
    let path = Path::new(&goal.summary.workspace).join(known.path.to_path_buf());
    let open = session
        .documents
        .get_by_path(&path)
        .map(|document| document.text);
    let id = id.clone();
    session
        .query_texts(move |texts| {
            let text = match open {
                Some(text) => String::from(&text),
                None => read_text(&path).map_err(|e| unreadable_file(&path, &e))?,
            };
            let mut hunks = texts.hunks_in(&path, text.as_str().into()).into_iter();
            match hunks.find(|hunk| hunk.id == id) {
                Some(hunk) => Ok((hunk, Some(text))),
                None => Err(not_pending(&id)),
            }
        })
        .await
}

/// Reads a file of a workspace. Its folders are the user's; the file itself is no link.
fn read_text(path: &Path) -> io::Result<String> {
    let (file, stat) = open_regular_file(path)?;
    let bytes = read_open_file(file, &stat, TEXT_BYTES)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}

fn not_pending(id: &HunkId) -> ErrorBody {
    ErrorBody::stale(format!("hunk {id} is no longer pending"))
        .with_hint("review the pending changes again")
}

fn unreadable_file(path: &Path, error: &io::Error) -> ErrorBody {
    ErrorBody::environment(format!("cannot read {}: {error}", path.display()))
        .with_hint("check that the file exists and is readable")
}

/// Returns the diff of a hunk of lines.
async fn diff_lines(
    session: &EditorSession,
    hunk: &HunkView,
    text: String,
) -> Result<String, ErrorBody> {
    let hunk = hunk.clone();
    session
        .query_texts(move |texts| match &hunk.conflict {
            Some(conflict) => Ok(diff_both_sides(&hunk, conflict, &text)),
            None => {
                let after = texts.preview(&hunk.id, &text)?;
                Ok(diff_texts(&hunk.path, &text, &after))
            }
        })
        .await
}

/// Returns one diff for each side of a conflict, from their common base.
fn diff_both_sides(hunk: &HunkView, conflict: &ConflictView, text: &str) -> String {
    let with = |middle: &str| {
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        let at = |line: u32| lines.len().min(line as usize);
        let (before, after) = (at(hunk.start_line), at(hunk.end_line.max(hunk.start_line)));
        format!(
            "{}{middle}{}",
            lines[..before].concat(),
            lines[after..].concat()
        )
    };
    let base = with(&conflict.base);
    let mine = match hunks::rival_title(hunk) {
        None => "Your text".to_owned(),
        Some(other) if hunk.mine_pending => format!("Proposed by {other}"),
        Some(other) => format!("Text by {other}"),
    };
    let ours = with(&conflict.mine);
    let mut sides = format!(
        "# {mine}:\n{}\n# Proposed by {}:\n{}",
        diff_texts(&hunk.path, &base, &ours),
        hunks::maker_title(hunk),
        diff_texts(&hunk.path, &base, &with(&conflict.theirs)),
    );
    if let Some(merged) = &hunk.merged {
        sides += "\n# Merged word by word:\n";
        sides += &diff_texts(&hunk.path, &ours, &with(merged));
    }
    sides
}

fn diff_texts(path: &RelPath, old: &str, new: &str) -> String {
    diff_pair(path, None, Some(old), Some(new))
}

/// Returns the unified diff of two sides of a file; `None` is a side that does not exist.
fn diff_pair(
    path: &RelPath,
    from: Option<&RelPath>,
    old: Option<&str>,
    new: Option<&str>,
) -> String {
    fn at(text: &str) -> PatchFile<'_> {
        PatchFile {
            mode: FileMode::Regular,
            content: text.as_bytes(),
        }
    }
    patch::readable_patch(&[PatchFilePair {
        path,
        from,
        old: old.map(at),
        new: new.map(at),
    }])
    .diff
}

/// Returns the diff of a file that is decided as a whole; a sentence if the file is not text.
async fn diff_file(
    session: &EditorSession,
    goal: &GoalView,
    hunk: &HunkView,
) -> Result<String, ErrorBody> {
    let id = &goal.summary.id;
    let side = |side| session.service().content(id, &hunk.path, side);
    let (old, new) = (
        side(PendingSide::Base).await?,
        side(PendingSide::Proposed).await?,
    );
    let expected = match hunk.kind {
        ChangeKind::Create => new.is_some(),
        ChangeKind::Delete => old.is_some(),
        ChangeKind::Modify | ChangeKind::Rename => old.is_some() && new.is_some(),
        ChangeKind::Mode => false,
    };
    let diff = diff_pair(
        &hunk.path,
        hunk.from.as_ref(),
        old.as_deref(),
        new.as_deref(),
    );
    if expected && !diff.is_empty() {
        return Ok(diff);
    }
    let kind = match hunk.kind {
        ChangeKind::Mode => "content unchanged",
        _ => "binary content",
    };
    Ok(format!("{}: {kind}\n", hunks::describe_change(hunk)))
}

/// Returns the header of a diff, in lines that programs which read diffs skip.
fn diff_header(goal: &GoalView, hunk: &HunkView) -> String {
    let id = &goal.summary.id;
    let mut head = format!(
        "# {}, goal {id}: {}\n",
        hunk.id,
        phrases::short_title(&goal.summary.prompt)
    );
    if hunks::is_conflict(hunk) {
        head = format!("{head}# {}\n", hunks::conflict_title(hunk));
    }
    for by in &hunk.provenance {
        let title = phrases::short_title(&by.title);
        head = format!(
            "{head}# {title} (task {}, attempt {})\n",
            by.task, by.attempt.0
        );
    }
    head + "\n"
}

/// Returns the file name of a hunk's diff.
fn diff_name(hunk: &HunkView) -> String {
    let file = hunk.path.file_name();
    let mut end = file.len().min(LONGEST_NAME);
    while !file.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}.{}.diff", &file[..end], hunk.id)
}

/// Writes a read-only diff and returns its path.
///
/// An editor that has the earlier diff open sees the old text or the new one, never a part. An equal
/// diff is not written again: Emacs would ask whether to reload the file, and block meanwhile.
fn write_diff(folder: &Path, name: &str, diff: &str) -> Result<PathBuf, ErrorBody> {
    let path = folder.join(name);
    if fs::read(&path).is_ok_and(|there| there == diff.as_bytes()) {
        return Ok(path);
    }
    create_private_folder(folder)
        .and_then(|()| {
            let temporary = folder.join(format!("{name}.new"));
            let _ = fs::remove_file(&temporary);
            fs::write(&temporary, diff)?;
            let mut permissions = fs::metadata(&temporary)?.permissions();
            permissions.set_readonly(true);
            fs::set_permissions(&temporary, permissions)?;
            fs::rename(&temporary, &path)
        })
        .map_err(|e| {
            ErrorBody::environment(format!("cannot write {}: {e}", path.display()))
                .with_hint("check the free disk space and the permissions of the state folder")
        })?;
    Ok(path)
}

/// Cuts a diff for a message.
fn shorten_diff(diff: &str, goal: &GoalView) -> String {
    let total = diff.lines().count();
    if total <= MESSAGE_LINES {
        return diff.to_owned();
    }
    let shown: Vec<_> = diff.lines().take(MESSAGE_LINES).collect();
    format!(
        "{}\n… {} more lines; see all of it with: claudecluster diff {}",
        shown.join("\n"),
        total - MESSAGE_LINES,
        goal.summary.id
    )
}
