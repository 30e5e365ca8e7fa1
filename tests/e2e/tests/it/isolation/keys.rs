//! The provider's key: sessions use it, and nothing inside a sandbox has it.

use claudecluster_e2e::{
    World,
    live::{plan_of, shell},
    machine::{Machine, TestUser},
};

/// Put together here, so that no process of the tests has it on its command line.
fn key() -> String {
    ["key-of-the-user", "4711-0815"].concat()
}

/// Looks everywhere that a worker can look.
const DUMP: &str = "{
    env
    cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline
    find /run/claudecluster \"$CLAUDE_CONFIG_DIR\" \"$HOME\" -maxdepth 6 -type f -size -1024k -exec cat {} +
} 2>/dev/null | tr '\\0' '\\n' | sed 's/placeholder-[A-Za-z0-9_-]*/PLACEHOLDER/'
";

const SCRIPT: &str = r#"
rules:
  - when: {user: Plan this goal}
    turns:
      - - run: sh dump.sh | head -c 20000
      - - structured:
            status: done
            summary: One.
            plan: {tasks: [{id: look, title: Look, instructions: Look around, writes: [dump.txt]}]}
  - when: {user: Work on one task}
    turns:
      - - run: sh dump.sh > dump.txt
      - - structured: {status: done, summary: Looked.}
"#;

/// Has an agent plan and work in this world, and checks who has seen the key.
fn check(mut world: World, agent: &str, context: &str) {
    let key = key();
    let model = world.model(SCRIPT);
    world
        .env
        .push(("ANTHROPIC_API_KEY".to_owned(), key.clone()));
    world.run(&["run", "--agent", agent, "look"]).expect(0);
    // Where it sees other processes, what they have on their command lines may look like a secret.
    world.run(&["accept", "g1", "--file", "dump.txt"]).expect(0);
    let turns = model.turns();
    assert!(turns.len() >= 4, "{context}: {turns:#?}");
    for turn in &turns {
        let expected = ("x-api-key".to_owned(), key.clone());
        assert_eq!(turn.logins.0, [expected], "{context}");
        // What the planner has printed is in here.
        let body = String::from_utf8_lossy(&turn.body);
        assert!(!body.contains(&key), "{context}: {body}");
    }
    let planned = turns
        .iter()
        .any(|turn| String::from_utf8_lossy(&turn.body).contains("PATH=/"));
    assert!(planned, "{context}: the planner has looked");
    let dump = world.read("dump.txt");
    assert!(dump.contains("PATH=/"), "{context}: {dump}");
    assert!(!dump.contains(&key), "{context}: {dump}");
    let url = model.url();
    let address = url.trim_start_matches("http://");
    let shown = world.run(&["logs", "g1"]).expect(0).stdout;
    assert!(shown.contains(address), "{context}: {shown}");
    assert!(!shown.contains(&key), "{context}: {shown}");
}

fn world() -> World {
    World::new(&[("dump.sh", DUMP)])
}

#[test]
fn claude_code_and_its_planner_never_have_the_key() {
    let mut world = world();
    world.with_claude();
    check(world, "claude-code", "Claude Code");
}

#[test]
fn the_key_is_nowhere_inside_on_every_machine() {
    for machine in Machine::ALL {
        for user in TestUser::available() {
            let mut world = world();
            // Where there are no namespaces, this is what it takes to run at all.
            world.configure("sandbox = \"copy\"\n");
            world.place(machine, *user);
            check(world, "native", &format!("{machine:?} {user:?}"));
        }
    }
}

#[test]
fn an_open_network_shows_no_key_either() {
    let world = world();
    world.configure("network.mode = \"open\"\n");
    check(world, "native", "open");
}

#[test]
fn commands_and_gates_have_no_variable_of_an_agent() {
    let mut world = world();
    world.env.push(("ANTHROPIC_API_KEY".to_owned(), key()));
    world.env.push(("ANTHROPIC_AUTH_TOKEN".to_owned(), key()));
    world
        .env
        .push(("CLAUDE_CODE_OAUTH_TOKEN".to_owned(), key()));
    world.env.push(("MY_KEY".to_owned(), key()));
    world.configure("env.pass = [\"MY_KEY\", \"MY_PLACE\"]\nnative.keyEnv = \"MY_KEY\"\n");
    world.env.push(("MY_PLACE".to_owned(), "here".to_owned()));
    let plan = plan_of(&[shell("t", "sh dump.sh > dump.txt; env > env.txt", &[])]);
    let gate = "env | grep -q '^MY_PLACE=here$' && ! env | grep '^ANTHROPIC_\\|^CLAUDE\\|^MY_KEY'";
    world
        .run_plan(&plan, &["--apply", "--gate", gate])
        .expect(0);
    let dump = world.read("dump.txt");
    assert!(dump.contains("MY_PLACE=here"), "{dump}");
    assert!(!dump.contains(&key()), "{dump}");
    let env = world.read("env.txt");
    for prefix in ["ANTHROPIC_", "CLAUDE_CODE", "MY_KEY"] {
        assert!(!env.lines().any(|line| line.starts_with(prefix)), "{env}");
    }
}
