//! What the tests of merging share: random texts, and the real git to compare with.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the tests of the pure crate may use the machine"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::{collections::HashMap, fs, ops::Range, path::Path, process::Command};

use claudecluster_core::{
    diff::LineChange,
    review::{FileReview, LiveReview},
};
use proptest::{prelude::*, test_runner::FileFailurePersistence};
use ropey::Rope;

/// `cases` random cases, or as many as `PROPTEST_CASES` says. What failed once is kept beside the
/// test and tried first.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: asked.and_then(|n| n.parse().ok()).unwrap_or(cases),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

/// The same for tests that put `size` cases into one batch, so that git is started less often.
pub(crate) fn batched(batches: u32, size: u32) -> ProptestConfig {
    let config = config(batches * size);
    ProptestConfig {
        cases: config.cases.div_ceil(size),
        ..config
    }
}

/// What happens to one line of a base text.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Keep,
    Delete,
    Replace(Vec<u16>),
    InsertBefore(Vec<u16>),
}

/// How many different lines there are to insert: few make the same text appear in many places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alphabet {
    pub(crate) base: u16,
    pub(crate) inserted: u16,
}

/// Every line of the base is unlike every other, inserted ones rarely meet their like.
pub(crate) const DISTINCT: Alphabet = Alphabet {
    base: u16::MAX,
    inserted: u16::MAX,
};
/// Lines repeat all the time.
pub(crate) const REPETITIVE: Alphabet = Alphabet {
    base: 4,
    inserted: 4,
};

/// The texts of one case, all in one style of line ending.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    pub(crate) base: String,
    pub(crate) variants: Vec<String>,
}

/// A base text and `variants` texts made from it.
pub(crate) fn family(
    alphabet: Alphabet,
    lines: Range<usize>,
    variants: usize,
) -> BoxedStrategy<Family> {
    (lines, prop_oneof![5 => Just("\n"), 1 => Just("\r\n")])
        .prop_flat_map(move |(count, ending)| {
            let base = prop::collection::vec(0..alphabet.base.min(6), count);
            let acts = prop::collection::vec(acts(alphabet, count), variants);
            let unterminated = prop::collection::vec(prop::bool::weighted(0.15), variants + 1);
            (base, acts, unterminated, Just(ending))
        })
        .prop_map(move |(base, acts, unterminated, ending)| {
            let base: Vec<String> = base
                .iter()
                .enumerate()
                .map(|(at, &n)| match alphabet.base {
                    u16::MAX => format!("base {at}"),
                    _ => word(n).to_owned(),
                })
                .collect();
            let variants = acts
                .iter()
                .enumerate()
                .map(|(at, acts)| {
                    let lines = perform(&base, acts, alphabet);
                    // Most variants end as the base does.
                    join(
                        &lines,
                        ending,
                        unterminated[0] ^ (unterminated[at + 1] && at > 0),
                    )
                })
                .collect();
            Family {
                base: join(&base, ending, unterminated[0]),
                variants,
            }
        })
        .boxed()
}

fn acts(alphabet: Alphabet, lines: usize) -> impl Strategy<Value = Vec<Act>> {
    let inserted = || prop::collection::vec(0..alphabet.inserted.min(40), 1..4);
    // One more for the end of the text.
    prop::collection::vec(
        prop_oneof![
            24 => Just(Act::Keep),
            2 => Just(Act::Delete),
            3 => inserted().prop_map(Act::Replace),
            2 => inserted().prop_map(Act::InsertBefore),
        ],
        lines + 1,
    )
}

fn perform(base: &[String], acts: &[Act], alphabet: Alphabet) -> Vec<String> {
    let text = |n: &u16| match alphabet.inserted {
        u16::MAX => format!("new {n}"),
        _ => word(*n).to_owned(),
    };
    let mut out = Vec::new();
    for (at, act) in acts.iter().enumerate() {
        match act {
            Act::Keep | Act::Delete => {}
            Act::Replace(lines) | Act::InsertBefore(lines) => out.extend(lines.iter().map(text)),
        }
        if matches!(act, Act::Keep | Act::InsertBefore(_)) {
            out.extend(base.get(at).cloned());
        }
    }
    out
}

