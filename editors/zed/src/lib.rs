//! Lets Zed start `claudecluster lsp`.

use zed_extension_api::{
    self as zed, serde_json::Value, settings::LspSettings, Command, Extension, LanguageServerId,
    Result, Worktree,
};

struct ClaudeCluster;

impl Extension for ClaudeCluster {
    fn new() -> Self {
        Self
    }

    fn language_server_command(&mut self, _: &LanguageServerId, worktree: &Worktree) -> Result<Command> {
        let command = worktree
            .which("claudecluster")
            .ok_or("claudecluster is not on PATH: install it, or put its folder there")?;
        Ok(Command {
            command,
            args: vec!["lsp".to_owned()],
            env: worktree.shell_env(),
        })
    }

    /// What `lsp.claudecluster.settings` in the user's settings says.
    fn language_server_workspace_configuration(
        &mut self,
        server: &LanguageServerId,
        worktree: &Worktree,
    ) -> Result<Option<Value>> {
        Ok(LspSettings::for_worktree(server.as_ref(), worktree)?.settings)
    }
}

zed::register_extension!(ClaudeCluster);
