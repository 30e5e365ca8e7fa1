//! `claudecluster completions`

use clap::CommandFactory;

use super::Context;
use crate::{
    cli::Cli,
    failure::{Exit, Outcome},
};

pub(super) fn run(cx: &mut Context, shell: clap_complete::Shell) -> Outcome<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "claudecluster", &mut script);
    cx.ui.bytes(&script)?;
    Ok(Exit::Done)
}
