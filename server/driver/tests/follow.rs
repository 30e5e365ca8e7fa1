//! What an editor undoes or does again by itself is noticed, and the ledger follows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{fs, sync::Arc};

use claudecluster_driver::{Attached, Driver};
use claudecluster_protocol::{
    EventSeq, GoalId, GoalState, HunkId,
    api::Decision,
    event::{StreamItem, Verdict},
};
use support::{Fixture, GOAL, Manner, OneDocument, accept_all, decision, state};

const BASE: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
const PROPOSED: &str = "1\nTWO\n3\n4\nFIVE\n6\n7\nEIGHT\n9\n";

struct Stage {
    fixture: Fixture,
    driver: Driver,
    editor: Arc<OneDocument>,
    attached: Option<Attached>,
}

impl Stage {
    async fn new(fixture: Fixture) -> Self {
        let driver = fixture.start().await;
        let editor = OneDocument::new(fixture.path("a.txt"), BASE, Manner::Obeys);
        Self {
            attached: Some(driver.attach(editor.clone())),
            fixture,
            driver,
            editor,
        }
    }

    async fn one_file() -> Self {
        Self::new(Fixture::new().propose("a.txt", Some(BASE), Some(PROPOSED))).await
    }

    async fn pending(&self) -> Vec<HunkId> {
        let hunks = self.driver.hunks(None, None).await.unwrap();
        hunks.into_iter().map(|hunk| hunk.id).collect()
    }

    async fn decide(&self, verdict: Verdict, hunk: &HunkId) {
        let decision = Decision {
            hunk_id: Some(hunk.clone()),
            ..Decision::new(hunk.goal().unwrap(), verdict)
        };
        assert_eq!(self.driver.decide(decision).await.unwrap().decided, 1);
    }

    /// The editor shows this text, and nobody types.
    async fn shows(&self, text: &str) {
        self.editor.set(text);
        self.driver.settled(&self.fixture.path("a.txt")).await;
    }

    fn last_seq(&self) -> EventSeq {
        self.driver.status().unwrap().last_seq
    }
}

#[tokio::test]
async fn an_editors_undo_and_redo_are_followed() {
    let stage = Stage::one_file().await;
    let names = stage.pending().await;
    accept_all(&stage.driver).await;
    assert_eq!(stage.editor.text(), PROPOSED);
    assert_eq!(state(&stage.driver), GoalState::Landed);

    stage.shows(BASE).await;
    assert_eq!(stage.pending().await, names, "pending again");
    assert_eq!(state(&stage.driver), GoalState::Proposed);
    stage.shows(PROPOSED).await;
    assert!(stage.pending().await.is_empty(), "landed again");
    assert_eq!(state(&stage.driver), GoalState::Landed);
    // And so on, as often as somebody goes back and forth.
    stage.shows(BASE).await;
    assert_eq!(stage.pending().await, names);
    // It says who did it.
    let mut watch = stage
        .driver
        .watch(Some(GoalId::new(GOAL)), Some(EventSeq(0)));
    let mut reasons = Vec::new();
    loop {
        if let StreamItem::Event(event) = watch.recv().await.unwrap() {
            let event = serde_json::to_value(&*event).unwrap();
            reasons.extend(event["reason"].as_str().map(str::to_owned));
            if event["seq"] == stage.last_seq().0 {
                break;
            }
        }
    }
    assert_eq!(
        reasons,
        [
            "undone in the editor",
            "done again in the editor",
            "undone in the editor"
        ]
    );
    // What is pending again can be decided like anything else, or done again by command.
    stage.driver.decide(decision(Verdict::Redo)).await.unwrap();
    assert_eq!(stage.editor.text(), PROPOSED);
}

/// An accept that the editor makes by itself, as it does with a code action, is a landing like any other.
#[tokio::test]
async fn an_accept_of_the_editors_own_is_followed_and_taken_back() {
    let stage = Stage::one_file().await;
    let names = stage.pending().await;
    // Something is typed that has nothing to do with it.
    let typed = format!("{BASE}typed\n");
    let accept = |text: String, name: HunkId| {
        stage.editor.set(&text);
        let decision = Decision {
            hunk_id: Some(name),
            applied: true,
            ..decision(Verdict::Accept)
        };
        stage.driver.decide(decision)
    };
    stage.shows(&typed).await;
    let five = typed.replace("5\n", "FIVE\n");
    let report = accept(five.clone(), names[1].clone()).await.unwrap();
    assert_eq!((report.decided, report.failed.len()), (1, 0), "{report:?}");
    assert_eq!(stage.editor.edits(), 0, "the edit was its own");

    stage.shows(&typed).await;
    assert_eq!(stage.pending().await, names, "pending again");
    stage.shows(&five).await;
    assert_eq!(
        stage.pending().await,
        [&names[0], &names[2]].map(Clone::clone)
    );
    // By command it goes as well, and leaves the rest.
    stage.decide(Verdict::Undo, &names[1]).await;
    assert_eq!(stage.editor.text(), typed);
    assert_eq!(stage.pending().await, names);
}

