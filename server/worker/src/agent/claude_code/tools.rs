//! The tools of Claude Code, each with the judgement whether a worker may have it.
//!
//! This is an allow-list. A tool that is not in it, such as one that a new release adds, is neither offered
//! to the model nor allowed when it is used, until somebody has judged it here or a user has named it in
//! `permissions.allow` or `permissions.ask`.

/// Says whether sessions may have a tool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ToolVerdict {
    /// Every session has it, unless the configuration takes it away.
    Offered,
    /// Sessions have it only if the configuration names it.
    OnRequest,
    /// No session has it, whatever the configuration says.
    Never,
}

/// A tool that has been judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct JudgedTool {
    /// The names that releases have given to it. A rule for one of them is a rule for all.
    pub(super) names: &'static [&'static str],
    pub(super) verdict: ToolVerdict,
    /// The reason for the verdict, as a clause after the tool's name.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "it is for readers, and a test demands it")
    )]
    pub(super) reason: &'static str,
}

use ToolVerdict::{Never, Offered, OnRequest};

/// The judged tools of the releases from 2.0.73 to 2.1.332.
pub(super) const JUDGED_TOOLS: &[JudgedTool] = &[
    // What stays inside the sandbox.
    judge(&["Bash"], Offered, "runs commands inside the sandbox"),
    judge(
        &["BashOutput", "AgentOutputTool", "TaskOutput"],
        Offered,
        "reads the output of what the session itself started",
    ),
    judge(
        &["KillShell", "KillBash", "TaskStop"],
        Offered,
        "stops what the session itself started",
    ),
    judge(&["Read"], Offered, "reads files inside the sandbox"),
    judge(&["Write"], Offered, "writes files inside the sandbox"),
    judge(
        &["Edit", "MultiEdit"],
        Offered,
        "writes files inside the sandbox",
    ),
    judge(
        &["NotebookEdit"],
        Offered,
        "writes files inside the sandbox",
    ),
    judge(&["Glob"], Offered, "finds files inside the sandbox"),
    judge(&["Grep"], Offered, "reads files inside the sandbox"),
    // What stays inside the session.
    judge(
        &["Agent", "Task"],
        Offered,
        "hands a part of the work to a subagent, which has the tools of its session",
    ),
    judge(
        &["TodoWrite"],
        Offered,
        "keeps the session's own list of steps",
    ),
    judge(
        &["TaskCreate"],
        Offered,
        "keeps the session's own list of steps",
    ),
    judge(
        &["TaskGet"],
        Offered,
        "keeps the session's own list of steps",
    ),
    judge(
        &["TaskList"],
        Offered,
        "keeps the session's own list of steps",
    ),
    judge(
        &["TaskUpdate"],
        Offered,
        "keeps the session's own list of steps",
    ),
    judge(
        &["ReportFindings"],
        Offered,
        "writes to the session's own output",
    ),
    judge(
        &["StructuredOutput"],
        Offered,
        "is how a session gives its answer",
    ),
    // What reaches further, in the name of the user.
    judge(
        &["WebFetch"],
        OnRequest,
        "reaches the network in the user's name",
    ),
    judge(
        &["WebSearch"],
        OnRequest,
        "reaches the network in the provider's name",
    ),
    judge(
        &["ToolSearch"],
        OnRequest,
        "loads tools later, which changes the shared beginning of the prompt; without it, all tools of a \
         session are offered from the start",
    ),
    judge(
        &["ListMcpResources", "ListMcpResourcesTool"],
        OnRequest,
        "reads from servers that a session usually does not have",
    ),
    judge(
        &["ReadMcpResource", "ReadMcpResourceTool"],
        OnRequest,
        "reads from servers that a session usually does not have",
    ),
    judge(
        &["ReadMcpResourceDir", "ReadMcpResourceDirTool"],
        OnRequest,
        "reads from servers that a session usually does not have",
    ),
    judge(
        &["LSP"],
        OnRequest,
        "starts language servers, which run code of the project",
    ),
    // What waits for a person at the session's own terminal.
    judge(
        &["AskUserQuestion"],
        Never,
        "waits for a person at a terminal",
    ),
    judge(
        &["EnterPlanMode"],
        Never,
        "waits for a person at a terminal",
    ),
    judge(&["ExitPlanMode"], Never, "waits for a person at a terminal"),
    judge(&["ProposeGoal"], Never, "waits for a person at a terminal"),
    judge(
        &["ProposeSkills"],
        Never,
        "waits for a person at a terminal",
    ),
    judge(
        &["ShowOnboardingRolePicker"],
        Never,
        "waits for a person at a terminal",
    ),
    judge(
        &["OfferChromeSetup"],
        Never,
        "waits for a person at a terminal",
    ),
    judge(
        &["Skill"],
        Never,
        "runs procedures that are made for people at a terminal",
    ),
    judge(
        &["SlashCommand"],
        Never,
        "runs procedures that are made for people at a terminal",
    ),
    // What makes work that the driver cannot track.
    judge(
        &["EnterWorktree"],
        Never,
        "moves the session to another worktree",
    ),
    judge(
        &["ExitWorktree"],
        Never,
        "moves the session to another worktree",
    ),
    judge(&["CronCreate"], Never, "sets timers that start work later"),
    judge(&["CronDelete"], Never, "changes timers"),
    judge(&["CronList"], Never, "reads timers of other sessions"),
    judge(
        &["ScheduleWakeup"],
        Never,
        "sets timers that start work later",
    ),
    judge(
        &["Monitor"],
        Never,
        "watches programs after the session's turn has ended",
    ),
    judge(
        &["Workflow"],
        Never,
        "starts many sessions that nobody counts",
    ),
    judge(&["ListAgents"], Never, "reads about other sessions"),
    judge(
        &["SendMessage"],
        Never,
        "writes to other sessions, which would obey",
    ),
    judge(&["TeamCreate"], Never, "starts sessions that nobody counts"),
    judge(&["TeamDelete"], Never, "ends sessions of others"),
    judge(
        &["RemoteTrigger"],
        Never,
        "starts sessions on other machines",
    ),
    judge(
        &["RefreshMcpTools"],
        Never,
        "adds tools while a session runs",
    ),
    // What publishes.
    judge(&["Artifact"], Never, "publishes in the user's name"),
    judge(&["Projects"], Never, "publishes in the user's name"),
    judge(&["ClaudeDesign"], Never, "publishes in the user's name"),
    judge(&["SendFeedback"], Never, "publishes in the user's name"),
    judge(
        &["PushNotification"],
        Never,
        "writes to the user past the client",
    ),
    judge(
        &["SendUserMessage"],
        Never,
        "writes to the user past the client",
    ),
    judge(
        &["ReadNotifications"],
        Never,
        "reads the user's notifications",
    ),
];

const fn judge(
    names: &'static [&'static str],
    verdict: ToolVerdict,
    reason: &'static str,
) -> JudgedTool {
    JudgedTool {
        names,
        verdict,
        reason,
    }
}

/// Returns the judged tool of that name.
pub(super) fn find_judged(name: &str) -> Option<&'static JudgedTool> {
    JUDGED_TOOLS.iter().find(|tool| tool.names.contains(&name))
}

/// Returns every name of a tool, which is the one given if it has not been judged.
pub(super) fn names_of_tool(name: &str) -> Vec<String> {
    match find_judged(name) {
        Some(tool) => tool.names.iter().map(|&name| name.to_owned()).collect(),
        None => vec![name.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_tool_is_judged_once_and_with_a_reason() {
        let mut seen = BTreeSet::new();
        for tool in JUDGED_TOOLS {
            assert!(
                !tool.names.is_empty() && !tool.reason.is_empty(),
                "{tool:?}"
            );
            for name in tool.names {
                assert!(seen.insert(name), "{name} is judged twice");
            }
        }
    }
}
