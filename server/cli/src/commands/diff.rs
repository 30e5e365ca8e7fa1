//! `claudecluster diff`

use std::io::{self, Write};

use claudecluster_protocol::{
    change::{HunkStatus, HunkView, HunkWord, HunkWordKind},
    path::bytes_of_text,
};
use claudecluster_service::UnifiedDiff;
use serde_json::json;

use super::{
    CommandContext, conflicts,
    selection::HunkSelection,
    summary::{is_held, notes_on_file},
};
use crate::{
    cli::DiffArgs,
    exit::{CommandExit, CommandResult},
    ui::{
        Ui,
        text::{self, BOLD, CYAN, DIM, GREEN, PLAIN, RED, YELLOW},
    },
};

pub(super) async fn show_diff(
    cx: &mut CommandContext,
    args: DiffArgs,
) -> CommandResult<CommandExit> {
    let client = cx.client()?;
    let selection = HunkSelection::of(&client, args.what).await?;
    if args.conflicts {
        return conflicts::print_conflicts(cx, &client, &selection).await;
    }
    let UnifiedDiff {
        text: diff,
        omitted,
    } = selection.diff(&client).await?;
    let hunks = selection.hunks(&client).await?;
    if cx.ui.json {
        let all = json!({"diff": diff, "omitted": omitted, "hunks": hunks});
        cx.ui.exact_json(&all)?;
        return Ok(CommandExit::Done);
    }
    print_diff(&mut cx.ui, &diff, &hunks)?;
    // Not on stdout: `git apply` reads that.
    for line in omitted {
        print_note(format_args!("not in the diff: {}", text::one_line(&line)));
    }
    if !cx.ui.quiet {
        print_notes(&hunks);
    }
    Ok(CommandExit::Done)
}

/// Prints notes to stderr about hunks that the diff does not explain.
fn print_notes(hunks: &[HunkView]) {
    let Some(goal) = hunks.first().and_then(|hunk| hunk.id.goal()) else {
        return;
    };
    let mut paths: Vec<_> = hunks
        .iter()
        .filter(|hunk| is_held(hunk) || hunk.runs.is_some())
        .collect();
    paths.dedup_by(|one, other| one.path == other.path && one.held == other.held);
    for hunk in paths {
        let file = text::shell_word(&hunk.path.display());
        let path = text::one_line(&hunk.path.display());
        let why = text::one_line(&notes_on_file(&[hunk]));
        if is_held(hunk) {
            print_note(format_args!(
                "held for review: {path}: {why} (accept it with: claudecluster accept {goal} --file {file})"
            ));
        } else {
            print_note(format_args!("look at {path}: {why}"));
        }
    }
    if hunks.iter().any(|hunk| hunk.status == HunkStatus::Conflict) {
        print_note(format_args!(
            "show both sides of the conflicts: claudecluster diff {goal} --conflicts"
        ));
    }
}

fn print_note(line: std::fmt::Arguments<'_>) {
    // Where nobody reads it there is nobody to tell.
    let _ = writeln!(io::stderr(), "{}", text::escape_controls(&line.to_string()));
}

/// Prints a diff: escaped for people, byte by byte for programs. People read it on a terminal, with or without
/// colours, and where colours were asked for. On a terminal, changed words stand out and each change names its
/// hunks.
pub(super) fn print_diff(ui: &mut Ui, diff: &str, hunks: &[HunkView]) -> CommandResult<()> {
    if !ui.colors() && !ui.terminal {
        ui.bytes(&bytes_of_text(diff))?;
        return Ok(());
    }
    let hunks = if ui.terminal { hunks } else { &[] };
    for line in painted_lines(diff, hunks) {
        ui.exact_line(line)?;
    }
    Ok(())
}

/// Returns the lines of a diff with styles.
fn painted_lines(diff: &str, hunks: &[HunkView]) -> Vec<String> {
    let mut out = Vec::new();
    let mut lines = diff.split_terminator('\n').peekable();
    // The hunks of this file that no line has named yet.
    let mut file: Vec<&HunkView> = Vec::new();
    // Where the next line stands in the old text, counted from 0; `None` in a file's header.
    let mut place = None;
    while let Some(line) = lines.next() {
        if line.starts_with("diff ") {
            place = None;
            file = of_file(line, hunks);
            let whole = file.extract_if(.., |hunk| hunk.whole).collect::<Vec<_>>();
            out.push(style_line(BOLD, line) + &hunk_names(&whole));
        } else if line.starts_with("@@ ") {
            place = hunk_start(line);
            out.push(style_line(CYAN, line));
        } else if let (Some(at), true) = (&mut place, line.starts_with(['-', '+'])) {
            let mut run = vec![line];
            while let Some(next) = lines.next_if(|next| next.starts_with(['-', '+', '\\'])) {
                run.push(next);
            }
            out.extend(changed_run(&run, at, &mut file));
        } else if let Some(at) = &mut place {
            *at += u32::from(line.starts_with(' '));
            out.push(plain_line(line));
        } else if line.starts_with("index ") {
            // The names of contents are for git.
        } else {
            let header = line.starts_with("--- ") || line.starts_with("+++ ");
            out.push(style_line(if header { BOLD } else { PLAIN }, line));
        }
    }
    out
}

