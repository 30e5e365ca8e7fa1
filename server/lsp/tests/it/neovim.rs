//! The plugin in a real Neovim against the server, with a driver that records.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that gets here has failed"
)]

use std::{path::Path, sync::Arc, time::Duration};

use claudecluster_lsp::{ExitStatus, LspConfig, serve};
use claudecluster_protocol::{
    ChangeKind, EventBody, GoalState, Plan, TaskSpec, Usd,
    event::{ProposedFile, Verdict},
    goal::{AgentUsage, GoalScopeKind},
    resolution::Resolution,
};
use claudecluster_service::{DocumentEdit, EditError};
use tokio::{net::UnixListener, process::Command};

use crate::support::backend::Recorder;

const PLUGIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../editors/neovim");
const TEXT: &str = "fn main() {\n    let old_one = 1;\n    let old_two = 2;\n}\n";

fn nvim() -> String {
    std::env::var("CLAUDECLUSTER_TEST_NVIM").unwrap_or_else(|_| {
        panic!(
            "CLAUDECLUSTER_TEST_NVIM does not name a Neovim 0.11: run `cargo xtask test`, which \
             brings one, or set it to the program's path"
        )
    })
}

/// Whether it is one that asks for the edit of a code action when that is chosen: 0.10 leaves it to the server.
async fn edits_itself() -> bool {
    let said = Command::new(nvim()).arg("--version").output().await;
    let said = String::from_utf8(said.unwrap().stdout).unwrap();
    !said.starts_with("NVIM v0.10.")
}

/// Runs a script of the plugin's tests in a headless Neovim.
async fn run(folder: &Path, script: &str, args: &[&Path]) {
    let output = Command::new(nvim())
        .args(["--headless", "--clean", "-u", "NONE", "-i", "NONE", "-n"])
        .arg("--cmd")
        .arg(format!("set runtimepath^={PLUGIN}"))
        .arg("-l")
        .arg(Path::new(PLUGIN).join("tests").join(script))
        .args(args)
        // Not a repository, or the empty first buffer would start a server of its own.
        .current_dir(folder)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(120), output)
        .await
        .expect("Neovim ends")
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// What needs nothing but answers of a server: they are in the script.
#[tokio::test]
async fn questions_plans_pickers_and_help() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = folder.path().canonicalize().unwrap().join("w");
    std::fs::create_dir_all(workspace.join(".git")).unwrap();
    std::fs::write(workspace.join("a.rs"), TEXT).unwrap();
    run(folder.path(), "asked.lua", &[&workspace]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goal_from_neovim_to_accepted_changes() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = folder.path().canonicalize().unwrap().join("w");
    std::fs::create_dir_all(workspace.join(".git")).unwrap();
    std::fs::write(workspace.join("a.rs"), TEXT).unwrap();
    let socket = folder.path().join("lsp.sock");
    let listener = UnixListener::bind(&socket).unwrap();

    let backend = Arc::new(Recorder::default());
    let server = tokio::spawn({
        let backend = backend.clone();
        async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (reader, writer) = stream.into_split();
            serve(reader, writer, backend, LspConfig::default()).await
        }
    });
    let work = tokio::spawn(drive(backend.clone(), workspace.clone()));

    run(folder.path(), "spec.lua", &[&socket, &workspace]).await;
    assert_eq!(server.await.unwrap(), ExitStatus::Clean);
    work.await.unwrap();

    let edits_itself = edits_itself().await;
    backend.with(|state| {
        let spec = &state.submitted[0];
        assert_eq!(Path::new(&spec.workspace), workspace);
        assert_eq!(spec.prompt, "rename things");
        let selection = spec.scope.selection.as_ref().unwrap();
        assert_eq!((selection.start_line, selection.end_line), (2, 4));
        assert_eq!(spec.scope.files[0].as_str(), "a.rs");
        assert_eq!(state.submitted[1].prompt, "asked for\n\nin two parts");
        // The first was applied by the editor itself, the second by the server.
        let applied: Vec<_> = state
            .decisions
            .iter()
            .map(|decision| decision.applied)
            .collect();
        assert_eq!(applied[..4], [edits_itself, false, false, false]);
        let kept = &state.decisions[2];
        assert_eq!(kept.path.as_ref().unwrap().as_str(), "new one.rs");
        let dropped = &state.decisions[3];
        assert_eq!(dropped.verdict, Verdict::Reject);
        assert!(dropped.hunk_id.is_some());
        let later: Vec<_> = state.decisions[4..]
            .iter()
            .map(|decision| (decision.verdict, decision.reason.as_deref()))
            .collect();
        let expected = [
            (Verdict::Resolve, None),
            (Verdict::Reject, Some("not like that")),
            (Verdict::Undo, None),
        ];
        assert_eq!(later, expected);
        assert_eq!(state.decisions[4].resolution, Some(Resolution::Both));
        // The first goal was stated under the settings of the test, the second after they changed.
        let of = |n: usize| {
            let spec = &state.submitted[n];
            (spec.jobs, spec.budget_usd, spec.scope.kind)
        };
        let five = Some(Usd::from_dollars(5.0));
        assert_eq!(of(0), (Some(2), five, GoalScopeKind::Open));
        assert_eq!(of(1), (Some(3), None, GoalScopeKind::Workspace));
    });
    assert_eq!(
        std::fs::read_to_string(workspace.join("a.rs")).unwrap(),
        TEXT
    );
}

