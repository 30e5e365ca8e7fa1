//! Verdicts carried out on a real workspace on disk and in open buffers, from a journal that holds a
//! proposal. Agents and sandboxes have no part in it.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use claudecluster_driver::Driver;
use claudecluster_protocol::{
    EventSeq, FileMode, GoalId, GoalState, HunkId, RelPath,
    api::Decision,
    change::{HeldReason, HunkStatus},
    content::PendingSide,
    event::{StreamItem, Verdict},
};

use crate::support::{Fixture, GOAL, Manner, OneDocument, accept_all, decision, of_hunk, state};

#[tokio::test]
async fn everything_lands_on_disk_and_undo_keeps_what_was_typed_since() {
    let fixture = Fixture::new()
        .propose("a.txt", Some("1\n2\n3\n4\n5\n"), Some("1\nTWO\n3\n4\n5\n"))
        .propose("new/b.txt", None, Some("new\n"))
        .propose("gone.txt", Some("gone\n"), None);
    let driver = fixture.start().await;
    let report = accept_all(&driver).await;
    assert_eq!(
        (report.decided, report.conflicts, report.held),
        (3, 0, 0),
        "{report:?}"
    );
    assert_eq!(state(&driver), GoalState::Landed);
    assert_eq!(fixture.text("a.txt").unwrap(), "1\nTWO\n3\n4\n5\n");
    assert_eq!(fixture.text("new/b.txt").unwrap(), "new\n");
    assert_eq!(fixture.text("gone.txt"), None);

    fs::write(fixture.path("a.txt"), "1\nTWO\n3\n4\n5\ntyped\n").unwrap();
    let report = driver.decide(decision(Verdict::Undo)).await.unwrap();
    assert_eq!(report.conflicts, 0, "{report:?}");
    assert_eq!(fixture.text("a.txt").unwrap(), "1\n2\n3\n4\n5\ntyped\n");
    assert_eq!(fixture.text("new/b.txt"), None);
    assert_eq!(fixture.text("gone.txt").unwrap(), "gone\n");
    assert_eq!(
        state(&driver),
        GoalState::Proposed,
        "undone hunks are pending again"
    );
    assert_eq!(accept_all(&driver).await.decided, 3);
}

#[tokio::test]
async fn what_the_developer_changed_is_a_conflict_and_the_rest_lands() {
    let fixture = Fixture::new()
        .propose(
            "a.txt",
            Some("1\n2\n3\n4\n5\n6\n7\n"),
            Some("ONE\n2\n3\n4\n5\n6\nSEVEN\n"),
        )
        .propose("b.txt", None, Some("theirs\n"));
    fs::write(fixture.path("a.txt"), "mine\n2\n3\n4\n5\n6\n7\n").unwrap();
    fs::write(fixture.path("b.txt"), "mine\n").unwrap();
    let driver = fixture.start().await;
    let report = accept_all(&driver).await;
    assert_eq!((report.decided, report.conflicts), (1, 2), "{report:?}");
    assert_eq!(
        fixture.text("a.txt").unwrap(),
        "mine\n2\n3\n4\n5\n6\nSEVEN\n"
    );
    assert_eq!(fixture.text("b.txt").unwrap(), "mine\n");
    assert_eq!(report.state, Some(GoalState::Proposed));
    assert_eq!(
        (
            report.hunks.landed,
            report.hunks.conflicts,
            report.hunks.pending
        ),
        (1, 2, 0)
    );
}

#[tokio::test]
async fn an_open_buffer_is_edited_and_its_file_is_not() {
    let fixture =
        Fixture::new().propose("a.txt", Some("1\n2\n3\n4\n5\n"), Some("1\n2\n3\n4\nFIVE\n"));
    let driver = fixture.start().await;
    let editor = OneDocument::new(
        fixture.path("a.txt"),
        "unsaved\n1\n2\n3\n4\n5\n",
        Manner::Obeys,
    );
    let _attached = driver.attach(editor.clone());
    let hunks = driver.hunks_in(&fixture.path("a.txt"), &editor.text());
    assert_eq!(
        (hunks[0].start_line, hunks[0].end_line),
        (5, 6),
        "below the unsaved line"
    );
    assert_eq!(accept_all(&driver).await.decided, 1);
    assert_eq!(editor.text(), "unsaved\n1\n2\n3\n4\nFIVE\n");
    assert_eq!(fixture.text("a.txt").unwrap(), "1\n2\n3\n4\n5\n");
    assert_eq!(state(&driver), GoalState::Landed);
}

