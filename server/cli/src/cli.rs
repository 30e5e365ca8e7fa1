//! Declares the command line: the commands and their arguments, without their work.

use std::{convert::Infallible, path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use claudecluster_protocol::{GoalId, HunkId, PermissionId, Span, TaskId, Usd, plan::AgentName};

/// Turn a goal into tasks, run them as parallel, isolated agent sessions, and review the result
#[derive(Debug, Parser)]
#[command(name = "claudecluster", version, max_term_width = 100)]
#[command(disable_help_subcommand = true, propagate_version = false)]
pub(crate) struct CliArgs {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: CliCommand,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct GlobalArgs {
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print only results, no progress or next steps
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// The workspace [default: the git repository that contains the current folder, or the folder itself]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) workspace: Option<PathBuf>,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CliCommand {
    /// Run the language server on stdin and stdout (for editors)
    Lsp(LspArgs),
    /// Start a goal, watch it, and show the result
    Run(Box<RunArgs>),
    /// List all goals, oldest first
    Goals,
    /// Show a goal with its tasks, attempts, gates and changes
    Show(GoalArg),
    /// Print what happens in a goal, or in all goals, until you stop it
    Watch(WatchArgs),
    /// Print the output of a goal's agent sessions
    Logs(LogsArgs),
    /// Print a goal's pending changes as a unified diff
    Diff(DiffArgs),
    /// Apply a goal's changes that merge cleanly
    Accept(SelectionArgs),
    /// Reject a goal's pending changes
    Reject(RejectArgs),
    /// Undo accepted changes, keeping later edits
    Undo(SelectionArgs),
    /// Apply undone changes again
    Redo(SelectionArgs),
    /// Resolve a conflict
    Resolve(ResolveOptions),
    /// Cancel a goal
    Cancel(GoalArg),
    /// Retry a goal's failed tasks
    Retry(RetryArgs),
    /// Approve a plan or a paused task
    Approve(ApproveOptions),
    /// List open permission requests
    Permissions,
    /// Grant a worker's permission request
    Allow(AllowArgs),
    /// Deny a worker's permission request
    Deny(DenyArgs),
    /// Print a goal's plan, or edit it before it runs
    Plan(PlanOptions),
    /// List or download a goal's artifacts
    Artifacts(ArtifactsArgs),
    /// Start, stop or inspect the daemon
    Daemon {
        #[command(subcommand)]
        action: DaemonAction,
    },
    /// Check the setup and suggest fixes
    Doctor,
    /// Run an offline demo on a sample project (no API key needed)
    Demo(DemoArgs),
    /// Show, change and check settings
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct LspArgs {
    /// Ignored; many editors pass it to language servers
    #[arg(long, hide = true)]
    pub(crate) stdio: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The goal, as plain text; put `--` first if it starts with a dash
    #[arg(value_name = "GOAL")]
    pub(crate) goal: Vec<String>,
    /// Run this plan file (JSON, YAML or TOML) instead of planning
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) plan: Option<PathBuf>,
    /// Hold changes to any other file for review; repeatable
    #[arg(long = "file", value_name = "PATH|GLOB", value_hint = ValueHint::AnyPath)]
    pub(crate) files: Vec<String>,
    /// The agent: claude-code, native or command
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<AgentName>,
    /// The model
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Run at most this many tasks at once
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) jobs: Option<u32>,
    /// Spend at most this much, in US dollars
    #[arg(long, value_name = "USD", value_parser = parse_usd)]
    pub(crate) budget: Option<Usd>,
    /// Stop after this much working time, such as 10m
    #[arg(long, value_name = "DURATION")]
    pub(crate) timeout: Option<Span>,
    /// A check command that must succeed on the merged result; repeatable
    #[arg(long = "gate", value_name = "CMD", value_hint = ValueHint::CommandString)]
    pub(crate) gates: Vec<String>,
    /// Apply the changes that merge cleanly without asking
    #[arg(long)]
    pub(crate) apply: bool,
    /// Stop after planning and wait for approval
    #[arg(long, conflicts_with = "yes")]
    pub(crate) plan_only: bool,
    /// Run the plan without asking, even if `approvePlans` is set
    #[arg(long)]
    pub(crate) yes: bool,
    /// Don't warn if an identical goal is still open
    #[arg(long)]
    pub(crate) again: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GoalArg {
    /// The goal, such as g1
    pub(crate) goal: GoalId,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// The goal [default: all goals]
    pub(crate) goal: Option<GoalId>,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The goal
    pub(crate) goal: GoalId,
    /// Only this task
    pub(crate) task: Option<TaskId>,
    /// Print the agents' raw output
    #[arg(long)]
    pub(crate) raw: bool,
}

/// Names a goal or one hunk of it. The id of a hunk contains its goal's id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GoalOrHunk {
    pub(crate) goal: GoalId,
    pub(crate) hunk: Option<HunkId>,
}

impl FromStr for GoalOrHunk {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let hunk = HunkId::new(text);
        Ok(match hunk.goal() {
            Some(goal) => Self {
                goal,
                hunk: Some(hunk),
            },
            None => Self {
                goal: GoalId::new(text),
                hunk: None,
            },
        })
    }
}

