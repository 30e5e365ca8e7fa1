//! The plugin's commands in a real Neovim against a real daemon.

use claudecluster_e2e::World;

fn check(script: &str) {
    let lines = |name: char| -> String { (1..=9).map(|n| format!("{name}{n}\n")).collect() };
    let mut world = World::new(&[("f.txt", &lines('a')), ("g.txt", &lines('b'))]);
    // A task waits for the script on a port of this machine.
    world.configure("network.mode = \"open\"\n");
    let said = world.neovim(script, &[]);
    assert_eq!(said.status, 0, "{said:#?}");
}

#[test]
fn every_command_does_what_it_says() {
    check("commands.lua");
}

#[test]
fn goals_are_reviewed_in_their_buffer() {
    check("board.lua");
}