/// Whoever goes to look for a file that is proposed gets an empty buffer in its place.
#[tokio::test]
async fn a_new_file_lands_in_the_empty_buffer_at_its_place() {
    let fixture = Fixture::new().propose("new.txt", None, Some("new\n"));
    let driver = fixture.start().await;
    let editor = OneDocument::new(fixture.path("new.txt"), "", Manner::Obeys);
    let _attached = driver.attach(editor.clone());
    let path = fixture.path("new.txt");
    let hunk = driver.hunks_in(&path, "").remove(0);
    assert!(hunk.whole);
    assert_eq!(hunk.status, HunkStatus::Clean);
    let typed = driver.hunks_in(&path, "mine\n").remove(0);
    assert_eq!(typed.status, HunkStatus::Conflict);
    assert_eq!(accept_all(&driver).await.decided, 1);
    assert_eq!(editor.text(), "new\n");
    assert_eq!(state(&driver), GoalState::Landed);
}

#[tokio::test]
async fn only_observed_text_counts() {
    for manner in [Manner::TypesFirst("typed\n"), Manner::DropsSilently] {
        let typed = matches!(manner, Manner::TypesFirst(_));
        let fixture =
            Fixture::new().propose("a.txt", Some("1\n2\n3\n4\n5\n"), Some("ONE\n2\n3\n4\n5\n"));
        let driver = fixture.start().await;
        let editor = OneDocument::new(fixture.path("a.txt"), "1\n2\n3\n4\n5\n", manner);
        let _attached = driver.attach(editor.clone());
        assert_eq!(accept_all(&driver).await.decided, 1);
        let end = if typed { "typed\n" } else { "" };
        assert_eq!(editor.text(), format!("ONE\n2\n3\n4\n5\n{end}"));
    }
}

#[tokio::test]
async fn a_refusing_editor_loses_nothing() {
    let fixture = Fixture::new().propose("a.txt", Some("1\n"), Some("2\n"));
    let driver = fixture.start().await;
    let editor = OneDocument::new(fixture.path("a.txt"), "1\n", Manner::Refuses);
    let _attached = driver.attach(editor.clone());
    let report = accept_all(&driver).await;
    assert_eq!(report.decided, 0);
    assert!(
        report.failed[0].error.message.contains("read-only"),
        "{report:?}"
    );
    assert_eq!(accept_all(&driver).await.decided, 1, "it is still pending");
}

#[tokio::test]
async fn a_client_that_applied_the_edit_itself_is_believed_by_its_text() {
    let fixture = Fixture::new().propose("a.txt", Some("1\n"), Some("2\n"));
    let driver = fixture.start().await;
    let editor = OneDocument::new(fixture.path("a.txt"), "1\n", Manner::Refuses);
    let _attached = driver.attach(editor.clone());
    let hunk = driver.hunks_in(&fixture.path("a.txt"), "1\n").remove(0).id;
    assert_eq!(driver.preview(&hunk, "1\n").unwrap(), "2\n");
    let typing = {
        let editor = editor.clone();
        tokio::spawn(async move { editor.set("2\n") })
    };
    let applied = Decision {
        hunk_id: Some(hunk),
        applied: true,
        ..decision(Verdict::Accept)
    };
    let report = driver.decide(applied).await.unwrap();
    typing.await.unwrap();
    assert_eq!((report.decided, report.failed.len()), (1, 0), "{report:?}");
    assert_eq!(state(&driver), GoalState::Landed);
}

#[tokio::test]
async fn rejecting_everything_touches_nothing() {
    let fixture = Fixture::new()
        .propose("a.txt", Some("1\n2\n"), Some("1\nTWO\n"))
        .propose("b.txt", None, Some("new\n"));
    let driver = fixture.start().await;
    let report = driver.decide(decision(Verdict::Reject)).await.unwrap();
    assert_eq!(report.decided, 2, "{report:?}");
    assert_eq!(state(&driver), GoalState::Rejected);
    assert_eq!(fixture.text("a.txt").unwrap(), "1\n2\n");
    assert_eq!(fixture.text("b.txt"), None);
    assert!(
        driver.hunks(None, None).await.unwrap().is_empty(),
        "they do not come back"
    );
}

