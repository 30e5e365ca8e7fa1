//! The current text of a file, in whichever form the caller has it.

use std::borrow::Cow;

use claudecluster_core::{
    diff::{HEAD, has_nul},
    review::{FileReview, LiveReview},
};
use ropey::Rope;

/// The current text of a file. A document's text stays in pieces: requests after each keystroke
/// never put it together.
#[derive(Clone, Copy, Debug)]
pub enum TextSource<'a> {
    /// A text in one piece.
    Text(&'a str),
    /// The text of an open document.
    Document(&'a Rope),
}

impl<'a> From<&'a str> for TextSource<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for TextSource<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a Rope> for TextSource<'a> {
    fn from(text: &'a Rope) -> Self {
        Self::Document(text)
    }
}

impl<'a> TextSource<'a> {
    /// Returns the whole text.
    pub fn whole(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Document(text) => Cow::from(text),
        }
    }

    /// Returns whether the text has a NUL byte in its head, as binary files have.
    pub(crate) fn has_nul(self) -> bool {
        match self {
            Self::Text(text) => has_nul(text.as_bytes()),
            Self::Document(text) => text.bytes().take(HEAD).any(|byte| byte == 0),
        }
    }

    /// Returns the review against it.
    pub(crate) fn update(self, live: &mut LiveReview) -> FileReview<'_> {
        match self {
            Self::Text(text) => live.update(text),
            Self::Document(text) => live.update_rope(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_judged_as_the_same_text_in_one_piece() {
        let check = |text: &str, expected: bool| {
            let document = Rope::from_str(text);
            let (whole, pieces) = (TextSource::from(text), TextSource::from(&document));
            assert_eq!((whole.has_nul(), pieces.has_nul()), (expected, expected));
            assert_eq!(pieces.whole(), text);
            let mut live = [LiveReview::new("a\n", "b\n"), LiveReview::new("a\n", "b\n")];
            let [one, other] = &mut live;
            let (one, other) = (whole.update(one), pieces.update(other));
            assert_eq!(one.hunks(), other.hunks());
        };
        check("", false);
        check("x\na\n", false);
        check("a\0b", true);
        // Only the head counts, to the byte.
        check(&format!("{}\0", "é\n".repeat(HEAD)), false);
        check(&format!("{}\0", "a".repeat(HEAD - 1)), true);
        check(&format!("{}\0", "a".repeat(HEAD)), false);
    }
}
