//! `claudecluster.hunk.diff`: one hunk as a unified diff, in a document where the client opens what it
//! is told to, else in a message.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use claudecluster_core::patch::{self, FileAt, FilePair};
use claudecluster_protocol::{
    ErrorBody, FileMode, HunkId, RelPath,
    change::{ChangeKind, ConflictView, HunkView},
    editor::Side,
    goal::GoalView,
};
use lsp_types::ShowDocumentParams;

use crate::{Backend, handlers::code_lens, hunks, progress, session::Session, uri};

/// A message with more lines is no help.
const MESSAGE_LINES: usize = 40;
/// File systems take names of 255 bytes; the id and the ending need some of them.
const LONGEST_NAME: usize = 150;

/// Shows the hunk. What goes wrong is told, for the command has been answered.
pub(crate) async fn show(session: Arc<Session>, goal: GoalView, hunk: HunkId) {
    if let Err(error) = try_show(&session, &goal, &hunk).await {
        session.fail(&format!("cannot show {hunk}"), &error).await;
    }
}

async fn try_show(session: &Session, goal: &GoalView, id: &HunkId) -> Result<(), ErrorBody> {
    let (hunk, text) = find(session, goal, id).await?;
    let diff = match (hunk.whole, text) {
        (false, Some(text)) => lines(session, &hunk, text).await?,
        _ => whole(session, goal, &hunk).await?,
    };
    let diff = format!("{}{diff}", head(goal, &hunk));
    if session.capabilities().shows_documents
        && let Some(folder) = session.config.diffs.clone()
    {
        let name = name(&hunk);
        let path = session
            .ask(move |_| write(&folder, &name, &diff).map(|path| (path, diff)))
            .await;
        let (path, diff) = path?;
        if open(session, &path).await {
            return Ok(());
        }
        session.info(shortened(&diff, goal)).await;
    } else {
        session.info(shortened(&diff, goal)).await;
    }
    Ok(())
}

/// The hunk, and the text it is placed in: that of the document, or of the file where none is open.
async fn find(
    session: &Session,
    goal: &GoalView,
    id: &HunkId,
) -> Result<(HunkView, Option<String>), ErrorBody> {
    let gone = || {
        ErrorBody::stale(format!("hunk {id} is no longer pending"))
            .hint("review the pending changes again")
    };
    let pending = session.backend.hunks(Some(goal.summary.id.clone()), None);
    let known = pending.await?.into_iter().find(|hunk| hunk.id == *id);
    let known = known.ok_or_else(gone)?;
    if known.whole {
        return Ok((known, None));
    }
    let path = Path::new(&goal.summary.workspace).join(known.path.to_path_buf());
    let open = session.documents.at(&path).map(|document| document.text);
    let id = id.clone();
    session
        .ask(move |backend| {
            let text = match open {
                Some(text) => String::from(&text),
                None => fs::read_to_string(&path).map_err(|e| unreadable(&path, &e))?,
            };
            let mut hunks = backend.hunks_in(&path, text.as_str().into()).into_iter();
            match hunks.find(|hunk| hunk.id == id) {
                Some(hunk) => Ok((hunk, Some(text))),
                None => Err(ErrorBody::stale(format!("hunk {id} is no longer pending"))
                    .hint("review the pending changes again")),
            }
        })
        .await
}

fn unreadable(path: &Path, error: &io::Error) -> ErrorBody {
    ErrorBody::environment(format!("cannot read {}: {error}", path.display()))
        .hint("check that the file exists and is readable")
}

/// The diff of a hunk of lines.
async fn lines(session: &Session, hunk: &HunkView, text: String) -> Result<String, ErrorBody> {
    let hunk = hunk.clone();
    session
        .ask(move |backend: &dyn Backend| match &hunk.conflict {
            Some(conflict) => Ok(both_sides(&hunk, conflict, &text)),
            None => {
                let after = backend.preview(&hunk.id, &text)?;
                Ok(unified(&hunk.path, &text, &after))
            }
        })
        .await
}

