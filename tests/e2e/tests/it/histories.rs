//! Merges and patches of real code, against the real git.
//!
//! A package whose old release lines are kept up has a history that forks: between a release and two
//! later ones of different lines, every file is a three-way merge somebody really had to make. Other
//! choices of the three give what `git cherry-pick` and `git revert` merge. CONTRIBUTING.md says
//! which packages these are.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use claudecluster_core::{
    diff::is_binary,
    merge::merge3_bytes,
    patch::{PatchFile, PatchFilePair, unified_patch},
};
use claudecluster_e2e::part;
use claudecluster_protocol::{FileMode, RelPath};

/// The files of one release that are text.
type Release = BTreeMap<String, Vec<u8>>;

/// One file in three releases: what both sides started from, and the two sides.
type Case<'a> = [&'a [u8]; 3];

/// The releases of each package, by version.
fn packages() -> BTreeMap<String, BTreeMap<String, Release>> {
    let mut packages: BTreeMap<String, BTreeMap<String, Release>> = BTreeMap::new();
    for entry in fs::read_dir(part("CLAUDECLUSTER_TEST_HISTORIES")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let (package, version) = name.rsplit_once('-').unwrap();
        let mut release = Release::new();
        read(&folder, &folder, &mut release);
        let releases = packages.entry(package.to_owned()).or_default();
        releases.insert(version.to_owned(), release);
    }
    packages
}

fn read(root: &Path, folder: &Path, release: &mut Release) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(root, &path, release);
            continue;
        }
        let content = fs::read(&path).unwrap();
        if !is_binary(&content) {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            release.insert(name.to_owned(), content);
        }
    }
}

/// Every different merge in which both sides changed something, whichever release is the base.
fn cases(packages: &BTreeMap<String, BTreeMap<String, Release>>) -> Vec<Case<'_>> {
    let mut found = BTreeSet::new();
    for releases in packages.values() {
        let releases: Vec<&Release> = releases.values().collect();
        for (at, ours) in releases.iter().enumerate() {
            for theirs in &releases[at + 1..] {
                for base in &releases {
                    for (path, base) in *base {
                        let (Some(ours), Some(theirs)) = (ours.get(path), theirs.get(path)) else {
                            continue;
                        };
                        if base != ours && base != theirs && ours != theirs {
                            found.insert([base.as_slice(), ours, theirs]);
                        }
                    }
                }
            }
        }
    }
    found.into_iter().collect()
}

/// A command that runs git, or a shell that does, which no configuration of the machine reaches.
fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CEILING_DIRECTORIES", folder);
    command
}

/// What `git merge-file` makes of each case; nothing where it finds a conflict.
fn git_merges(cases: &[Case<'_>]) -> Vec<Option<Vec<u8>>> {
    let dir = tempfile::tempdir().unwrap();
    for (at, texts) in cases.iter().enumerate() {
        for (side, text) in ["b", "o", "t"].iter().zip(texts) {
            fs::write(dir.path().join(format!("{side}{at}")), text).unwrap();
        }
    }
    let script = "i=0; while [ $i -lt $1 ]; do git merge-file -p o$i b$i t$i >r$i 2>/dev/null; \
                  echo $?; i=$((i+1)); done";
    let output = command("sh", dir.path())
        .args(["-c", script, "sh", &cases.len().to_string()])
        .output()
        .unwrap();
    let statuses = String::from_utf8(output.stdout).unwrap();
    let merge = |(at, status): (usize, &str)| {
        let status: u8 = status.parse().unwrap();
        assert!(status < 128, "git merge-file failed");
        (status == 0).then(|| fs::read(dir.path().join(format!("r{at}"))).unwrap())
    };
    statuses.lines().enumerate().map(merge).collect()
}

/// Lines repeat all the time in real code, so there is more than one good diff, and which one is taken
/// decides which changes touch. Every merge is git's nevertheless.
#[test]
fn merges_of_real_histories_are_gits() {
    let packages = packages();
    let cases = cases(&packages);
    assert!(cases.len() > 2000, "only {} merges", cases.len());
    let mut clean = 0;
    for batch in cases.chunks(256) {
        for (case, git) in batch.iter().zip(git_merges(batch)) {
            let [base, ours, theirs] = *case;
            clean += usize::from(git.is_some());
            let merge = merge3_bytes(base, ours, theirs).clean_text();
            let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
            assert!(
                merge == git,
                "clean here: {}, for git: {}\n{}\n{}\n{}",
                merge.is_some(),
                git.is_some(),
                text(base),
                text(ours),
                text(theirs),
            );
        }
    }
    println!("{} merges, {clean} of them clean", cases.len());
}

#[test]
fn patches_between_real_releases_apply() {
    for (package, releases) in packages() {
        let releases: Vec<_> = releases.into_iter().collect();
        for pair in releases.windows(2) {
            let [(old_version, old), (new_version, new)] = pair else {
                unreachable!("windows of two")
            };
            // What is the same in both takes no part.
            let only = |one: &Release, other: &Release| -> Release {
                let changed = one
                    .iter()
                    .filter(|(path, text)| other.get(*path) != Some(*text));
                changed
                    .map(|(path, text)| (path.clone(), text.clone()))
                    .collect()
            };
            let (old, new) = (only(old, new), only(new, old));
            let versions = format!("{package} {old_version} and {new_version}");
            assert!(
                applied(&old, &new) == new,
                "from the first to the second: {versions}"
            );
            assert!(
                applied(&new, &old) == old,
                "from the second to the first: {versions}"
            );
        }
    }
}

/// What `git apply` makes of a release with our patch to another one.
fn applied(old: &Release, new: &Release) -> Release {
    let at = |content| PatchFile {
        mode: FileMode::Regular,
        content,
    };
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let paths: Vec<_> = names
        .into_iter()
        .map(|name| (name, RelPath::new(name).unwrap()))
        .collect();
    let pairs: Vec<_> = paths
        .iter()
        .map(|(name, path)| PatchFilePair {
            path,
            from: None,
            old: old.get(*name).map(|text| at(text)),
            new: new.get(*name).map(|text| at(text)),
        })
        .collect();
    let patch = unified_patch(&pairs);
    assert!(patch.omitted.is_empty(), "{:?}", patch.omitted);
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in old {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut child = command("git", dir.path())
        .args(["apply", "--whitespace=nowarn", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(patch.diff.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let mut release = Release::new();
    read(dir.path(), dir.path(), &mut release);
    release
}
