//! A file that is loaded anew, or closed, in a real Neovim while something lands in it.

use claudecluster_e2e::World;

#[test]
fn what_lands_while_a_file_is_loaded_anew_lands_in_the_buffer() {
    let text: String = (1..=9).map(|n| format!("a{n}\n")).collect();
    let mut world = World::new(&[("f.txt", &text)]);
    let said = world.neovim("reload.lua", &[]);
    assert_eq!(said.status, 0, "{said:#?}");
}
