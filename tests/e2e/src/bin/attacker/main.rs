//! A worker that tries to get out: `claudecluster-attacker TARGETS order SEED` tries every trick it knows in a random
//! order, `claudecluster-attacker TARGETS NAME…` those whose names start so. `TARGETS` is JSON that says what is worth attacking
//! (`claudecluster_e2e::attack::AttackTargets`).
//!
//! Each trick runs in a process of its own, because a filter of system calls may end it. A trick that worked, as far
//! as it can tell itself, is reported as `NAME worked`, any other as `NAME refused REASON`. Nothing here harms the
//! machine: what succeeds changes a canary, or nothing.

mod files;
mod kernel;
mod processes;
mod sockets;
mod sys;
mod trick;

use std::{
    io::{self, Write},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use claudecluster_e2e::attack::AttackTargets;

use trick::Trick;

/// The time one trick may take. Some wait for an answer that never comes.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let targets = args.next().unwrap_or_default();
    let names: Vec<String> = args.collect();
    match try_tricks(&targets, &names) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("refused {error}"));
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn all_tricks() -> Vec<Trick> {
    let kinds = [
        files::TRICKS,
        kernel::TRICKS,
        processes::TRICKS,
        sockets::TRICKS,
    ];
    kinds.concat()
}

fn try_tricks(json: &str, names: &[String]) -> io::Result<()> {
    match (json, names) {
        // For the tests, outside.
        ("add-key", [name]) => return kernel::add_key(name),
        ("forget-key", [name]) => return kernel::forget_key(name),
        _ => {}
    }
    let targets = AttackTargets::parse(json)?;
    let tricks = all_tricks();
    let find = |name: &str| {
        let found = tricks.iter().find(|(known, _)| *known == name);
        found.ok_or_else(|| io::Error::other(format!("no trick is called {name}")))
    };
    match names {
        [one, name] if one == "one" => find(name)?.1(&targets),
        [order, seed] if order == "order" => {
            let seed = seed.parse().map_err(io::Error::other)?;
            let mut order: Vec<&str> = tricks.iter().map(|(name, _)| *name).collect();
            shuffle(&mut order, seed);
            order.into_iter().for_each(|name| run_apart(json, name));
            Ok(())
        }
        starts => {
            for start in starts {
                let chosen = tricks.iter().filter(|(name, _)| name.starts_with(start));
                let chosen: Vec<&str> = chosen.map(|(name, _)| *name).collect();
                if chosen.is_empty() {
                    return Err(io::Error::other(format!("no trick starts with {start}")));
                }
                chosen.into_iter().for_each(|name| run_apart(json, name));
            }
            Ok(())
        }
    }
}

/// Puts the names in an order that depends on the seed alone (xorshift, Fisher-Yates).
fn shuffle(names: &mut [&str], seed: u64) {
    let mut state = seed | 1 << 63;
    for last in (1..names.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bound = u64::try_from(last).unwrap_or(0) + 1;
        names.swap(last, usize::try_from(state % bound).unwrap_or(0));
    }
}

/// Runs one trick in a process of its own and reports what came of it.
fn run_apart(json: &str, name: &str) {
    let outcome = std::env::current_exe()
        .and_then(|exe| {
            Command::new(exe)
                .args([json, "one", name])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
        })
        .and_then(|mut child| {
            let end = Instant::now() + PATIENCE;
            let status = loop {
                match child.try_wait()? {
                    Some(status) => break status,
                    None if Instant::now() > end => {
                        child.kill()?;
                        child.wait()?;
                        return Ok("refused no answer in time".to_owned());
                    }
                    None => std::thread::sleep(Duration::from_millis(2)),
                }
            };
            if status.success() {
                return Ok("worked".to_owned());
            }
            let mut text = String::new();
            if let Some(mut stdout) = child.stdout.take() {
                io::Read::read_to_string(&mut stdout, &mut text)?;
            }
            let text = text.trim().to_owned();
            Ok(if text.is_empty() {
                format!("refused {status}")
            } else {
                text
            })
        });
    let outcome = outcome.unwrap_or_else(|error| format!("refused not started: {error}"));
    say(&format!("{name} {}", outcome.replace('\n', " ")));
}
