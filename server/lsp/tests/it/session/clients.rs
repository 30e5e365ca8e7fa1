//! What each editor gets, by what it says of itself. `clients/` has those parts of the `initialize` parameters
//! of real editors that decide something, and the facts that no capability tells. Those of Helix, eglot, lsp-mode,
//! kakoune-lsp, yegappan/lsp and coc.nvim are what they have sent (an Emacs without `markdown-mode`); Zed's and
//! Sublime Text's are as their sources have them.
//! The table in `docs/editors.md` is made here: `UPDATE_EXPECT=1` writes it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that gets here has failed"
)]

use std::{fmt::Write, path::Path, sync::Arc};

use claudecluster_lsp::LspConfig;
use claudecluster_protocol::{GoalState, editor::command};
use expect_test::{expect, expect_file};
use serde_json::{Value, json};

use crate::support::{backend::Recorder, client::Client};

const A: &str = "file:///w/a.rs";
const TEXT: &str = "let old = 1;\n";

/// The editors in the order of the table.
const EDITORS: [&str; 12] = [
    "vscode",
    "neovim-0.11",
    "neovim-0.10",
    "helix",
    "zed",
    "eglot",
    "eglot-1.9",
    "lsp-mode",
    "sublime",
    "kakoune",
    "vim",
    "coc",
];

