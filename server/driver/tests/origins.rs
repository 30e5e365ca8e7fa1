//! Where lines come from: pending, landed, and beside what was typed since.

mod support;

use claudecluster_driver::Driver;
use claudecluster_protocol::{
    GoalId,
    api::{Decision, Resolution},
    change::{HunkStatus, OriginState},
    event::Verdict,
};
use support::{Fixture, accept_all, decision};

const BASE: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";

/// State, lines and task of each origin.
fn origins(driver: &Driver, fixture: &Fixture, text: &str) -> Vec<(OriginState, u32, u32, String)> {
    let found = driver.origins(&fixture.path("a.txt"), text);
    let found = found.into_iter().inspect(|origin| {
        assert_eq!(
            origin.landed_at.is_some(),
            origin.state == OriginState::Landed
        );
        assert_eq!(origin.hunk_id.goal().as_ref(), Some(&origin.goal_id));
        assert_eq!(origin.prompt, "change it");
    });
    found
        .map(|o| {
            let task = format!("{} {}", o.goal_id, o.provenance[0].task);
            (o.state, o.start_line, o.end_line, task)
        })
        .collect()
}

#[tokio::test]
async fn landed_lines_are_known_as_long_as_they_stand() {
    use OriginState::{Landed, Pending};
    let fixture = Fixture::new()
        .propose(
            "a.txt",
            Some(BASE),
            Some("1\nTWO\nand\nmore\n3\n4\n5\n6\n7\n9\n"),
        )
        .another_goal()
        .propose("a.txt", Some(BASE), Some(&BASE.replace('6', "SIX")));
    let driver = fixture.start().await;
    let (one, two) = ("g1 task0".to_owned(), "g2 task0".to_owned());
    assert_eq!(
        origins(&driver, &fixture, BASE),
        [
            (Pending, 1, 2, one.clone()),
            (Pending, 5, 6, two.clone()),
            (Pending, 7, 8, one.clone()),
        ]
    );
    accept_all(&driver).await;
    driver
        .decide(Decision::new(GoalId::new("g2"), Verdict::Accept))
        .await
        .unwrap();
    let landed = fixture.text("a.txt").unwrap();
    assert_eq!(landed, "1\nTWO\nand\nmore\n3\n4\n5\nSIX\n7\n9\n");
    // Lines that were taken away are nowhere.
    let expected = [(Landed, 1, 4, one.clone()), (Landed, 7, 8, two.clone())];
    assert_eq!(origins(&driver, &fixture, &landed), expected);
    assert_eq!(origins(&driver, &fixture, &landed), expected, "and again");
    // What is typed between is the developer's.
    let typed = format!("above\n{}", landed.replace("and\n", "mine\n"));
    assert_eq!(
        origins(&driver, &fixture, &typed),
        [
            (Landed, 2, 3, one.clone()),
            (Landed, 4, 5, one),
            (Landed, 8, 9, two.clone()),
        ]
    );
    driver.decide(decision(Verdict::Undo)).await.unwrap();
    let left = fixture.text("a.txt").unwrap();
    let found = origins(&driver, &fixture, &left);
    assert_eq!(found.len(), 3, "two are pending again: {found:?}");
    assert!(found.contains(&(Landed, 5, 6, two)));
}

#[tokio::test]
async fn a_conflict_names_whoever_wrote_what_is_there() {
    let fixture = Fixture::new()
        .propose("a.txt", Some(BASE), Some(&BASE.replace('2', "first")))
        .another_goal()
        .propose("a.txt", Some(BASE), Some(&BASE.replace('2', "second")))
        .another_goal()
        .propose("new.txt", None, Some("new\n"));
    let driver = fixture.start().await;
    accept_all(&driver).await;
    let path = fixture.path("a.txt");
    let text = fixture.text("a.txt").unwrap();
    let look = || driver.hunks_in(&path, &text).remove(0);
    let conflict = look();
    assert_eq!(conflict.status, HunkStatus::Conflict);
    let mine = conflict.conflict.unwrap().mine_by;
    assert_eq!(mine.len(), 1);
    assert_eq!(mine[0].title, "Task");
    let listed = driver.hunks(None, None).await.unwrap().remove(0);
    assert_eq!(listed.conflict.unwrap().mine_by, mine);
    // What the developer wrote is nobody else's.
    let typed = text.replace("first", "mine");
    let conflict = driver.hunks_in(&path, &typed).remove(0).conflict.unwrap();
    assert!(conflict.mine_by.is_empty());
    // Taken from both, the lines that came are the second goal's.
    let both = Decision {
        hunk_id: Some(conflict_id(&driver, &path, &text)),
        resolution: Some(Resolution::Both),
        ..Decision::new(GoalId::new("g2"), Verdict::Resolve)
    };
    driver.decide(both).await.unwrap();
    let text = fixture.text("a.txt").unwrap();
    let found = origins(&driver, &fixture, &text);
    assert_eq!(
        found,
        [
            (OriginState::Landed, 1, 2, "g1 task0".to_owned()),
            (OriginState::Landed, 2, 3, "g2 task0".to_owned()),
        ]
    );
    // A whole file is its goal's.
    driver
        .decide(Decision::new(GoalId::new("g3"), Verdict::Accept))
        .await
        .unwrap();
    let found = driver.origins(&fixture.path("new.txt"), "typed\nnew\n");
    assert_eq!((found.len(), found[0].start_line), (1, 1));
}

fn conflict_id(
    driver: &Driver,
    path: &std::path::Path,
    text: &str,
) -> claudecluster_protocol::HunkId {
    driver.hunks_in(path, text).remove(0).id
}