fn style_line(style: anstyle::Style, line: &str) -> String {
    let safe = text::escape_controls(line.trim_end_matches('\r'));
    format!("{style}{safe}{style:#}")
}

fn plain_line(line: &str) -> String {
    let style = match line.as_bytes().first() {
        Some(b'+') => GREEN,
        Some(b'-') => RED,
        Some(b'\\') => YELLOW,
        _ => PLAIN,
    };
    style_line(style, line)
}

/// Returns the hunks of the file that a diff's first line names. Quoted names match no file.
fn of_file<'a>(line: &str, hunks: &'a [HunkView]) -> Vec<&'a HunkView> {
    hunks
        .iter()
        .filter(|hunk| {
            let old = hunk.from.as_ref().unwrap_or(&hunk.path);
            line == format!("diff --git a/{} b/{}", old.as_str(), hunk.path.as_str())
        })
        .collect()
}

/// Returns the line of the old text where a `@@` section starts, counted from 0.
fn hunk_start(line: &str) -> Option<u32> {
    let range = line.strip_prefix("@@ -")?.split(' ').next()?;
    let (first, count) = range.split_once(',')?;
    let first: u32 = first.parse().ok()?;
    // Lines count from 1 there, and an empty range is named by the line before it.
    Some(if count == "0" {
        first
    } else {
        first.saturating_sub(1)
    })
}

/// Returns the ids of hunks, and the reasons why some are held.
fn hunk_names(hunks: &[&HunkView]) -> String {
    let names = hunks.iter().map(|hunk| {
        let id = text::one_line(hunk.id.as_str());
        match text::one_line(&notes_on_file(&[*hunk])) {
            notes if notes.is_empty() => format!("  {DIM}{id}{DIM:#}"),
            notes => format!("  {DIM}{id}{DIM:#} {YELLOW}{notes}{YELLOW:#}"),
        }
    });
    names.collect()
}

/// Formats a run of removed and added lines at line `at` of the old text. The first line names the
/// run's hunks, and changed words stand out if they are known.
fn changed_run(run: &[&str], at: &mut u32, file: &mut Vec<&HunkView>) -> Vec<String> {
    let side = |sign: char| -> Vec<&str> {
        let lines = run.iter().filter_map(|line| line.strip_prefix(sign));
        lines.map(|line| line.trim_end_matches('\r')).collect()
    };
    let (removed, added) = (side('-'), side('+'));
    let first = *at;
    *at += u32::try_from(removed.len()).unwrap_or(u32::MAX);
    let is = |text: &str, lines: &[&str]| text.lines().eq(lines.iter().copied());
    let same = |hunk: &HunkView| is(&hunk.old_text, &removed) && is(&hunk.new_text, &added);
    let here: Vec<&HunkView> = file
        .extract_if(.., |hunk| {
            let touches = hunk.start_line <= *at && first <= hunk.end_line;
            touches && (hunk.status == HunkStatus::Clean || same(hunk))
        })
        .collect();
    let words = here
        .iter()
        .filter(|hunk| same(hunk))
        .map(|hunk| hunk.words.as_slice())
        .find(|words| !words.is_empty());
    let mut lines = match words {
        Some(words) => refined_run(run, words),
        None => run.iter().map(|line| plain_line(line)).collect(),
    };
    if let Some(first) = lines.first_mut() {
        first.push_str(&hunk_names(&here));
    }
    lines
}

/// Formats the lines of a run with the changed words highlighted.
fn refined_run(run: &[&str], words: &[HunkWord]) -> Vec<String> {
    let mut old = side_of(words, HunkWordKind::Removed, RED).into_iter();
    let mut new = side_of(words, HunkWordKind::Added, GREEN).into_iter();
    run.iter()
        .map(|line| {
            let refined = match line.as_bytes().first() {
                Some(b'-') => old.next().map(|text| format!("{RED}-{RED:#}{text}")),
                Some(b'+') => new.next().map(|text| format!("{GREEN}+{GREEN:#}{text}")),
                _ => None,
            };
            refined.unwrap_or_else(|| plain_line(line))
        })
        .collect()
}

