//! The tools a session may use that reach beyond its sandbox.

use std::collections::BTreeSet;

use claudecluster_protocol::permission::PermissionKind;

use super::tools::{JUDGED_TOOLS, JudgedTool, ToolVerdict, find_judged, names_of_tool};
use crate::agent::permission::ToolPermissions;

/// Answers a session's permission requests, and says which tools it is offered.
///
/// The sandbox is the boundary (R20): whatever stays inside is allowed without looking at it, shell
/// commands included. Everything else has to be judged first: a tool is offered if the list of judged tools or the
/// configuration says so, and a tool that neither knows is denied, because a new release may have added it.
/// Denied tools are not even offered to the model; that also takes two thirds off the fixed part of every
/// request.
///
/// A tool is allowed, asked about, or denied as a whole. There are no patterns for its input: what a shell
/// command does cannot be told from its words, so a rule about words would promise what it cannot keep.
#[derive(Clone, Debug)]
pub struct ToolPolicy {
    allowed: Vec<String>,
    asked: Vec<String>,
    denied: Vec<String>,
    /// The rule for tools that are in none of the lists.
    unlisted: ToolRule,
}

/// The rule for a tool.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ToolRule {
    /// The tool may be used.
    Allow,
    /// A person decides each time.
    Ask,
    /// The tool may not be used.
    Deny,
}

impl Default for ToolPolicy {
    fn default() -> Self {
        Self::new(&ToolPermissions::default())
    }
}

impl ToolPolicy {
    /// Builds the policy from the configured lists. `deny` overrides `ask`, and `ask` overrides `allow`.
    pub fn new(permissions: &ToolPermissions) -> Self {
        let ToolPermissions {
            allow, ask, deny, ..
        } = permissions;
        let named = |tools: &[String]| -> BTreeSet<String> {
            tools.iter().flat_map(|tool| names_of_tool(tool)).collect()
        };
        let (allow, ask, deny) = (named(allow), named(ask), named(deny));
        let never = |tool: &str| find_judged(tool).is_some_and(|t| t.verdict == ToolVerdict::Never);
        let mut policy = Self {
            allowed: Vec::new(),
            asked: Vec::new(),
            denied: Vec::new(),
            unlisted: ToolRule::Deny,
        };
        // In the order of the table, whatever the order of the configuration: the names stand on the
        // command line, and what follows from it in the prompt that a planner and its forks share.
        let judged = JUDGED_TOOLS.iter().flat_map(|tool| tool.names);
        let judged: Vec<String> = judged.map(|&name| name.to_owned()).collect();
        let others = allow.iter().chain(&ask).chain(&deny);
        let others: BTreeSet<String> = others
            .filter(|tool| !judged.contains(tool))
            .cloned()
            .collect();
        for tool in judged.into_iter().chain(others) {
            let offered = find_judged(&tool).is_some_and(|t| t.verdict == ToolVerdict::Offered);
            if never(&tool) || deny.contains(&tool) {
                policy.denied.push(tool);
            } else if ask.contains(&tool) {
                policy.asked.push(tool);
            } else if offered || allow.contains(&tool) {
                policy.allowed.push(tool);
            } else {
                policy.denied.push(tool);
            }
        }
        policy
    }

    /// For transcripts, which do not hold what was said to questions: only what is always denied is told
    /// as denied.
    pub(super) fn of_transcripts() -> Self {
        let on_request = |tool: &&JudgedTool| tool.verdict == ToolVerdict::OnRequest;
        let on_request = JUDGED_TOOLS.iter().filter(on_request);
        let policy = Self::new(&ToolPermissions {
            ask: on_request.map(|tool| tool.names[0].to_owned()).collect(),
            ..ToolPermissions::default()
        });
        Self {
            unlisted: ToolRule::Ask,
            ..policy
        }
    }

    /// Returns the tools that the model is offered. Nothing else may be used.
    pub(super) fn offered(&self) -> impl Iterator<Item = &str> {
        self.allowed.iter().chain(&self.asked).map(String::as_str)
    }

    /// Returns the known tools that are denied.
    pub(super) fn denied(&self) -> &[String] {
        &self.denied
    }

    /// The tools that are asked about.
    pub(super) fn asked(&self) -> &[String] {
        &self.asked
    }

    /// Returns the rule for `tool`.
    pub fn rule(&self, tool: &str) -> ToolRule {
        let among = |tools: &[String]| tools.iter().any(|one| one == tool);
        if among(&self.denied) {
            ToolRule::Deny
        } else if among(&self.asked) {
            ToolRule::Ask
        } else if among(&self.allowed) {
            ToolRule::Allow
        } else {
            self.unlisted
        }
    }

