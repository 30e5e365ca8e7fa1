//! The texts a conflict can become.

use super::{FileReview, HunkKey, HunkRefusal, HunkState, ReviewHunk, words};
use crate::{merge::MergeSide, text::LineEnding};

/// In the order in which they are merged.
const SIDES: [MergeSide; 3] = [MergeSide::Base, MergeSide::Ours, MergeSide::Theirs];

impl<'a> FileReview<'a> {
    /// Returns one side of the stretch that [`FileReview::resolve`] decides: ours is the current
    /// text, theirs the proposed one.
    ///
    /// # Errors
    /// [`HunkRefusal::Unknown`] if there is no such hunk.
    pub fn side_text(&self, key: HunkKey, side: MergeSide) -> Result<&'a str, HunkRefusal> {
        let hunk = self.hunk(key).ok_or(HunkRefusal::Unknown)?;
        Ok(self.merge.text_of(&self.decided_region(hunk), side))
    }

    /// Returns the current text followed by the proposed text.
    ///
    /// # Errors
    /// [`HunkRefusal::Unknown`] if there is no such hunk.
    pub fn both_texts(&self, key: HunkKey) -> Result<String, HunkRefusal> {
        let mine = self.with_ending(self.side_text(key, MergeSide::Ours)?);
        Ok(mine + self.side_text(key, MergeSide::Theirs)?)
    }

    /// Merges the proposed words into the current text, where the two sides of a conflict changed
    /// [different words](words::merge_words) of the same lines. Returns `None` where the current text has
    /// all of them.
    pub fn merged_words(&self, hunk: &ReviewHunk) -> Option<String> {
        if hunk.state != HunkState::Conflict {
            return None;
        }
        let (merge, region) = (&self.merge, self.decided_region(hunk));
        let [base, ours, theirs] = SIDES.map(|side| merge.text_of(&region, side));
        words::merge_words(base, ours, theirs).filter(|merged| merged != ours)
    }

    /// Returns whether no other hunk stands in the stretch that [`FileReview::resolve`] decides.
    pub fn is_alone(&self, hunk: &ReviewHunk) -> bool {
        let mut others = self.hunks.iter();
        !others.any(|other| other.region == hunk.region && other.key != hunk.key)
    }

    /// Both sides between conflict markers as git writes them, with a label for each.
    ///
    /// # Errors
    /// [`HunkRefusal::Unknown`] if there is no such hunk.
    pub fn conflict_markers(
        &self,
        key: HunkKey,
        mine: &str,
        theirs: &str,
    ) -> Result<String, HunkRefusal> {
        let end = self.line_ending().as_str();
        let (ours, proposed) = (
            self.side_text(key, MergeSide::Ours)?,
            self.side_text(key, MergeSide::Theirs)?,
        );
        Ok([
            format!("<<<<<<< {mine}{end}"),
            self.with_ending(ours),
            format!("======={end}"),
            self.with_ending(proposed),
            format!(">>>>>>> {theirs}{end}"),
        ]
        .concat())
    }

    /// Returns the text with a line ending, unless it is empty.
    pub(super) fn with_ending(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push_str(self.line_ending().as_str());
        }
        text
    }

    /// Returns the style of the file, as far as lines that end at `\n` have one.
    fn line_ending(&self) -> LineEnding {
        match LineEnding::most_common_in(self.merge.ours.text()) {
            Some(LineEnding::CrLf) => LineEnding::CrLf,
            _ => LineEnding::Lf,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(current: &str, proposed: &str, both: &str, markers: &str) {
        let base = current.replace("mine", "b");
        let review = FileReview::new(&base, current, proposed);
        let [hunk] = review.hunks() else {
            panic!("{:?}", review.hunks())
        };
        let texts = (
            review.both_texts(hunk.key),
            review.conflict_markers(hunk.key, "here", "there"),
        );
        assert_eq!(texts, (Ok(both.to_owned()), Ok(markers.to_owned())));
        let resolved = review.resolve(hunk.key, markers).map(|done| done.current);
        assert!(resolved.is_ok_and(|text| text.contains(markers)));
    }

    #[test]
    fn both_sides_keep_the_line_endings_of_the_file() {
        check(
            "a\nmine\nc\n",
            "a\ntheirs\nc\n",
            "mine\ntheirs\n",
            "<<<<<<< here\nmine\n=======\ntheirs\n>>>>>>> there\n",
        );
        check(
            "a\r\nmine",
            "a\r\ntheirs",
            "mine\r\ntheirs",
            "<<<<<<< here\r\nmine\r\n=======\r\ntheirs\r\n>>>>>>> there\r\n",
        );
        // One side has nothing there.
        check(
            "a\nmine\nc\n",
            "a\nc\n",
            "mine\n",
            "<<<<<<< here\nmine\n=======\n>>>>>>> there\n",
        );
    }
}
