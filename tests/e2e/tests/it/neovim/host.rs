//! A question about a host of the network in a real Neovim.

use claudecluster_e2e::{
    hosts::{REACH, hosts_world},
    live::{plan_of, shell},
};

#[test]
fn a_host_is_allowed_for_always() {
    let mut world = hosts_world(&[("README.md", "a project\n")], |_| "hello".to_owned());
    let plan = world.plan(&plan_of(&[shell("reach", REACH, &[])]));
    let said = world.neovim("host.lua", &[&plan]);
    assert_eq!(said.status, 0, "{said:#?}");
    let config = std::fs::read_to_string(world.dir.path().join("config.toml")).unwrap();
    assert_eq!(config, "[network]\nallow = [\"host.example\"]\n");
}