#[tokio::test]
async fn held_changes_land_only_when_they_are_named() {
    let fixture = Fixture::new()
        .propose(".envrc", None, Some("export X=1\n"))
        .last(|file| file.held = vec![HeldReason::SelfArming])
        .propose("partial.txt", None, Some("half\n"))
        .last(|file| file.held = vec![HeldReason::Partial]);
    let driver = fixture.start().await;
    let report = accept_all(&driver).await;
    assert_eq!((report.decided, report.held), (0, 2), "{report:?}");
    let by_task = Decision {
        task_id: Some("task0".into()),
        ..decision(Verdict::Accept)
    };
    let report = driver.decide(by_task).await.unwrap();
    assert_eq!(
        (report.decided, report.held),
        (1, 1),
        "naming a task is no look at a hook"
    );
    let by_path = Decision {
        path: Some(RelPath::new(".envrc").unwrap()),
        ..decision(Verdict::Accept)
    };
    assert_eq!(driver.decide(by_path).await.unwrap().decided, 1);
    assert_eq!(fixture.text(".envrc").unwrap(), "export X=1\n");
}

#[tokio::test]
async fn a_renamed_file_is_one_hunk() {
    let fixture = Fixture::new()
        .propose("new.txt", None, Some("text\n"))
        .last(|file| file.from = Some(RelPath::new("old.txt").unwrap()))
        .propose("old.txt", Some("text\n"), None);
    let driver = fixture.start().await;
    let hunks = driver.hunks(None, None).await.unwrap();
    assert_eq!(hunks.len(), 1, "{hunks:?}");
    let diff = driver.diff(decision(Verdict::Accept)).await.unwrap();
    assert!(
        String::from_utf8(diff.text)
            .unwrap()
            .contains("rename from old.txt")
    );
    let one = of_hunk(Verdict::Accept, &hunks[0].id);
    driver.decide(one).await.unwrap();
    assert_eq!(fixture.text("new.txt").unwrap(), "text\n");
    assert_eq!(fixture.text("old.txt"), None);
    assert_eq!(state(&driver), GoalState::Landed);
}