/// Plays the driver's part: plans and proposes when a goal comes, and tries an edit of a text that is
/// being typed over when a retry comes.
async fn drive(backend: Arc<Recorder>, workspace: std::path::PathBuf) {
    backend.submitted.notified().await;
    let file = workspace.join("a.rs");
    // The unsaved text was there when the goal was: the change came before it on the wire.
    let seen = backend.editor().document(&file).unwrap().text.to_string();
    assert_eq!(seen, format!("// typed 😀, not saved\n{TEXT}"));

    backend.add_goal(&workspace, "g1", GoalState::Planning);
    backend.set_state("g1", GoalState::Planning).await;
    let plan = Plan {
        tasks: vec![TaskSpec::new("a", "do a"), TaskSpec::new("b", "do b")],
        ..Plan::default()
    };
    let planned = EventBody::Planned {
        plan,
        session: None,
        usage: AgentUsage::default(),
    };
    backend.event("g1", planned).await;
    backend.set_state("g1", GoalState::Running).await;
    // Until the editor has seen progress begin.
    backend.approving.notified().await;
    backend.propose(
        &workspace,
        "g1",
        "a.rs",
        &[
            ("    let old_one = 1;\n", "    let new_one = 1;\n"),
            ("    let old_two = 2;\n", "    let new_two = 2;\n"),
        ],
    );
    let proposed = ProposedFile {
        path: claudecluster_protocol::RelPath::new("a.rs").unwrap(),
        from: None,
        entry: 0,
        base: None,
        proposed: None,
        held: Vec::new(),
        versions: Vec::new(),
    };
    backend
        .event(
            "g1",
            EventBody::Proposed {
                files: vec![proposed],
            },
        )
        .await;
    backend.set_state("g1", GoalState::Proposed).await;

    backend.retrying.notified().await;
    for name in ["new one.rs", "unwanted.rs"] {
        backend.propose_file(&workspace, "g1", name, ChangeKind::Create);
    }
    let editor = backend.editor();
    let document = editor.document(&file).unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let after = format!("{}// from the server\n", document.text);
    let edit = DocumentEdit {
        document,
        after,
        label: "late".into(),
    };
    match editor.edit(edit).await {
        // Neovim says that it has applied what it dropped; the text tells.
        Ok(observed) => {
            let text = observed.text.to_string();
            assert!(
                text.contains("// kept") && !text.contains("// from the server"),
                "{text}"
            );
        }
        // The typing was told before the edit was sent.
        Err(EditError::Stale) => {}
        Err(error) => panic!("{error}"),
    }
    looked(&backend).await;
    backend.retrying.notified().await;
    let theirs = [("is not there", "// theirs\n")];
    backend.propose(&workspace, "g3", "a.rs", &theirs);
    backend.set_state("g3", GoalState::Proposed).await;
    backend.retrying.notified().await;
    backend.with(|state| {
        let theirs = state.proposals.iter_mut();
        theirs.for_each(|one| one.rival = (one.new == "// theirs\n").then_some("Go left"));
    });
    backend.set_state("g3", GoalState::Proposed).await;
    backend.retrying.notified().await;
    let here = [("// kept one", "// changed")];
    backend.propose(&workspace, "g3", "a.rs", &here);
    backend.land(&workspace, "g4", "a.rs", "// kept two\n");
    backend.set_state("g3", GoalState::Proposed).await;
}

/// Tells the script that the edit has been looked at.
async fn looked(backend: &Recorder) {
    let error = Some(claudecluster_protocol::ErrorBody::internal("looked"));
    backend
        .event(
            "g1",
            EventBody::GoalChanged {
                state: GoalState::Failed,
                error,
            },
        )
        .await;
}
