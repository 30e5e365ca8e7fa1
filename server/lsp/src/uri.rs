//! Conversion between the URIs of editors and paths.

use std::path::{Path, PathBuf};

use claudecluster_protocol::{ErrorBody, RelPath};
use lsp_types::Uri;

/// Returns the file that a document shows; `None` for schemes such as `untitled:` and `git:`.
///
/// Links among the parent folders are resolved, because the driver knows workspaces by their real
/// paths. A link in the last place is kept: the link itself is the file.
pub(crate) fn to_path(uri: &Uri) -> Option<PathBuf> {
    if uri.scheme() != "file" {
        return None;
    }
    let path = uri.to_file_path().ok()?;
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => Some(resolve_links(folder).join(name)),
        _ => Some(path),
    }
}

/// Returns the folder at a URI, with all links resolved.
pub(crate) fn to_folder(uri: &Uri) -> Option<PathBuf> {
    if uri.scheme() != "file" {
        return None;
    }
    uri.to_file_path().ok().map(|path| resolve_links(&path))
}

/// Resolves the links in the part of a path that exists.
pub(crate) fn resolve_links(path: &Path) -> PathBuf {
    let existing = path
        .ancestors()
        .find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?)));
    match existing {
        Some((ancestor, real)) => match path.strip_prefix(ancestor) {
            Ok(rest) if rest.as_os_str().is_empty() => real,
            Ok(rest) => real.join(rest),
            Err(_) => path.to_owned(),
        },
        None => path.to_owned(),
    }
}

/// Returns the URI of a file; `None` for a path that is not absolute.
pub(crate) fn from_path(path: &Path) -> Option<Uri> {
    Uri::from_file_path(path).ok()
}

/// Parses the URI of a file in a command's argument.
pub(crate) fn parse_file(uri: &str) -> Result<PathBuf, ErrorBody> {
    Uri::parse(uri)
        .ok()
        .and_then(|uri| to_path(&uri))
        .ok_or_else(|| {
            ErrorBody::user(format!("{uri:?} is not a file URI"))
                .with_hint("use a URI of the form file:///…")
        })
}

/// Returns the path relative to a workspace folder; `None` if the folder does not contain it.
pub(crate) fn relative_to(root: &Path, path: &Path) -> Option<RelPath> {
    RelPath::from_path(path.strip_prefix(root).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn links_among_the_folders_are_resolved_and_a_link_in_the_last_place_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        std::fs::create_dir(top.join("real")).unwrap();
        std::os::unix::fs::symlink(top.join("real"), top.join("alias")).unwrap();
        std::os::unix::fs::symlink("elsewhere", top.join("real/link")).unwrap();
        let check = |given: &str, expected: &str| {
            let uri = from_path(&top.join(given)).unwrap();
            assert_eq!(to_path(&uri), Some(top.join(expected)), "{given}");
        };
        check("alias/a.rs", "real/a.rs");
        check("alias/new/b.rs", "real/new/b.rs");
        check("alias/link", "real/link");
        let alias = from_path(&top.join("alias")).unwrap();
        assert_eq!(to_folder(&alias), Some(top.join("real")));
    }

    #[test]
    fn paths_survive_the_round_trip_and_other_schemes_are_no_files() {
        for path in ["/a/b.rs", "/a b/ü/😀#?.rs", "/a/%41"] {
            let uri = from_path(Path::new(path)).unwrap();
            assert_eq!(to_path(&uri).as_deref(), Some(Path::new(path)), "{uri}");
        }
        assert_eq!(parse_file("file:///x%20y").unwrap(), Path::new("/x y"));
        for other in [
            "untitled:Untitled-1",
            "git:/a/b.rs",
            "",
            "/a/b",
            "file://host/x",
            "http://a/b",
        ] {
            assert!(parse_file(other).is_err(), "{other}");
        }
        assert_eq!(
            relative_to(Path::new("/w"), Path::new("/w/a/b"))
                .unwrap()
                .as_str(),
            "a/b"
        );
        assert_eq!(relative_to(Path::new("/w"), Path::new("/wx/a")), None);
        assert_eq!(relative_to(Path::new("/w"), Path::new("/w")), None);
    }
}
