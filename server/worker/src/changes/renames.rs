//! Pairs created files with deleted ones that they are renames of.

use std::collections::HashMap;

use claudecluster_protocol::FileMode;

use super::CollectedChange;

/// The most pairs of files that are compared line by line.
const MOST_PAIRS: usize = 2_500;
/// The largest file that is compared line by line.
const MOST_BYTES: usize = 1 << 20;

/// The most bytes of all pairs together that are compared. What comes after them is a deletion and a new file.
const MOST_COMPARED: usize = 32 << 20;

/// Turns each deletion and creation that belong together into one rename: those with the same content
/// first, then those that have at least half of it in common.
pub(super) fn detect_renames(changes: &mut Vec<CollectedChange>) {
    let mut sources = Vec::new();
    let mut targets = Vec::new();
    for (index, change) in changes.iter().enumerate() {
        match (&change.before, &change.after) {
            (Some(c), None) if c.mode != FileMode::Symlink && !c.bytes.is_empty() => {
                sources.push(index);
            }
            (None, Some(c)) if c.mode != FileMode::Symlink && !c.bytes.is_empty() => {
                targets.push(index);
            }
            _ => {}
        }
    }
    let mut pairs = pair_identical(changes, &mut sources, &mut targets);
    if sources.len() * targets.len() <= MOST_PAIRS {
        pairs.extend(pair_similar(changes, &sources, &targets));
    }
    for &(source, target) in &pairs {
        let (from, before) = (changes[source].path.clone(), changes[source].before.clone());
        changes[target].from = Some(from);
        changes[target].before = before;
    }
    let mut gone: Vec<usize> = pairs.into_iter().map(|(source, _)| source).collect();
    gone.sort_unstable();
    for source in gone.into_iter().rev() {
        changes.remove(source);
    }
}

fn bytes_before(change: &CollectedChange) -> &[u8] {
    change.before.as_ref().map_or(&[], |content| &content.bytes)
}

fn bytes_after(change: &CollectedChange) -> &[u8] {
    change.after.as_ref().map_or(&[], |content| &content.bytes)
}

/// Pairs files with the same content, preferring the same file name, and removes them from both lists.
fn pair_identical(
    changes: &[CollectedChange],
    sources: &mut Vec<usize>,
    targets: &mut Vec<usize>,
) -> Vec<(usize, usize)> {
    let mut by_content: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for &source in sources.iter().rev() {
        by_content
            .entry(bytes_before(&changes[source]))
            .or_default()
            .push(source);
    }
    let mut pairs = Vec::new();
    for named in [true, false] {
        targets.retain(|&target| {
            let Some(candidates) = by_content.get_mut(bytes_after(&changes[target])) else {
                return true;
            };
            let name = changes[target].path.file_name();
            let found = candidates
                .iter()
                .rposition(|&source| !named || changes[source].path.file_name() == name);
            match found {
                Some(at) => {
                    pairs.push((candidates.remove(at), target));
                    false
                }
                None => true,
            }
        });
    }
    sources.retain(|source| !pairs.iter().any(|(taken, _)| taken == source));
    pairs
}

/// Pairs files that have at least half of the larger one in common, the most similar first.
fn pair_similar(
    changes: &[CollectedChange],
    sources: &[usize],
    targets: &[usize],
) -> Vec<(usize, usize)> {
    let mut scored = Vec::new();
    let mut room = MOST_COMPARED;
    for &source in sources {
        for &target in targets {
            let (before, after) = (
                bytes_before(&changes[source]),
                bytes_after(&changes[target]),
            );
            let Some(left) = room.checked_sub(before.len() + after.len()) else {
                break;
            };
            room = left;
            let score = similarity(before, after);
            if score >= 50 {
                scored.push((std::cmp::Reverse(score), source, target));
            }
        }
    }
    scored.sort_unstable();
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for (_, source, target) in scored {
        if !pairs.iter().any(|&(s, t)| s == source || t == target) {
            pairs.push((source, target));
        }
    }
    pairs
}

/// Returns the share of the larger text that is in common lines, in percent.
fn similarity(a: &[u8], b: &[u8]) -> usize {
    let largest = a.len().max(b.len());
    let smallest = a.len().min(b.len());
    if largest > MOST_BYTES || smallest * 2 < largest || a.contains(&0) || b.contains(&0) {
        return 0;
    }
    let mut lines: HashMap<&[u8], usize> = HashMap::new();
    for line in a.split_inclusive(|&byte| byte == b'\n') {
        *lines.entry(line).or_default() += 1;
    }
    let mut common = 0;
    for line in b.split_inclusive(|&byte| byte == b'\n') {
        if let Some(left) = lines.get_mut(line).filter(|left| **left > 0) {
            *left -= 1;
            common += line.len();
        }
    }
    common * 100 / largest
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use claudecluster_protocol::RelPath;

    use super::{super::FileContent, *};

    /// Changes as `-path text` and `+path text`; the result as `from>path` or `path`.
    fn check(given: &[&str], expected: &[&str]) {
        let mut changes: Vec<CollectedChange> = given
            .iter()
            .map(|line| {
                let (path, text) = line[1..].split_once(' ').unwrap();
                let bytes = Bytes::copy_from_slice(text.replace('/', "\n").as_bytes());
                let content = Some(FileContent {
                    bytes,
                    mode: FileMode::Regular,
                });
                let (before, after) = if line.starts_with('-') {
                    (content, None)
                } else {
                    (None, content)
                };
                CollectedChange {
                    path: RelPath::new(path).unwrap(),
                    from: None,
                    before,
                    after,
                }
            })
            .collect();
        detect_renames(&mut changes);
        let found: Vec<String> = changes
            .iter()
            .map(|change| match &change.from {
                Some(from) => format!("{from}>{}", change.path),
                None => change.path.to_string(),
            })
            .collect();
        assert_eq!(found, expected, "{given:?}");
    }

    #[test]
    fn renames_are_found() {
        check(&["-a one", "+b one"], &["a>b"]);
        check(&["-a one", "+b two"], &["a", "b"]);
        check(&["-a ", "+b "], &["a", "b"]);
        check(&["-x/f one", "-y/g one", "+z/g one"], &["x/f", "y/g>z/g"]);
        check(&["-a one", "+b one", "+c one"], &["a>b", "c"]);
        check(&["-a 1/2/3/4", "+b 1/2/3/5"], &["a>b"]);
        check(&["-a 1/2/3/4", "+b 1/5/6/7"], &["a", "b"]);
        check(&["-a 1/2/3/4", "+b 1/2/3/5", "+c 1/2/3/4"], &["b", "a>c"]);
    }

    #[test]
    fn large_files_are_compared_for_a_while_only() {
        let content = |fill: &str| {
            let bytes = Bytes::from(format!("{}{fill}", "same\n".repeat(100_000)));
            let mode = FileMode::Regular;
            Some(FileContent { bytes, mode })
        };
        let change = |path: String, before, after| CollectedChange {
            path: RelPath::new(&path).unwrap(),
            from: None,
            before,
            after,
        };
        let gone = (0..12).map(|n| change(format!("a{n}"), content(&format!("old {n}")), None));
        let made = (0..12).map(|n| change(format!("b{n}"), None, content(&format!("new {n}"))));
        let mut changes: Vec<_> = gone.chain(made).collect();
        detect_renames(&mut changes);
        let renamed = changes.iter().filter(|change| change.from.is_some());
        assert!((1..12).contains(&renamed.count()));
    }
}
