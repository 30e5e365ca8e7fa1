//! A daemon that is killed while somebody types in a real Neovim: nothing is lost, and the review goes on.

use claudecluster_e2e::World;
use serde_json::Value;

#[test]
fn typing_goes_on_while_daemons_are_killed() {
    let mut text = String::new();
    for n in 1..=3 {
        text.push_str(&format!("slot {n}:\nkept {n}\n"));
        for m in [2 * n - 1, 2 * n] {
            text.push_str(&format!("work{m} = 0\nkept {n}.{m}\n"));
        }
    }
    let mut world = World::new(&[("work.txt", &text)]);
    let said = world.neovim("killed.lua", &[]);
    assert_eq!(said.status, 0, "{said:#?}");
    let figures: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(figures["killed"], 6);
}