    /// Checks the name of a tool as configuration gives it. `opens`: it is to be allowed or asked about.
    ///
    /// # Errors
    ///
    /// The name is invalid, or the tool cannot be opened.
    pub fn check_name(tool: &str, opens: bool) -> Result<(), String> {
        let is_name = !tool.is_empty()
            && tool
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if !is_name {
            return Err(format!(
                "{tool:?} is not a tool name such as WebFetch; patterns for tool input \
                 are not supported, because a command's text does not show what it does"
            ));
        }
        let never = |tool: &JudgedTool| tool.verdict == ToolVerdict::Never;
        if opens && find_judged(tool).is_some_and(never) {
            return Err(format!(
                "{tool} cannot be enabled: it needs a terminal, or it starts work that \
                 ClaudeCluster cannot track"
            ));
        }
        Ok(())
    }
}

/// Returns the kind of a tool's uses.
pub(super) fn kind_of_tool(tool: &str) -> Option<PermissionKind> {
    match tool {
        "WebFetch" | "WebSearch" => Some(PermissionKind::Network),
        "Bash" => Some(PermissionKind::Command),
        "Read" | "Write" | "Edit" | "NotebookEdit" | "Glob" | "Grep" => Some(PermissionKind::File),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_is_over_a_question_is_over_an_allowance() {
        let tools = |tools: &[&str]| tools.iter().map(|&tool| tool.to_owned()).collect();
        let check =
            |allow: &[&str], ask: &[&str], deny: &[&str], tool: &str, expected: ToolRule| {
                let policy = ToolPolicy::new(&ToolPermissions {
                    allow: tools(allow),
                    ask: tools(ask),
                    deny: tools(deny),
                    ..ToolPermissions::default()
                });
                assert_eq!(policy.rule(tool), expected, "{tool} of {policy:?}");
                // What is to be asked about is offered to the model, what is denied is not.
                assert_eq!(
                    policy.offered().any(|offered| offered == tool),
                    expected != ToolRule::Deny
                );
            };
        check(&[], &[], &[], "WebFetch", ToolRule::Deny);
        check(&[], &[], &[], "Bash", ToolRule::Allow);
        check(&[], &["WebFetch"], &[], "WebFetch", ToolRule::Ask);
        check(&[], &["WebFetch"], &[], "WebSearch", ToolRule::Deny);
        check(&["WebFetch"], &[], &[], "WebFetch", ToolRule::Allow);
        check(&["WebFetch"], &["WebFetch"], &[], "WebFetch", ToolRule::Ask);
        check(
            &[],
            &["WebFetch"],
            &["WebFetch"],
            "WebFetch",
            ToolRule::Deny,
        );
        check(&[], &["Bash"], &[], "Bash", ToolRule::Ask);
        check(&[], &[], &["Bash"], "Bash", ToolRule::Deny);
        check(&["Skill"], &["Skill"], &[], "Skill", ToolRule::Deny);
        // Tools that a release adds, before and after a user has judged them.
        check(&[], &[], &[], "TakeOver", ToolRule::Deny);
        check(&["TakeOver"], &[], &[], "TakeOver", ToolRule::Allow);
        check(
            &[],
            &["mcp__docs__read"],
            &[],
            "mcp__docs__read",
            ToolRule::Ask,
        );
        check(
            &["mcp__docs__read"],
            &[],
            &[],
            "mcp__docs__write",
            ToolRule::Deny,
        );
        // One tool under two names.
        check(&[], &[], &["Task"], "Agent", ToolRule::Deny);
        check(&[], &["Agent"], &[], "Task", ToolRule::Ask);
    }

    #[test]
    fn the_order_of_the_configuration_does_not_reach_the_command_line() {
        let tools = |tools: &[&str]| ToolPermissions {
            allow: tools.iter().map(|&tool| tool.to_owned()).collect(),
            ..ToolPermissions::default()
        };
        let one = ToolPolicy::new(&tools(&["b", "WebFetch", "a"]));
        let other = ToolPolicy::new(&tools(&["a", "b", "WebFetch"]));
        assert!(one.offered().eq(other.offered()));
        assert_eq!(one.denied(), other.denied());
    }

    #[test]
    fn transcripts_tell_only_certain_denials() {
        let policy = ToolPolicy::of_transcripts();
        assert_eq!(policy.rule("Skill"), ToolRule::Deny);
        assert_eq!(policy.rule("WebFetch"), ToolRule::Ask);
        assert_eq!(policy.rule("mcp__docs__read"), ToolRule::Ask);
        assert_eq!(policy.rule("Bash"), ToolRule::Allow);
    }

    #[test]
    fn names_are_names() {
        let check = |tool: &str, opens: bool, wrong: Option<&str>| {
            let checked = ToolPolicy::check_name(tool, opens);
            match (&checked, wrong) {
                (Ok(()), None) => {}
                (Err(error), Some(part)) => assert!(error.contains(part), "{error}"),
                _ => panic!("{tool}: {checked:?}"),
            }
        };
        check("WebFetch", true, None);
        check("mcp__docs__read-page", true, None);
        check("Skill", false, None);
        check("Skill", true, Some("cannot be enabled"));
        check("Bash(git push *)", true, Some("patterns"));
        check("", false, Some("not a tool name"));
    }
}
