//! What an editor undoes or does again by itself is noticed, and the ledger follows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use claudecluster_protocol::{
    EventBody, EventSeq, GoalId, GoalState, HunkId, Span,
    api::Decision,
    event::{StreamItem, Verdict},
    resolution::Resolution,
};

use crate::support::{
    BASE, Fixture, GOAL, Manner, PROPOSED, Stage, accept_all, decision, of_hunk, resolution, state,
};

/// The editor shows a file of the goal before anything was typed.
async fn stage_for(fixture: Fixture) -> Stage {
    Stage::new(fixture, "a.txt", BASE, Manner::Obeys).await
}

async fn one_file() -> Stage {
    stage_for(Fixture::new().propose("a.txt", Some(BASE), Some(PROPOSED))).await
}

impl Stage {
    async fn decide_one(&self, verdict: Verdict, hunk: &HunkId) {
        assert_eq!(self.decide(of_hunk(verdict, hunk)).await.decided, 1);
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
    let stage = one_file().await;
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
            "redone in the editor",
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
    let stage = one_file().await;
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
    stage.decide_one(Verdict::Undo, &names[1]).await;
    assert_eq!(stage.editor.text(), typed);
    assert_eq!(stage.pending().await, names);
}

#[tokio::test]
async fn several_landings_may_be_gone_at_once() {
    let stage = one_file().await;
    let names = stage.pending().await;
    let mut texts = vec![BASE.to_owned()];
    for name in &names {
        // Something is typed between any two landings.
        let typed = format!("{}typed\n", stage.editor.text());
        texts.push(typed.clone());
        stage.shows(&typed).await;
        stage.decide_one(Verdict::Accept, name).await;
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
    let stage = one_file().await;
    let names = stage.pending().await;
    accept_all(&stage.driver).await;
    stage.decide_one(Verdict::Undo, &names[1]).await;
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
    stage.decide_one(Verdict::Undo, &names[1]).await;
    stage.decide_one(Verdict::Redo, &names[1]).await;
    stage.shows(&undone).await;
    assert_eq!(stage.pending().await, names[1..2]);
}

#[tokio::test]
async fn a_text_that_was_never_there_changes_nothing() {
    let stage = one_file().await;
    let seq = stage.last_seq();
    stage.shows("typed\n").await;
    assert_eq!(stage.last_seq(), seq, "nothing has landed");
    stage.shows(BASE).await;
    accept_all(&stage.driver).await;
    let seq = stage.last_seq();
    let typed_over = PROPOSED.replace("EIGHT", "EIGHTY");
    let one_line_of_it = PROPOSED.replace("4\n", "").replace("FIVE", "5");
    for text in [PROPOSED, "", &typed_over, &one_line_of_it] {
        stage.shows(text).await;
        assert_eq!(stage.last_seq(), seq, "{text}");
    }
}

/// Somebody presses `u` several times before the text settles: what is there then is older than the landing,
/// and was never before one or after it.
#[tokio::test]
async fn several_steps_at_once_with_typing_between_are_followed() {
    let stage = one_file().await;
    let names = stage.pending().await;
    // Beside the landing and elsewhere, before it and after it.
    for after in ["typed after\n", "beside"] {
        stage.shows(BASE).await;
        stage.shows(&format!("typed before\n{BASE}")).await;
        stage.decide_one(Verdict::Accept, &names[1]).await;
        let landed = stage.editor.text();
        let text = match after {
            "beside" => landed.replace("6\n", "6 beside\n"),
            _ => format!("{landed}{after}"),
        };
        stage.shows(&text).await;
        assert_eq!(stage.pending().await.len(), 2);

        stage.shows(BASE).await;
        assert_eq!(stage.pending().await, names, "uuu: {after}");
        stage.shows(&text).await;
        assert_eq!(stage.pending().await.len(), 2, "3<C-r>: {after}");
        stage.shows(BASE).await;
        assert_eq!(stage.pending().await, names, "uuu again: {after}");
        // A step that takes nothing of ours with it says nothing.
        let seq = stage.last_seq();
        stage.shows(&format!("typed before\n{BASE}")).await;
        assert_eq!(stage.last_seq(), seq);
    }
}

/// Two landings that are undone at once are done again at once.
#[tokio::test]
async fn several_landings_go_and_come_with_the_typing_around_them() {
    let stage = one_file().await;
    let names = stage.pending().await;
    stage.shows(&format!("typed\n{BASE}")).await;
    stage.decide_one(Verdict::Accept, &names[0]).await;
    stage.shows(&format!("{}more\n", stage.editor.text())).await;
    stage.decide_one(Verdict::Accept, &names[2]).await;
    let all = stage.editor.text().replace("7\n", "7 beside\n");
    stage.shows(&all).await;
    for _ in 0..2 {
        stage.shows(BASE).await;
        assert_eq!(stage.pending().await, names);
        stage.shows(&all).await;
        assert_eq!(stage.pending().await, names[1..2]);
    }
}

/// What was resolved is a conflict again once the text is older than what it conflicted with.
#[tokio::test]
async fn a_resolution_goes_with_the_typing_it_was_about() {
    let stage = one_file().await;
    let names = stage.pending().await;
    stage.shows(&BASE.replace('5', "mine")).await;
    let wanted = resolution(&names[1], Resolution::Both);
    assert_eq!(stage.driver.decide(wanted).await.unwrap().decided, 1);
    assert_eq!(stage.pending().await.len(), 2);
    stage.shows(BASE).await;
    assert_eq!(stage.pending().await, names);
}

#[tokio::test]
async fn what_is_moved_is_not_undone() {
    let stage = one_file().await;
    accept_all(&stage.driver).await;
    let seq = stage.last_seq();
    let moved = PROPOSED.replace("FIVE\n", "5\n");
    stage.shows(&format!("{moved}    FIVE\n")).await;
    assert_eq!(stage.last_seq(), seq);
}

/// A decision that takes out of the text what another one put in is no undo of the editor's.
#[tokio::test]
async fn what_another_goal_takes_out_is_not_undone() {
    let with = BASE.replace('2', "TWO");
    let fixture = Fixture::new()
        .propose("a.txt", Some(BASE), Some(&with))
        .another_goal()
        .entry("a.txt", 0, Some(&with), Some(BASE));
    let mut stage = stage_for(fixture).await;
    accept_all(&stage.driver).await;
    let second = GoalId::new("g2");
    let accept = Decision::new(second.clone(), Verdict::Accept);
    stage.driver.decide(accept).await.unwrap();
    assert_eq!(stage.editor.text(), BASE);
    let seq = stage.last_seq();
    stage.shows(&format!("{BASE}typed\n")).await;
    assert_eq!(stage.last_seq(), seq, "open");
    fs::write(stage.fixture.path("a.txt"), BASE).unwrap();
    stage.attached = None;
    stage.driver.settled(&stage.fixture.path("a.txt")).await;
    assert_eq!(stage.last_seq(), seq, "closed");
}

/// A file that is loaded anew has neither what was typed nor what landed, if neither was saved, but may have
/// what another program wrote.
#[tokio::test]
async fn what_is_gone_after_loading_anew_is_pending_again() {
    let stage = one_file().await;
    let names = stage.pending().await;
    stage.shows(&format!("typed\n{BASE}")).await;
    stage.decide_one(Verdict::Accept, &names[1]).await;
    let path = stage.fixture.path("a.txt");
    for on_disk in [BASE.to_owned(), format!("{BASE}written\n")] {
        fs::write(&path, &on_disk).unwrap();
        stage.editor.reload(&on_disk);
        stage.driver.settled(&path).await;
        assert_eq!(stage.pending().await, names);
        assert_eq!(stage.fixture.text("a.txt").unwrap(), on_disk, "not landed");
        assert_eq!(stage.editor.text(), on_disk, "nor here");
        stage.decide_one(Verdict::Accept, &names[1]).await;
        assert_eq!(stage.pending().await.len(), 2);
    }
}

/// Somebody who takes a line out may be about to put it in elsewhere, or to write another one.
#[tokio::test]
async fn what_is_taken_out_by_hand_waits_for_the_typing_to_stop() {
    let mut fixture = Fixture::new().propose("a.txt", Some(BASE), Some(PROPOSED));
    fixture.settings.review.typing_pause = Span(400);
    let stage = stage_for(fixture).await;
    accept_all(&stage.driver).await;
    let seq = stage.last_seq();
    let mut watch = stage.driver.watch(Some(GoalId::new(GOAL)), Some(seq));
    let out = PROPOSED.replace("FIVE", "5");
    stage.editor.type_in(Some(4..5));
    stage.shows(&out).await;
    assert_eq!(stage.last_seq(), seq, "somebody types there");
    loop {
        if let StreamItem::Event(event) = watch.recv().await.unwrap()
            && let EventBody::Reviewed { verdict, .. } = &event.body
        {
            assert_eq!(*verdict, Verdict::Undo);
            break;
        }
    }
    assert_eq!(stage.pending().await.len(), 1);
    // It does not wait where it is put in again, nor where typing goes on elsewhere.
    stage.editor.type_in(Some(0..1));
    stage.shows(PROPOSED).await;
    assert!(stage.pending().await.is_empty());
    stage.shows(&format!("{out}typed\n")).await;
    assert_eq!(stage.pending().await.len(), 1);
}

#[tokio::test]
async fn what_was_saved_before_it_was_undone_has_landed_once_the_file_is_closed() {
    let mut stage = one_file().await;
    accept_all(&stage.driver).await;
    let saved = format!("{PROPOSED}typed\n");
    fs::write(stage.fixture.path("a.txt"), &saved).unwrap();
    stage.shows(BASE).await;
    assert_eq!(stage.pending().await.len(), 3);
    stage.attached = None;
    stage.driver.settled(&stage.fixture.path("a.txt")).await;
    assert!(stage.pending().await.is_empty());
    assert_eq!(state(&stage.driver), GoalState::Landed);
}

#[tokio::test]
async fn landings_of_several_goals_go_in_the_order_they_came() {
    let fixture = Fixture::new()
        .propose("a.txt", Some(BASE), Some(&BASE.replace('2', "TWO")))
        .another_goal()
        .propose("a.txt", Some(BASE), Some(&BASE.replace('8', "EIGHT")));
    let stage = stage_for(fixture).await;
    let names = stage.pending().await;
    stage.decide_one(Verdict::Accept, &names[1]).await;
    let between = stage.editor.text();
    stage.decide_one(Verdict::Accept, &names[0]).await;
    stage.shows(&between).await;
    assert_eq!(stage.pending().await, names[..1]);
    stage.shows(BASE).await;
    assert_eq!(stage.pending().await, names);
}

#[tokio::test]
async fn what_was_closed_unsaved_is_pending_again() {
    let mut stage = one_file().await;
    let names = stage.pending().await;
    stage.decide_one(Verdict::Accept, &names[0]).await;
    // Saved, with something typed; then another hunk lands and is not saved.
    let saved = format!("{}typed\n", stage.editor.text());
    stage.shows(&saved).await;
    fs::write(stage.fixture.path("a.txt"), &saved).unwrap();
    stage.shows(&format!("above\n{saved}")).await;
    stage.decide_one(Verdict::Accept, &names[1]).await;
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
