//! The files of the machine that programs in a sandbox must not read.
//!
//! The list is data (`secrets.txt`), extended and cut by settings. Paths are resolved when a sandbox is
//! made: a link hides what it leads to.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use claudecluster_protocol::worker::SecretRules;

use super::view::{HiddenSecret, SecretCover};

/// The list of paths.
const LIST: &str = include_str!("secrets.txt");

/// The entries of a hidden folder whose links are followed, at most.
const ENTRIES: usize = 1024;

/// Where secrets are looked for.
pub(super) struct SecretSearch<'a> {
    /// The home folders.
    pub(super) homes: Vec<PathBuf>,
    /// Reads a variable of the environment.
    pub(super) variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// The workspace, and what else must stay visible.
    pub(super) shown: &'a [PathBuf],
}

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct FoundSecrets {
    /// The places to hide, outer ones first.
    pub(super) hidden: Vec<HiddenSecret>,
    /// Remarks for the user.
    pub(super) notes: Vec<String>,
}

/// Finds what exists of the list and of the user's own paths.
pub(super) fn find_secrets(search: &SecretSearch<'_>, rules: &SecretRules) -> FoundSecrets {
    let mut found: BTreeMap<PathBuf, SecretCover> = BTreeMap::new();
    let lines = LIST.lines().map(str::trim);
    let listed = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in listed.chain(rules.hide.iter().map(String::as_str)) {
        let (text, some_lines) = match line.strip_prefix("lines:") {
            Some(path) => (path, true),
            None => (line, false),
        };
        for path in search.expand(text) {
            add_secret(&mut found, &path, some_lines);
        }
    }
    let handed_in = rules.show.iter().flat_map(|text| search.expand(text));
    let handed_in: Vec<PathBuf> = handed_in.filter_map(|p| p.canonicalize().ok()).collect();
    let mut secrets = FoundSecrets::default();
    for (path, cover) in found {
        if handed_in.iter().any(|shown| path.starts_with(shown)) {
            continue;
        }
        let over = |shown: &&PathBuf| shown.starts_with(&path);
        if let Some(shown) = search.shown.iter().find(over) {
            let (path, shown) = (path.display(), shown.display());
            secrets
                .notes
                .push(format!("{path} is not hidden, because {shown} lies in it"));
            continue;
        }
        let inner = handed_in.iter().filter(|shown| shown.starts_with(&path));
        secrets.hidden.push(HiddenSecret {
            shown: inner.map(Into::into).collect(),
            path: path.into(),
            cover,
        });
    }
    secrets
}

/// Adds a path that exists, and what a folder's links lead to.
fn add_secret(found: &mut BTreeMap<PathBuf, SecretCover>, path: &Path, some_lines: bool) {
    // What this process cannot look at, a program of the same user cannot either. Most of the list does not exist, which
    // one look tells; resolving a path takes one for each of its parts.
    let looked = path.symlink_metadata().and_then(|_| path.canonicalize());
    let Ok(real) = looked else {
        return;
    };
    let is_dir = real.is_dir();
    if real == Path::new("/") || (!is_dir && !real.is_file()) {
        return;
    }
    let cover = match (is_dir, some_lines) {
        (true, _) => SecretCover::Folder,
        (false, true) => SecretCover::Lines,
        (false, false) => SecretCover::File,
    };
    if is_dir {
        let entries = std::fs::read_dir(&real).into_iter().flatten().flatten();
        let links = entries
            .take(ENTRIES)
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()))
            .filter_map(|entry| entry.path().canonicalize().ok())
            .filter(|target| target.is_file() && !target.starts_with(&real));
        for target in links {
            found.entry(target).or_insert(SecretCover::File);
        }
    }
    found.insert(real, cover);
}

impl SecretSearch<'_> {
    /// Returns the paths that a line of the list or of a setting stands for.
    fn expand(&self, text: &str) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        if let Some(rest) = text.strip_prefix("~/") {
            paths.extend(self.homes.iter().map(|home| home.join(rest)));
            for (place, name) in [
                (".config/", "XDG_CONFIG_HOME"),
                (".local/share/", "XDG_DATA_HOME"),
                (".local/state/", "XDG_STATE_HOME"),
                (".cache/", "XDG_CACHE_HOME"),
            ] {
                if let (Some(below), Some(dir)) = (rest.strip_prefix(place), (self.variable)(name))
                {
                    paths.push(PathBuf::from(dir).join(below));
                }
            }
        } else if let Some(rest) = text.strip_prefix('$') {
            let (name, below) = match rest.split_once('/') {
                Some((name, below)) => (name, Some(below)),
                None => (rest, None),
            };
            if let Some(value) = (self.variable)(name) {
                // Some variables hold several paths.
                let dirs = std::env::split_paths(&value);
                paths.extend(dirs.map(|dir| below.map_or(dir.clone(), |below| dir.join(below))));
            }
        } else {
            paths.push(PathBuf::from(text));
        }
        paths.retain(|path| path.is_absolute());
        paths.into_iter().flat_map(expand_stars).collect()
    }
}

