//! The smallest program that hosts `sandbox-exec`, `worker` and `agent-native`, as the product's own binary
//! does.

use claudecluster_worker::{agent::registry, sandbox, serve};

#[path = "calls.rs"]
mod calls;

fn main() {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().unwrap_or_default();
    std::process::exit(match command.to_str() {
        Some("sandbox-exec") => sandbox::exec_main(args),
        Some(serve::SUBCOMMAND) => serve::worker_main(args),
        Some("make-calls") => calls::make_calls(),
        Some(name) => registry().run_subcommand(name).unwrap_or(2),
        _ => 2,
    });
}
