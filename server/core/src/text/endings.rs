use std::borrow::Cow;

/// Names the ending of the lines of a text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum LineEnding {
    /// `\n`.
    #[default]
    Lf,
    /// `\r\n`.
    CrLf,
    /// `\r`.
    Cr,
}

impl LineEnding {
    /// Returns the terminator itself.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
            Self::Cr => "\r",
        }
    }

    /// Returns the most common line ending of `text`; of two that are equally common the one that
    /// is met first. `None` where nothing ends a line.
    pub fn most_common_in(text: &str) -> Option<Self> {
        let mut counts = [(Self::Lf, 0usize), (Self::CrLf, 0), (Self::Cr, 0)];
        let mut first = None;
        let bytes = text.as_bytes();
        for at in memchr::memchr2_iter(b'\n', b'\r', bytes) {
            let kind = match bytes[at] {
                b'\n' if at > 0 && bytes[at - 1] == b'\r' => Self::CrLf,
                b'\n' => Self::Lf,
                _ if bytes.get(at + 1) == Some(&b'\n') => continue,
                _ => Self::Cr,
            };
            first.get_or_insert(kind);
            counts[kind as usize].1 += 1;
        }
        let first = first?;
        let most = counts.iter().map(|&(_, count)| count).max()?;
        if counts[first as usize].1 == most {
            return Some(first);
        }
        counts
            .iter()
            .find(|&&(_, count)| count == most)
            .map(|&(kind, _)| kind)
    }

    /// `text` with every line ending in this way. Whether the last line has a terminator does not
    /// change.
    pub fn convert_text(self, text: &str) -> Cow<'_, str> {
        let bytes = text.as_bytes();
        let mut out = String::new();
        let (mut done, mut seen) = (0, 0);
        for at in memchr::memchr2_iter(b'\n', b'\r', bytes) {
            if at < seen {
                continue;
            }
            let crlf = bytes[at] == b'\r' && bytes.get(at + 1) == Some(&b'\n');
            let end = at + 1 + usize::from(crlf);
            seen = end;
            if bytes.get(at..end) == Some(self.as_str().as_bytes()) {
                continue;
            }
            out.push_str(text.get(done..at).unwrap_or_default());
            out.push_str(self.as_str());
            done = end;
        }
        if done == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(text.get(done..).unwrap_or_default());
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_ending_wins_and_a_tie_goes_to_the_first() {
        let check = |text: &str, expected: Option<LineEnding>| {
            assert_eq!(LineEnding::most_common_in(text), expected, "{text:?}");
        };
        check("", None);
        check("one line", None);
        check("a\nb", Some(LineEnding::Lf));
        check("a\r\nb", Some(LineEnding::CrLf));
        check("a\rb", Some(LineEnding::Cr));
        check("a\r\r\n", Some(LineEnding::Cr));
        check("a\r\nb\nc\n", Some(LineEnding::Lf));
        check("a\nb\r\nc\r\n", Some(LineEnding::CrLf));
    }

    #[test]
    fn every_terminator_is_replaced_and_nothing_else() {
        let check = |ending: LineEnding, text: &str, expected: &str| {
            assert_eq!(ending.convert_text(text), expected, "{ending:?} {text:?}");
        };
        let mixed = "a\nb\r\nc\rd\r\r\n\n\re\u{2028}f";
        check(LineEnding::Lf, mixed, "a\nb\nc\nd\n\n\n\ne\u{2028}f");
        check(LineEnding::Cr, mixed, "a\rb\rc\rd\r\r\r\re\u{2028}f");
        check(
            LineEnding::CrLf,
            mixed,
            "a\r\nb\r\nc\r\nd\r\n\r\n\r\n\r\ne\u{2028}f",
        );
        check(LineEnding::CrLf, "a\r\n", "a\r\n");
        check(LineEnding::Lf, "", "");
    }
}
