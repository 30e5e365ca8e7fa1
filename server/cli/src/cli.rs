//! The command line: what can be said, and nothing of what it does.

use std::{convert::Infallible, path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use claudecluster_protocol::{GoalId, HunkId, PermissionId, Span, TaskId, Usd, plan::AgentName};

/// Plans a goal, runs it as parallel isolated agent sessions, and lands the result.
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
    /// Print JSON for programs instead of text for people
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print results only, no progress
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// The workspace [default: the git repository of the current folder, else the folder]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) workspace: Option<PathBuf>,
    /// Colour the output
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
    /// Language server on stdin and stdout, for editors
    Lsp(LspArgs),
    /// Submit a goal, follow it and show the result
    Run(Box<RunArgs>),
    /// List all goals, oldest first
    Goals,
    /// Show a goal with its tasks, attempts and gates
    Show(GoalArg),
    /// Follow a goal, or everything, as it happens
    Watch(WatchArgs),
    /// Print what the workers of a goal did and said
    Logs(LogsArgs),
    /// Print the pending changes of a goal as a unified diff
    Diff(DiffArgs),
    /// Land what is clean of a goal's changes
    Accept(SelectionArgs),
    /// Take changes of a goal back before they land
    Reject(RejectArgs),
    /// Restore what was there before a goal's changes landed, keeping what was typed since
    Undo(SelectionArgs),
    /// Land again what was undone
    Redo(SelectionArgs),
    /// Say what becomes of a conflict
    Resolve(ResolveOptions),
    /// Stop a goal
    Cancel(GoalArg),
    /// Try the failed tasks of a goal again
    Retry(RetryArgs),
    /// Let the plan of a goal, or a task that is paused, run
    Approve(ApproveOptions),
    /// List what workers ask permission for
    Permissions,
    /// Allow what a worker asks for
    Allow(AllowArgs),
    /// Deny what a worker asks for; it goes on without
    Deny(DenyArgs),
    /// Print the plan of a goal, or change it before it runs
    Plan(PlanOptions),
    /// List what a goal left behind, and fetch it
    Artifacts(ArtifactsArgs),
    /// Operate the daemon
    Daemon {
        #[command(subcommand)]
        action: DaemonAction,
    },
    /// Say what is found on this machine and what is missing
    Doctor,
    /// Show it all at work on a small project, without key, account or network
    Demo(DemoArgs),
    /// Look at settings and change them
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct LspArgs {
    /// Ignored: what editors pass to language servers by convention
    #[arg(long, hide = true)]
    pub(crate) stdio: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The goal in your own words; `--` before it if it starts with a dash
    #[arg(value_name = "GOAL")]
    pub(crate) goal: Vec<String>,
    /// Run this plan file (JSON, YAML or TOML) without a planner
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) plan: Option<PathBuf>,
    /// Only these files may change without an explicit look; repeatable
    #[arg(long = "file", value_name = "PATH|GLOB", value_hint = ValueHint::AnyPath)]
    pub(crate) files: Vec<String>,
    /// The agent: claude-code, native or command
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<AgentName>,
    /// The model
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// How many tasks may run at once
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) jobs: Option<u32>,
    /// The most it may cost, in US dollars
    #[arg(long, value_name = "USD", value_parser = parse_usd)]
    pub(crate) budget: Option<Usd>,
    /// How long it may take, such as 10m
    #[arg(long, value_name = "DURATION")]
    pub(crate) timeout: Option<Span>,
    /// A command that must succeed on the merged result; repeatable
    #[arg(long = "gate", value_name = "CMD", value_hint = ValueHint::CommandString)]
    pub(crate) gates: Vec<String>,
    /// Land everything clean without asking
    #[arg(long)]
    pub(crate) apply: bool,
    /// Stop once there is a plan
    #[arg(long, conflicts_with = "yes")]
    pub(crate) plan_only: bool,
    /// Run the plan without asking, even where `approvePlans` is set
    #[arg(long)]
    pub(crate) yes: bool,
    /// Say nothing where a goal that is not settled does the same
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
    /// The goal; everything where there is none
    pub(crate) goal: Option<GoalId>,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The goal
    pub(crate) goal: GoalId,
    /// Only this task
    pub(crate) task: Option<TaskId>,
    /// Print the agents' own output as it came
    #[arg(long)]
    pub(crate) raw: bool,
}