#[tokio::test]
async fn a_mode_is_a_hunk_beside_the_lines() {
    let mut fixture = Fixture::new().propose("run.sh", Some("a\n"), Some("b\n"));
    fixture.files[0].proposed.as_mut().unwrap().mode = FileMode::Executable;
    let driver = fixture.start().await;
    assert_eq!(accept_all(&driver).await.decided, 2);
    assert_eq!(fixture.text("run.sh").unwrap(), "b\n");
    let mode = fs::metadata(fixture.path("run.sh"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o111, 0o111);
}

#[tokio::test]
async fn an_alternative_lands_only_when_it_is_chosen() {
    let base = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
    let merged = "1\nleft\n3\n4\n5\n6\n7\n8\nNINE\n";
    let other = "1\nright\n3\n4\n5\n6\n7\n8\nNINE\n";
    let fixture = || {
        Fixture::new()
            .propose("a.txt", Some(base), Some(merged))
            .entry("a.txt", 1, Some(merged), Some(other))
    };
    let alternative = |driver: &Driver, text: &str, path: &Path| -> HunkId {
        let hunks = driver.hunks_in(path, text);
        let conflict: Vec<_> = hunks
            .iter()
            .filter(|hunk| hunk.status == HunkStatus::Conflict)
            .collect();
        assert_eq!(conflict.len(), 1, "{hunks:?}");
        assert_eq!(conflict[0].new_text, "right\n");
        conflict[0].id.clone()
    };
    // After the merged side has landed …
    let first = fixture();
    let driver = first.start().await;
    let report = accept_all(&driver).await;
    assert_eq!((report.decided, report.conflicts), (2, 1), "{report:?}");
    assert_eq!(first.text("a.txt").unwrap(), merged);
    let hunk = alternative(&driver, merged, &first.path("a.txt"));
    let choose = of_hunk(Verdict::Accept, &hunk);
    driver.decide(choose).await.unwrap();
    assert_eq!(first.text("a.txt").unwrap(), other);
    // … and instead of it.
    let second = fixture();
    let driver = second.start().await;
    let hunk = alternative(&driver, base, &second.path("a.txt"));
    let choose = of_hunk(Verdict::Accept, &hunk);
    driver.decide(choose).await.unwrap();
    assert_eq!(
        second.text("a.txt").unwrap(),
        "1\nright\n3\n4\n5\n6\n7\n8\n9\n"
    );
    assert_eq!(accept_all(&driver).await.conflicts, 0);
    assert_eq!(second.text("a.txt").unwrap(), other);
    // Where the developer wrote something else, it stays a conflict.
    let third = fixture();
    fs::write(third.path("a.txt"), base.replace("2\n", "mine\n")).unwrap();
    let driver = third.start().await;
    let choose = of_hunk(Verdict::Accept, &hunk);
    assert_eq!(driver.decide(choose).await.unwrap().conflicts, 1);
    assert!(third.text("a.txt").unwrap().contains("mine"));
}

#[tokio::test]
async fn the_state_survives_the_daemon() {
    let fixture = Fixture::new().propose(
        "a.txt",
        Some("1\n2\n3\n4\n5\n"),
        Some("ONE\n2\n3\n4\nFIVE\n"),
    );
    let driver = fixture.start().await;
    let first = driver.hunks(None, None).await.unwrap().remove(0).id;
    let one = of_hunk(Verdict::Accept, &first);
    driver.decide(one).await.unwrap();
    let before = driver.goal(&GoalId::new(GOAL)).unwrap();
    driver.shutdown().await;
    let driver = fixture.start().await;
    assert_eq!(driver.goal(&GoalId::new(GOAL)).unwrap(), before);
    assert_eq!(accept_all(&driver).await.decided, 1);
    assert_eq!(fixture.text("a.txt").unwrap(), "ONE\n2\n3\n4\nFIVE\n");
}

#[tokio::test]
async fn watchers_get_every_event_once() {
    let fixture = Fixture::new()
        .propose("a.txt", Some("1\n"), Some("2\n"))
        .propose("b.txt", Some("1\n"), Some("2\n"));
    let driver = fixture.start().await;
    let mut watch = driver.watch(Some(GoalId::new(GOAL)), Some(EventSeq(0)));
    accept_all(&driver).await;
    let last = driver.status().unwrap().last_seq;
    let mut seen = Vec::new();
    while seen.last() != Some(&last) {
        if let StreamItem::Event(event) = watch.recv().await.unwrap() {
            seen.push(event.seq);
        }
    }
    let all: Vec<EventSeq> = (1..=last.0).map(EventSeq).collect();
    assert_eq!(seen, all);
}

#[tokio::test]
async fn sides_of_a_file_can_be_read() {
    let fixture =
        Fixture::new().propose("a.txt", Some("1\n2\n3\n4\n5\n"), Some("ONE\n2\n3\n4\n5\n"));
    fs::write(fixture.path("a.txt"), "1\n2\n3\n4\nmine\n").unwrap();
    let driver = fixture.start().await;
    let path = RelPath::new("a.txt").unwrap();
    for (side, text) in [
        (PendingSide::Base, "1\n2\n3\n4\n5\n"),
        (PendingSide::Proposed, "ONE\n2\n3\n4\n5\n"),
        (PendingSide::Merged, "ONE\n2\n3\n4\nmine\n"),
    ] {
        let content = driver
            .content(&GoalId::new(GOAL), &path, side)
            .await
            .unwrap();
        assert_eq!(content.as_deref(), Some(text), "{side:?}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let fixture = Fixture::new().propose("a.txt", Some("1\n"), Some("2\n"));
    let driver = fixture.start().await;
    let cases = [
        (
            Decision {
                goal_id: "g9".into(),
                ..decision(Verdict::Accept)
            },
            "no goal \"g9\"",
        ),
        (
            Decision {
                hunk_id: Some("g1.0000000000".into()),
                ..decision(Verdict::Accept)
            },
            "no pending hunk g1.0000000000",
        ),
        (
            Decision {
                hunk_id: Some("g2.0000000000".into()),
                ..decision(Verdict::Accept)
            },
            "does not belong to goal g1",
        ),
        (
            Decision {
                path: Some(RelPath::new("z").unwrap()),
                ..decision(Verdict::Reject)
            },
            "no changes are pending in z",
        ),
        (
            Decision {
                task_id: Some("nobody".into()),
                ..decision(Verdict::Accept)
            },
            "no changes of task nobody",
        ),
    ];
    for (decision, expected) in cases {
        let error = driver.decide(decision).await.unwrap_err();
        assert!(error.message.contains(expected), "{error:?}");
        assert!(error.hint.is_some(), "{error:?}");
    }
}
