//! Landings taken back and made again: exactly, hunk by hunk, keeping what was typed since.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, os::unix::fs::PermissionsExt};

use claudecluster_driver::{
    Driver,
    store::{NewEvent, Store},
};
use claudecluster_protocol::{
    AttemptId, BlobId, Event, EventBody, EventSeq, FileMode, GoalId, GoalState, HunkId, RelPath,
    Timestamp,
    api::{Decision, DecisionReport},
    change::{HunkStatus, HunkView, Provenance},
    event::{TaskVersion, Verdict},
};

use crate::support::{
    BASE, Fixture, GOAL, Manner, OneDocument, PROPOSED, accept_all, decision, of_hunk, state,
};

async fn hunks(driver: &Driver) -> Vec<HunkView> {
    driver.hunks(None, None).await.unwrap()
}

async fn ids(driver: &Driver) -> Vec<HunkId> {
    hunks(driver)
        .await
        .into_iter()
        .map(|hunk| hunk.id)
        .collect()
}

fn of_path(verdict: Verdict, path: &str) -> Decision {
    Decision {
        path: Some(RelPath::new(path).unwrap()),
        ..decision(verdict)
    }
}

async fn decide(driver: &Driver, decision: Decision) -> DecisionReport {
    let report = driver.decide(decision).await.unwrap();
    assert!(report.failed.is_empty(), "{report:?}");
    report
}

async fn undo(driver: &Driver) -> DecisionReport {
    decide(driver, decision(Verdict::Undo)).await
}

async fn redo(driver: &Driver) -> DecisionReport {
    decide(driver, decision(Verdict::Redo)).await
}

#[tokio::test]
async fn one_hunk_of_a_landing_is_undone_and_done_again() {
    let fixture = Fixture::new().propose("a.txt", Some(BASE), Some(PROPOSED));
    let driver = fixture.start().await;
    let names = ids(&driver).await;
    accept_all(&driver).await;
    let typed = format!("above\n{PROPOSED}below\n");
    fs::write(fixture.path("a.txt"), &typed).unwrap();

    let report = decide(&driver, of_hunk(Verdict::Undo, &names[1])).await;
    assert_eq!((report.decided, report.hunks.landed), (1, 2));
    assert_eq!(fixture.text("a.txt").unwrap(), typed.replace("FIVE", "5"));
    assert_eq!(
        ids(&driver).await,
        [names[1].clone()],
        "pending again, under the same name"
    );
    assert_eq!(state(&driver), GoalState::Proposed);

    let report = redo(&driver).await;
    assert_eq!((report.decided, report.hunks.landed), (1, 3));
    assert_eq!(fixture.text("a.txt").unwrap(), typed);
    assert_eq!(state(&driver), GoalState::Landed);
    // All of it, after that, and back: what was typed stays all along.
    assert_eq!(undo(&driver).await.decided, 3);
    assert_eq!(
        fixture.text("a.txt").unwrap(),
        format!("above\n{BASE}below\n")
    );
    assert_eq!(ids(&driver).await, names);
    assert_eq!(redo(&driver).await.decided, 3);
    assert_eq!(fixture.text("a.txt").unwrap(), typed);
    let error = driver.decide(decision(Verdict::Redo)).await.unwrap_err();
    assert!(error.message.contains("no changes of goal g1"), "{error:?}");
    assert!(error.hint.is_some());
}

#[tokio::test]
async fn landings_are_undone_in_any_order() {
    let fixture = Fixture::new().propose("a.txt", Some(BASE), Some(PROPOSED));
    let driver = fixture.start().await;
    let names = ids(&driver).await;
    for name in [&names[2], &names[0], &names[1]] {
        decide(&driver, of_hunk(Verdict::Accept, name)).await;
    }
    assert_eq!(fixture.text("a.txt").unwrap(), PROPOSED);
    decide(&driver, of_hunk(Verdict::Undo, &names[2])).await;
    let left = PROPOSED.replace("EIGHT", "8");
    assert_eq!(fixture.text("a.txt").unwrap(), left);
    // Landed again, it is another landing: the undo of the first one is history.
    decide(&driver, of_hunk(Verdict::Accept, &names[2])).await;
    assert!(driver.decide(decision(Verdict::Redo)).await.is_err());
    assert_eq!(undo(&driver).await.decided, 3);
    assert_eq!(fixture.text("a.txt").unwrap(), BASE);
    assert_eq!(ids(&driver).await, names);
}