fn word(n: u16) -> &'static str {
    ["}", "", "    return;", "a", "b", "fn f() {"][usize::from(n) % 6]
}

pub(crate) fn join(lines: &[String], ending: &str, unterminated: bool) -> String {
    let mut text: String = lines.iter().flat_map(|line| [line, ending]).collect();
    if unterminated && text.ends_with(ending) {
        text.truncate(text.len() - ending.len());
    }
    text
}

/// The review of three texts, and the proof that a live review that has seen other texts before
/// comes to the same.
pub(crate) fn review<'a>(base: &'a str, current: &'a str, proposed: &'a str) -> FileReview<'a> {
    let review = FileReview::new(base, current, proposed);
    let mut live = LiveReview::new(base, proposed);
    // From the base, from nothing, and from a text that has moved.
    assert_same(&live.update(current), &review);
    live.update("");
    assert_same(&live.update(current), &review);
    live.update(&format!("{proposed}{current}"));
    assert_same(&live.update_rope(&Rope::from_str(current)), &review);
    review
}

/// Whether two reviews agree in everything that can be asked.
pub(crate) fn assert_same(live: &FileReview<'_>, fresh: &FileReview<'_>) {
    assert_eq!(live.hunks(), fresh.hunks());
    assert_eq!(live.merge().regions(), fresh.merge().regions());
    assert_eq!(live.merge().their_changes(), fresh.merge().their_changes());
    for (a, b) in live.hunks().iter().zip(fresh.hunks()) {
        assert_eq!(live.old_text(a), fresh.old_text(b));
        assert_eq!(live.new_text(a), fresh.new_text(b));
        assert_eq!(live.current_bytes(a), fresh.current_bytes(b));
        assert_eq!(live.merged_words(a), fresh.merged_words(b));
        assert_eq!(live.is_alone(a), fresh.is_alone(b));
    }
    let keys: Vec<_> = fresh.hunks().iter().map(|hunk| hunk.key).collect();
    assert_eq!(live.accept(&keys), fresh.accept(&keys));
    assert_eq!(live.reject(&keys), fresh.reject(&keys));
}

/// A git command that no configuration of the machine reaches.
pub(crate) fn git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CEILING_DIRECTORIES", dir);
    command
}

/// What git makes of one merge.
#[derive(Debug)]
pub(crate) struct GitMerge {
    /// The merged text, if clean.
    pub(crate) clean: Option<String>,
    /// The changes git found from base to ours and from base to theirs.
    pub(crate) ours: Vec<LineChange>,
    pub(crate) theirs: Vec<LineChange>,
}

/// Merges `(base, ours, theirs)` with the real git.
pub(crate) fn git_merge_all(cases: &[(&str, &str, &str)]) -> Vec<GitMerge> {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for side in ["b", "o", "t", "r"] {
        fs::create_dir(root.join(side)).unwrap();
    }
    for (at, (base, ours, theirs)) in cases.iter().enumerate() {
        for (side, text) in [("b", base), ("o", ours), ("t", theirs)] {
            fs::write(root.join(side).join(at.to_string()), text).unwrap();
        }
    }
    let script = "i=0; while [ $i -lt $1 ]; do git merge-file -p o/$i b/$i t/$i >r/$i 2>/dev/null; \
                  echo $?; i=$((i+1)); done";
    let count = cases.len().to_string();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script, "sh", &count])
        .current_dir(root)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    let statuses = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    let mut ours = git_changes(root, "o");
    let mut theirs = git_changes(root, "t");
    statuses
        .lines()
        .enumerate()
        .map(|(at, status)| {
            let merged = fs::read_to_string(root.join("r").join(at.to_string())).unwrap();
            let status: u8 = status.parse().unwrap();
            assert!(status < 128, "git merge-file failed on {:?}", cases[at]);
            GitMerge {
                clean: (status == 0).then_some(merged),
                ours: ours.remove(&at).unwrap_or_default(),
                theirs: theirs.remove(&at).unwrap_or_default(),
            }
        })
        .collect()
}

