//! A worker that tries everything it knows, in a random order, in one go. Afterwards the goal is applied and tidied
//! away, the daemon is started again, and nothing outside has been touched.

use claudecluster_e2e::{
    World,
    canaries::{Canaries, SECRET},
    live::{plan_of, shell},
};

/// How many orders are tried where `CLAUDECLUSTER_HOSTILE_SEEDS` does not say.
const SEEDS: u64 = 2;

fn check(seed: u64) {
    let world = World::new(&[("a.txt", "a\n"), ("sub/b.txt", "b\n")]);
    let mut canaries = Canaries::set(&world);
    let before = world.fingerprint();
    let script = canaries.attack(&format!("order {seed} > report.txt; echo hostile > a.txt"));
    let plan = plan_of(&[
        shell("hostile", &script, &[]),
        shell(
            "later",
            "cat sub/b.txt; echo later > sub/b.txt",
            &["hostile"],
        ),
    ]);
    let said = world.run_plan(&plan, &[]);
    let context = format!("seed {seed}: {said:#?}");
    assert!(said.outcome()["state"].is_string(), "{context}");
    canaries.assert_untouched(&context);
    assert_eq!(world.fingerprint(), before, "{context}");
    // All that lands by itself, and then what is asked for by name.
    world.run(&["accept", "g1"]);
    world.run(&["accept", "g1", "--task", "hostile"]);
    canaries.assert_untouched(&context);
    for file in walk(&world) {
        assert!(
            !file.contains("loot"),
            "{file} has been brought home: {context}"
        );
    }
    let show = world.run(&["show", "g1"]).expect(0).stdout;
    assert!(!show.contains(SECRET), "{context}");
    world.run(&["reject", "g1"]);
    world.run(&["daemon", "stop"]).expect(0);
    world.run(&["daemon", "start"]).expect(0);
    canaries.follow_daemon(&world);
    canaries.assert_untouched(&context);
    // Git in any folder runs nothing, and the next goal works.
    world.git(&["status", "--short"]);
    let plan = plan_of(&[shell("next", "echo next > sub/next.txt", &[])]);
    world.run_plan(&plan, &["--apply"]).expect(0);
    assert_eq!(world.read("sub/next.txt"), "next\n", "{context}");
    assert!(!world.has("pwned"), "{context}");
    canaries.assert_untouched(&context);
}

/// The paths in the workspace, as text.
fn walk(world: &World) -> Vec<String> {
    let lines = world.fingerprint().into_iter();
    lines
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect()
}

#[test]
fn a_hostile_agent_touches_nothing_outside() {
    let seeds = std::env::var("CLAUDECLUSTER_HOSTILE_SEEDS");
    let seeds = seeds.map_or(SEEDS, |seeds| seeds.parse().unwrap());
    (1..=seeds).for_each(check);
}
