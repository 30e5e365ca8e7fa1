//! The tools a session may use that reach beyond its sandbox.

use claudecluster_protocol::permission::PermissionKind;

use crate::agent::permission::ToolPermissions;

/// Answers a session's permission requests.
///
/// The sandbox is the boundary (R20): whatever stays inside is allowed without looking at it, shell
/// commands included. Denied are tools that act outside of it, or that wait for somebody who is not
/// there. Denied tools are not even offered to the model where Claude Code allows to say so; that
/// also takes two thirds off the fixed part of every request.
///
/// A tool is allowed, asked about, or denied as a whole. There are no patterns for its input: what a shell
/// command does cannot be told from its words, so a rule about words would promise what it cannot keep.
#[derive(Clone, Debug)]
pub struct ToolPolicy {
    denied: Vec<String>,
    asked: Vec<String>,
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

/// Denied unless configured otherwise: they reach the network in the provider's or the daemon's name.
const USUALLY_DENIED: [&str; 2] = ["WebFetch", "WebSearch"];

/// Denied whatever is configured.
const NEVER: [&str; 12] = [
    // Wait for a person at the session's own terminal.
    "AskUserQuestion",
    "EnterPlanMode",
    "ExitPlanMode",
    // Make worktrees, timers and further sessions behind the driver's back.
    "EnterWorktree",
    "ExitWorktree",
    "CronCreate",
    "CronDelete",
    "CronList",
    "ScheduleWakeup",
    "SendMessage",
    "Workflow",
    // Procedures for people at a terminal.
    "Skill",
];

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
        let mut denied: Vec<String> = Vec::new();
        let usually = USUALLY_DENIED.into_iter().map(str::to_owned);
        let usually = usually.filter(|tool| !allow.contains(tool) && !ask.contains(tool));
        let never = NEVER.into_iter().map(str::to_owned);
        for tool in usually.chain(never).chain(deny.iter().cloned()) {
            if !denied.contains(&tool) {
                denied.push(tool);
            }
        }
        let mut asked: Vec<String> = Vec::new();
        for tool in ask {
            if !denied.contains(tool) && !asked.contains(tool) {
                asked.push(tool.clone());
            }
        }
        Self { denied, asked }
    }

    /// This policy for a Claude Code that cannot be told to ask: what it would ask about is denied.
    pub(super) fn without_asking(mut self) -> Self {
        self.denied.append(&mut self.asked);
        self
    }

    /// For transcripts, which do not hold what was said to questions: only what is always denied is told
    /// as denied.
    pub(super) fn of_transcripts() -> Self {
        Self::new(&ToolPermissions {
            ask: USUALLY_DENIED.map(str::to_owned).to_vec(),
            ..ToolPermissions::default()
        })
    }

    /// The denied tools.
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
        } else {
            ToolRule::Allow
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
        if opens && NEVER.contains(&tool) {
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
                    policy.denied().iter().any(|denied| denied == tool),
                    expected == ToolRule::Deny
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
