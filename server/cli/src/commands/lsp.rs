//! `claudecluster lsp`

use super::Context;
use crate::{
    cli::LspArgs,
    config::Sources,
    failure::{Exit, Outcome},
    pipe,
};

pub(super) async fn run(cx: &mut Context, args: &LspArgs) -> Outcome<Exit> {
    // Standard input and output are all there is, so `--stdio` asks for what happens anyway.
    let LspArgs { stdio: _ } = args;
    // The editor's, which is this process's: whoever started the daemon may have had another.
    let config = Sources::of_process()?.load(None)?;
    let env = super::run::environment(&config.settings);
    pipe::run(&cx.client()?, env).await
}
