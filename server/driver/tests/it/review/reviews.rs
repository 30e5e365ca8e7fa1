//! What is shown of pending hunks stays right from one look to the next, whatever changes between.

use std::fs;

use claudecluster_driver::Driver;
use claudecluster_protocol::{
    change::{HunkStatus, HunkView, HunkWordKind},
    event::Verdict,
};

use crate::support::{Fixture, Manner, OneDocument, of_hunk};

const BASE: &str = "1\n2\n3\n4\nlet five = 5;\n6\n7\n8\n9\n";
const PROPOSED: &str = "1\nTWO\n3\n4\nlet five = 50;\n6\n7\nEIGHT\n9\n";

fn places(hunks: &[HunkView]) -> Vec<(u32, HunkStatus)> {
    let places = hunks.iter().map(|hunk| (hunk.start_line, hunk.status));
    places.collect()
}

fn counts(driver: &Driver) -> (u32, u32) {
    let hunks = driver.goals().remove(0).hunks;
    (hunks.pending, hunks.conflicts)
}

#[tokio::test]
async fn hunks_follow_the_text_that_is_given() {
    let fixture = Fixture::new().propose("a.txt", Some(BASE), Some(PROPOSED));
    let driver = fixture.start().await;
    let path = fixture.path("a.txt");
    let clean = HunkStatus::Clean;
    let look = |text: &str| driver.hunks_in(&path, text);
    let first = look(BASE);
    assert_eq!(places(&first), [(1, clean), (4, clean), (7, clean)]);

    let typed = look(&format!("typed\n{BASE}"));
    assert_eq!(places(&typed), [(2, clean), (5, clean), (8, clean)]);
    let ids = |hunks: &[HunkView]| hunks.iter().map(|h| h.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&typed), ids(&first));

    let other = BASE.replace("2\n", "deux\n");
    let conflict = &look(&other)[0];
    let view = conflict.conflict.as_ref().unwrap();
    let sides = (view.base.as_str(), view.mine.as_str(), view.theirs.as_str());
    assert_eq!(sides, ("2\n", "deux\n", "TWO\n"));
    assert_eq!(conflict.status, HunkStatus::Conflict);

    // A hunk that was decided is gone from the review that had it.
    driver
        .decide(of_hunk(Verdict::Reject, &first[1].id))
        .await
        .unwrap();
    assert_eq!(ids(&look(BASE)), [first[0].id.clone(), first[2].id.clone()]);
    assert_eq!(look(PROPOSED).len(), 0);
}

#[tokio::test]
async fn words_are_shown_where_they_say_more_than_the_lines() {
    let fixture = Fixture::new().propose("a.txt", Some(BASE), Some(PROPOSED));
    let driver = fixture.start().await;
    let hunks = driver.hunks_in(&fixture.path("a.txt"), BASE);
    let parts = hunks.iter().map(|hunk| {
        let parts = hunk.words.iter();
        parts.map(|w| (w.kind, w.text.as_str())).collect::<Vec<_>>()
    });
    let parts: Vec<_> = parts.collect();
    use HunkWordKind::{Added, Removed, Same};
    let five = [
        (Same, "let five = "),
        (Removed, "5"),
        (Added, "50"),
        (Same, ";\n"),
    ];
    assert_eq!(parts, [&[][..], &five, &[]]);
}

/// Whoever changes a file, and wherever it is open: the next count is that of what is there.
#[tokio::test]
async fn counts_follow_the_disk_and_the_editor() {
    let fixture = Fixture::new()
        .propose("a.txt", Some(BASE), Some(PROPOSED))
        .propose("new.txt", None, Some("new\n"))
        .propose("old.txt", Some("old\n"), None);
    let driver = fixture.start().await;
    assert_eq!(counts(&driver), (5, 0));
    assert_eq!(counts(&driver), (5, 0));

    fs::write(fixture.path("a.txt"), BASE.replace("2\n", "deux\n")).unwrap();
    assert_eq!(counts(&driver), (4, 1));
    fs::write(fixture.path("new.txt"), "mine\n").unwrap();
    assert_eq!(counts(&driver), (3, 2));
    fs::remove_file(fixture.path("old.txt")).unwrap();
    assert_eq!(counts(&driver), (2, 2), "it is gone already");
    fs::write(fixture.path("a.txt"), PROPOSED).unwrap();
    assert_eq!(counts(&driver), (0, 1));

    let editor = OneDocument::new(fixture.path("a.txt"), BASE, Manner::Obeys);
    let attached = driver.attach(editor.clone());
    assert_eq!(counts(&driver), (3, 1));
    editor.set(&BASE.replace("9\n", "nine\n"));
    assert_eq!(counts(&driver), (2, 2));
    drop(attached);
    assert_eq!(counts(&driver), (0, 1));
}
