//! Commits, branches, stashes and formatters beside a proposal, with the real git: hunks find their
//! place again or become conflicts, and never make a wrong text.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, process::Command};

use claudecluster_driver::Driver;
use claudecluster_protocol::{
    GoalId, GoalState, api::Decision, change::HunkStatus, event::Verdict,
};

use crate::support::{Fixture, accept_all, decision, state};

const BASE: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
const PROPOSED: &str = "1\nTWO\n3\n4\n5\n6\n7\nEIGHT\n9\n";

fn git(fixture: &Fixture, arguments: &[&str]) {
    let output = Command::new("git")
        .current_dir(fixture.root())
        .args(["-c", "user.name=T", "-c", "user.email=t@example.com"])
        .args([
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "commit.gpgSign=false",
        ])
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CEILING_DIRECTORIES", fixture.root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// A repository on `main` whose branch `other` has `text` in the file.
async fn repository(text: &str) -> (Fixture, Driver) {
    let fixture = Fixture::new().propose("a.txt", Some(BASE), Some(PROPOSED));
    git(&fixture, &["init", "-q", "-b", "main"]);
    git(&fixture, &["add", "."]);
    git(&fixture, &["commit", "-qm", "base"]);
    git(&fixture, &["checkout", "-qb", "other"]);
    fs::write(fixture.path("a.txt"), text).unwrap();
    git(&fixture, &["commit", "-qam", "other", "--allow-empty"]);
    git(&fixture, &["checkout", "-q", "main"]);
    let driver = fixture.start().await;
    (fixture, driver)
}

async fn statuses(driver: &Driver) -> Vec<(u32, HunkStatus)> {
    let hunks = driver.hunks(None, None).await.unwrap();
    hunks
        .iter()
        .map(|hunk| (hunk.start_line, hunk.status))
        .collect()
}

#[tokio::test]
async fn committed_work_is_kept_and_can_be_undone() {
    let (fixture, driver) = repository(BASE).await;
    accept_all(&driver).await;
    git(&fixture, &["commit", "-qam", "landed"]);
    assert_eq!(state(&driver), GoalState::Landed);
    assert!(statuses(&driver).await.is_empty());
    let typed = format!("{PROPOSED}typed\n");
    fs::write(fixture.path("a.txt"), &typed).unwrap();
    driver.decide(decision(Verdict::Undo)).await.unwrap();
    assert_eq!(fixture.text("a.txt").unwrap(), format!("{BASE}typed\n"));
    driver.decide(decision(Verdict::Redo)).await.unwrap();
    assert_eq!(fixture.text("a.txt").unwrap(), typed);
}

#[tokio::test]
async fn hunks_find_their_place_on_another_branch() {
    use HunkStatus::{Clean, Conflict};
    let other = format!("above\n{}", BASE.replace('2', "other"));
    let (fixture, driver) = repository(&other).await;
    assert_eq!(statuses(&driver).await, [(1, Clean), (7, Clean)]);
    git(&fixture, &["checkout", "-q", "other"]);
    let there = statuses(&driver).await;
    let all: Vec<HunkStatus> = there.iter().map(|(_, status)| *status).collect();
    assert_eq!(all, [Conflict, Clean]);
    assert_eq!(there[1].0, 8, "below what is above there");
    let report = accept_all(&driver).await;
    assert_eq!((report.decided, report.conflicts), (1, 1));
    let landed = other.replace('8', "EIGHT");
    assert_eq!(fixture.text("a.txt").unwrap(), landed);
    git(&fixture, &["commit", "-qam", "landed there"]);
    // Where it has not landed, its undo finds nothing of its own to take, and what is pending is clean.
    git(&fixture, &["checkout", "-q", "main"]);
    assert_eq!(fixture.text("a.txt").unwrap(), BASE);
    assert_eq!(statuses(&driver).await, [(1, Clean)]);
    driver.decide(decision(Verdict::Undo)).await.unwrap();
    assert_eq!(fixture.text("a.txt").unwrap(), BASE);
    assert_eq!(accept_all(&driver).await.decided, 2);
    assert_eq!(fixture.text("a.txt").unwrap(), PROPOSED);
}

#[tokio::test]
async fn a_stash_takes_landed_work_away_and_brings_it_back() {
    let (fixture, driver) = repository(BASE).await;
    accept_all(&driver).await;
    git(&fixture, &["stash", "-q"]);
    assert_eq!(fixture.text("a.txt").unwrap(), BASE);
    git(&fixture, &["stash", "pop", "-q"]);
    assert_eq!(fixture.text("a.txt").unwrap(), PROPOSED);
    driver.decide(decision(Verdict::Undo)).await.unwrap();
    assert_eq!(fixture.text("a.txt").unwrap(), BASE);
    // Pending hunks live through it as well.
    fs::write(fixture.path("a.txt"), format!("typed\n{BASE}")).unwrap();
    git(&fixture, &["stash", "-q"]);
    assert_eq!(accept_all(&driver).await.decided, 2);
    git(&fixture, &["commit", "-qam", "landed"]);
    git(&fixture, &["stash", "pop", "-q"]);
    assert_eq!(fixture.text("a.txt").unwrap(), format!("typed\n{PROPOSED}"));
    driver.decide(decision(Verdict::Undo)).await.unwrap();
    assert_eq!(fixture.text("a.txt").unwrap(), format!("typed\n{BASE}"));
}

#[tokio::test]
async fn a_formatter_makes_conflicts_and_no_wrong_text() {
    let (fixture, driver) = repository(BASE).await;
    // It touches every line: nothing is known to be unchanged.
    let formatted = BASE.replace('\n', ";\n");
    fs::write(fixture.path("a.txt"), &formatted).unwrap();
    let report = accept_all(&driver).await;
    assert_eq!((report.decided, report.conflicts), (0, 2));
    assert_eq!(fixture.text("a.txt").unwrap(), formatted);
    // It touches one: the other hunk lands and is taken back beside it.
    let formatted = BASE.replace("2\n", "2;\n");
    fs::write(fixture.path("a.txt"), &formatted).unwrap();
    let report = accept_all(&driver).await;
    assert_eq!((report.decided, report.conflicts), (1, 1));
    let landed = formatted.replace('8', "EIGHT");
    assert_eq!(fixture.text("a.txt").unwrap(), landed);
    // It runs over what has landed: that is left alone by an undo.
    let again = landed.replace('\n', ";\n");
    fs::write(fixture.path("a.txt"), &again).unwrap();
    let report = driver.decide(decision(Verdict::Undo)).await.unwrap();
    assert_eq!((report.decided, report.conflicts), (0, 1));
    assert_eq!(fixture.text("a.txt").unwrap(), again);
}

#[tokio::test]
async fn goals_in_one_file_stand_beside_each_other_or_in_conflict() {
    let fixture = Fixture::new()
        .propose("a.txt", Some(BASE), Some(PROPOSED))
        .another_goal()
        .propose(
            "a.txt",
            Some(BASE),
            Some(&BASE.replace('2', "zwei").replace('5', "five")),
        );
    let driver = fixture.start().await;
    let of = |goal: &str, verdict| Decision::new(GoalId::new(goal), verdict);
    assert_eq!(statuses(&driver).await.len(), 4);
    accept_all(&driver).await;
    let report = driver.decide(of("g2", Verdict::Accept)).await.unwrap();
    assert_eq!((report.decided, report.conflicts), (1, 1), "{report:?}");
    let both = PROPOSED.replace('5', "five");
    assert_eq!(fixture.text("a.txt").unwrap(), both);
    // The first goal goes, from beneath the second one's: what was in its way is clean now.
    driver.decide(of("g1", Verdict::Undo)).await.unwrap();
    assert_eq!(fixture.text("a.txt").unwrap(), BASE.replace('5', "five"));
    assert_eq!(
        driver
            .decide(of("g2", Verdict::Accept))
            .await
            .unwrap()
            .decided,
        1
    );
    let report = driver.decide(of("g1", Verdict::Redo)).await.unwrap();
    assert_eq!((report.decided, report.conflicts), (1, 1), "{report:?}");
    let text = "1\nzwei\n3\n4\nfive\n6\n7\nEIGHT\n9\n";
    assert_eq!(fixture.text("a.txt").unwrap(), text);
}
