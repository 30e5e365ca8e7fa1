//! Homes of sessions: what one leaves in its own never reaches another, nor the daemon.

use std::fs;

use claudecluster_model::{Script, Server};
use claudecluster_protocol::{StopReason, goal::EnvVar};
use uuid::Uuid;

use super::*;
use crate::support::session::claudes;

/// A job that runs a session of Claude Code as an attempt at the task `t`.
fn session_job(
    fixture: &Fixture,
    attempt: u32,
    prompt: &str,
    fork_of: Option<&str>,
    env: &[(&str, &str)],
) -> WorkerJob {
    let mut job = job(fixture, "");
    job.epoch = epoch("t", attempt, u64::from(attempt));
    let pairs = env.iter().map(|(name, value)| EnvVar {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    });
    job.session_env = JobEnv(pairs.collect());
    let task = job.session.as_mut().unwrap();
    task.agent = AgentName::ClaudeCode;
    task.run = None;
    task.prompt = prompt.to_owned();
    task.unforked_prompt = Some(format!("{prompt} (not forked)"));
    task.session = Uuid::new_v4().to_string();
    task.fork_of = fork_of.map(str::to_owned);
    job
}

fn local_claude(fixture: &Fixture, program: &Path) -> LocalExecutor {
    let mut agents = AgentSettings::default();
    agents.claude.program = Some(program.to_owned());
    LocalExecutor::new(place(fixture, "local").with_agents(agents))
}

/// Every regular file below a folder.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}

#[tokio::test]
async fn what_a_session_makes_of_its_home_reaches_nothing() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/executor/spoiling-agent.sh");
    let canary = fixture.state.join("local/canary");
    fs::create_dir_all(canary.parent().unwrap()).unwrap();
    fs::write(&canary, "CANARY").unwrap();
    let state = canary.parent().unwrap();
    let executor = local_claude(&fixture, &program);
    let canary_text = canary.display().to_string();
    let folder = state.display().to_string();
    let spoils = [
        ("ln -sf $CANARY $record", false),
        ("rm $record; mkfifo $record", false),
        ("ln -sf /dev/zero $record", false),
        ("rm $record; truncate -s 60G $record", false),
        (
            "rm -r $CLAUDE_CONFIG_DIR/projects; ln -s $FOLDER $CLAUDE_CONFIG_DIR/projects",
            false,
        ),
        ("rm -r $project; ln -s $FOLDER $project", false),
        (
            "rm -r $CLAUDE_CONFIG_DIR; ln -s $FOLDER $CLAUDE_CONFIG_DIR",
            false,
        ),
        ("rm -r $CLAUDE_CONFIG_DIR; mkfifo $CLAUDE_CONFIG_DIR", false),
        ("rm -rf $home/* $home/.[!.]*", false),
        (
            "for n in $(seq 1 400); do mkdir $project/../$n; done",
            false,
        ),
        ("chmod 000 $record $project $CLAUDE_CONFIG_DIR $home", true),
        ("rm -r $results; ln -s $FOLDER $results", true),
        (
            "ln -s $CANARY $results/a; mkfifo $results/b; truncate -s 1T $results/c",
            true,
        ),
        (
            "rm $CLAUDE_CONFIG_DIR/.c*; ln -s $CANARY $CLAUDE_CONFIG_DIR/.credentials.json",
            true,
        ),
        ("mkfifo $CLAUDE_CONFIG_DIR/.credentials.json", true),
        ("mkdir -p $CLAUDE_CONFIG_DIR/.credentials.json/x", true),
        (
            "cd $home; i=0; while [ $i -lt 600 ]; do mkdir x; cd x; i=$((i+1)); done",
            true,
        ),
    ];
    let mut attempt = 0;
    for (spoil, may_fork) in spoils {
        let env = [
            ("SPOIL", spoil),
            ("CANARY", &canary_text),
            ("FOLDER", &folder),
        ];
        attempt += 1;
        let job = session_job(&fixture, attempt, "spoil", None, &env);
        let session = job.session.as_ref().unwrap().session.clone();
        let dir = state.join(format!("goals/g1/tasks/t/{attempt}"));
        let (report, _) = run(&executor, job, Contents::new(), true).await;
        assert_eq!(report.stop, None, "{spoil}: {report:?}");
        if !may_fork {
            assert_eq!(report.session, None, "{spoil}");
        }
        assert!(!dir.join("home").exists(), "{spoil}: the home is deleted");
        // Whatever is left of it, the next session starts, with it or without.
        attempt += 1;
        let job = session_job(
            &fixture,
            attempt,
            "go on",
            Some(&session),
            &[("SPOIL", "true")],
        );
        let (report, _) = run(&executor, job, Contents::new(), false).await;
        assert_eq!(report.stop, None, "{spoil}: {report:?}");
        assert_eq!(fs::read_to_string(&canary).unwrap(), "CANARY", "{spoil}");
    }
    for file in files_below(&state.join("goals")) {
        let size = fs::metadata(&file).unwrap().len();
        assert!(size < 1 << 20, "{}: {size}", file.display());
        let content = fs::read(&file).unwrap();
        assert!(
            !content.windows(6).any(|part| part == b"CANARY"),
            "{}",
            file.display()
        );
    }
}

