//! How landings are carried out: journaled before they touch anything, settled after a crash, patient
//! with whoever types or writes meanwhile.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use claudecluster_driver::{Driver, store::NewEvent};
use claudecluster_protocol::{
    BlobId, EventBody, EventSeq, FileMode, GoalId, GoalState, HunkId, RelPath, Timestamp,
    api::Decision,
    change::FileVersion,
    event::{StreamItem, Verdict},
    landed::LandedContent,
};

use crate::support::{Fixture, GOAL, Manner, OneDocument, accept_all, decision, of_hunk, state};

const BASE: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n";
const PROPOSED: &str = "ONE\n2\n3\n4\n5\n6\n7\nEIGHT\n9\n10\n";

fn proposed() -> Fixture {
    Fixture::new().propose("a.txt", Some(BASE), Some(PROPOSED))
}

fn events(fixture: &Fixture) -> Vec<EventBody> {
    let events = fixture.store.read_events(EventSeq(0), None).unwrap();
    events.into_iter().map(|event| event.body).collect()
}

/// Waits until the goal has come to this state.
async fn comes_to(driver: &Driver, wanted: GoalState) {
    let mut watch = driver.watch(Some(GoalId::new(GOAL)), Some(EventSeq(0)));
    while state(driver) != wanted {
        watch.recv().await.unwrap();
    }
}

/// A landing of everything in `a.txt` that was begun, as a daemon leaves it that ends right then.
async fn begin(fixture: &Fixture, hunks: Vec<HunkId>, open: bool) {
    let blob = |text: &str| -> BlobId { fixture.store.put_blob(text.as_bytes()).unwrap() };
    let version = Some(FileVersion {
        blob: blob(PROPOSED),
        mode: FileMode::Regular,
    });
    let body = EventBody::LandingBegun {
        path: RelPath::new("a.txt").unwrap(),
        entry: 0,
        verdict: Verdict::Accept,
        hunks,
        base: version.clone(),
        proposed: version,
        landed: LandedContent {
            before: Some(blob(BASE)),
            after: Some(blob(PROPOSED)),
            mode_before: FileMode::Regular,
            mode_after: FileMode::Regular,
        },
        of: None,
        reason: None,
        open,
    };
    let event = NewEvent {
        at: Timestamp(2),
        goal: GoalId::new(GOAL),
        body,
    };
    fixture.store.append_events(vec![event]).await.unwrap();
}

/// A daemon that journaled the intent to land everything, and ended.
async fn crashed(open: bool) -> Fixture {
    let fixture = proposed();
    let driver = fixture.start().await;
    let hunks = driver.hunks(None, None).await.unwrap();
    driver.shutdown().await;
    begin(
        &fixture,
        hunks.into_iter().map(|hunk| hunk.id).collect(),
        open,
    )
    .await;
    fixture
}

#[tokio::test]
async fn what_is_about_to_happen_is_journaled_first() {
    let fixture = proposed().propose("b.txt", None, Some("new\n"));
    let driver = fixture.start().await;
    let editor = OneDocument::new(fixture.path("a.txt"), BASE, Manner::Obeys);
    let _attached = driver.attach(editor);
    accept_all(&driver).await;
    let mut begun = Vec::new();
    let mut reviewed = Vec::new();
    for body in events(&fixture) {
        match body {
            EventBody::LandingBegun {
                path, landed, open, ..
            } => begun.push((path, landed, open)),
            EventBody::Reviewed { path, landed, .. } => {
                let intent = begun.iter().find(|(begun, ..)| *begun == path).unwrap();
                assert_eq!(Some(&intent.1), landed.as_ref());
                reviewed.push((path.to_string(), intent.2));
            }
            _ => {}
        }
    }
    reviewed.sort();
    assert_eq!(reviewed, [("a.txt".into(), true), ("b.txt".into(), false)]);
}

