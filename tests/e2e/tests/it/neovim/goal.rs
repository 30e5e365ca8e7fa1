//! The whole way in a real Neovim: a goal about unsaved text, planned and done by real Claude Code
//! sessions in parallel, and decided with code actions.

use claudecluster_e2e::{
    World,
    greetings::{FILES, rules},
};

#[test]
fn a_goal_from_unsaved_text_to_accepted_changes() {
    let mut world = World::new(&FILES);
    world.with_claude();
    let typed = "typed 😀, in no file";
    let model = world.model(&format!("rules:\n{}", rules(typed)));
    // The daemon may have been started from somewhere else: keys and paths are the editor's.
    let mut elsewhere = world.command(&["daemon", "start"]);
    elsewhere
        .env_remove("ANTHROPIC_BASE_URL")
        .env_remove("ANTHROPIC_API_KEY");
    assert!(elsewhere.status().unwrap().success());

    let output = world.neovim("goal.lua", &[]);
    let requests: Vec<_> = model.turns().into_iter().map(|turn| turn.rule).collect();
    assert_eq!(output.status, 0, "{}\n{requests:?}", output.stderr);

    // What was saved at the end is what was typed and what was accepted.
    world.has_new_greetings(&format!("# {typed}"), "# typed later");
    let view = world
        .run(&["show", "g1", "--json"])
        .expect(0)
        .json()
        .remove(0);
    assert_eq!(view["hunks"]["landed"], 2, "{view}");
    assert_eq!(view["hunks"]["rejected"], 1, "{view}");
    assert_eq!(view["spec"]["scope"]["kind"], "open");
    assert_eq!(view["spec"]["scope"]["selection"]["path"], "greet.py");
}
