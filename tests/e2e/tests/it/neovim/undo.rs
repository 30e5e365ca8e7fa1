//! The editor's own undo and redo of landings, pressed in a real Neovim: the ledger follows.

use claudecluster_e2e::World;

#[test]
fn the_ledger_follows_the_keys_that_undo_and_redo() {
    let text: String = (1..=9).map(|n| format!("a{n}\n")).collect();
    let mut world = World::new(&[("f.txt", &text)]);
    let said = world.neovim("undo.lua", &[]);
    assert_eq!(said.status, 0, "{said:#?}");
}