/// Returns the existing paths that a path with a `*` in its last part stands for.
fn expand_stars(path: PathBuf) -> Vec<PathBuf> {
    let (Some(Component::Normal(name)), Some(parent)) =
        (path.components().next_back(), path.parent())
    else {
        return vec![path];
    };
    let Some(star) = name.as_bytes().iter().position(|&byte| byte == b'*') else {
        return vec![path];
    };
    let (start, end) = (&name.as_bytes()[..star], &name.as_bytes()[star + 1..]);
    let fits = |name: &OsStr| {
        let name = name.as_bytes();
        name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
    };
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(|entry| fits(&entry.file_name()))
        .map(|entry| entry.path())
        .collect()
}

/// Returns the home folders whose secrets this user could read.
pub(super) fn home_folders(own: Option<&OsStr>) -> Vec<PathBuf> {
    let mut homes: Vec<PathBuf> = own.map(PathBuf::from).into_iter().collect();
    if rustix::process::geteuid().is_root() {
        homes.push("/root".into());
        let others = std::fs::read_dir("/home").into_iter().flatten().flatten();
        homes.extend(others.map(|entry| entry.path()));
    }
    homes.sort_unstable();
    homes.dedup();
    homes
}

/// Returns a configuration file's text without the lines that carry a secret.
pub(super) fn without_secret_lines(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|&byte| byte == b'\n');
    lines
        .filter(|line| !carries_secret(&line.to_ascii_lowercase()))
        .flatten()
        .copied()
        .collect()
}

/// Whether a line, in lower case, looks as if it carried a password, a token, or an address with either.
fn carries_secret(line: &[u8]) -> bool {
    let has = |word: &[u8]| line.windows(word.len()).any(|part| part == word);
    let words: [&[u8]; 10] = [
        b"_auth",
        b"authtoken",
        b"authident",
        b"token",
        b"passw",
        b"passphrase",
        b"secret",
        b"credential",
        b"apikey",
        b"privatekey",
    ];
    let names_user = line.windows(3).enumerate().any(|(at, part)| {
        part == b"://" && {
            let rest = &line[at + 3..];
            let end = rest
                .iter()
                .position(|byte| matches!(byte, b'/' | b' ' | b'"' | b'\''))
                .unwrap_or(rest.len());
            rest[..end].contains(&b'@')
        }
    });
    names_user || words.into_iter().any(has)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_exists_of_the_list_is_found_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let (home, elsewhere) = (top.join("home"), top.join("dotfiles"));
        for folder in [
            &home.join(".config"),
            &elsewhere.join("ssh"),
            &home.join(".aws/cli"),
        ] {
            fs::create_dir_all(folder).unwrap();
        }
        for file in ["netrc", "key", "id"] {
            fs::write(elsewhere.join(file), "").unwrap();
        }
        let link = |to: &str, at: &str| {
            std::os::unix::fs::symlink(elsewhere.join(to), home.join(at)).unwrap();
        };
        link("ssh", ".ssh");
        link("netrc", ".netrc");
        link("key", ".aws/key");
        link("none", ".pypirc");
        fs::write(home.join(".npmrc"), "").unwrap();
        fs::write(home.join("mine"), "").unwrap();
        fs::create_dir(home.join(".config/google-chrome-beta")).unwrap();
        let check = |hide: &[&str], show: &[&str], workspace: &Path, expected: &[&str]| {
            let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
            let rules = SecretRules {
                hide: texts(hide),
                show: texts(show),
            };
            let search = SecretSearch {
                homes: vec![home.clone()],
                variable: &|name| (name == "KUBECONFIG").then(|| elsewhere.join("id").into()),
                shown: &[workspace.to_owned()],
            };
            let found = find_secrets(&search, &rules);
            let paths = found.hidden.iter().map(|secret| Path::new(&secret.path));
            let below = paths.filter_map(|path| path.strip_prefix(&top).ok());
            let below: Vec<_> = below.map(|path| path.to_str().unwrap()).collect();
            assert_eq!(below, expected);
            found.notes.len()
        };
        let all = [
            "dotfiles/id",
            "dotfiles/key",
            "dotfiles/netrc",
            "dotfiles/ssh",
            "home/.aws",
            "home/.config/google-chrome-beta",
            "home/.npmrc",
        ];
        assert_eq!(check(&[], &[], &top.join("ws"), &all), 0);
        let cut = [&all[..3], &all[5..], &["home/mine"]].concat();
        let workspace = home.join(".aws/cli");
        let notes = check(&["~/mine"], &["~/.ssh"], &workspace, &cut);
        assert_eq!(notes, 1);
    }

    #[test]
    fn settings_of_tools_stay_and_their_secrets_go() {
        let check = |line: &str, kept: bool| {
            let text = format!("a=b\n{line}\n");
            let shown = without_secret_lines(text.as_bytes());
            assert_eq!(shown.len() == text.len(), kept, "{line}");
        };
        check("registry=https://npm.example/", true);
        check("//npm.example/:_authToken=npm_x", false);
        check("@scope:registry=https://npm.example/u@x", true);
        check("index-url = https://me:pw@pypi.example/simple", false);
        check("  <url>https://maven.example</url>", true);
        check("  <password>x</password>", false);
        check("npmAuthIdent: x", false);
        check("org.gradle.jvmargs=-Xmx2g", true);
    }
}
