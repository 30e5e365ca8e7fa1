//! The text format of the kernel's table of mounts.

use std::{os::unix::ffi::OsStrExt, path::PathBuf};

/// The table writes space, tab, newline and backslash as three octal digits.
pub(super) fn unescape_path(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = (first == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_table_of_mounts_is_unescaped() {
        let check = |field: &[u8], path: &str| assert_eq!(unescape_path(field), Path::new(path));
        check(b"/mnt/a\\040b\\011c\\134d\\012e", "/mnt/a b\tc\\d\ne");
        check(b"/plain\\9", "/plain\\9");
        check(b"/end\\04", "/end\\04");
    }
}
