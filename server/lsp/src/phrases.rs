//! Small phrases for messages and titles.

/// Formats a number with its noun: `1 file`, `2 files`.
pub(crate) fn count_noun(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Returns the first line of a prompt, cut to 60 characters for a status line.
pub(crate) fn short_title(prompt: &str) -> String {
    const LONGEST: usize = 60;
    let line = prompt.trim().lines().next().unwrap_or_default();
    if line.chars().count() <= LONGEST {
        return line.to_owned();
    }
    let cut: String = line.chars().take(LONGEST - 1).collect();
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_fit_a_status_line() {
        assert_eq!(short_title("  fix it\nand more"), "fix it");
        assert_eq!(short_title(&"ä".repeat(100)).chars().count(), 60);
    }
}
