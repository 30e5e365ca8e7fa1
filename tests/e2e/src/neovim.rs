//! Real Neovims with the plugin on their path, driven by the scripts in `neovim/`.

use std::{os::unix::fs::symlink, path::PathBuf, process::Command};

use crate::{Said, World, part, said};

/// The plugin's folder.
pub fn plugin() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../editors/neovim"))
}

impl World {
    /// Puts `claudecluster` on the search path of whatever is started from now on.
    pub fn with_program_on_path(&mut self) {
        let tools = self.dir.path().join("bin");
        std::fs::create_dir(&tools).unwrap();
        symlink(part("CLAUDECLUSTER_BIN"), tools.join("claudecluster")).unwrap();
        let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
        self.env.push(("PATH".to_owned(), path));
    }

    /// Runs a script of `neovim/` with the workspace and these arguments, `claudecluster` on its path.
    pub fn neovim(&mut self, script: &str, args: &[&str]) -> Said {
        self.with_program_on_path();
        let output = Command::new(part("CLAUDECLUSTER_TEST_NVIM"))
            .args(["--headless", "--clean", "-i", "NONE", "-n", "--cmd"])
            .arg(format!("set hidden runtimepath^={}", plugin().display()))
            .arg("-l")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/neovim").to_owned() + "/" + script)
            .arg(self.root())
            .args(args)
            .current_dir(self.root())
            .env_clear()
            .envs(self.environment())
            .output()
            .unwrap();
        said(&output)
    }
}
