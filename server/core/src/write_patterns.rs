//! Which files tasks are expected to write, and whether two tasks may write the same one.

use claudecluster_protocol::TaskSpec;

/// Returns whether two tasks are expected to write the same file.
pub(crate) fn may_write_same_file(a: &TaskSpec, b: &TaskSpec) -> bool {
    a.writes
        .iter()
        .any(|x| b.writes.iter().any(|y| patterns_meet(x, y)))
}

/// Returns whether some path may match both patterns. Exact for plain paths; two patterns with
/// wildcards meet where one's fixed beginning continues the other's, which errs on the side of
/// waiting.
pub(crate) fn patterns_meet(a: &str, b: &str) -> bool {
    let (a_fixed, a_open) = fixed_part(a);
    let (b_fixed, b_open) = fixed_part(b);
    let within = |path: &str, dir: &str| {
        path.strip_prefix(dir)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match (a_open, b_open) {
        (false, false) => within(a_fixed, b_fixed) || within(b_fixed, a_fixed),
        (true, false) => b_fixed.starts_with(a_fixed) || within(a_fixed, b_fixed),
        (false, true) => a_fixed.starts_with(b_fixed) || within(b_fixed, a_fixed),
        (true, true) => a_fixed.starts_with(b_fixed) || b_fixed.starts_with(a_fixed),
    }
}

/// Returns the part of a pattern before its first wildcard, and whether there is one.
fn fixed_part(pattern: &str) -> (&str, bool) {
    let pattern = pattern.strip_suffix('/').unwrap_or(pattern);
    match pattern.find(['*', '?', '[', '{']) {
        Some(at) => (&pattern[..at], true),
        None => (pattern, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_meet_where_a_path_may_match_both() {
        let meet = [
            ("src/a.rs", "src/a.rs"),
            ("src/", "src/a.rs"),
            ("src/**", "src/a.rs"),
            ("src/*.rs", "src/lib*"),
            ("**", "docs/x.md"),
        ];
        let apart = [
            ("src/a.rs", "src/b.rs"),
            ("src", "srcs/a.rs"),
            ("src/**", "docs/**"),
            ("src/a*", "src/b.rs"),
        ];
        for (a, b) in meet {
            assert!(
                patterns_meet(a, b) && patterns_meet(b, a),
                "{a} and {b} meet"
            );
        }
        for (a, b) in apart {
            assert!(
                !patterns_meet(a, b) && !patterns_meet(b, a),
                "{a} and {b} are apart"
            );
        }
    }
}