#[tokio::test]
async fn after_a_crash_the_file_says_what_happened() {
    let typed = PROPOSED.replace("4\n", "4\ntyped\n");
    for (now, landed) in [
        (PROPOSED, true),
        (typed.as_str(), true),
        (BASE, false),
        ("something else\n", false),
    ] {
        let fixture = crashed(false).await;
        fs::write(fixture.path("a.txt"), now).unwrap();
        fs::write(fixture.path(".claudecluster-left"), BASE).unwrap();
        fs::write(fixture.path(".claudecluster-mine"), "mine\n").unwrap();
        let driver = fixture.start().await;
        // Whoever asks first is told what is there.
        let settled = driver.hunks(None, None).await.unwrap().is_empty();
        assert_eq!(settled, landed, "{now}");
        assert_eq!(state(&driver) == GoalState::Landed, landed, "{now}");
        if landed {
            driver.decide(decision(Verdict::Undo)).await.unwrap();
            let undone = fixture.text("a.txt").unwrap();
            assert_eq!(undone, now.replace("ONE", "1").replace("EIGHT", "8"));
        } else {
            // Whatever is decided next is decided about what is there.
            let report = accept_all(&driver).await;
            let clean = if now == BASE { 2 } else { 0 };
            assert_eq!(report.decided, clean, "{report:?}");
            let dropped = |body: &EventBody| matches!(body, EventBody::LandingDropped { .. });
            assert!(events(&fixture).iter().any(dropped));
        }
        assert!(!fixture.path(".claudecluster-left").exists());
        assert!(
            fixture.path(".claudecluster-mine").exists(),
            "nobody's but theirs"
        );
    }
}

#[tokio::test]
async fn after_a_crash_a_buffer_says_what_happened_once_it_is_there() {
    let fixture = crashed(true).await;
    let driver = fixture.start().await;
    let editor = OneDocument::new(
        fixture.path("a.txt"),
        &format!("{PROPOSED}typed\n"),
        Manner::Obeys,
    );
    let _attached = driver.attach(editor.clone());
    driver.settled(&fixture.path("a.txt")).await;
    assert_eq!(state(&driver), GoalState::Landed);
    driver.decide(decision(Verdict::Undo)).await.unwrap();
    assert_eq!(editor.text(), format!("{BASE}typed\n"));
    assert_eq!(
        fixture.text("a.txt").unwrap(),
        BASE,
        "the buffer is the editor's to save"
    );
}

#[tokio::test]
async fn somebody_who_never_stops_typing_does_not_keep_hunks_from_landing() {
    let fixture = proposed();
    let driver = fixture.start().await;
    let editor = OneDocument::new(fixture.path("a.txt"), BASE, Manner::KeepsTyping(40));
    let _attached = driver.attach(editor.clone());
    let report = accept_all(&driver).await;
    assert_eq!((report.decided, report.failed.len()), (2, 0), "{report:?}");
    assert_eq!(editor.text(), format!("{PROPOSED}{}", "x".repeat(40)));
    driver.decide(decision(Verdict::Undo)).await.unwrap();
    assert_eq!(editor.text(), format!("{BASE}{}", "x".repeat(40)));
}

#[tokio::test]
async fn a_document_that_is_closed_meanwhile_lands_on_disk_once() {
    for saved in [true, false] {
        let fixture = proposed();
        let driver = fixture.start().await;
        let editor = OneDocument::new(fixture.path("a.txt"), BASE, Manner::Closes(saved));
        let _attached = driver.attach(editor);
        assert_eq!(accept_all(&driver).await.decided, 2);
        assert_eq!(fixture.text("a.txt").unwrap(), PROPOSED);
        assert_eq!(state(&driver), GoalState::Landed);
        driver.decide(decision(Verdict::Undo)).await.unwrap();
        assert_eq!(fixture.text("a.txt").unwrap(), BASE);
    }
}

/// Whatever of it the editor is in the middle of, the file is not the disk's.
#[tokio::test]
async fn a_file_that_its_editor_loads_anew_lands_in_the_editor() {
    for decided_before in [true, false] {
        let fixture = proposed();
        let driver = fixture.start().await;
        let editor = OneDocument::new(fixture.path("a.txt"), BASE, Manner::Obeys);
        let _attached = driver.attach(editor.clone());
        if decided_before {
            *editor.manner.lock().unwrap() = Manner::Reloads;
        } else {
            editor.reload(BASE);
        }
        assert_eq!(accept_all(&driver).await.decided, 2);
        assert_eq!(editor.text(), PROPOSED);
        assert_eq!(fixture.text("a.txt").unwrap(), BASE, "not saved");

        // What is on the disk meanwhile says nothing about what has landed.
        editor.reload(PROPOSED);
        driver.settled(&fixture.path("a.txt")).await;
        assert_eq!(editor.text(), PROPOSED);
        assert_eq!(state(&driver), GoalState::Landed);
    }
}

