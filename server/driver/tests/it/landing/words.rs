//! Lines of which the developer and a task have changed different words: a conflict, an offer or clean, as
//! configured; and taken back as exactly as anything else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use claudecluster_driver::{Driver, settings::MergeWords};
use claudecluster_protocol::{
    ErrorKind, EventBody, EventSeq, GoalState,
    api::DecisionReport,
    change::{HunkStatus, HunkView, HunkWordKind},
    event::Verdict,
    resolution::Resolution,
};

use crate::support::{
    self, Fixture, Manner, OneDocument, accept_all, decision, of_hunk, resolution, state,
};

const BASE: &str = "1\nlet x = sum(a, b);\n3\n4\n5\n6\n";
const PROPOSED: &str = "1\nlet x = sum(a, b, c);\n3\n4\nFIVE\n6\n";
const MINE: &str = "typed\n1\nlet total = sum(a, b);\n3\n4\n5\n6\n";
const LINE: &str = "let total = sum(a, b, c);\n";

fn fixture(words: MergeWords, files: &[(&str, &str, &str)]) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.settings.review.merge_words = words;
    for (path, base, proposed) in files {
        fixture = fixture.propose(path, Some(base), Some(proposed));
    }
    fixture
}

async fn hunks(driver: &Driver) -> Vec<HunkView> {
    driver.hunks(None, None).await.unwrap()
}

async fn merge(driver: &Driver, hunk: &HunkView) -> DecisionReport {
    let decision = resolution(&hunk.id, Resolution::Merged);
    driver.decide(decision).await.unwrap()
}

/// Pending and conflicting hunks.
fn left(driver: &Driver) -> (u32, u32) {
    let counts = driver.goal(&support::GOAL.into()).unwrap().summary.hunks;
    (counts.pending, counts.conflicts)
}

#[tokio::test]
async fn it_is_a_conflict_an_offer_or_clean() {
    let merged = Some(LINE.to_owned());
    for (words, status, offered, counts) in [
        (MergeWords::Off, HunkStatus::Conflict, None, (1, 1)),
        (
            MergeWords::Suggest,
            HunkStatus::Conflict,
            merged.clone(),
            (1, 1),
        ),
        (MergeWords::On, HunkStatus::Clean, merged.clone(), (2, 0)),
    ] {
        let fixture = fixture(words, &[("a.txt", BASE, PROPOSED)]);
        fs::write(fixture.path("a.txt"), MINE).unwrap();
        let driver = fixture.start().await;
        let found = hunks(&driver).await;
        let hunk = &found[0];
        assert_eq!((hunk.status, &hunk.merged), (status, &offered), "{words:?}");
        assert_eq!((hunk.start_line, hunk.end_line), (2, 3));
        assert_eq!(left(&driver), counts, "{words:?}");
        let conflict = hunk.conflict.as_ref().map(|sides| sides.mine.as_str());
        let clean = status == HunkStatus::Clean;
        assert_eq!(conflict.is_none(), clean);
        assert_eq!(hunk.new_text == LINE, clean, "what would land is shown");
        let added: Vec<_> = hunk
            .words
            .iter()
            .filter(|w| w.kind == HunkWordKind::Added)
            .collect();
        assert_eq!(added.len(), usize::from(clean), "{added:?}");

        let report = accept_all(&driver).await;
        assert_eq!((report.decided, report.conflicts), counts, "{words:?}");
        let five = MINE.replace('5', "FIVE");
        let all = five.replace("let total = sum(a, b);\n", LINE);
        let expected = if clean { &all } else { &five };
        assert_eq!(fixture.text("a.txt").as_ref(), Some(expected));

        if words == MergeWords::Off {
            let error = &merge(&driver, hunk).await.failed[0].error;
            assert_eq!(error.kind, ErrorKind::Config, "{error:?}");
            assert_eq!(fixture.text("a.txt").as_ref(), Some(&five));
            continue;
        }
        if words == MergeWords::Suggest {
            assert_eq!(merge(&driver, hunk).await.decided, 1);
        }
        assert_eq!(fixture.text("a.txt").as_ref(), Some(&all));
        assert_eq!(state(&driver), GoalState::Landed);
        // Taken back with something typed since, it is what it was; and again.
        fs::write(fixture.path("a.txt"), format!("{all}more\n")).unwrap();
        assert_eq!(
            driver
                .decide(decision(Verdict::Undo))
                .await
                .unwrap()
                .decided,
            2
        );
        assert_eq!(fixture.text("a.txt").unwrap(), format!("{MINE}more\n"));
        assert_eq!(hunks(&driver).await[0].id, hunk.id);
        assert_eq!(left(&driver), counts);
        driver.decide(decision(Verdict::Redo)).await.unwrap();
        assert_eq!(fixture.text("a.txt").unwrap(), format!("{all}more\n"));
    }
}

