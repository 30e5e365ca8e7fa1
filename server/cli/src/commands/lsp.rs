//! `claudecluster lsp`

use super::CommandContext;
use crate::{
    cli::LspArgs,
    config::ConfigSources,
    exit::{CommandExit, CommandResult},
    lsp_proxy,
};

pub(super) async fn serve_lsp(
    cx: &mut CommandContext,
    args: &LspArgs,
) -> CommandResult<CommandExit> {
    // Standard input and output are all there is, so `--stdio` asks for what happens anyway.
    let LspArgs { stdio: _ } = args;
    // The editor's, which is this process's: whoever started the daemon may have had another.
    let config = ConfigSources::of_process()?.load(None)?;
    let env = super::run::worker_environment(&config.settings);
    lsp_proxy::run_lsp_proxy(&cx.client()?, env).await
}