#[tokio::test]
async fn what_was_typed_over_a_hunk_is_left_and_counted() {
    let fixture = Fixture::new().propose("a.txt", Some(BASE), Some(PROPOSED));
    let driver = fixture.start().await;
    let names = ids(&driver).await;
    accept_all(&driver).await;
    let typed = PROPOSED.replace("FIVE", "FIVE and mine");
    fs::write(fixture.path("a.txt"), &typed).unwrap();
    let report = undo(&driver).await;
    assert_eq!((report.decided, report.conflicts), (2, 1), "{report:?}");
    assert_eq!(
        fixture.text("a.txt").unwrap(),
        BASE.replace('5', "FIVE and mine")
    );
    let report = decide(&driver, of_hunk(Verdict::Undo, &names[1])).await;
    assert_eq!((report.decided, report.conflicts), (0, 1), "{report:?}");
    redo(&driver).await;
    assert_eq!(fixture.text("a.txt").unwrap(), typed);
}

#[tokio::test]
async fn a_task_takes_its_own_back() {
    let one = BASE.replace('2', "TWO");
    let two = BASE.replace('8', "EIGHT");
    let both = one.replace('8', "EIGHT");
    let mut fixture = Fixture::new().propose("a.txt", Some(BASE), Some(&both));
    let version = |task: &str, text: &str| TaskVersion {
        by: Provenance {
            why: None,
            task: task.into(),
            title: task.into(),
            attempt: AttemptId(1),
        },
        base: fixture.version(Some(BASE), FileMode::Regular),
        proposed: fixture.version(Some(text), FileMode::Regular),
    };
    fixture.files[0].versions = vec![version("one", &one), version("two", &two)];
    let driver = fixture.start().await;
    accept_all(&driver).await;
    let of_task = |verdict, task: &str| Decision {
        task_id: Some(task.into()),
        ..decision(verdict)
    };
    assert_eq!(
        decide(&driver, of_task(Verdict::Undo, "one")).await.decided,
        1
    );
    assert_eq!(fixture.text("a.txt").unwrap(), two);
    let error = driver
        .decide(of_task(Verdict::Redo, "two"))
        .await
        .unwrap_err();
    assert!(
        error.message.contains("no changes of task two"),
        "{error:?}"
    );
    decide(&driver, of_task(Verdict::Undo, "two")).await;
    assert_eq!(fixture.text("a.txt").unwrap(), BASE);
    decide(&driver, of_task(Verdict::Redo, "one")).await;
    assert_eq!(fixture.text("a.txt").unwrap(), one);
}

#[tokio::test]
async fn a_rejected_hunk_comes_back_by_its_name_only() {
    let fixture = Fixture::new().propose("a.txt", Some(BASE), Some(PROPOSED));
    let driver = fixture.start().await;
    let names = ids(&driver).await;
    decide(&driver, of_path(Verdict::Reject, "a.txt")).await;
    assert_eq!(undo(&driver).await.decided, 0, "nothing has landed");
    let report = decide(&driver, of_hunk(Verdict::Undo, &names[1])).await;
    assert_eq!((report.decided, report.hunks.rejected), (1, 2));
    assert_eq!(ids(&driver).await, [names[1].clone()]);
    assert_eq!(
        fixture.text("a.txt").unwrap(),
        BASE,
        "the file has no part in it"
    );
    decide(&driver, of_hunk(Verdict::Redo, &names[1])).await;
    assert!(ids(&driver).await.is_empty(), "rejected again");
    assert_eq!(state(&driver), GoalState::Rejected);
    // What is pending again can be decided in another way, and that taken back, too.
    decide(&driver, of_hunk(Verdict::Undo, &names[0])).await;
    decide(&driver, of_hunk(Verdict::Accept, &names[0])).await;
    assert_eq!(fixture.text("a.txt").unwrap(), BASE.replace('2', "TWO"));
    decide(&driver, of_hunk(Verdict::Undo, &names[0])).await;
    assert_eq!(fixture.text("a.txt").unwrap(), BASE);
    let error = driver
        .decide(of_hunk(Verdict::Undo, &names[0]))
        .await
        .unwrap_err();
    assert!(error.message.contains(names[0].as_str()), "{error:?}");
}

