//! A goal that is under way already is not started twice, however many ask at once.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use claudecluster_driver::Driver;
use claudecluster_protocol::{
    GoalId, GoalSpec, RelPath,
    api::Decision,
    event::Verdict,
    goal::{EnvVar, GoalSelection},
    plan::AgentName,
    submitted::SubmittedGoal,
};
use serde_json::json;

use crate::support::{Fixture, GOAL, Manner, OneDocument};

fn spec(fixture: &Fixture, prompt: &str) -> GoalSpec {
    // A plan of its own, so that no agent has to be there, which nobody lets run.
    let task = json!({"id": "a", "run": "true"});
    serde_json::from_value(json!({
        "workspace": fixture.root(),
        "prompt": prompt,
        "plan": {"tasks": [task]},
        "planOnly": true,
    }))
    .unwrap()
}

async fn once(driver: &Driver, spec: GoalSpec) -> (String, bool) {
    let SubmittedGoal {
        goal_id,
        duplicate_of,
    } = driver.submit_once(spec).await.unwrap();
    assert!(duplicate_of.as_ref().is_none_or(|same| *same == goal_id));
    (goal_id.to_string(), duplicate_of.is_some())
}

#[tokio::test]
async fn whoever_comes_later_is_told_of_the_first() {
    let fixture = Fixture::new().propose("a.txt", Some("1\n"), Some("2\n"));
    let driver = fixture.start().await;
    let (one, other) = tokio::join!(
        once(&driver, spec(&fixture, "improve it")),
        once(&driver, spec(&fixture, "Improve  it.")),
    );
    let mut answers = [one, other];
    answers.sort();
    assert_eq!(answers, [("g2".to_owned(), false), ("g2".to_owned(), true)]);
    assert_eq!(once(&driver, spec(&fixture, "else")).await.0, "g3");

    // Whoever wants another gets it; the first one stays the answer.
    let another = driver.submit(spec(&fixture, "improve it")).await.unwrap();
    assert_eq!(another.as_str(), "g4");
    assert_eq!(once(&driver, spec(&fixture, "improve it")).await.0, "g2");
    for goal in ["g2", "g4"] {
        driver.cancel(&GoalId::new(goal)).await.unwrap();
    }
    assert_eq!(once(&driver, spec(&fixture, "improve it")).await.0, "g5");
}

/// Lines that have moved, in an editor or on the disk, are where they were.
#[tokio::test]
async fn a_place_is_known_again_when_its_lines_have_moved() {
    let text = "fn a() {}\n// TODO\nfn b() {}\n// TODO\n";
    let fixture = Fixture::new().propose("a.txt", Some(text), Some("2\n"));
    let driver = fixture.start().await;
    let at = |line: u32| {
        let mut spec = spec(&fixture, "do it");
        spec.scope.selection = Some(GoalSelection {
            path: RelPath::new("a.txt").unwrap(),
            start_line: line,
            end_line: line + 1,
            text: None,
        });
        spec
    };
    assert_eq!(once(&driver, at(1)).await, ("g2".to_owned(), false));
    // Words that are there twice are two places.
    assert_eq!(once(&driver, at(3)).await, ("g3".to_owned(), false));
    let moved = format!("typed\n\n{text}");
    let editor = OneDocument::new(fixture.path("a.txt"), &moved, Manner::Obeys);
    let attached = driver.attach(editor);
    assert_eq!(once(&driver, at(3)).await, ("g2".to_owned(), true));
    assert_eq!(once(&driver, at(5)).await, ("g3".to_owned(), true));
    drop(attached);
    assert_eq!(once(&driver, at(3)).await, ("g3".to_owned(), true));
    std::fs::write(fixture.path("a.txt"), moved).unwrap();
    assert_eq!(once(&driver, at(3)).await, ("g2".to_owned(), true));
    // What stands at those lines now is something else.
    assert_eq!(once(&driver, at(2)).await, ("g4".to_owned(), false));
}

/// What waits for a decision is not done yet; what has been decided may be wanted again.
#[tokio::test]
async fn a_proposal_counts_until_it_is_decided() {
    let fixture = Fixture::new().propose("a.txt", Some("1\n"), Some("2\n"));
    let driver = fixture.start().await;
    let key = EnvVar {
        name: "ANTHROPIC_API_KEY".into(),
        value: "none".into(),
    };
    let same = || GoalSpec {
        plan: None,
        // There with any key; that it cannot plan without a sandbox is after what is looked at here.
        agent: Some(AgentName::Native),
        env: vec![key.clone()],
        ..spec(&fixture, "change it")
    };
    assert_eq!(once(&driver, same()).await, (GOAL.to_owned(), true));
    let decision = Decision::new(GoalId::new(GOAL), Verdict::Reject);
    driver.decide(decision).await.unwrap();
    assert_eq!(once(&driver, same()).await, ("g2".to_owned(), false));
}
