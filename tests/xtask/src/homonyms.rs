//! Type names that stand for two things: counted in the sources of the product and its editors, and no more
//! than are explained here.

use std::{collections::BTreeMap, fs};

use crate::run::{Result, output, program, root};

/// Names that may be defined twice, each with its reason. At most five.
const ALLOWED: [(&str, &str); 1] = [(
    "Result",
    "an alias with the crate's own error, as in the standard library; private where it is defined",
)];

/// Fails when a type name is defined more than once and not allowed.
pub(crate) fn check() -> Result {
    let mut list = program("git", &["ls-files", "-z", "*.rs"]);
    let list = output(list.current_dir(root()))?;
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in list.split('\0').filter(|file| is_source(file)) {
        // What is deleted and not committed yet is still listed.
        let Ok(text) = fs::read_to_string(root().join(file)) else {
            continue;
        };
        for (line, name) in defined_types(&text) {
            places
                .entry(name)
                .or_default()
                .push(format!("{file}:{line}"));
        }
    }
    let unexplained: Vec<String> = places
        .iter()
        .filter(|(_, found)| found.len() > 1)
        .filter(|(name, _)| ALLOWED.iter().all(|(allowed, _)| allowed != name))
        .map(|(name, found)| format!("{name}: {}", found.join(", ")))
        .collect();
    let names = unexplained.join("\n");
    if !unexplained.is_empty() {
        return Err(format!(
            "these type names stand for more than one thing:\n{names}\n\
             Rename all but one of each, so that the name says what the type is; docs/glossary.md has the words."
        )
        .into());
    }
    eprintln!(
        "each of {} type names stands for one thing",
        places.len() - ALLOWED.len()
    );
    Ok(())
}

/// Whether a file is part of the product or of an editor's extension, and no test.
fn is_source(file: &str) -> bool {
    let in_tests = file.starts_with("tests/") || file.contains("/tests/");
    !file.is_empty() && !in_tests && !file.ends_with("tests.rs")
}

/// The types that a text defines at the top of a module, with their lines. What is in a module of tests
/// does not count.
fn defined_types(text: &str) -> Vec<(usize, String)> {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let text = text.get(..end).unwrap_or(text);
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(at, line)| Some((at + 1, defined_type(line)?.to_owned())))
        .collect()
}

/// The type that a line at the top of a module defines.
fn defined_type(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1,
        Some(rest) => rest,
        None => line,
    };
    let line = line.strip_prefix(' ').unwrap_or(line);
    let line = line.strip_prefix("unsafe ").unwrap_or(line);
    let kinds = ["struct ", "enum ", "trait ", "union ", "type "];
    let rest = kinds.iter().find_map(|kind| line.strip_prefix(kind))?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
    rest.get(..end.unwrap_or(rest.len()))
        .filter(|name| name.starts_with(char::is_uppercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_given_for_at_most_five_names() {
        assert!(ALLOWED.len() <= 5);
        assert!(ALLOWED.iter().all(|(_, reason)| !reason.is_empty()));
    }

    #[test]
    fn types_are_found_at_the_top_of_a_module() {
        let check = |line: &str, expected: Option<&str>| {
            assert_eq!(defined_type(line), expected, "{line}");
        };
        check("struct Plan;", Some("Plan"));
        check("pub struct Plan<'a> {", Some("Plan"));
        check("pub(crate) enum Plan {", Some("Plan"));
        check("pub(in crate::plan) trait Plan: Send {", Some("Plan"));
        check("pub unsafe trait Plan {", Some("Plan"));
        check("type Plan = u32;", Some("Plan"));
        check("union Plan {", Some("Plan"));
        // Of a trait or within a function.
        check("    type Plan = u32;", None);
        check("    struct Plan;", None);
        check("// struct Plan", None);
        check("structure Plan", None);
        check("impl Plan {", None);
    }

    #[test]
    fn modules_of_tests_do_not_count() {
        let text = "struct One;\n\n#[cfg(test)]\nmod tests {\nstruct Two;\n}\n";
        assert_eq!(defined_types(text), [(1, "One".to_owned())]);
        assert!(is_source("server/core/src/plan.rs"));
        assert!(!is_source("tests/xtask/src/run.rs"));
        assert!(!is_source("server/core/tests/it/main.rs"));
        assert!(!is_source("server/driver/src/workspace/disk/tests.rs"));
    }
}