/// A goal, or one hunk of it: the identifier of a hunk names its goal.
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
    /// Only what this task made
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<TaskId>,
    /// Only this file, relative to the workspace
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// Only this hunk
    #[arg(long, value_name = "HUNK")]
    pub(crate) hunk: Option<HunkId>,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    pub(crate) what: SelectionArgs,
    /// Show what conflicts instead: both sides, and who wrote them
    #[arg(long)]
    pub(crate) conflicts: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RejectArgs {
    #[command(flatten)]
    pub(crate) what: SelectionArgs,
    /// Why; the task that made it gets to repair it
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Do not give it back to the task
    #[arg(long)]
    pub(crate) no_repair: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ResolveOptions {
    /// The conflict, such as g1.4f2a90c1d0; `diff GOAL --conflicts` lists them
    pub(crate) hunk: HunkId,
    #[command(flatten)]
    pub(crate) how: ResolutionArgs,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// What becomes of a conflict: exactly one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ResolutionArgs {
    /// What is there now stays
    #[arg(long)]
    pub(crate) mine: bool,
    /// What is proposed takes its place
    #[arg(long)]
    pub(crate) theirs: bool,
    /// What is there now, then what is proposed
    #[arg(long)]
    pub(crate) both: bool,
    /// The words of both, where they have changed different words of the same lines
    #[arg(long)]
    pub(crate) merged: bool,
    /// Both between conflict markers in the file, to be edited there
    #[arg(long)]
    pub(crate) markers: bool,
    /// The lines in this file; `-` for stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) text: Option<PathBuf>,
    /// Edit both sides in $EDITOR
    #[arg(long)]
    pub(crate) edit: bool,
    /// A task that sees what both sides wanted finds the text
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
    /// Only this task, which its plan pauses
    #[arg(long, value_name = "TASK", conflicts_with = "plan")]
    pub(crate) task: Option<TaskId>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanOptions {
    /// The goal
    pub(crate) goal: GoalId,
    /// Change it in your own editor, then let it run; nothing runs if it is left as it was or broken
    #[arg(long)]
    pub(crate) edit: bool,
}

/// How far an answer to a permission request reaches: at most one of these.
#[derive(Clone, Copy, Debug, Args)]
#[group(multiple = false)]
pub(crate) struct PermissionReach {
    /// Also for later attempts of the tasks that wait, if they ask for exactly the same
    #[arg(long)]
    pub(crate) task: bool,
    /// For every task of the goal that asks for exactly the same
    #[arg(long)]
    pub(crate) goal: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AllowArgs {
    /// The request, such as p3; `permissions` lists them
    pub(crate) request: PermissionId,
    #[command(flatten)]
    pub(crate) reach: PermissionReach,
}

#[derive(Debug, Args)]
pub(crate) struct DenyArgs {
    /// The request, such as p3; `permissions` lists them
    pub(crate) request: PermissionId,
    #[command(flatten)]
    pub(crate) reach: PermissionReach,
    /// Why; the worker is told
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ArtifactsArgs {
    /// The goal
    pub(crate) goal: GoalId,
    /// Write them into this folder, which is made where it does not exist
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) download: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonAction {
    /// Start it where it does not run
    Start,
    /// Stop it
    Stop {
        /// Even while goals run; the next daemon resumes them
        #[arg(long)]
        force: bool,
    },
    /// Say whether it runs; exit status 1 where it does not
    Status,
    /// Be the daemon, in the foreground
    Run {
        /// Detach, and say on stdout when ready: for starting it on demand
        #[arg(long, hide = true)]
        on_demand: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep the project's folder afterwards
    #[arg(long)]
    pub(crate) keep: bool,
    /// The agent: claude-code or native
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<AgentName>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Every setting, its value and where it comes from
    List,
    /// One value
    Get {
        /// The key, such as timeouts.attempt
        key: String,
    },
    /// Write one value to the user's file, keeping everything else in it
    Set {
        /// The key
        key: String,
        /// The value; lists are separated by commas
        value: String,
    },
    /// Open the user's file in $EDITOR and check it afterwards
    Edit,
    /// Where the files are
    Path,
    /// Check the files and the environment
    Check,
    /// The JSON Schema of the user's file
    Schema,
}

fn parse_usd(text: &str) -> Result<Usd, String> {
    let amount: f64 = text
        .trim_start_matches('$')
        .parse()
        .map_err(|_| "not an amount in US dollars such as 2.50".to_owned())?;
    if amount.is_finite() && amount >= 0.0 {
        Ok(Usd::from_dollars(amount))
    } else {
        Err("an amount of money must be zero or more".to_owned())
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
