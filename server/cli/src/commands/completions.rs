//! `claudecluster completions`

use clap::CommandFactory;

use super::CommandContext;
use crate::{
    cli::CliArgs,
    exit::{CommandExit, CommandResult},
};

pub(super) fn print_completions(
    cx: &mut CommandContext,
    shell: clap_complete::Shell,
) -> CommandResult<CommandExit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CliArgs::command(), "claudecluster", &mut script);
    cx.ui.bytes(&script)?;
    Ok(CommandExit::Done)
}
