//! Paths inside a workspace.

use std::{fmt, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// First of the 128 private-use characters that stand for the bytes `0x80..=0xFF` of a name that is
/// not UTF-8.
const ESCAPE_BASE: u32 = 0x10_FF80;

/// A path relative to the workspace root: `/`-separated, no empty, `.` or `..` part, no NUL, never
/// absolute.
///
/// File names are bytes on Unix and text on every wire. A byte that does not belong to valid UTF-8
/// is written as the private-use character `U+10FF80 + (byte - 0x80)`, and so are the bytes of
/// those characters themselves, so that every file name has exactly one form here and back.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[schemars(with = "String")]
#[cfg_attr(feature = "codegen", ts(type = "string"))]
pub struct RelPath(String);

/// Why a path cannot name a file in the workspace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing was given.
    #[error("the path is empty")]
    Empty,
    /// The path starts at the root of the file system.
    #[error("{0:?} is absolute; use a path relative to the workspace")]
    Absolute(String),
    /// The path has a part that could leave the workspace or names nothing.
    #[error("{0:?} has an empty, \".\" or \"..\" part; use a plain path relative to the workspace")]
    Part(String),
    /// No file name can hold a NUL.
    #[error("{0:?} contains a NUL character")]
    Nul(String),
}

impl RelPath {
    /// Checks a path that is already in wire form.
    pub fn new(path: impl Into<String>) -> Result<Self, PathError> {
        let path = path.into();
        if path.is_empty() {
            return Err(PathError::Empty);
        }
        if path.starts_with('/') {
            return Err(PathError::Absolute(path));
        }
        if path.contains('\0') {
            return Err(PathError::Nul(path));
        }
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(PathError::Part(path));
        }
        // An escape that decodes to `/`, `.` or NUL cannot exist: escapes stand for bytes >= 0x80.
        Ok(Self(path))
    }

    /// Makes a path from bytes as the operating system gives them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PathError> {
        Self::new(text_of_bytes(bytes))
    }

    /// Returns the bytes of the path as the operating system wants it.
    pub fn to_bytes(&self) -> Vec<u8> {
        bytes_of_text(&self.0)
    }

    /// Returns the path as the standard library's type, still relative.
    #[cfg(unix)]
    pub fn to_path_buf(&self) -> PathBuf {
        use std::os::unix::ffi::OsStringExt;
        PathBuf::from(std::ffi::OsString::from_vec(self.to_bytes()))
    }

    /// Makes a path from a relative path of the standard library.
    #[cfg(unix)]
    pub fn from_path(path: &std::path::Path) -> Result<Self, PathError> {
        use std::os::unix::ffi::OsStrExt;
        Self::from_bytes(path.as_os_str().as_bytes())
    }

    /// Returns the path in wire form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the parts between the slashes.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// Returns the last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Returns the path without its last part; `None` at the top of the workspace.
    pub fn parent(&self) -> Option<RelPath> {
        self.0
            .rsplit_once('/')
            .map(|(parent, _)| Self(parent.to_owned()))
    }

    /// Returns whether `self` is `dir` or lies beneath `dir`.
    pub fn is_within(&self, dir: &RelPath) -> bool {
        self.0
            .strip_prefix(dir.0.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Returns a form that is safe to print: control characters, bidirectional overrides and
    /// escaped bytes are shown as `\x..` or `\u{..}`, so that a file name cannot steer a terminal.
    pub fn display(&self) -> String {
        let mut out = String::with_capacity(self.0.len());
        for c in self.0.chars() {
            if is_escape(c) {
                out.push_str(&format!("\\x{:02x}", c as u32 - ESCAPE_BASE + 0x80));
            } else if c.is_control() || is_bidi_control(c) {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        out
    }
}

/// Returns the bytes as text that [`bytes_of_text`] turns back into exactly those bytes, in the way
/// [`RelPath`] writes names: valid UTF-8 stays as it is.
pub fn text_of_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_escape(c) {
                let mut buf = [0; 4];
                c.encode_utf8(&mut buf)
                    .bytes()
                    .for_each(|b| text.push(escape_byte(b)));
            } else {
                text.push(c);
            }
        }
        chunk
            .invalid()
            .iter()
            .for_each(|&b| text.push(escape_byte(b)));
    }
    text
}

/// Returns the bytes that [`text_of_bytes`] was given.
pub fn bytes_of_text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        if is_escape(c) {
            bytes.push((c as u32 - ESCAPE_BASE) as u8 + 0x80);
        } else {
            let mut buf = [0; 4];
            bytes.extend_from_slice(c.encode_utf8(&mut buf).as_bytes());
        }
    }
    bytes
}

fn is_escape(c: char) -> bool {
    (ESCAPE_BASE..ESCAPE_BASE + 128).contains(&(c as u32))
}

fn escape_byte(byte: u8) -> char {
    debug_assert!(byte >= 0x80, "ASCII is always valid UTF-8");
    char::from_u32(ESCAPE_BASE + u32::from(byte & 0x7f)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Returns whether a character reorders the text around it.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&RelPath::display(self))
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(d)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_one_form_and_comes_back() {
        let names: [&[u8]; 8] = [
            b"src/main.rs",
            "na\u{ef}ve/\u{1f600}.txt".as_bytes(),
            b"bad\xff\xfename",
            b"half\xf0\x9f",
            "\u{10ff80}\u{10ffff}".as_bytes(),
            b"-rf",
            b"$(touch pwn)`id`",
            "\u{202e}gnp.exe\n\x1b[31m".as_bytes(),
        ];
        for name in names {
            let path = RelPath::from_bytes(name).unwrap();
            assert_eq!(path.to_bytes(), name, "{path:?}");
            let json = serde_json::to_string(&path).unwrap();
            assert_eq!(serde_json::from_str::<RelPath>(&json).unwrap(), path);
            assert!(
                !path
                    .display()
                    .chars()
                    .any(|c| c.is_control() || is_bidi_control(c))
            );
        }
    }

    #[test]
    fn paths_that_leave_the_workspace_are_refused() {
        for bad in [
            "",
            "/etc/passwd",
            "..",
            "a/../b",
            "a//b",
            "./a",
            "a/",
            "a\0b",
        ] {
            assert!(RelPath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn within_compares_whole_parts() {
        let dir = RelPath::new("src").unwrap();
        assert!(RelPath::new("src/lib.rs").unwrap().is_within(&dir));
        assert!(dir.is_within(&dir));
        assert!(!RelPath::new("srcs/lib.rs").unwrap().is_within(&dir));
    }
}