fn fixture(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/session/clients");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What one editor gets.
struct Seen {
    editor: String,
    facts: Value,
    advertised: Value,
    /// The unit of columns.
    encoding: String,
    /// Its settings are asked for.
    settings: bool,
    /// It is asked to tell of changes to them.
    told: bool,
    /// It is told at once that something can be completed, and not for plans alone.
    completes: bool,
    /// The accept of a hunk from the menu is an edit of its own.
    own_edit: bool,
    /// Edits, its own or the server's, name the version they are for.
    versions: (Option<bool>, bool),
    progress: bool,
    /// Lenses are asked for again when they are out of date.
    refresh: bool,
    diff: &'static str,
    hover: String,
}

/// Goes through all of it with one editor.
async fn observe(name: &str) -> Seen {
    let Value::Object(fixture) = fixture(name) else {
        panic!("{name} is no object");
    };
    let mut params = fixture["params"].clone();
    params["rootUri"] = json!("file:///w");
    let folder = tempfile::tempdir().unwrap();
    let config = LspConfig {
        diffs: Some(folder.path().to_owned()),
        ..LspConfig::default()
    };
    let backend = Arc::new(Recorder::default());
    backend.propose(Path::new("/w"), "g1", "a.rs", &[("let old", "let new")]);
    let mut client = Client::connect_with(backend.clone(), config);
    let advertised = client.initialize(params).await["capabilities"].clone();
    client.open(A, 1, TEXT).await;
    // Whoever can tell of changes to its settings is asked to, and for the settings once it will.
    let told = params_say(
        &fixture,
        "/workspace/didChangeConfiguration/dynamicRegistration",
    );
    // Where it can be told later that something is completed, it is told of plans alone.
    let completes = !params_say(&fixture, "/textDocument/completion/dynamicRegistration");
    let registered = [
        (!completes, "textDocument/completion"),
        (told, "workspace/didChangeConfiguration"),
    ];
    for (_, method) in registered.into_iter().filter(|(later, _)| *later) {
        let registers = |told: &Value| told["params"]["registrations"][0]["method"] == method;
        let asked = client.wait_for(registers).await;
        client.answer(&asked, Value::Null).await;
    }
    let settings = params_say(&fixture, "/workspace/configuration");
    if settings {
        let asked = client.told("workspace/configuration").await;
        client.answer(&asked, json!([{"jobs": 2}])).await;
    }

    let at = json!({"line": 0, "character": 0});
    let document = json!({"uri": A});
    let asked = json!({
        "textDocument": document,
        "range": {"start": at, "end": at},
        "context": {"diagnostics": [], "triggerKind": 1},
    });
    let actions = client.request("textDocument/codeAction", asked).await["result"].clone();
    let accept = actions[0].clone();
    assert_eq!(
        accept["title"], "Accept change from Rename things",
        "{name}"
    );
    let own_edit = accept.get("data").is_some();
    let own_version = if own_edit {
        let resolved = client.request("codeAction/resolve", accept).await["result"].clone();
        assert_eq!(
            resolved["command"]["command"],
            command::HUNK_ACCEPT,
            "{name}"
        );
        Some(version_of(&resolved["edit"]))
    } else {
        assert_eq!(accept["command"]["command"], command::HUNK_ACCEPT, "{name}");
        None
    };

    let hover = json!({"textDocument": document, "position": at});
    let hover = client.request("textDocument/hover", hover).await["result"].clone();
    let hover = hover["contents"]["kind"].as_str().unwrap().to_owned();
    let lenses = json!({ "textDocument": document });
    let lenses = client.request("textDocument/codeLens", lenses).await["result"].clone();
    assert!(lenses[0]["command"]["command"].is_string(), "{name}");

    client
        .command(command::HUNK_DIFF, json!({"hunkId": "g1.1"}))
        .await;
    let shown = client
        .wait_for(|told| {
            told["method"] == "window/showDocument" || told["method"] == "window/showMessage"
        })
        .await;
    let diff = if shown["method"] == "window/showDocument" {
        client.answer(&shown, json!({"success": true})).await;
        "document"
    } else {
        "message"
    };

    // The server's own edit: a lens, or a command by name.
    client
        .command(command::HUNK_ACCEPT, json!({"hunkId": "g1.1"}))
        .await;
    let edit = client.told("workspace/applyEdit").await;
    let versions = (own_version, version_of(&edit["params"]["edit"]));
    client.change(A, 2, "let new = 1;\n").await;
    client.answer(&edit, json!({"applied": true})).await;

    // A goal begins and ends in a proposal, which every client is told of.
    backend.add_goal(Path::new("/w"), "g2", GoalState::Running);
    backend.set_state("g2", GoalState::Running).await;
    let mut progress = false;
    if params_say(&fixture, "/window/workDoneProgress") {
        let created = client.told("window/workDoneProgress/create").await;
        client.answer(&created, Value::Null).await;
        progress = true;
    }
    backend.set_state("g2", GoalState::Proposed).await;
    client
        .wait_for(|told| {
            let message = told["params"]["message"].as_str().unwrap_or_default();
            told["method"] == "window/showMessage" && message.starts_with("g2:")
        })
        .await;
    // What is out of date has been told once conflicts have: in this text nothing of it is left.
    client.change(A, 3, "typed over\n").await;
    backend.propose(Path::new("/w"), "g3", "a.rs", &[("is gone", "is new")]);
    backend.set_state("g3", GoalState::Proposed).await;
    let conflict = |told: &Value| {
        let count = told["params"]["diagnostics"].as_array().map(Vec::len);
        told["method"] == "textDocument/publishDiagnostics" && count == Some(1)
    };
    client.wait_for(conflict).await;
    if params_say(&fixture, "/workspace/codeLens/refreshSupport") {
        client.told("workspace/codeLens/refresh").await;
    }
    Seen {
        editor: fixture["editor"].as_str().unwrap().to_owned(),
        facts: fixture["facts"].clone(),
        encoding: advertised["positionEncoding"].as_str().unwrap().to_owned(),
        advertised,
        settings: settings || client.has("workspace/configuration"),
        told: told || client.has("client/registerCapability"),
        completes,
        own_edit,
        versions,
        progress: progress || client.has("window/workDoneProgress/create"),
        refresh: params_say(&fixture, "/workspace/codeLens/refreshSupport")
            || client.has("workspace/codeLens/refresh"),
        diff,
        hover,
    }
}

fn params_say(fixture: &serde_json::Map<String, Value>, capability: &str) -> bool {
    fixture["params"]["capabilities"].pointer(capability) == Some(&json!(true))
}

/// Whether an edit names the version it is for.
fn version_of(edit: &Value) -> bool {
    let changes = edit["documentChanges"].as_array();
    assert!(changes.is_some() || edit["changes"].is_object(), "{edit}");
    changes.is_some_and(|changes| changes[0]["textDocument"]["version"].is_number())
}

fn yes(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn versions(named: bool) -> &'static str {
    if named {
        "with versions"
    } else {
        "without versions"
    }
}

/// The rows of the table, one an editor.
fn table(all: &[Seen]) -> String {
    let mut text = String::from(
        "| editor | an accept from the menu | code lenses | problems of other \
         servers | progress | a hunk as a diff | hover | columns |\n|---|---|---|---|---|---|---|---|\n",
    );
    for seen in all {
        let accept = if seen.own_edit {
            "its own edit"
        } else {
            "an edit of the server"
        };
        let fact = |name: &str| seen.facts[name].as_str().unwrap();
        writeln!(
            text,
            "| {} | {accept} | {} | {} | {} | {} | {} | {} |",
            seen.editor,
            fact("lenses"),
            fact("problems"),
            yes(seen.progress),
            seen.diff,
            if seen.hover == "markdown" {
                "Markdown"
            } else {
                "text"
            },
            seen.encoding,
        )
        .unwrap();
    }
    text
}

/// What no page says: how it goes over the wire.
fn wire(all: &[Seen]) -> String {
    all.iter()
        .map(|seen| {
            format!(
                "{}: own edit {}, of the server {}; settings asked {}, changes told {}; lens refresh {}; completion {}\n",
                seen.editor,
                seen.versions.0.map_or("none", versions),
                versions(seen.versions.1),
                yes(seen.settings),
                yes(seen.told),
                yes(seen.refresh),
                if seen.completes { "everywhere" } else { "in plans" },
            )
        })
        .collect()
}

/// The page with the table as it is.
fn with_table(page: &str, table: &str) -> String {
    const BEGIN: &str = "<!-- what differs: made by server/lsp/tests/it/session/clients.rs -->\n";
    const END: &str = "<!-- what differs: end -->\n";
    let (before, rest) = page.split_once(BEGIN).expect("the page has the beginning");
    let (_, after) = rest.split_once(END).expect("the page has the end");
    format!("{before}{BEGIN}\n{table}\n{END}{after}")
}

#[tokio::test]
async fn every_editor_gets_what_it_can_do() {
    let mut all = Vec::new();
    for name in EDITORS {
        all.push(observe(name).await);
    }
    expect![[r#"
        VS Code: own edit with versions, of the server with versions; settings asked yes, changes told yes; lens refresh yes; completion in plans
        Neovim 0.11: own edit with versions, of the server with versions; settings asked yes, changes told no; lens refresh no; completion everywhere
        Neovim 0.10: own edit none, of the server with versions; settings asked yes, changes told no; lens refresh no; completion everywhere
        Helix: own edit with versions, of the server with versions; settings asked yes, changes told no; lens refresh no; completion everywhere
        Zed: own edit with versions, of the server with versions; settings asked yes, changes told yes; lens refresh no; completion everywhere
        Emacs 30, eglot 1.17: own edit with versions, of the server with versions; settings asked yes, changes told no; lens refresh no; completion everywhere
        Emacs 28, eglot 1.9: own edit none, of the server with versions; settings asked yes, changes told no; lens refresh no; completion everywhere
        Emacs, lsp-mode: own edit with versions, of the server with versions; settings asked yes, changes told no; lens refresh yes; completion in plans
        Sublime Text, LSP: own edit none, of the server with versions; settings asked yes, changes told yes; lens refresh yes; completion in plans
        Kakoune, kakoune-lsp: own edit none, of the server with versions; settings asked yes, changes told no; lens refresh yes; completion everywhere
        Vim 9, yegappan/lsp: own edit without versions, of the server without versions; settings asked yes, changes told no; lens refresh no; completion everywhere
        Vim, coc.nvim: own edit none, of the server with versions; settings asked yes, changes told yes; lens refresh yes; completion in plans
    "#]].assert_eq(&wire(&all));
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/editors.md");
    let page = std::fs::read_to_string(docs).unwrap();
    expect_file![docs].assert_eq(&with_table(&page, &table(&all)));

    // Whatever the client is, it is told of the same server, but for the unit of columns and for
    // what can be registered later.
    for seen in &mut all {
        seen.advertised["positionEncoding"] = json!("its own");
        let advertised = seen.advertised.as_object_mut().unwrap();
        let completion = advertised.remove("completionProvider");
        assert_eq!(completion.is_some(), seen.completes, "{}", seen.editor);
        let commands = seen.advertised["executeCommandProvider"]["commands"].take();
        assert_eq!(commands, json!(command::ALL), "{}", seen.editor);
    }
    let advertised = all[0].advertised.clone();
    for seen in &all {
        assert_eq!(seen.advertised, advertised, "{}", seen.editor);
    }
    expect![[r#"
        {
          "positionEncoding": "its own",
          "textDocumentSync": {
            "openClose": true,
            "change": 2,
            "save": {
              "includeText": false
            }
          },
          "hoverProvider": true,
          "codeActionProvider": {
            "codeActionKinds": [
              "quickfix",
              "refactor.rewrite.claudecluster"
            ],
            "resolveProvider": true
          },
          "codeLensProvider": {
            "resolveProvider": false
          },
          "executeCommandProvider": {
            "commands": null
          },
          "workspace": {
            "workspaceFolders": {
              "supported": true,
              "changeNotifications": true
            }
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&advertised).unwrap());
}

/// Every fixture is in the table.
#[test]
fn no_editor_is_forgotten() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/session/clients");
    let mut there: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| {
            file.unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    there.sort();
    let mut known = EDITORS;
    known.sort_unstable();
    assert_eq!(there, known);
}