/// A landing that was begun before the daemon ended is looked for where the file will be.
#[tokio::test]
async fn what_was_begun_is_settled_by_what_is_opened() {
    let fixture = crashed(true).await;
    let driver = fixture.start().await;
    let editor = OneDocument::new(fixture.path("a.txt"), BASE, Manner::Obeys);
    let _attached = driver.attach(editor.clone());
    editor.reload(PROPOSED);
    // It has landed already: nothing is left to accept.
    assert_eq!(accept_all(&driver).await.decided, 0);
    assert_eq!(state(&driver), GoalState::Landed);
    assert_eq!(editor.text(), PROPOSED);
}

#[tokio::test]
async fn an_edit_nobody_confirms_is_found_by_its_text() {
    let fixture = proposed();
    let driver = fixture.start().await;
    let editor = OneDocument::new(fixture.path("a.txt"), BASE, Manner::SaysNothing);
    let _attached = driver.attach(editor.clone());
    assert_eq!(accept_all(&driver).await.decided, 2);
    driver.decide(decision(Verdict::Undo)).await.unwrap();
    assert_eq!(editor.text(), format!("{BASE}typed\n"));
}

/// Decides about the first hunk, so that an editor never answers the last of `before`, whose text is there
/// a little later; then again, before or after that was `seen`. Returns what the second time comes to.
async fn asked_again(
    before: &[Verdict],
    again: Verdict,
    applied: bool,
    seen: bool,
) -> Result<u32, String> {
    let fixture = proposed();
    let driver = fixture.start().await;
    let editor = OneDocument::new(fixture.path("a.txt"), BASE, Manner::Obeys);
    let _attached = driver.attach(editor.clone());
    let first = driver.hunks(None, None).await.unwrap().remove(0).id;
    let named = |verdict| of_hunk(verdict, &first);
    let (last, earlier) = before.split_last().unwrap();
    for verdict in earlier {
        driver.decide(named(*verdict)).await.unwrap();
    }
    *editor.manner.lock().unwrap() = Manner::NeverAnswers;
    let report = driver.decide(named(*last)).await.unwrap();
    assert_eq!((report.decided, report.failed.len()), (0, 1), "{report:?}");
    let there = match last {
        Verdict::Undo => BASE.to_owned(),
        _ => BASE.replacen('1', "ONE", 1),
    };
    editor.set(&there);
    if seen {
        driver.settled(&fixture.path("a.txt")).await;
    }
    let edits = editor.edits();
    let decided = driver.decide(Decision {
        applied,
        ..named(again)
    });
    let decided = decided.await;
    assert_eq!(editor.text(), there, "it is there once");
    assert_eq!(editor.edits(), edits, "nothing is asked of the editor");
    let report = decided.map_err(|error| error.message)?;
    assert_eq!(report.files, [RelPath::new("a.txt").unwrap()]);
    assert_eq!(
        report.hunks.landed,
        u32::from(*last != Verdict::Undo),
        "{report:?}"
    );
    Ok(report.decided)
}

#[tokio::test]
async fn what_an_editor_did_without_a_word_is_done_when_it_is_asked_for_again() {
    use Verdict::{Accept, Redo, Undo};
    for (before, again, applied) in [
        (&[Accept][..], Accept, false),
        (&[Accept], Accept, true),
        (&[Accept, Undo], Undo, false),
        (&[Accept, Undo, Redo], Redo, false),
        (&[Accept, Undo, Redo], Accept, false),
        (&[Accept, Undo, Redo], Accept, true),
    ] {
        let came_to = asked_again(before, again, applied, false).await;
        assert_eq!(came_to, Ok(1), "{before:?}, then {again:?}");
    }
    // A client that made the edit says so when it likes.
    for before in [&[Accept][..], &[Accept, Undo, Redo]] {
        let came_to = asked_again(before, Accept, true, true).await;
        assert_eq!(came_to, Ok(1), "{before:?}");
    }
    // What is asked for is something else, or was seen to have landed before.
    let error = asked_again(&[Accept], Redo, false, false).await;
    let error = error.unwrap_err();
    assert!(error.starts_with("no changes of hunk g1."), "{error}");
    let error = asked_again(&[Accept], Accept, false, true).await;
    let error = error.unwrap_err();
    assert!(error.starts_with("there is no pending hunk g1."), "{error}");
}