#[tokio::test]
async fn whole_files_come_back_as_they_were() {
    let fixture = Fixture::new()
        .propose("new.txt", None, Some("new\n"))
        .propose("gone.txt", Some("gone\n"), None)
        .propose("moved.txt", None, Some("text\n"))
        .last(|file| file.from = Some(RelPath::new("old.txt").unwrap()))
        .propose("old.txt", Some("text\n"), None)
        .propose("binary", Some("a\0b"), Some("c\0d"))
        .propose("run.sh", Some("a\n"), Some("b\n"))
        .last(|file| file.proposed.as_mut().unwrap().mode = FileMode::Executable);
    let files = [
        "new.txt",
        "gone.txt",
        "moved.txt",
        "old.txt",
        "binary",
        "run.sh",
    ];
    let look = |fixture: &Fixture| -> Vec<Option<(String, u32)>> {
        let look = |file: &&str| {
            let mode = fs::metadata(fixture.path(file)).ok()?.permissions().mode();
            Some((fixture.text(file)?, mode))
        };
        files.iter().map(look).collect()
    };
    let before = look(&fixture);
    let driver = fixture.start().await;
    let names = ids(&driver).await;
    accept_all(&driver).await;
    let after = look(&fixture);
    assert_ne!(before, after);
    undo(&driver).await;
    assert_eq!(look(&fixture), before);
    assert_eq!(ids(&driver).await, names);
    redo(&driver).await;
    assert_eq!(look(&fixture), after);
    // A renamed file goes back with its old place, and only with it.
    fs::write(fixture.path("moved.txt"), "text and mine\n").unwrap();
    let report = decide(&driver, of_path(Verdict::Undo, "moved.txt")).await;
    assert_eq!((report.decided, report.conflicts), (0, 1), "{report:?}");
    assert_eq!(fixture.text("old.txt"), None);
    fs::write(fixture.path("moved.txt"), "text\n").unwrap();
    decide(&driver, of_path(Verdict::Undo, "moved.txt")).await;
    assert_eq!(fixture.text("moved.txt"), None);
    assert_eq!(fixture.text("old.txt").unwrap(), "text\n");
}

#[tokio::test]
async fn an_alternative_and_what_is_beneath_it_go_one_after_the_other() {
    let merged = "1\nleft\n3\n4\n5\n6\n7\n8\nNINE\n";
    let other = "1\nright\n3\n4\n5\n6\n7\n8\nNINE\n";
    let fixture = Fixture::new()
        .propose("a.txt", Some(BASE), Some(merged))
        .entry("a.txt", 1, Some(merged), Some(other));
    let driver = fixture.start().await;
    let all = hunks(&driver).await;
    let conflict = all
        .iter()
        .find(|h| h.status == HunkStatus::Conflict)
        .unwrap();
    decide(&driver, of_hunk(Verdict::Accept, &conflict.id)).await;
    let chosen = BASE.replace('2', "right");
    assert_eq!(fixture.text("a.txt").unwrap(), chosen);
    // All at once …
    assert_eq!(undo(&driver).await.decided, 2);
    assert_eq!(fixture.text("a.txt").unwrap(), BASE);
    assert_eq!(redo(&driver).await.decided, 2);
    assert_eq!(fixture.text("a.txt").unwrap(), chosen);
    // … the upper one alone …
    decide(&driver, of_hunk(Verdict::Undo, &conflict.id)).await;
    assert_eq!(fixture.text("a.txt").unwrap(), BASE.replace('2', "left"));
    decide(&driver, of_hunk(Verdict::Redo, &conflict.id)).await;
    assert_eq!(fixture.text("a.txt").unwrap(), chosen);
    // … but not the lower one from beneath it.
    let below = all.iter().find(|hunk| hunk.new_text == "left\n").unwrap();
    let report = decide(&driver, of_hunk(Verdict::Undo, &below.id)).await;
    assert_eq!((report.decided, report.conflicts), (0, 1));
    assert_eq!(fixture.text("a.txt").unwrap(), chosen);
}

