//! Events from a sequence number: every event once, wherever a reader resumes.

use claudecluster_protocol::{Event, EventSeq, GoalId, event::StreamItem};
use claudecluster_service::{EventReceiver, TypedCalls};

use crate::world::{World, is_last};

/// Reads events until the goals have done what they do, without activity.
async fn read_until_last(events: &mut EventReceiver, goals: usize) -> Vec<Event> {
    let mut found = Vec::new();
    let mut left = goals;
    while left > 0 {
        if let StreamItem::Event(event) = events.recv().await.unwrap() {
            left -= usize::from(is_last(&event.body));
            found.push(*event);
        }
    }
    found
}

fn sequence(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.seq.0).collect()
}

/// Three goals, and all that happened to them.
async fn world_with_history() -> (World, [GoalId; 3], Vec<Event>) {
    let world = World::start().await;
    let mut events = world.client.events(None, None).unwrap();
    let goals = [
        world.submit("one").await,
        world.submit("two").await,
        world.submit("three").await,
    ];
    let all = read_until_last(&mut events, 3).await;
    (world, goals, all)
}

#[tokio::test]
async fn a_live_reader_gets_every_event_once() {
    let (_world, _, all) = world_with_history().await;
    let expected: Vec<u64> = (1..=all.len() as u64).collect();
    assert_eq!(sequence(&all), expected);
}

#[tokio::test]
async fn a_reader_resumes_after_any_event() {
    let (world, _, all) = world_with_history().await;
    for seen in 0..all.len() {
        let after = Some(EventSeq(seen as u64));
        let mut events = world.client.events(None, after).unwrap();
        let mut rest = Vec::new();
        while rest.len() < all.len() - seen {
            if let StreamItem::Event(event) = events.recv().await.unwrap() {
                rest.push(*event);
            }
        }
        assert_eq!(rest, all[seen..]);
    }
}

#[tokio::test]
async fn a_reader_of_one_goal_resumes_after_any_event_of_any() {
    let (world, goals, all) = world_with_history().await;
    for goal in &goals {
        for seen in 0..all.len() {
            let rest: Vec<_> = all[seen..]
                .iter()
                .filter(|event| event.goal_id == *goal)
                .cloned()
                .collect();
            if rest.is_empty() {
                continue;
            }
            let after = Some(EventSeq(seen as u64));
            let mut events = world.client.events(Some(goal.clone()), after).unwrap();
            let mut read = Vec::new();
            while read.len() < rest.len() {
                if let StreamItem::Event(event) = events.recv().await.unwrap() {
                    read.push(*event);
                }
            }
            assert_eq!(read, rest);
        }
    }
}

#[tokio::test]
async fn history_and_live_events_meet_without_gap_or_duplicate() {
    let (world, _, all) = world_with_history().await;
    // The journal is read while more happens.
    let mut events = world.client.events(None, Some(EventSeq(0))).unwrap();
    for number in 0..4 {
        world.submit(&format!("goal {number}")).await;
    }
    let read = read_until_last(&mut events, 7).await;
    assert_eq!(read[..all.len()], all);
    let expected: Vec<u64> = (1..=read.len() as u64).collect();
    assert_eq!(sequence(&read), expected);
}

#[tokio::test]
async fn a_reader_that_stops_for_long_misses_no_event() {
    let world = World::start().await;
    let mut events = world.client.events(None, None).unwrap();
    // More than the stream's queue holds.
    let mut watched = world.client.events(None, None).unwrap();
    for number in 0..80 {
        world.submit(&format!("goal {number}")).await;
    }
    let all = read_until_last(&mut watched, 80).await;
    assert!(all.len() > 256, "{} events fill no queue", all.len());
    assert_eq!(read_until_last(&mut events, 80).await, all);
}

#[tokio::test]
async fn a_snapshot_and_the_events_after_it_are_the_whole() {
    let (world, _, all) = world_with_history().await;
    let goals = world.client.goals().await.unwrap();
    assert_eq!(goals.as_of.0, all.len() as u64);
    let goal = world.client.goal(&goals.value[0].id).await.unwrap();
    assert_eq!(goal.as_of, goals.as_of);
    assert_eq!(goal.value.summary, goals.value[0]);

    let mut events = world.client.events(None, Some(goals.as_of)).unwrap();
    let new = world.submit("four").await;
    let read = read_until_last(&mut events, 1).await;
    assert_eq!(read[0].seq.0, goals.as_of.0 + 1);
    assert!(read.iter().all(|event| event.goal_id == new));
}