/// Which of a goal's hunks.
#[derive(Clone, Debug, Args)]
pub(crate) struct SelectionArgs {
    /// The goal, such as g1, or one hunk of it, such as g1.4f2a90c1d0
    #[arg(value_name = "GOAL|HUNK")]
    pub(crate) target: GoalOrHunk,
    /// Select only changes made by this task
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<TaskId>,
    /// Select only this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// Select only this hunk
    #[arg(long, value_name = "HUNK")]
    pub(crate) hunk: Option<HunkId>,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    pub(crate) what: SelectionArgs,
    /// Show both sides of each conflict and who wrote them
    #[arg(long)]
    pub(crate) conflicts: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RejectArgs {
    #[command(flatten)]
    pub(crate) what: SelectionArgs,
    /// The reason; sends the changes back to the task for repair
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Don't send the changes back for repair
    #[arg(long)]
    pub(crate) no_repair: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ResolveOptions {
    /// The conflict, such as g1.4f2a90c1d0; `diff GOAL --conflicts` lists them
    pub(crate) hunk: HunkId,
    #[command(flatten)]
    pub(crate) how: ResolutionArgs,
    /// The reason for this resolution
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// What becomes of a conflict: exactly one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ResolutionArgs {
    /// Keep the current text
    #[arg(long)]
    pub(crate) mine: bool,
    /// Use the proposed text
    #[arg(long)]
    pub(crate) theirs: bool,
    /// Keep both: the current text, then the proposed text
    #[arg(long)]
    pub(crate) both: bool,
    /// Merge word by word, if both sides changed different words of the same lines
    #[arg(long)]
    pub(crate) merged: bool,
    /// Write both sides into the file, between conflict markers
    #[arg(long)]
    pub(crate) markers: bool,
    /// Use the text of this file; `-` for stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) text: Option<PathBuf>,
    /// Edit both sides in $EDITOR
    #[arg(long)]
    pub(crate) edit: bool,
    /// Start a repair task that combines both sides
    #[arg(long)]
    pub(crate) repair: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// The goal
    pub(crate) goal: GoalId,
    /// Only this task
    pub(crate) task: Option<TaskId>,
}

#[derive(Debug, Args)]
pub(crate) struct ApproveOptions {
    /// The goal
    pub(crate) goal: GoalId,
    /// Run this plan (JSON, YAML or TOML) instead
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) plan: Option<PathBuf>,
    /// Approve only this paused task
    #[arg(long, value_name = "TASK", conflicts_with = "plan")]
    pub(crate) task: Option<TaskId>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanOptions {
    /// The goal
    pub(crate) goal: GoalId,
    /// Edit the plan in $EDITOR and run it; an unchanged or invalid plan does not run
    #[arg(long)]
    pub(crate) edit: bool,
}

/// How far an answer to a permission request reaches: at most one of these.
#[derive(Clone, Copy, Debug, Args)]
#[group(multiple = false)]
pub(crate) struct PermissionReach {
    /// Also answer later identical requests of the waiting tasks
    #[arg(long)]
    pub(crate) task: bool,
    /// Also answer identical requests of every task of the goal
    #[arg(long)]
    pub(crate) goal: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AllowArgs {
    /// The request, such as p3; `permissions` lists them
    pub(crate) request: PermissionId,
    #[command(flatten)]
    pub(crate) reach: PermissionReach,
    /// Also for all other goals: add the host to your setting network.allow
    #[arg(long, conflicts_with_all = ["task", "goal"])]
    pub(crate) always: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DenyArgs {
    /// The request, such as p3; `permissions` lists them
    pub(crate) request: PermissionId,
    #[command(flatten)]
    pub(crate) reach: PermissionReach,
    /// The reason; the worker sees it
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ArtifactsArgs {
    /// The goal
    pub(crate) goal: GoalId,
    /// Download the artifacts into this folder, which is created if needed
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) download: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonAction {
    /// Start the daemon if it is not running
    Start,
    /// Stop the daemon
    Stop {
        /// Stop even while goals run; the next daemon resumes them
        #[arg(long)]
        force: bool,
    },
    /// Show whether the daemon is running; exit status 1 if not
    Status,
    /// Run the daemon in the foreground
    Run {
        /// Detach, and report on stdout when ready
        #[arg(long, hide = true)]
        on_demand: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep the sample project afterwards
    #[arg(long)]
    pub(crate) keep: bool,
    /// The agent: claude-code or native
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<AgentName>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// List every setting with its value and origin
    List,
    /// Print the value of a setting
    Get {
        /// The key, such as timeouts.attempt
        key: String,
    },
    /// Change a setting in your configuration file
    Set {
        /// The key, such as timeouts.attempt
        key: String,
        /// The value; separate list items with commas
        value: String,
    },
    /// Add items to a setting that is a list, such as network.allow
    Add {
        /// The key, such as network.allow
        key: String,
        /// The items; separate them with commas
        value: String,
    },
    /// Edit your configuration file in $EDITOR, then check it
    Edit,
    /// Print the paths of the configuration files
    Path,
    /// Check the configuration files and environment variables
    Check,
    /// Print the JSON Schema of the configuration file
    Schema,
}

fn parse_usd(text: &str) -> Result<Usd, String> {
    let amount: f64 = text
        .trim_start_matches('$')
        .parse()
        .map_err(|_| "expected an amount in US dollars, such as 2.50".to_owned())?;
    if amount.is_finite() && amount >= 0.0 {
        Ok(Usd::from_dollars(amount))
    } else {
        Err("the amount must be zero or more".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_tree_is_consistent() {
        CliArgs::command().debug_assert();
    }

    #[test]
    fn a_hunk_names_its_goal() {
        let parse = |args: &[&str]| CliArgs::try_parse_from([&["claudecluster"], args].concat());
        let CliCommand::Undo(undo) = parse(&["undo", "g12.4f2a90c1d0"]).unwrap().command else {
            panic!("not undo")
        };
        assert_eq!(undo.target.goal, GoalId::new("g12"));
        assert_eq!(undo.target.hunk, Some(HunkId::new("g12.4f2a90c1d0")));
        let CliCommand::Accept(accept) =
            parse(&["accept", "g1", "--hunk", "g1.0"]).unwrap().command
        else {
            panic!("not accept")
        };
        assert_eq!(accept.target.hunk, None);
        assert_eq!(accept.hunk, Some(HunkId::new("g1.0")));
    }

    #[test]
    fn a_conflict_is_resolved_in_exactly_one_way() {
        let parse = |args: &[&str]| {
            CliArgs::try_parse_from([&["claudecluster", "resolve", "g1.0"], args].concat())
        };
        assert!(parse(&["--mine", "--reason", "it is right"]).is_ok());
        assert!(parse(&["--text", "-"]).is_ok());
        assert!(parse(&[]).is_err());
        assert!(parse(&["--reason", "it is right"]).is_err());
        assert!(parse(&["--mine", "--theirs"]).is_err());
        assert!(parse(&["--edit", "--text", "a.txt"]).is_err());
    }

    #[test]
    fn a_goal_is_words_not_flags() {
        let cli = CliArgs::parse_from([
            "claudecluster",
            "run",
            "--json",
            "--",
            "--help",
            "me",
            "-rf",
        ]);
        let CliCommand::Run(run) = cli.command else {
            panic!("not run")
        };
        assert!(cli.global.json);
        assert_eq!(run.goal, ["--help", "me", "-rf"]);
    }
}