#[tokio::test]
async fn an_undo_is_one_edit_of_an_open_document() {
    for manner in [
        Manner::Obeys,
        Manner::TypesFirst("typed\n"),
        Manner::DropsSilently,
    ] {
        let end = if matches!(manner, Manner::TypesFirst(_)) {
            "typed\n"
        } else {
            ""
        };
        let fixture = Fixture::new().propose("a.txt", Some(BASE), Some(PROPOSED));
        let driver = fixture.start().await;
        let editor = OneDocument::new(fixture.path("a.txt"), BASE, Manner::Obeys);
        let _attached = driver.attach(editor.clone());
        for name in ids(&driver).await {
            decide(&driver, of_hunk(Verdict::Accept, &name)).await;
        }
        assert_eq!(editor.text(), PROPOSED);
        let edits = editor.edits();
        *editor.manner.lock().unwrap() = manner;
        assert_eq!(undo(&driver).await.decided, 3);
        assert_eq!(editor.text(), format!("{BASE}{end}"));
        assert_eq!(editor.edits(), edits + 1);
        redo(&driver).await;
        assert_eq!(editor.text(), format!("{PROPOSED}{end}"));
        assert_eq!(editor.edits(), edits + 2);
        assert_eq!(fixture.text("a.txt").unwrap(), BASE, "unsaved");
    }
}

#[tokio::test]
async fn the_ledger_survives_the_daemon() {
    let fixture = Fixture::new().propose("a.txt", Some(BASE), Some(PROPOSED));
    let driver = fixture.start().await;
    let names = ids(&driver).await;
    accept_all(&driver).await;
    decide(&driver, of_hunk(Verdict::Undo, &names[0])).await;
    let before = driver.goal(&GoalId::new(GOAL)).unwrap();
    driver.shutdown().await;
    let driver = fixture.start().await;
    assert_eq!(driver.goal(&GoalId::new(GOAL)).unwrap(), before);
    redo(&driver).await;
    assert_eq!(fixture.text("a.txt").unwrap(), PROPOSED);
    undo(&driver).await;
    assert_eq!(fixture.text("a.txt").unwrap(), BASE);
}

/// Decisions follow each other faster than a clock that counts milliseconds can tell apart.
#[tokio::test]
async fn a_redo_is_of_one_decision_even_if_all_were_made_in_one_moment() {
    let mut fixture = Fixture::new().propose("a.txt", Some(BASE), Some(PROPOSED));
    let driver = fixture.start().await;
    let names = ids(&driver).await;
    accept_all(&driver).await;
    decide(&driver, of_hunk(Verdict::Undo, &names[0])).await;
    decide(&driver, of_hunk(Verdict::Undo, &names[1])).await;
    driver.shutdown().await;

    let events = fixture.store.read_events(EventSeq(0), None).unwrap();
    let at_once = Store::in_memory();
    for version in events.iter().filter_map(texts).flatten() {
        let bytes = fixture.store.get_blob(&version).unwrap().unwrap();
        at_once.put_blob(&bytes).unwrap();
    }
    let events = events.into_iter().map(|event| NewEvent {
        at: Timestamp(1),
        goal: event.goal_id,
        body: event.body,
    });
    at_once.append_events(events.collect()).await.unwrap();
    fixture.store = at_once;

    let driver = fixture.start().await;
    for left in [1, 0] {
        assert_eq!(redo(&driver).await.decided, 1);
        assert_eq!(ids(&driver).await, names[..left]);
    }
    assert_eq!(fixture.text("a.txt").unwrap(), PROPOSED);
}

/// The texts that a fact about a proposal names.
fn texts(event: &Event) -> Option<Vec<BlobId>> {
    match &event.body {
        EventBody::Proposed { files } => {
            let versions = files.iter().flat_map(|file| [&file.base, &file.proposed]);
            Some(versions.flatten().map(|one| one.blob.clone()).collect())
        }
        EventBody::Reviewed {
            base,
            proposed,
            landed,
            ..
        } => {
            let pair = [base, proposed].into_iter().flatten();
            let landed = landed.iter().flat_map(|one| [&one.before, &one.after]);
            let blobs = pair.map(|one| &one.blob).chain(landed.flatten());
            Some(blobs.cloned().collect())
        }
        _ => None,
    }
}
