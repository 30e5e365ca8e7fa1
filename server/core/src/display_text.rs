//! Foreign text made safe to show: the words of agents and goals, names of files, contents.
//!
//! There is one function for each medium. [`terminal`] is for terminals, [`json`] for JSON, [`markdown`] for
//! hovers of editors, and [`line`](mod@line) for titles and messages of editors. What a medium would obey or
//! hide is shown as an escape, so that people see the text and nothing but the text.

pub mod json;
pub mod line;
pub mod markdown;
pub mod terminal;

/// Returns whether a character is invisible, or changes how the characters around it are shown: control
/// characters, directions, joiners and separators, fillers, tags and variation selectors of scripts.
///
/// Ends of lines and tabs are among them; media that keep them ask first.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0e}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
