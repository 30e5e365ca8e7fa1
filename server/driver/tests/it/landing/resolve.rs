//! Conflicts decided by a chosen text: in files, in open buffers, between tasks, and taken back.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use claudecluster_driver::Driver;
use claudecluster_protocol::{
    FileMode, GoalState, HunkId, RelPath,
    api::{Decision, DecisionReport},
    change::{HunkStatus, HunkView},
    event::Verdict,
    resolution::Resolution,
};

use crate::support::{
    Fixture, Manner, OneDocument, accept_all, decision, of_hunk, resolution, state,
};

const BASE: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
const PROPOSED: &str = "1\nTWO\n3\n4\n5\n6\n7\nEIGHT\n9\n";
const MINE: &str = "1\nmine\n3\n4\n5\n6\n7\n8\n9\n";

fn text(text: &str) -> Resolution {
    Resolution::Text { text: text.into() }
}

async fn conflict(driver: &Driver) -> HunkView {
    let hunks = driver.hunks(None, None).await.unwrap();
    let conflict = |hunk: &HunkView| hunk.status == HunkStatus::Conflict;
    hunks.into_iter().find(conflict).unwrap()
}

async fn resolve(driver: &Driver, hunk: &HunkId, to: Resolution) -> DecisionReport {
    driver.decide(resolution(hunk, to)).await.unwrap()
}

async fn by_name(driver: &Driver, verdict: Verdict, hunk: &HunkId) -> DecisionReport {
    driver.decide(of_hunk(verdict, hunk)).await.unwrap()
}

#[tokio::test]
async fn a_conflict_becomes_what_is_chosen_and_is_one_again_after_undo() {
    let cases = [
        (Resolution::Mine, "mine\n"),
        (Resolution::Theirs, "TWO\n"),
        (Resolution::Both, "mine\nTWO\n"),
        (
            Resolution::Markers,
            "<<<<<<< current text\nmine\n=======\nTWO\n>>>>>>> g1 Task\n",
        ),
        (text("something else"), "something else\n"),
        (text(""), ""),
    ];
    for (to, expected) in cases {
        let fixture = Fixture::new().propose("a.txt", Some(BASE), Some(PROPOSED));
        fs::write(fixture.path("a.txt"), MINE).unwrap();
        let driver = fixture.start().await;
        let hunk = conflict(&driver).await.id;
        let report = resolve(&driver, &hunk, to.clone()).await;
        assert_eq!((report.decided, report.conflicts), (1, 0), "{report:?}");
        let resolved = MINE.replace("mine\n", expected);
        assert_eq!(fixture.text("a.txt").unwrap(), resolved);
        // The other hunk does not notice, and lands.
        assert_eq!(accept_all(&driver).await.decided, 1);
        let both = resolved.replace('8', "EIGHT");
        assert_eq!(fixture.text("a.txt").unwrap(), both);
        assert_eq!(state(&driver), GoalState::Landed);
        // Something is typed, and all of it is taken back.
        fs::write(fixture.path("a.txt"), format!("{both}typed\n")).unwrap();
        let kept = to == Resolution::Mine;
        let report = driver.decide(decision(Verdict::Undo)).await.unwrap();
        assert_eq!(report.decided, if kept { 1 } else { 2 }, "{report:?}");
        assert_eq!(fixture.text("a.txt").unwrap(), format!("{MINE}typed\n"));
        if kept {
            // What was kept is as good as rejected: it comes back by its name.
            assert_eq!(by_name(&driver, Verdict::Undo, &hunk).await.decided, 1);
        }
        assert_eq!(conflict(&driver).await.id, hunk, "the same conflict");
        driver.decide(decision(Verdict::Redo)).await.unwrap();
        let all = if kept { MINE } else { &both };
        assert_eq!(fixture.text("a.txt").unwrap(), format!("{all}typed\n"));
    }
}

#[tokio::test]
async fn an_open_document_gets_the_choice_as_one_edit() {
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
        let editor = OneDocument::new(fixture.path("a.txt"), MINE, manner);
        let _attached = driver.attach(editor.clone());
        let hunk = conflict(&driver).await.id;
        assert_eq!(resolve(&driver, &hunk, Resolution::Both).await.decided, 1);
        assert_eq!(
            editor.text(),
            format!("{}{end}", MINE.replace("mine\n", "mine\nTWO\n"))
        );
        assert_eq!(editor.edits(), 1);
        assert_eq!(fixture.text("a.txt").unwrap(), BASE, "unsaved");
    }
}

#[tokio::test]
async fn a_clean_hunk_can_be_edited_into_its_place() {
    let fixture = Fixture::new().propose("a.txt", Some(BASE), Some(PROPOSED));
    let driver = fixture.start().await;
    let hunks = driver.hunks(None, None).await.unwrap();
    resolve(&driver, &hunks[0].id, text("two, as I want it\n")).await;
    resolve(&driver, &hunks[1].id, Resolution::Mine).await;
    assert_eq!(
        fixture.text("a.txt").unwrap(),
        BASE.replace('2', "two, as I want it")
    );
    assert_eq!(state(&driver), GoalState::Landed);
}