#[tokio::test]
async fn several_landings_may_be_gone_at_once() {
    let stage = Stage::one_file().await;
    let names = stage.pending().await;
    let mut texts = vec![BASE.to_owned()];
    for name in &names {
        // Something is typed between any two landings.
        let typed = format!("{}typed\n", stage.editor.text());
        texts.push(typed.clone());
        stage.shows(&typed).await;
        stage.decide(Verdict::Accept, name).await;
        texts.push(stage.editor.text());
    }
    let seq = stage.last_seq();
    stage.shows(&texts[6]).await;
    assert_eq!(stage.last_seq(), seq, "that is what it is");
    // Two landings and the typing between them.
    stage.shows(&texts[3]).await;
    assert_eq!(stage.pending().await, names[1..]);
    // The typing before them is not ours.
    stage.shows(&texts[2]).await;
    assert_eq!(stage.pending().await, names[1..]);
    stage.shows(&texts[1]).await;
    assert_eq!(stage.pending().await, names);
    // All three again, in one go.
    stage.shows(&texts[6]).await;
    assert!(stage.pending().await.is_empty());
    assert_eq!(state(&stage.driver), GoalState::Landed);
    // One, and what was typed instead ends the story.
    stage.shows(&texts[5]).await;
    assert_eq!(stage.pending().await, names[2..]);
    let seq = stage.last_seq();
    stage.shows(&format!("{}else\n", texts[5])).await;
    assert_eq!(stage.last_seq(), seq);
}

#[tokio::test]
async fn an_undo_by_command_can_be_undone_in_the_editor() {
    let stage = Stage::one_file().await;
    let names = stage.pending().await;
    accept_all(&stage.driver).await;
    stage.decide(Verdict::Undo, &names[1]).await;
    let undone = PROPOSED.replace("FIVE", "5");
    assert_eq!(stage.editor.text(), undone);
    stage.shows(PROPOSED).await;
    assert!(stage.pending().await.is_empty());
    // One step further back: the landing itself.
    stage.shows(BASE).await;
    assert_eq!(stage.pending().await, names);
    stage.shows(PROPOSED).await;
    assert!(stage.pending().await.is_empty());
    // A redo by command, too.
    stage.decide(Verdict::Undo, &names[1]).await;
    stage.decide(Verdict::Redo, &names[1]).await;
    stage.shows(&undone).await;
    assert_eq!(stage.pending().await, names[1..2]);
}

#[tokio::test]
async fn a_text_that_was_never_there_changes_nothing() {
    let stage = Stage::one_file().await;
    let seq = stage.last_seq();
    stage.shows("typed\n").await;
    assert_eq!(stage.last_seq(), seq, "nothing has landed");
    stage.shows(BASE).await;
    accept_all(&stage.driver).await;
    let seq = stage.last_seq();
    for text in [PROPOSED, "", "1\nTWO\n3\n4\nFIVE\n6\n7\n8\n9\n"] {
        stage.shows(text).await;
        assert_eq!(stage.last_seq(), seq);
    }
}

#[tokio::test]
async fn landings_of_several_goals_go_in_the_order_they_came() {
    let fixture = Fixture::new()
        .propose("a.txt", Some(BASE), Some(&BASE.replace('2', "TWO")))
        .another_goal()
        .propose("a.txt", Some(BASE), Some(&BASE.replace('8', "EIGHT")));
    let stage = Stage::new(fixture).await;
    let names = stage.pending().await;
    stage.decide(Verdict::Accept, &names[1]).await;
    let between = stage.editor.text();
    stage.decide(Verdict::Accept, &names[0]).await;
    stage.shows(&between).await;
    assert_eq!(stage.pending().await, names[..1]);
    stage.shows(BASE).await;
    assert_eq!(stage.pending().await, names);
}

#[tokio::test]
async fn what_was_closed_unsaved_is_pending_again() {
    let mut stage = Stage::one_file().await;
    let names = stage.pending().await;
    stage.decide(Verdict::Accept, &names[0]).await;
    // Saved, with something typed; then another hunk lands and is not saved.
    let saved = format!("{}typed\n", stage.editor.text());
    stage.shows(&saved).await;
    fs::write(stage.fixture.path("a.txt"), &saved).unwrap();
    stage.shows(&format!("above\n{saved}")).await;
    stage.decide(Verdict::Accept, &names[1]).await;
    assert_eq!(stage.pending().await, names[2..]);
    stage.attached = None;
    stage.driver.settled(&stage.fixture.path("a.txt")).await;
    assert_eq!(stage.pending().await, names[1..]);
    let seq = stage.last_seq();
    stage.driver.settled(&stage.fixture.path("a.txt")).await;
    assert_eq!(stage.last_seq(), seq, "once");
    accept_all(&stage.driver).await;
    assert_eq!(
        stage.fixture.text("a.txt").unwrap(),
        format!("{PROPOSED}typed\n")
    );
}