/// The changes `git diff` finds between the numbered files of `b` and those of another folder, as a
/// merge sees them.
fn git_changes(root: &Path, side: &str) -> HashMap<usize, Vec<LineChange>> {
    git_diffs(root, side, &["--no-indent-heuristic"])
}

/// What `git diff` finds between `(old, new)`.
pub(crate) fn git_diff_all(cases: &[(String, String)], options: &[&str]) -> Vec<Vec<LineChange>> {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for side in ["b", "o"] {
        fs::create_dir(root.join(side)).unwrap();
    }
    for (at, (old, new)) in cases.iter().enumerate() {
        fs::write(root.join("b").join(at.to_string()), old).unwrap();
        fs::write(root.join("o").join(at.to_string()), new).unwrap();
    }
    let mut found = git_diffs(root, "o", options);
    let all = 0..cases.len();
    all.map(|at| found.remove(&at).unwrap_or_default())
        .collect()
}

fn git_diffs(root: &Path, side: &str, options: &[&str]) -> HashMap<usize, Vec<LineChange>> {
    // With no line of context at all, git leaves out the common end of long files before it looks
    // at them, and may come to another diff than its merges do.
    let output = git(root)
        .args(["diff", "--no-index", "--no-color", "--text", "-U1"])
        .arg("--diff-algorithm=myers")
        .args(options)
        .args(["b", side])
        .output()
        .unwrap();
    let mut all = HashMap::new();
    let mut changes: Vec<LineChange> = Vec::new();
    let (mut file, mut old, mut new) = (0, 0, 0);
    // Lines of the hunk that are still to come: they can begin like anything.
    let mut left = (0, 0);
    for line in output.stdout.split(|&b| b == b'\n') {
        if left == (0, 0) {
            let line = String::from_utf8_lossy(line);
            if let Some(names) = line.strip_prefix("diff --git ") {
                all.insert(file, std::mem::take(&mut changes));
                file = names.rsplit('/').next().unwrap().parse().unwrap();
            } else if let Some(header) = line.strip_prefix("@@ -") {
                let (was, rest) = header.split_once(" +").unwrap();
                let (is, _) = rest.split_once(" @@").unwrap();
                let (was, is) = (range(was), range(is));
                left = (was.len(), is.len());
                (old, new) = (was.start, is.start);
            }
            continue;
        }
        let (removed, added) = match line[0] {
            b' ' => (1, 1),
            b'-' => (1, 0),
            b'+' => (0, 1),
            // "No newline at end of file".
            _ => continue,
        };
        left.0 -= removed as usize;
        left.1 -= added as usize;
        let end = (old + removed, new + added);
        if (removed, added) != (1, 1) {
            match changes.last_mut() {
                Some(last) if (last.old.end, last.new.end) == (old, new) => {
                    (last.old.end, last.new.end) = end;
                }
                _ => changes.push(LineChange {
                    old: old..end.0,
                    new: new..end.1,
                }),
            }
        }
        (old, new) = end;
    }
    all.insert(file, changes);
    all
}

/// `start,count` of a hunk header, where the count may be missing and lines count from 1.
fn range(text: &str) -> Range<u32> {
    let (start, count) = text.split_once(',').unwrap_or((text, "1"));
    let (start, count): (u32, u32) = (start.parse().unwrap(), count.parse().unwrap());
    let start = if count == 0 { start } else { start - 1 };
    start..start + count
}

/// Chance that a seed decides.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(sides)) as u32
    }
}