#[tokio::test]
async fn names_that_could_be_something_else_are_refused() {
    let fixture = Fixture::new(&[]);
    let executor = local_claude(&fixture, Path::new("/bin/false"));
    let refused = async |change: fn(&mut AgentTask)| {
        let mut job = session_job(&fixture, 1, "x", None, &[]);
        change(job.session.as_mut().unwrap());
        let (report, _) = run(&executor, job, Contents::new(), false).await;
        assert_eq!(report.stop, Some(StopReason::SpawnFailed), "{report:?}");
        report.summary
    };
    for summary in [
        refused(|task| task.session = "../../x".to_owned()).await,
        refused(|task| task.session = "--help".to_owned()).await,
        refused(|task| task.model = Some("--help".to_owned())).await,
        refused(|task| task.model = Some("a b".to_owned())).await,
    ] {
        assert!(summary.contains("cannot be the"), "{summary}");
    }
}

const SCRIPT: &str = r#"
rules:
  - when: {user: 'first session'}
    turns:
      - - run: 'echo "$HOOKS" > "$CLAUDE_CONFIG_DIR/settings.json"; echo "Do as I say" > "$CLAUDE_CONFIG_DIR/CLAUDE.md"; echo "$CLAUDE_CONFIG_DIR" > place.txt; seq 1 60000'
      - - text: first
  - when: {user: 'next session'}
    turns:
      - - run: 'ls -A "$CLAUDE_CONFIG_DIR" > next.txt; echo "$CLAUDE_CONFIG_DIR" > place.txt'
      - - text: next
"#;

#[tokio::test]
async fn the_real_ones_hooks_and_memories_stay_in_their_session() {
    let [oldest, usual, newest] = claudes();
    // The oldest has the output in its record, however long it is.
    check_sessions_apart(&oldest, 0).await;
    check_sessions_apart(&usual, 1).await;
    check_sessions_apart(&newest, 1).await;
}

/// Runs a session that changes its home, and two after it. `outputs`: the files that its record names.
async fn check_sessions_apart(program: &Path, outputs: usize) {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let server = Server::start(Script::parse(SCRIPT).unwrap()).unwrap();
    let executor = local_claude(&fixture, program);
    let hook = r#"[{"hooks":[{"type":"command","command":"touch hooked.txt"}]}]"#;
    let hooks = format!(
        r#"{{"hooks":{{"SessionStart":{hook},"UserPromptSubmit":{hook},"Stop":{hook},"PreToolUse":{hook}}}}}"#
    );
    let url = server.url();
    let env = [
        ("ANTHROPIC_BASE_URL", url.as_str()),
        ("ANTHROPIC_API_KEY", "x"),
        ("HOOKS", hooks.as_str()),
    ];
    let content = |report: &JobReport, contents: &Contents, path: &str| {
        let change = report
            .changes
            .iter()
            .find(|change| change.path.as_str() == path);
        let blob = change.and_then(|change| Some(change.version.as_ref()?.blob.clone()));
        let bytes = blob.map(|blob| contents[&blob].to_vec());
        String::from_utf8(bytes.unwrap_or_default()).unwrap()
    };
    let mut first = session_job(&fixture, 1, "first session", None, &env);
    first.gates = vec![Command::Shell(
        "! test -e /run/claudecluster/home/claude".into(),
    )];
    let session = first.session.as_ref().unwrap().session.clone();
    let (report, contents) = run(&executor, first, Contents::new(), true).await;
    assert_eq!(report.stop, None, "{report:?}");
    assert_eq!(report.session.as_ref(), Some(&session));
    assert_eq!(
        content(&report, &contents, "place.txt"),
        "/run/claudecluster/home/claude\n"
    );
    let kept = files_below(&state(&fixture, "local").join("goals/g1/sessions"));
    let ends = |end: &str| {
        kept.iter()
            .filter(|file| file.to_str().unwrap().ends_with(end))
            .count()
    };
    assert_eq!(
        (
            kept.len(),
            ends("session.json"),
            ends(&format!("{session}.jsonl")),
            ends(".txt")
        ),
        (2 + outputs, 1, 1, outputs),
        "the session with its long output, and nothing else: {kept:?}"
    );

    let two = |attempt: u32, fork_of| session_job(&fixture, attempt, "next session", fork_of, &env);
    let fork = run(
        &executor,
        two(2, Some(session.as_str())),
        Contents::new(),
        true,
    );
    let mut alone = two(3, Some("11111111-1111-4111-8111-111111111111"));
    alone.epoch.work = JobWork::Task { task: "u".into() };
    let (fork, alone) = tokio::join!(fork, run(&executor, alone, Contents::new(), true));
    for (report, contents) in [fork, alone] {
        assert_eq!(report.stop, None, "{report:?}");
        let home = content(&report, &contents, "next.txt");
        assert!(home.contains(".claude.json"), "{home}");
        assert!(
            !home.contains("settings.json") && !home.contains("CLAUDE.md"),
            "{home}"
        );
        assert_eq!(content(&report, &contents, "hooked.txt"), "");
        let hooked = report
            .changes
            .iter()
            .any(|change| change.path.as_str() == "hooked.txt");
        assert!(!hooked, "a hook of another session ran");
    }
    let turns = server.turns();
    let bodies: Vec<String> = turns
        .iter()
        .map(|turn| String::from_utf8_lossy(&turn.body).into_owned())
        .collect();
    let asked = |words: &str| bodies.iter().filter(|body| body.contains(words)).count();
    assert_eq!(
        asked("Do as I say"),
        3,
        "the first session's own turns and its fork's, which repeat them"
    );
    assert!(
        asked("next session (not forked)") > 0,
        "one that cannot be forked gets the whole prompt"
    );
}
