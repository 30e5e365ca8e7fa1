//! Unified diffs of whole change sets, as `git apply` takes them.
//!
//! Creation, deletion, renames, mode changes and symbolic links are expressed in git's extended
//! headers; paths are quoted as git quotes them, so the result is text whatever bytes a name has.
//! The names of both contents let `git apply --3way` merge a patch where the files have changed since.
//! Content that is not text is left out and reported.
//!
//! ```
//! use claudecluster_core::patch::{PatchFile, PatchFilePair, unified_patch};
//! use claudecluster_protocol::{FileMode, RelPath};
//!
//! let path = RelPath::new("a.txt")?;
//! let version = |content| Some(PatchFile { mode: FileMode::Regular, content });
//! let pair = PatchFilePair { path: &path, from: None, old: version(b"a\n"), new: version(b"b\n") };
//! assert_eq!(
//!     unified_patch(&[pair]).diff,
//!     "diff --git a/a.txt b/a.txt\n\
//!      index 78981922613b2afb6025042ff6bd878ac1994e85..61780798228d17af2d34fce4cfbdf35556832472 100644\n\
//!      --- a/a.txt\n+++ b/a.txt\n@@ -1,1 +1,1 @@\n-a\n+b\n",
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{fmt::Write, ops::Range};

use claudecluster_protocol::{FileMode, RelPath};
use sha1::{Digest as _, Sha1};

use crate::diff::{DiffPurpose, IndexedText, LineChange, diff_indexed, is_binary};

/// Unchanged lines shown around a change.
const CONTEXT: u32 = 3;

/// A file at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PatchFile<'a> {
    /// Kind and permission.
    pub mode: FileMode,
    /// The content; for a symbolic link its target.
    pub content: &'a [u8],
}

/// One file before and after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PatchFilePair<'a> {
    /// The file; for a rename its new place.
    pub path: &'a RelPath,
    /// For a rename: the old place.
    pub from: Option<&'a RelPath>,
    /// The file before; `None` where it did not exist.
    pub old: Option<PatchFile<'a>>,
    /// The file after; `None` where it is gone.
    pub new: Option<PatchFile<'a>>,
}

/// A change set as text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UnifiedPatch {
    /// A patch for `git apply`.
    pub diff: String,
    /// The changes the patch cannot express, one line for people each.
    pub omitted: Vec<String>,
}