/// What each side of a conflict made of the same lines.
fn both_sides(hunk: &HunkView, conflict: &ConflictView, text: &str) -> String {
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
    let mine = match hunks::other_maker(hunk) {
        None => "Your text".to_owned(),
        Some(other) if hunk.mine_pending => format!("Proposed by {other}"),
        Some(other) => format!("Text by {other}"),
    };
    let ours = with(&conflict.mine);
    let mut sides = format!(
        "# {mine}:\n{}\n# Proposed by {}:\n{}",
        unified(&hunk.path, &base, &ours),
        hunks::maker(hunk),
        unified(&hunk.path, &base, &with(&conflict.theirs)),
    );
    if let Some(merged) = &hunk.merged {
        sides += "\n# Merged word by word:\n";
        sides += &unified(&hunk.path, &ours, &with(merged));
    }
    sides
}

fn unified(path: &RelPath, old: &str, new: &str) -> String {
    pair(path, None, Some(old), Some(new))
}

fn pair(path: &RelPath, from: Option<&RelPath>, old: Option<&str>, new: Option<&str>) -> String {
    fn at(text: &str) -> FileAt<'_> {
        FileAt {
            mode: FileMode::Regular,
            content: text.as_bytes(),
        }
    }
    patch::unified(&[FilePair {
        path,
        from,
        old: old.map(at),
        new: new.map(at),
    }])
    .diff
}

/// The diff of a file that is decided as a whole; a sentence where it is no text.
async fn whole(session: &Session, goal: &GoalView, hunk: &HunkView) -> Result<String, ErrorBody> {
    let id = &goal.summary.id;
    let side = |side| session.backend.content(id, &hunk.path, side);
    let (old, new) = (side(Side::Base).await?, side(Side::Proposed).await?);
    let expected = match hunk.kind {
        ChangeKind::Create => new.is_some(),
        ChangeKind::Delete => old.is_some(),
        ChangeKind::Modify | ChangeKind::Rename => old.is_some() && new.is_some(),
        ChangeKind::Mode => false,
    };
    let diff = pair(
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
    Ok(format!("{}: {kind}\n", hunks::what(hunk)))
}

/// What the diff is of, in lines that programs which read diffs skip.
fn head(goal: &GoalView, hunk: &HunkView) -> String {
    let id = &goal.summary.id;
    let mut head = format!(
        "# {}, goal {id}: {}\n",
        hunk.id,
        progress::title(&goal.summary.prompt)
    );
    if hunks::is_conflict(hunk) {
        head = format!("{head}# {}\n", code_lens::between(hunk));
    }
    for by in &hunk.provenance {
        let title = progress::title(&by.title);
        head = format!(
            "{head}# {title} (task {}, attempt {})\n",
            by.task, by.attempt.0
        );
    }
    head + "\n"
}

fn name(hunk: &HunkView) -> String {
    let file = hunk.path.file_name();
    let mut end = file.len().min(LONGEST_NAME);
    while !file.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}.{}.diff", &file[..end], hunk.id)
}

/// Writes what may be read only. An editor that has the earlier one open sees the old text or the new
/// one, nothing between; and not even a new file where the text is the same: Emacs would ask whether to read
/// it again, and answer nobody meanwhile.
fn write(folder: &Path, name: &str, diff: &str) -> Result<PathBuf, ErrorBody> {
    let path = folder.join(name);
    if fs::read(&path).is_ok_and(|there| there == diff.as_bytes()) {
        return Ok(path);
    }
    private(folder)
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
                .hint("check the free disk space and the permissions of the state folder")
        })?;
    Ok(path)
}

fn private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// Whether the client has opened it.
async fn open(session: &Session, path: &Path) -> bool {
    let Some(uri) = uri::from_path(path) else {
        return false;
    };
    let shown = session.client.show_document(ShowDocumentParams {
        uri,
        external: None,
        take_focus: Some(true),
        selection: None,
    });
    let answer = tokio::time::timeout(session.config.reply_timeout, shown).await;
    matches!(answer, Ok(Ok(true)))
}

fn shortened(diff: &str, goal: &GoalView) -> String {
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
