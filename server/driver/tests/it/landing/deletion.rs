//! Files that go while an editor has them open, with text in them that was never saved.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use claudecluster_protocol::{
    GoalState, api::DecisionReport, change::HunkStatus, event::Verdict, resolution::Resolution,
};

use crate::support::{Fixture, Manner, Stage, accept_all, decision, resolution, state};

const SAVED: &str = "gone\n";
const TYPED: &str = "gone\nand never saved\n";

/// A goal that deletes a file, and an editor that shows it.
async fn stage_for(text: &str, manner: Manner) -> Stage {
    let fixture = Fixture::new().propose("gone.txt", Some(SAVED), None);
    Stage::new(fixture, "gone.txt", text, manner).await
}

impl Stage {
    async fn theirs(&self) -> DecisionReport {
        let hunk = self.driver.hunks(None, None).await.unwrap().remove(0);
        assert_eq!(hunk.status, HunkStatus::Conflict);
        self.decide(resolution(&hunk.id, Resolution::Theirs)).await
    }

    fn is_open(&self) -> bool {
        self.editor.is_open()
    }

    fn saved(&self) -> Option<String> {
        self.fixture.text("gone.txt")
    }
}

fn failure(report: &DecisionReport) -> &str {
    assert_eq!((report.decided, report.failed.len()), (0, 1), "{report:?}");
    assert!(report.failed[0].error.hint.is_some(), "{report:?}");
    &report.failed[0].error.message
}

#[tokio::test]
async fn theirs_takes_what_was_never_saved_and_an_undo_brings_it_back() {
    let stage = stage_for(TYPED, Manner::Obeys).await;
    let report = stage.theirs().await;
    assert_eq!((report.decided, report.failed.len()), (1, 0), "{report:?}");
    assert_eq!(stage.saved(), None);
    assert!(!stage.is_open(), "saving it there would bring it back");
    assert_eq!(state(&stage.driver), GoalState::Landed);
    for _ in 0..2 {
        stage.decide(decision(Verdict::Undo)).await;
        assert_eq!(stage.saved().as_deref(), Some(TYPED));
        stage.decide(decision(Verdict::Redo)).await;
        assert_eq!(stage.saved(), None);
    }
}

/// Nothing compares what a client deletes: it is looked at what it had.
#[tokio::test]
async fn what_is_typed_in_the_very_moment_is_not_lost() {
    let moment = "in the moment\n";
    let stage = stage_for(SAVED, Manner::TypesFirst(moment)).await;
    let report = accept_all(&stage.driver).await;
    assert_eq!((report.decided, report.conflicts), (0, 1), "{report:?}");
    assert_eq!(stage.saved().unwrap(), format!("{SAVED}{moment}"));
    // Whoever has chosen that the file goes means that too.
    let stage = stage_for(TYPED, Manner::TypesFirst(moment)).await;
    assert_eq!(stage.theirs().await.decided, 1);
    assert_eq!(stage.saved(), None);
    stage.decide(decision(Verdict::Undo)).await;
    assert_eq!(stage.saved().unwrap(), format!("{TYPED}{moment}"));
}

#[tokio::test]
async fn a_file_stays_where_its_text_would_be_lost() {
    for manner in [Manner::KeepsFiles, Manner::Refuses] {
        let stage = stage_for(TYPED, manner).await;
        let report = stage.theirs().await;
        let said = failure(&report);
        assert!(
            said.contains("cannot delete files") || said.contains("read-only"),
            "{said}"
        );
        assert_eq!(stage.saved().as_deref(), Some(SAVED));
        assert_eq!(stage.editor.text(), TYPED);
        assert_eq!(stage.driver.hunks(None, None).await.unwrap().len(), 1);
    }
    // Somebody has written to the file, and the editor has not seen it.
    for shown in [SAVED, TYPED] {
        let stage = stage_for(shown, Manner::Obeys).await;
        fs::write(stage.fixture.path("gone.txt"), "another\n").unwrap();
        let report = match shown {
            SAVED => accept_all(&stage.driver).await,
            _ => stage.theirs().await,
        };
        let said = failure(&report);
        assert!(said.contains("differs on disk"), "{said}");
        assert_eq!(stage.saved().as_deref(), Some("another\n"));
        assert!(stage.is_open());
    }
}

/// What is shown of a file that has gone is nobody's file until it is saved.
#[tokio::test]
async fn a_text_that_stays_open_brings_no_file_back() {
    for manner in [Manner::KeepsFiles, Manner::KeepsShowing] {
        let stage = stage_for(SAVED, manner).await;
        assert_eq!(accept_all(&stage.driver).await.decided, 1);
        assert_eq!(stage.saved(), None);
        let path = stage.fixture.path("gone.txt");
        stage.driver.settled(&path).await;
        assert_eq!(state(&stage.driver), GoalState::Landed);
        // By command.
        assert_eq!(stage.decide(decision(Verdict::Undo)).await.decided, 1);
        assert_eq!(stage.saved().as_deref(), Some(SAVED));
        assert_eq!(stage.decide(decision(Verdict::Redo)).await.decided, 1);
        assert_eq!(stage.saved(), None);
        // In the editor, by saving it.
        fs::write(&path, SAVED).unwrap();
        stage.driver.settled(&path).await;
        assert_eq!(state(&stage.driver), GoalState::Proposed);
    }
}