#[tokio::test]
async fn lines_being_typed_in_are_the_developers() {
    let fixture = proposed().propose("b.txt", None, Some("new\n"));
    let driver = fixture.start().await;
    let editor = OneDocument::new(fixture.path("a.txt"), BASE, Manner::Obeys);
    let _attached = driver.attach(editor.clone());
    editor.type_in(Some(1..2));
    let report = accept_all(&driver).await;
    assert_eq!((report.decided, report.waiting), (2, 1), "{report:?}");
    assert_eq!(editor.text(), BASE.replace('8', "EIGHT"));
    // The typing goes on somewhere else: now it lands by itself.
    editor.type_in(Some(5..6));
    comes_to(&driver, GoalState::Landed).await;
    assert_eq!(editor.text(), PROPOSED);
}

#[tokio::test]
async fn what_is_named_lands_also_where_somebody_types() {
    let fixture = proposed();
    let driver = fixture.start().await;
    let editor = OneDocument::new(fixture.path("a.txt"), BASE, Manner::Obeys);
    let _attached = driver.attach(editor.clone());
    editor.type_in(Some(0..1));
    let first = driver.hunks(None, None).await.unwrap().remove(0).id;
    let named = of_hunk(Verdict::Accept, &first);
    let report = driver.decide(named).await.unwrap();
    assert_eq!((report.decided, report.waiting), (1, 0), "{report:?}");
    editor.type_in(Some(7..8));
    let by_file = Decision {
        path: Some(RelPath::new("a.txt").unwrap()),
        ..decision(Verdict::Accept)
    };
    assert_eq!(driver.decide(by_file).await.unwrap().decided, 1);
    assert_eq!(editor.text(), PROPOSED);
}

#[tokio::test]
async fn what_waits_for_the_typing_to_stop_is_overruled_by_a_later_decision() {
    let fixture = proposed();
    let driver = fixture.start().await;
    let editor = OneDocument::new(fixture.path("a.txt"), BASE, Manner::Obeys);
    let _attached = driver.attach(editor.clone());
    editor.type_in(Some(0..1));
    assert_eq!(accept_all(&driver).await.waiting, 1);
    let mut watch = driver.watch(Some(GoalId::new(GOAL)), None);
    driver.decide(decision(Verdict::Reject)).await.unwrap();
    editor.type_in(None);
    let settled = loop {
        if let StreamItem::Event(event) = watch.recv().await.unwrap()
            && let EventBody::GoalChanged { state, .. } = event.body
        {
            break state;
        }
    };
    assert_eq!(
        settled,
        GoalState::Landed,
        "one landed, the other is rejected"
    );
    assert_eq!(editor.text(), BASE.replace('8', "EIGHT"));
}

#[tokio::test]
async fn a_program_that_writes_to_the_file_loses_nothing() {
    let fixture = proposed();
    let driver = fixture.start().await;
    let path = fixture.path("a.txt");
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let writer = std::thread::spawn(move || {
        let mut line = 0;
        while !stopped.load(Ordering::Relaxed) && line < 200 {
            line += 1;
            let text = fs::read_to_string(&path).unwrap();
            let text = text.replacen("\n5\n", &format!("\n5\nline {line}\n"), 1);
            fs::write(path.with_extension("new"), text).unwrap();
            fs::rename(path.with_extension("new"), &path).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        line
    });
    let report = accept_all(&driver).await;
    stop.store(true, Ordering::Relaxed);
    let lines = writer.join().unwrap();
    assert_eq!((report.decided, report.failed.len()), (2, 0), "{report:?}");
    let text = fixture.text("a.txt").unwrap();
    for line in 1..=lines {
        assert!(
            text.contains(&format!("line {line}\n")),
            "{line} of {lines}: {text}"
        );
    }
}