/// Returns the unified diff of some files, in the order they are given, with the names of contents for git.
pub fn unified_patch(files: &[PatchFilePair<'_>]) -> UnifiedPatch {
    write_patch(files, true)
}

/// Returns the unified diff of some files for readers, who have no use for the names of contents.
pub fn readable_patch(files: &[PatchFilePair<'_>]) -> UnifiedPatch {
    write_patch(files, false)
}

fn write_patch(files: &[PatchFilePair<'_>], names: bool) -> UnifiedPatch {
    let mut patch = UnifiedPatch::default();
    for file in files {
        match file_diff(file, names) {
            Some(diff) => patch.diff.push_str(&diff),
            None => patch
                .omitted
                .push(format!("{}: the content is not text", file.path.display())),
        }
    }
    patch
}

/// Returns the diff of one file, empty if nothing changed; `None` if it cannot be expressed.
fn file_diff(file: &PatchFilePair<'_>, names: bool) -> Option<String> {
    let from = file.from.unwrap_or(file.path);
    match (file.old, file.new) {
        (None, None) => Some(String::new()),
        (Some(old), Some(new))
            if (old.mode == FileMode::Symlink) != (new.mode == FileMode::Symlink) =>
        {
            // As in git, a file that becomes a link goes away and comes again.
            let gone = write_entry(from, from, Some(old), None, names)?;
            Some(gone + &write_entry(file.path, file.path, None, Some(new), names)?)
        }
        (old, new) => write_entry(from, file.path, old, new, names),
    }
}

fn write_entry(
    from: &RelPath,
    to: &RelPath,
    old: Option<PatchFile<'_>>,
    new: Option<PatchFile<'_>>,
    names: bool,
) -> Option<String> {
    let (before, after) = (file_content(old), file_content(new));
    let renamed = from != to && old.is_some() && new.is_some();
    if old == new && !renamed {
        return Some(String::new());
    }
    let changes = if before == after {
        Vec::new()
    } else if is_binary(before) || is_binary(after) {
        return None;
    } else {
        diff_indexed(
            &IndexedText::new(before),
            &IndexedText::new(after),
            DiffPurpose::Reading,
        )
    };
    let (a, b) = (quote_path("a/", from), quote_path("b/", to));
    let mut out = format!("diff --git {a} {b}\n");
    for line in write_header(
        from,
        to,
        old,
        new,
        renamed.then(|| similarity_percent(before, after)),
    ) {
        out.push_str(&line);
        out.push('\n');
    }
    if let Some(line) = index_line(old, new).filter(|_| names) {
        out.push_str(&line);
        out.push('\n');
    }
    if !changes.is_empty() {
        let a = if old.is_some() {
            a.as_str()
        } else {
            "/dev/null"
        };
        let b = if new.is_some() {
            b.as_str()
        } else {
            "/dev/null"
        };
        let _ = write!(out, "--- {a}{}\n+++ {b}{}\n", tab_after(a), tab_after(b));
        write_hunks(&mut out, &changes, before, after);
    }
    Some(out)
}

fn file_content(file: Option<PatchFile<'_>>) -> &[u8] {
    file.map_or(&[], |file| file.content)
}

/// Git's extended header lines.
fn write_header(
    from: &RelPath,
    to: &RelPath,
    old: Option<PatchFile<'_>>,
    new: Option<PatchFile<'_>>,
    similarity: Option<usize>,
) -> Vec<String> {
    let mut lines = Vec::new();
    match (old, new) {
        (None, Some(new)) => lines.push(format!("new file mode {}", mode_digits(new.mode))),
        (Some(old), None) => lines.push(format!("deleted file mode {}", mode_digits(old.mode))),
        (Some(old), Some(new)) if old.mode != new.mode => {
            lines.push(format!("old mode {}", mode_digits(old.mode)));
            lines.push(format!("new mode {}", mode_digits(new.mode)));
        }
        _ => {}
    }
    if let Some(percent) = similarity {
        lines.push(format!("similarity index {percent}%"));
        lines.push(format!("rename from {}", quote_path("", from)));
        lines.push(format!("rename to {}", quote_path("", to)));
    }
    lines
}

/// Git's line with the names of both contents; `None` where they are the same.
fn index_line(old: Option<PatchFile<'_>>, new: Option<PatchFile<'_>>) -> Option<String> {
    let id = |file: Option<PatchFile<'_>>| file.map_or_else(|| "0".repeat(40), object_id);
    let (before, after) = (id(old), id(new));
    let mode = match (old, new) {
        (Some(old), Some(new)) if old.mode == new.mode => format!(" {}", mode_digits(old.mode)),
        _ => String::new(),
    };
    (before != after).then(|| format!("index {before}..{after}{mode}"))
}

/// Returns the name of a content in a repository with SHA-1 names. In one with SHA-256 names git finds no such
/// object and applies the patch as one without names.
fn object_id(file: PatchFile<'_>) -> String {
    let hash = Sha1::new()
        .chain_update(format!("blob {}\0", file.content.len()))
        .chain_update(file.content)
        .finalize();
    hash.iter().fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}

fn mode_digits(mode: FileMode) -> &'static str {
    match mode {
        FileMode::Regular => "100644",
        FileMode::Executable => "100755",
        FileMode::Symlink => "120000",
    }
}

/// Returns the share of the larger text that the other one has too, in percent. Only identical
/// texts have 100.
fn similarity_percent(before: &[u8], after: &[u8]) -> usize {
    if before == after {
        return 100;
    }
    let (old, new) = (IndexedText::new(before), IndexedText::new(after));
    let changes = diff_indexed(&old, &new, DiffPurpose::Reading);
    let removed: usize = changes.iter().map(|c| old.byte_range(&c.old).len()).sum();
    let larger = before.len().max(after.len()).max(1);
    ((before.len() - removed) * 100 / larger).min(99)
}

/// Writes the hunks: changes with their context, those that are near each other together.
fn write_hunks(out: &mut String, changes: &[LineChange], before: &[u8], after: &[u8]) {
    let (old, new) = (IndexedText::new(before), IndexedText::new(after));
    let near = |a: &LineChange, b: &LineChange| b.old.start - a.old.end <= 2 * CONTEXT;
    for group in changes.chunk_by(near) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            continue;
        };
        let lead = first.old.start.min(CONTEXT);
        let tail = (old.len() - last.old.end).min(CONTEXT);
        let old_range = first.old.start - lead..last.old.end + tail;
        let new_range = first.new.start - lead..last.new.end + tail;
        let _ = writeln!(
            out,
            "@@ -{} +{} @@",
            hunk_span(&old_range),
            hunk_span(&new_range)
        );
        let mut done = old_range.start;
        for change in group {
            write_lines(out, ' ', &old, done..change.old.start);
            write_lines(out, '-', &old, change.old.clone());
            write_lines(out, '+', &new, change.new.clone());
            done = change.old.end;
        }
        write_lines(out, ' ', &old, done..old_range.end);
    }
}

/// `start,count` with lines counted from 1; an empty range names the line before it.
fn hunk_span(range: &Range<u32>) -> String {
    let start = range.start + u32::from(!range.is_empty());
    format!("{start},{}", range.len())
}

fn write_lines(out: &mut String, sign: char, text: &IndexedText<'_, [u8]>, range: Range<u32>) {
    for line in range {
        // Content that is not UTF-8 never comes this far.
        let line = String::from_utf8_lossy(text.slice_lines(&(line..line + 1)));
        out.push(sign);
        out.push_str(&line);
        if !line.ends_with('\n') {
            out.push_str("\n\\ No newline at end of file\n");
        }
    }
}

/// Returns a tab for a name with spaces, which marks the end of the name.
fn tab_after(name: &str) -> &'static str {
    if name.contains(' ') { "\t" } else { "" }
}

/// Returns a path in git's C-style quotes, where it needs them.
fn quote_path(prefix: &str, path: &RelPath) -> String {
    let bytes = path.to_bytes();
    let plain = |b: &u8| matches!(b, 0x20..=0x7e) && !matches!(b, b'"' | b'\\');
    if bytes.iter().all(plain) {
        return format!("{prefix}{}", String::from_utf8_lossy(&bytes));
    }
    let mut out = format!("\"{prefix}");
    for byte in bytes {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x20..=0x7e => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\{byte:03o}");
            }
        }
    }
    out.push('"');
    out
}