#[tokio::test]
async fn a_rejection_leaves_what_is_there() {
    let fixture = fixture(MergeWords::On, &[("a.txt", BASE, PROPOSED)]);
    fs::write(fixture.path("a.txt"), MINE).unwrap();
    let driver = fixture.start().await;
    assert_eq!(
        driver
            .decide(decision(Verdict::Reject))
            .await
            .unwrap()
            .decided,
        2
    );
    assert_eq!(fixture.text("a.txt").unwrap(), MINE);
    assert_eq!(state(&driver), GoalState::Rejected);
}

/// Many at once, in an open document: one edit, and a fact for each.
#[tokio::test]
async fn merged_clean_and_conflicting_hunks_land_beside_each_other() {
    let line =
        |n: u32, name: &str, more: &str| format!("{name}.call{n}(first{more});\n\nstays {n}\n\n");
    let text = |name: fn(u32) -> &'static str, more: fn(u32) -> &'static str| -> String {
        (1..=6).map(|n| line(n, name(n), more(n))).collect()
    };
    let base = text(|_| "old", |_| "");
    let proposed = text(|_| "old", |_| ", second");
    // The third line has another second argument, the fourth is as it was.
    let mine = text(
        |n| if n == 4 { "old" } else { "new" },
        |n| if n == 3 { ", third" } else { "" },
    );
    let expected = text(
        |n| if n == 4 { "old" } else { "new" },
        |n| if n == 3 { ", third" } else { ", second" },
    );
    let fixture = fixture(MergeWords::On, &[("a.txt", &base, &proposed)]);
    let driver = fixture.start().await;
    let editor = OneDocument::new(fixture.path("a.txt"), &mine, Manner::Obeys);
    let _attached = driver.attach(editor.clone());
    assert_eq!(left(&driver), (5, 1));
    let ids: Vec<_> = hunks(&driver)
        .await
        .into_iter()
        .map(|hunk| hunk.id)
        .collect();
    let report = accept_all(&driver).await;
    assert_eq!((report.decided, report.conflicts), (5, 1), "{report:?}");
    assert_eq!((editor.text(), editor.edits()), (expected.clone(), 1));
    assert_eq!(left(&driver), (0, 1));
    let events = fixture.store.read_events(EventSeq(0), None).unwrap();
    let verdicts: Vec<Verdict> = events
        .iter()
        .filter_map(|event| match event.body {
            EventBody::Reviewed { verdict, .. } => Some(verdict),
            _ => None,
        })
        .collect();
    assert_eq!(verdicts[0], Verdict::Accept);
    assert_eq!(verdicts[1..], [Verdict::Resolve; 4]);

    // One of them goes by itself, the rest together.
    let one = of_hunk(Verdict::Undo, &ids[1]);
    assert_eq!(driver.decide(one).await.unwrap().decided, 1);
    assert_eq!(
        editor.text(),
        expected.replace("new.call2(first, second)", "new.call2(first)")
    );
    assert_eq!(
        driver
            .decide(decision(Verdict::Undo))
            .await
            .unwrap()
            .decided,
        4
    );
    assert_eq!(editor.text(), mine);
    let again: Vec<_> = hunks(&driver)
        .await
        .into_iter()
        .map(|hunk| hunk.id)
        .collect();
    assert_eq!(again, ids);
}

/// What was decided stays so, whatever is configured when the journal is read again.
#[tokio::test]
async fn the_journal_is_read_the_same_under_every_setting() {
    let mut fixture = fixture(MergeWords::On, &[("a.txt", BASE, PROPOSED)]);
    fs::write(fixture.path("a.txt"), MINE).unwrap();
    let driver = fixture.start().await;
    accept_all(&driver).await;
    let landed = fixture.text("a.txt").unwrap();
    let known = driver.goal(&support::GOAL.into()).unwrap();
    drop(driver);
    for words in [MergeWords::Off, MergeWords::Suggest, MergeWords::On] {
        fixture.settings.review.merge_words = words;
        let driver = fixture.start().await;
        assert_eq!(
            driver.goal(&support::GOAL.into()).unwrap(),
            known,
            "{words:?}"
        );
    }
    fixture.settings.review.merge_words = MergeWords::Off;
    let driver = fixture.start().await;
    driver.decide(decision(Verdict::Undo)).await.unwrap();
    assert_eq!(fixture.text("a.txt").unwrap(), MINE);
    assert_eq!(left(&driver), (1, 1), "a conflict now");
    driver.decide(decision(Verdict::Redo)).await.unwrap();
    assert_eq!(fixture.text("a.txt").unwrap(), landed);
}

/// A stretch that two hunks share is shown and decided as one.
#[tokio::test]
async fn a_stretch_of_several_hunks_stays_a_conflict() {
    let text = |name: &str, first: u32, last: u32| {
        format!("top\n{name}.a({first});\n{name}.b(2);\n{name}.c({last});\nend\n")
    };
    let base = text("old", 1, 3);
    let fixture = fixture(MergeWords::On, &[("a.txt", &base, &text("old", 4, 5))]);
    fs::write(fixture.path("a.txt"), text("new", 1, 3)).unwrap();
    let driver = fixture.start().await;
    assert_eq!(left(&driver), (0, 2));
    let found = hunks(&driver).await;
    assert_eq!(accept_all(&driver).await.conflicts, 2);
    assert_eq!(merge(&driver, &found[0]).await.decided, 2);
    assert_eq!(fixture.text("a.txt").unwrap(), text("new", 4, 5));
    driver.decide(decision(Verdict::Undo)).await.unwrap();
    assert_eq!(fixture.text("a.txt").unwrap(), text("new", 1, 3));
}