/// Formats the lines of one side with the side's own words highlighted.
fn side_of(words: &[HunkWord], own: HunkWordKind, style: anstyle::Style) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words {
        let style = match word.kind {
            HunkWordKind::Same => style,
            kind if kind == own => style.invert(),
            _ => continue,
        };
        for (i, part) in word.text.split('\n').enumerate() {
            if i > 0 {
                lines.push(String::new());
            }
            let part = text::escape_controls(part.trim_end_matches('\r'));
            if let (false, Some(line)) = (part.is_empty(), lines.last_mut()) {
                line.push_str(&format!("{style}{part}{style:#}"));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::{
        HunkId, RelPath,
        change::{ChangeKind, HeldReason},
    };
    use expect_test::expect;

    use super::*;

    fn word(kind: HunkWordKind, text: &str) -> HunkWord {
        HunkWord {
            kind,
            text: text.to_owned(),
        }
    }

    fn hunk(id: &str, line: u32, old: &str, new: &str) -> HunkView {
        let lines = u32::try_from(old.lines().count()).unwrap();
        HunkView {
            id: HunkId::new(id),
            path: RelPath::new("a.rs").unwrap(),
            kind: ChangeKind::Modify,
            from: None,
            whole: false,
            status: HunkStatus::Clean,
            held: Vec::new(),
            runs: None,
            start_line: line,
            end_line: line + lines,
            old_text: old.to_owned(),
            new_text: new.to_owned(),
            words: Vec::new(),
            conflict: None,
            mine_by: Vec::new(),
            mine_pending: false,
            merged: None,
            provenance: Vec::new(),
        }
    }

    /// Formats styles as text: `[highlighted words]`, `{dimmed text}`.
    fn shown(diff: &str, hunks: &[HunkView]) -> String {
        let mut text = painted_lines(diff, hunks).join("\n") + "\n";
        for (style, open, close) in [
            (RED.invert(), "[", "]"),
            (GREEN.invert(), "[", "]"),
            (DIM, "{", "}"),
        ] {
            let (start, end) = (style.render().to_string(), style.render_reset().to_string());
            while let Some(at) = text.find(&start) {
                let rest = text[at + start.len()..].replacen(&end, close, 1);
                text = format!("{}{open}{rest}", &text[..at]);
            }
        }
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn a_diff_names_its_hunks_and_shows_the_words() {
        let diff = "\
diff --git a/a.rs b/a.rs
--- a/a.rs
+++ b/a.rs
@@ -1,3 +1,3 @@
 one
-let two = 2;
+let deux = 2;
 three
@@ -40,2 +40,3 @@
 forty
-no end
\\ No newline at end of file
+an end
+--- no header
";
        let mut first = hunk("g1.aa", 1, "let two = 2;\n", "let deux = 2;\n");
        first.words = vec![
            word(HunkWordKind::Same, "let "),
            word(HunkWordKind::Removed, "two"),
            word(HunkWordKind::Added, "deux"),
            word(HunkWordKind::Same, " = 2;\n"),
        ];
        let mut second = hunk("g1.bb", 40, "no end", "an end\n--- no header\n");
        second.held = vec![HeldReason::OutOfScope];
        second.words = vec![
            word(HunkWordKind::Removed, "no"),
            word(HunkWordKind::Added, "an"),
            word(HunkWordKind::Same, " end"),
            word(HunkWordKind::Added, "\n--- no header\n"),
        ];
        expect![[r#"
            diff --git a/a.rs b/a.rs
            --- a/a.rs
            +++ b/a.rs
            @@ -1,3 +1,3 @@
             one
            -let [two] = 2;  {g1.aa}
            +let [deux] = 2;
             three
            @@ -40,2 +40,3 @@
             forty
            -[no] end  {g1.bb} outside the goal's scope
            \ No newline at end of file
            +[an] end
            +[--- no header]
        "#]]
        .assert_eq(&shown(diff, &[first, second]));
    }

    #[test]
    fn a_whole_file_is_named_in_its_first_line() {
        let diff = "\
diff --git a/old.rs b/a.rs
similarity index 90%
rename from old.rs
rename to a.rs
";
        let mut moved = hunk("g1.cc", 0, "", "");
        moved.whole = true;
        moved.from = Some(RelPath::new("old.rs").unwrap());
        expect![[r#"
            diff --git a/old.rs b/a.rs  {g1.cc}
            similarity index 90%
            rename from old.rs
            rename to a.rs
        "#]]
        .assert_eq(&shown(diff, &[moved]));
    }
}