#[tokio::test]
async fn whole_files_take_one_side_or_the_other() {
    let fixture = Fixture::new()
        .propose("new.txt", None, Some("theirs\n"))
        .propose("gone.txt", Some("gone\n"), None)
        .propose("binary", Some("a\0b"), Some("c\0d"))
        .propose("run.sh", Some("a\n"), Some("a\n"))
        .last(|file| file.proposed.as_mut().unwrap().mode = FileMode::Executable);
    let typed = [
        ("new.txt", "mine\n"),
        ("gone.txt", "gone and mine\n"),
        ("binary", "m\0m"),
    ];
    for (file, text) in typed {
        fs::write(fixture.path(file), text).unwrap();
    }
    let driver = fixture.start().await;
    let hunks = driver.hunks(None, None).await.unwrap();
    let hunk = |path: &str| {
        let path = RelPath::new(path).unwrap();
        let found = hunks.iter().find(|hunk| hunk.path == path).unwrap();
        found.id.clone()
    };
    for (path, mine) in typed {
        let report = resolve(&driver, &hunk(path), Resolution::Both).await;
        let error = &report.failed[0].error;
        assert!(
            error.message.contains("cannot be merged line by line"),
            "{error:?}"
        );
        assert!(error.hint.is_some());
        assert_eq!(fixture.text(path).unwrap(), mine);
        resolve(&driver, &hunk(path), Resolution::Mine).await;
        assert_eq!(fixture.text(path).unwrap(), mine, "it stays");
        by_name(&driver, Verdict::Undo, &hunk(path)).await;
        resolve(&driver, &hunk(path), Resolution::Theirs).await;
        let theirs = [
            ("new.txt", Some("theirs\n")),
            ("gone.txt", None),
            ("binary", Some("c\0d")),
        ];
        let theirs = theirs.iter().find(|(name, _)| *name == path).unwrap().1;
        assert_eq!(fixture.text(path).as_deref(), theirs);
        by_name(&driver, Verdict::Undo, &hunk(path)).await;
        assert_eq!(fixture.text(path).unwrap(), mine, "back as it was");
    }
    resolve(&driver, &hunk("run.sh"), Resolution::Mine).await;
    let left = driver.hunks(None, None).await.unwrap();
    assert!(left.iter().all(|left| left.id != hunk("run.sh")));
}

#[tokio::test]
async fn two_tasks_are_decided_between() {
    let left = BASE.replace('2', "left");
    let right = BASE.replace('2', "right");
    let cases = [
        (Resolution::Mine, BASE.to_owned()),
        (Resolution::Theirs, right.clone()),
        (Resolution::Both, BASE.replace("2\n", "left\nright\n")),
        (
            Resolution::Markers,
            BASE.replace(
                "2\n",
                "<<<<<<< current text\nleft\n=======\nright\n>>>>>>> g1 Task\n",
            ),
        ),
        (text("neither\n"), BASE.replace('2', "neither")),
    ];
    for (to, expected) in cases {
        let fixture = Fixture::new()
            .propose("a.txt", Some(BASE), Some(&left))
            .entry("a.txt", 1, Some(&left), Some(&right));
        let driver = fixture.start().await;
        let hunk = conflict(&driver).await.id;
        let report = resolve(&driver, &hunk, to.clone()).await;
        assert_eq!(
            (report.conflicts, report.failed.len()),
            (0, 0),
            "{report:?}"
        );
        assert_eq!(fixture.text("a.txt").unwrap(), expected, "{to:?}");
        let hunks = driver.hunks(None, None).await.unwrap();
        assert!(hunks.iter().all(|hunk| hunk.status == HunkStatus::Clean));
        driver.decide(decision(Verdict::Undo)).await.unwrap();
        assert_eq!(fixture.text("a.txt").unwrap(), BASE, "{to:?}");
    }
    // Where the developer's own text stands, theirs takes its place when it is chosen.
    let fixture = Fixture::new()
        .propose("a.txt", Some(BASE), Some(&left))
        .entry("a.txt", 1, Some(&left), Some(&right));
    fs::write(fixture.path("a.txt"), MINE).unwrap();
    let driver = fixture.start().await;
    let hunks = driver.hunks(None, None).await.unwrap();
    let alternative = hunks.iter().find(|h| h.new_text == "right\n").unwrap();
    resolve(&driver, &alternative.id, Resolution::Theirs).await;
    assert_eq!(fixture.text("a.txt").unwrap(), right);
    by_name(&driver, Verdict::Undo, &alternative.id).await;
    assert_eq!(fixture.text("a.txt").unwrap(), MINE);
}

#[tokio::test]
async fn a_resolution_has_to_be_said() {
    let fixture = Fixture::new().propose("a.txt", Some(BASE), Some(PROPOSED));
    let driver = fixture.start().await;
    let hunk = driver.hunks(None, None).await.unwrap().remove(0).id;
    let cases = [
        Decision {
            resolution: Some(Resolution::Mine),
            ..decision(Verdict::Resolve)
        },
        of_hunk(Verdict::Resolve, &hunk),
    ];
    for case in cases {
        let error = driver.decide(case).await.unwrap_err();
        assert!(
            error.message.contains("its resolution is missing"),
            "{error:?}"
        );
        assert!(error.hint.is_some());
    }
}
