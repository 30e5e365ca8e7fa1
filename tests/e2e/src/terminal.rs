//! Programs in a real terminal: tmux holds it, keys are typed into it, and its screen is looked at.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use crate::{World, comes};

/// A terminal with a program in it. The program ends with it.
pub struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// Starts a program in a terminal of so many columns and lines.
    ///
    /// # Panics
    ///
    /// Where there is no tmux, with the command that brings it.
    pub fn start(world: &World, name: &str, size: (u16, u16), program: &[&str]) -> Self {
        let terminal = Self {
            socket: world.dir.path().join(format!("{name}.tmux")),
        };
        let mut command = terminal.tmux();
        command
            .args(["-f", "/dev/null", "new-session", "-d", "-x"])
            .arg(size.0.to_string())
            .arg("-y")
            .arg(size.1.to_string())
            .args(program)
            .current_dir(world.root())
            .env_clear()
            .envs(world.environment())
            .env("TERM", "xterm-256color");
        let output = command.output().unwrap_or_else(|error| {
            panic!("tmux cannot be started: {error}; bring it with `apt-get install tmux`")
        });
        assert!(output.status.success(), "{output:?}");
        terminal
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-u").arg("-S").arg(&self.socket);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        let output = self.tmux().args(args).output().unwrap();
        assert!(output.status.success(), "tmux {args:?}: {output:?}");
        output
    }

    /// Presses keys by their names, such as `Enter` and `Escape`.
    pub fn press(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    /// Types text as it is.
    pub fn type_in(&self, text: &str) {
        self.run(&["send-keys", "-l", text]);
    }

    /// Types a command of an editor that is in normal mode.
    pub fn command(&self, command: &str) {
        self.type_in(&format!(":{command}"));
        self.press(&["Enter"]);
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        let output = self.run(&["capture-pane", "-p"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until all of these are on the screen, and gives it.
    ///
    /// # Panics
    ///
    /// When they do not come, or when the program asks for a key to go on.
    #[track_caller]
    pub fn shows(&self, parts: &[&str]) -> String {
        let mut screen = String::new();
        // Real sessions on a busy machine take their time.
        let found = (0..4).any(|_| {
            comes(|| {
                screen = self.screen();
                parts.iter().all(|part| screen.contains(part))
            })
        });
        assert!(found, "not all of {parts:?} came:\n{screen}");
        assert!(!screen.contains("Press ENTER"), "it waits:\n{screen}");
        screen
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.tmux().arg("kill-server").output();
    }
}
