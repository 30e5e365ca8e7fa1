//! A user who does what they are told.

use std::{fs, os::unix::fs::PermissionsExt, process::Output};

use serde_json::{Value, json};

use super::commands::{commands_in, shape, ways};
use crate::support::User;

/// A user, and what has been printed to them.
pub(super) struct World {
    pub(super) user: User,
    pub(super) env: Vec<(&'static str, String)>,
}

/// What a command printed, on both streams, and its exit status.
#[derive(Debug)]
pub(super) struct Printed {
    pub(super) text: String,
    pub(super) status: i32,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            user: User::new(),
            env: vec![("EDITOR", "true".to_owned())],
        }
    }

    pub(super) fn run(&self, args: &[&str]) -> Printed {
        let mut command = self.user.command(args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        printed(&command.output().unwrap())
    }

    /// Runs a plan with these tasks, as a goal of its own.
    pub(super) fn run_tasks(&self, goal: &str, tasks: &Value, more: &[&str]) -> Printed {
        self.run_plan(
            &json!({"goal": goal, "tasks": tasks, "maxParallel": 1}),
            more,
        )
    }

    pub(super) fn run_plan(&self, plan: &Value, more: &[&str]) -> Printed {
        let file = self.user.project().with_file_name("plan.json");
        fs::write(&file, plan.to_string()).unwrap();
        self.run(&[&["run", "--plan", file.to_str().unwrap()], more].concat())
    }

    /// Runs the command of this shape that was printed, and returns what it printed. Of several options the first
    /// counts; the others, and what may be left out, have to be understood.
    #[track_caller]
    pub(super) fn follow(&self, printed: &Printed, wanted: &str, statuses: &[i32]) -> Printed {
        let commands = commands_in(&printed.text);
        let words = commands.iter().find(|words| shape(words) == wanted);
        let words = words.unwrap_or_else(|| panic!("no `{wanted}` in {printed:#?}: {commands:?}"));
        let mut ways = ways(words).into_iter();
        let done = self.run_words(&ways.next().unwrap());
        let text = &done.text;
        assert!(
            statuses.contains(&done.status),
            "{words:?} ended with {}: {text}",
            done.status
        );
        for way in ways {
            let other = self.run_words(&way);
            assert!(!other.text.starts_with("error:"), "{way:?}: {}", other.text);
        }
        done
    }

    /// Runs a command in the state that its hint is for, where the hint itself is not to be had from here.
    #[track_caller]
    pub(super) fn run_as(&self, wanted: &str, values: &[&str], statuses: &[i32]) {
        let mut values = values.iter();
        let words: Vec<&str> = wanted
            .split(' ')
            .map(|word| {
                if word == "{}" {
                    values.next().unwrap()
                } else {
                    word
                }
            })
            .collect();
        let done = self.run(&words);
        assert!(statuses.contains(&done.status), "{words:?}: {done:#?}");
    }

    /// Makes a script the user's editor; the file is its first argument.
    pub(super) fn edit_with(&mut self, script: &str) {
        let editor = self.user.project().with_file_name("editor.sh");
        fs::write(&editor, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
        self.env.retain(|(name, _)| *name != "EDITOR");
        self.env.push(("EDITOR", editor.display().to_string()));
    }

    pub(super) fn run_words(&self, words: &[String]) -> Printed {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.run(&words)
    }
}

pub(super) fn printed(output: &Output) -> Printed {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Printed {
        text: text(&output.stdout) + &text(&output.stderr),
        status: output.status.code().unwrap_or(-1),
    }
}
