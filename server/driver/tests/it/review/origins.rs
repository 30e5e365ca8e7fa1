//! Where lines come from: pending, landed, and beside what was typed since.

use claudecluster_driver::Driver;
use claudecluster_protocol::{
    GoalId,
    api::Decision,
    change::{HunkOriginState, HunkStatus, HunkView},
    event::Verdict,
    resolution::Resolution,
};

use crate::support::{Fixture, accept_all, decision, of_hunk, resolution};

const BASE: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";

/// State, lines and task of each origin.
fn origins(
    driver: &Driver,
    fixture: &Fixture,
    text: &str,
) -> Vec<(HunkOriginState, u32, u32, String)> {
    let found = driver.origins(&fixture.path("a.txt"), text);
    let found = found.into_iter().inspect(|origin| {
        assert_eq!(
            origin.landed_at.is_some(),
            origin.state == HunkOriginState::Landed
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
    use HunkOriginState::{Landed, Pending};
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
    let mine = conflict.mine_by;
    assert_eq!(mine.len(), 1);
    assert_eq!(mine[0].title, "Task");
    let listed = driver.hunks(None, None).await.unwrap().remove(0);
    assert_eq!(listed.mine_by, mine);
    // What the developer wrote is nobody else's.
    let typed = text.replace("first", "mine");
    assert!(driver.hunks_in(&path, &typed).remove(0).mine_by.is_empty());
    // Taken from both, the lines that came are the second goal's.
    let both = resolution(&conflict_id(&driver, &path, &text), Resolution::Both);
    driver.decide(both).await.unwrap();
    let text = fixture.text("a.txt").unwrap();
    let found = origins(&driver, &fixture, &text);
    assert_eq!(
        found,
        [
            (HunkOriginState::Landed, 1, 2, "g1 task0".to_owned()),
            (HunkOriginState::Landed, 2, 3, "g2 task0".to_owned()),
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

/// The other side of a conflict, whether it is only proposed, and the three texts.
fn sides(hunks: Vec<HunkView>) -> Vec<(String, bool, [String; 3])> {
    let conflicts = hunks
        .into_iter()
        .filter(|hunk| hunk.status == HunkStatus::Conflict);
    let sides = conflicts.map(|hunk| {
        let tasks: Vec<&str> = hunk.mine_by.iter().map(|by| by.task.as_str()).collect();
        let texts = hunk.conflict.map(|c| [c.base, c.mine, c.theirs]);
        (
            tasks.join(" "),
            hunk.mine_pending,
            texts.unwrap_or_default(),
        )
    });
    sides.collect()
}

#[tokio::test]
async fn two_tasks_that_exclude_each_other_are_both_named() {
    let (left, right) = (BASE.replace('2', "left"), BASE.replace('2', "right"));
    let start = || {
        Fixture::new()
            .propose("a.txt", Some(BASE), Some(&left))
            .entry("a.txt", 1, Some(&left), Some(&right))
    };
    let texts = |base: &str, mine: &str| [base, mine, "right\n"].map(str::to_owned);
    let fixture = start();
    let driver = fixture.start().await;
    let path = fixture.path("a.txt");
    let neither = vec![("task0".to_owned(), true, texts("2\n", "left\n"))];
    assert_eq!(sides(driver.hunks(None, None).await.unwrap()), neither);
    assert_eq!(
        sides(driver.hunks_in(&path, &format!("typed\n{BASE}"))),
        neither
    );
    // Where the developer has typed, it is theirs, for both.
    let typed = sides(driver.hunks_in(&path, &BASE.replace('2', "mine")));
    let yours = (String::new(), false);
    let named: Vec<_> = typed.into_iter().map(|(by, only, _)| (by, only)).collect();
    assert_eq!(named, [yours.clone(), yours.clone()]);
    // Landed, it is there; taken back, it is not.
    accept_all(&driver).await;
    let landed = vec![("task0".to_owned(), false, texts("left\n", "left\n"))];
    assert_eq!(sides(driver.hunks(None, None).await.unwrap()), landed);
    driver.decide(decision(Verdict::Undo)).await.unwrap();
    assert_eq!(sides(driver.hunks(None, None).await.unwrap()), neither);
    // Rejected, it is the developer's word that stands against the other.
    let first = driver.hunks(None, None).await.unwrap().remove(0);
    let reject = of_hunk(Verdict::Reject, &first.id);
    driver.decide(reject).await.unwrap();
    let (by, only, _) = sides(driver.hunks(None, None).await.unwrap()).remove(0);
    assert_eq!((by, only), yours);
}

#[tokio::test]
async fn whole_files_that_exclude_each_other_are_named() {
    let fixture = Fixture::new()
        .propose("new.txt", None, Some("left\n"))
        .entry("new.txt", 1, Some("left\n"), Some("right\n"))
        .another_goal()
        .propose("new.txt", None, Some("other\n"));
    let driver = fixture.start().await;
    let of = |goal: &str| Some(GoalId::new(goal));
    let named = |hunks| {
        let sides = sides(hunks).into_iter();
        sides.map(|(by, only, _)| (by, only)).collect::<Vec<_>>()
    };
    let hunks = driver.hunks(of("g1"), None).await.unwrap();
    assert_eq!(named(hunks), [("task0".to_owned(), true)]);
    accept_all(&driver).await;
    for goal in ["g1", "g2"] {
        let hunks = driver.hunks(of(goal), None).await.unwrap();
        assert_eq!(named(hunks), [("task0".to_owned(), false)], "{goal}");
    }
    let path = fixture.path("new.txt");
    // The line that landed is still there, but the file is no longer what landed.
    let typed = named(driver.hunks_in(&path, "left\ntyped\n"));
    assert_eq!(typed, [("task0".to_owned(), false), (String::new(), false)]);
}

fn conflict_id(
    driver: &Driver,
    path: &std::path::Path,
    text: &str,
) -> claudecluster_protocol::HunkId {
    driver.hunks_in(path, text).remove(0).id
}
