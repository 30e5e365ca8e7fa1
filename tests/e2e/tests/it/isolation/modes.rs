//! Machines that offer less to sandboxes: without user namespaces, in a container, without Landlock, without overlays;
//! as root and as a user who owns nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use claudecluster_e2e::{
    World,
    machine::{Machine, TestUser},
};
use serde_json::Value;

/// What `doctor` says of the sandbox.
fn sandbox_check(world: &World) -> Value {
    let said = world.run(&["doctor", "--json"]);
    let mut checks = said.json().into_iter();
    checks.find(|check| check["name"] == "sandbox").unwrap()
}

#[test]
fn doctor_sees_what_a_machine_lacks() {
    for machine in Machine::ALL {
        for user in TestUser::available() {
            let mut world = World::new(&[("a.txt", "a\n")]);
            world.place(machine, *user);
            let check = sandbox_check(&world);
            let found = check["found"].as_str().unwrap();
            let privileged = user.is_root() && machine == Machine::NoUserNamespaces;
            let (overlay, landlock) = match machine {
                _ if privileged => (true, true),
                Machine::Whole => (true, true),
                Machine::NoUserNamespaces | Machine::Container | Machine::NoOverlay => {
                    (false, true)
                }
                Machine::NoLandlock => (true, false),
            };
            let context = format!("{machine:?} {user:?}: {check:#}");
            assert_eq!(found.starts_with("overlay"), overlay, "{context}");
            assert_eq!(found.contains("no Landlock"), !landlock, "{context}");
        }
    }
}