#[tokio::test]
async fn the_same_words_are_not_merged() {
    let fixture = fixture(MergeWords::Suggest, &[("a.txt", "f(a);\n", "f(b);\n")]);
    fs::write(fixture.path("a.txt"), "f(c);\n").unwrap();
    let driver = fixture.start().await;
    let hunk = hunks(&driver).await.remove(0);
    assert_eq!(hunk.merged, None);
    let error = &merge(&driver, &hunk).await.failed[0].error;
    assert_eq!(error.kind, ErrorKind::User);
    assert!(error.message.contains("the same words"), "{error:?}");
    assert_eq!(fixture.text("a.txt").unwrap(), "f(c);\n");
}

/// Two tasks of one goal: the alternative stays one, and what both come to is offered with it.
#[tokio::test]
async fn what_two_tasks_did_to_one_line_is_offered_too() {
    let line = |text: &str| format!("1\n{text}\n3\n4\n5\n");
    let base = line("let x = sum(a, b);");
    let (left, right) = (
        line("let total = sum(a, b);"),
        line("let x = sum(a, b, c);"),
    );
    let both = line("let total = sum(a, b, c);");
    for landed_first in [false, true] {
        for words in [MergeWords::Off, MergeWords::Suggest, MergeWords::On] {
            let fixture = fixture(words, &[("a.txt", &base, &left)]);
            let started = fixture.version(Some(&base), Default::default());
            let fixture = fixture.entry("a.txt", 1, Some(&left), Some(&right));
            let fixture = fixture.last(|file| file.versions[0].base = started);
            let driver = fixture.start().await;
            if landed_first {
                accept_all(&driver).await;
            }
            let found = hunks(&driver).await;
            let alternative = found
                .iter()
                .find(|h| h.status == HunkStatus::Conflict)
                .unwrap();
            let merged = alternative.merged.as_deref();
            let offered = (words != MergeWords::Off).then_some("let total = sum(a, b, c);\n");
            assert_eq!(merged, offered, "{words:?}");
            if offered.is_none() {
                continue;
            }
            let report = merge(&driver, alternative).await;
            assert_eq!(
                (report.conflicts, report.failed.len()),
                (0, 0),
                "{report:?}"
            );
            assert_eq!(fixture.text("a.txt").unwrap(), both);
            assert_eq!(state(&driver), GoalState::Landed);
            driver.decide(decision(Verdict::Undo)).await.unwrap();
            assert_eq!(fixture.text("a.txt").unwrap(), base);
            driver.decide(decision(Verdict::Redo)).await.unwrap();
            assert_eq!(fixture.text("a.txt").unwrap(), both);
        }
    }
    // Where the developer has written, it is the developer's.
    let fixture = fixture(MergeWords::On, &[("a.txt", &base, &left)]);
    let started = fixture.version(Some(&base), Default::default());
    let fixture = fixture.entry("a.txt", 1, Some(&left), Some(&right));
    let fixture = fixture.last(|file| file.versions[0].base = started);
    fs::write(fixture.path("a.txt"), line("typed();")).unwrap();
    let driver = fixture.start().await;
    let found = hunks(&driver).await;
    let alternative = found.iter().find(|h| h.new_text.contains("b, c")).unwrap();
    assert_eq!(alternative.merged, None);
    let error = &merge(&driver, alternative).await.failed[0].error;
    assert_eq!(error.kind, ErrorKind::User);
    assert_eq!(fixture.text("a.txt").unwrap(), line("typed();"));
}

/// The words are merged once the typing has moved on, and not into the middle of it.
#[tokio::test]
async fn a_line_that_is_being_typed_in_waits() {
    let fixture = fixture(MergeWords::On, &[("a.txt", BASE, PROPOSED)]);
    let driver = fixture.start().await;
    let editor = OneDocument::new(fixture.path("a.txt"), MINE, Manner::Obeys);
    let _attached = driver.attach(editor.clone());
    editor.type_in(Some(2..3));
    let report = accept_all(&driver).await;
    assert_eq!((report.decided, report.waiting), (1, 1), "{report:?}");
    let five = MINE.replace('5', "FIVE");
    assert_eq!(editor.text(), five);
    let mut watch = driver.watch(Some(support::GOAL.into()), Some(EventSeq(0)));
    editor.type_in(Some(6..7));
    while state(&driver) != GoalState::Landed {
        watch.recv().await.unwrap();
    }
    assert_eq!(
        editor.text(),
        five.replace("let total = sum(a, b);\n", LINE)
    );
}
