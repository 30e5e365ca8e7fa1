//! Journals of older versions replay to the state they had.
//!
//! `fixtures/journal-0.1.0.db` was written in November 2026, before the crates were divided anew: goals
//! `g1` to `g8` by the daemon itself with command agents, a crash included, and the goals after them by
//! the decisions of `core::step` alone, for what takes a planner, permissions and repairs.
//! `fixtures/state-0.1.0.json` is the state that the same version had after it. Neither file is ever made
//! anew: whoever changes what is journaled adds another pair.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::{collections::BTreeMap, fs, path::PathBuf};

use claudecluster_core::state::{
    ClusterState, FileEntry, Goal, GoalTask, LedgerRecord, PendingLanding, PermissionEnding,
    ReviewPair,
};
use claudecluster_protocol::{Event, EventBody, EventSeq, Timestamp};
use claudecluster_store::Store;
use serde_json::{Value, json};

fn fixture(name: &str) -> PathBuf {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    PathBuf::from(tests).join(name)
}

/// The events of a journal, read as a daemon reads them at its start.
fn journaled(name: &str) -> Vec<Event> {
    let home = tempfile::tempdir().unwrap();
    fs::copy(fixture(name), home.path().join("journal.db")).unwrap();
    let store = Store::open(home.path()).unwrap();
    store.verify_contents().unwrap();
    store.read_events(EventSeq(0), None).unwrap()
}

fn replay(events: &[Event]) -> ClusterState {
    let mut state = ClusterState::default();
    for event in events {
        state.apply_event(&event.goal_id, event.at, &event.body);
        state.last_seq = event.seq;
    }
    state
}

/// All of a state that anybody can see, in the words of the protocol.
fn rendered(state: &ClusterState, now: Timestamp) -> Value {
    json!({
        "lastSeq": state.last_seq,
        "nextGoalId": state.next_goal_id(),
        "providerCap": state.provider_limit.cap,
        "providerPausedUntil": state.provider_limit.paused_until,
        "moves": state.ledger_records,
        "permissions": state.permissions,
        "goals": state.goals.values().map(|one| goal(one, now)).collect::<Vec<_>>(),
    })
}

fn goal(goal: &Goal, now: Timestamp) -> Value {
    let ids = |tasks: Vec<&claudecluster_protocol::TaskId>| json!(tasks);
    let values = [
        ("id", json!(goal.id)),
        ("spec", json!(goal.spec)),
        ("state", json!(goal.state)),
        ("error", json!(goal.error)),
        ("submittedAt", json!(goal.submitted_at)),
        ("updatedAt", json!(goal.updated_at)),
        ("snapshot", json!(goal.snapshot)),
        ("unsaved", json!(goal.unsaved)),
        ("plan", json!(goal.plan)),
        ("unapproved", json!(goal.unapproved)),
        (
            "order",
            json!(goal.graph.as_ref().map(|graph| graph.order())),
        ),
        ("plannerSession", json!(goal.planner_session)),
        ("planRefusals", json!(goal.plan_refusals)),
        ("planRetries", json!(goal.plan_retries)),
        ("planTranscripts", json!(goal.plan_transcripts)),
        ("plannerUsage", json!(goal.planner_usage)),
        ("usage", json!(goal.usage())),
        ("tasks", goal.tasks.values().map(task).collect()),
        ("finished", json!(goal.finished)),
        ("merged", json!(goal.merged)),
        ("applied", json!(goal.applied)),
        ("files", goal.files.iter().map(entry).collect()),
        ("gates", json!(goal.gates)),
        ("permissions", permissions(goal)),
        ("deadline", json!(goal.deadline())),
        ("timeLeft", json!(goal.time_left(now))),
        (
            "running",
            ids(goal.running_attempts().map(|(id, _)| id).collect()),
        ),
        (
            "waiting",
            ids(goal.waiting_attempts().map(|(id, _)| id).collect()),
        ),
        (
            "repairsUnderWay",
            ids(goal.repairs_under_way().map(|(id, _)| id).collect()),
        ),
        ("nextRepair", json!(goal.repair_id(0))),
        ("isWorking", json!(goal.is_working())),
        ("isPaused", json!(goal.is_paused())),
        ("hasChanges", json!(goal.has_changes())),
    ];
    values
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn task(task: &GoalTask) -> Value {
    let attempts = task.attempts.iter().map(|attempt| {
        json!({
            "id": attempt.id,
            "startedAt": attempt.started_at,
            "endedAt": attempt.ended_at,
            "upstream": attempt.upstream,
            "outcome": attempt.outcome,
        })
    });
    json!({
        "spec": task.spec,
        "state": task.state,
        "attempts": attempts.collect::<Vec<_>>(),
        "notBefore": task.not_before,
        "lesson": task.lesson,
        "forgiven": task.forgiven,
        "approved": task.approved,
        "repair": task.repair,
        "amended": task.amended,
        "stops": task.count_stops(|_| true),
    })
}

fn pair(pair: &ReviewPair) -> Value {
    json!({"base": pair.base, "proposed": pair.proposed})
}

fn entry(entry: &FileEntry) -> Value {
    json!({
        "file": entry.file,
        "moves": entry.ledger.iter().map(decided).collect::<Vec<_>>(),
        "begun": entry.pending_landings.iter().map(begun).collect::<Vec<_>>(),
        "landed": entry.landed_count(),
        "rejected": entry.rejected_count(),
        "isSettled": entry.is_fully_decided(),
        "undoneBy": (0..entry.ledger.len()).map(|at| entry.undone_by(at)).collect::<Vec<_>>(),
    })
}

fn decided(one: &LedgerRecord) -> Value {
    json!({
        "order": one.order,
        "verdict": one.verdict,
        "hunks": one.hunks,
        "undone": one.undone,
        "landed": one.landed,
        "before": pair(&one.before),
        "after": pair(&one.after),
        "of": one.of,
        "at": one.at,
        "decision": one.decision,
    })
}

fn begun(begun: &PendingLanding) -> Value {
    json!({
        "verdict": begun.verdict,
        "hunks": begun.hunks,
        "pair": pair(&begun.pair),
        "landed": begun.landed,
        "of": begun.of,
        "reason": begun.reason,
        "open": begun.open,
    })
}

fn permissions(goal: &Goal) -> Value {
    let permissions = &goal.permissions;
    let rules = permissions.rules.iter().map(|rule| {
        json!({
            "tool": rule.tool,
            "input": rule.input,
            "tasks": rule.tasks,
            "decision": rule.decision,
            "reason": rule.reason,
        })
    });
    let ended = permissions.ended.iter().map(|(id, ending)| match ending {
        PermissionEnding::Answered { decision, by } => json!([id, decision, by]),
        PermissionEnding::Withdrawn => json!([id, "withdrawn"]),
    });
    json!({
        "open": permissions.open,
        "rules": rules.collect::<Vec<_>>(),
        "ended": ended.collect::<Vec<_>>(),
    })
}

/// The name of a kind of event. A new kind does not compile before it is named here and in [`KINDS`].
fn kind(body: &EventBody) -> &'static str {
    match body {
        EventBody::GoalSubmitted { .. } => "goalSubmitted",
        EventBody::SnapshotTaken { .. } => "snapshotTaken",
        EventBody::PlanRefused { .. } => "planRefused",
        EventBody::PlannerTranscript { .. } => "plannerTranscript",
        EventBody::PlanningStopped { .. } => "planningStopped",
        EventBody::Planned { .. } => "planned",
        EventBody::ApprovalRequested => "approvalRequested",
        EventBody::PlanApproved { .. } => "planApproved",
        EventBody::TaskChanged { .. } => "taskChanged",
        EventBody::AttemptStarted { .. } => "attemptStarted",
        EventBody::AttemptEnded { .. } => "attemptEnded",
        EventBody::RetryScheduled { .. } => "retryScheduled",
        EventBody::Proposed { .. } => "proposed",
        EventBody::Gated { .. } => "gated",
        EventBody::Interrupted { .. } => "interrupted",
        EventBody::Reviewed { .. } => "reviewed",
        EventBody::LandingBegun { .. } => "landingBegun",
        EventBody::LandingDropped { .. } => "landingDropped",
        EventBody::TaskAdded { .. } => "taskAdded",
        EventBody::Amended { .. } => "amended",
        EventBody::Applied { .. } => "applied",
        EventBody::PermissionAsked { .. } => "permissionAsked",
        EventBody::PermissionAnswered { .. } => "permissionAnswered",
        EventBody::PermissionWithdrawn { .. } => "permissionWithdrawn",
        EventBody::NetworkUsed { .. } => "networkUsed",
        EventBody::GoalChanged { .. } => "goalChanged",
    }
}

/// Every kind of event there is.
const KINDS: [&str; 26] = [
    "goalSubmitted",
    "snapshotTaken",
    "planRefused",
    "plannerTranscript",
    "planningStopped",
    "planned",
    "approvalRequested",
    "planApproved",
    "taskChanged",
    "attemptStarted",
    "attemptEnded",
    "retryScheduled",
    "proposed",
    "gated",
    "interrupted",
    "reviewed",
    "landingBegun",
    "landingDropped",
    "taskAdded",
    "amended",
    "applied",
    "permissionAsked",
    "permissionAnswered",
    "permissionWithdrawn",
    "networkUsed",
    "goalChanged",
];

/// Kinds that came after the journals were written.
const LATER: [&str; 2] = ["interrupted", "networkUsed"];

#[test]
fn a_journal_of_0_1_0_replays_to_the_state_it_had() {
    let events = journaled("journal-0.1.0.db");
    let expected: Value =
        serde_json::from_str(&fs::read_to_string(fixture("state-0.1.0.json")).unwrap()).unwrap();
    let now = events.last().unwrap().at;
    let state = rendered(&replay(&events), now);
    let goals = |state: &Value| state["goals"].as_array().unwrap().clone();
    for (goal, expected) in goals(&state).iter().zip(goals(&expected)) {
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(goal[key], *value, "{key} of {}", expected["id"]);
        }
    }
    assert_eq!(state, expected);
}

#[test]
fn the_journal_has_every_kind_of_event_in_it() {
    let events = journaled("journal-0.1.0.db");
    let mut found: BTreeMap<&str, usize> = KINDS.iter().map(|&kind| (kind, 0)).collect();
    for event in &events {
        let name = kind(&event.body);
        let known = found.get_mut(name);
        *known.unwrap_or_else(|| panic!("{name:?} is missing in KINDS")) += 1;
    }
    found.retain(|kind, count| *count == 0 && !LATER.contains(kind));
    assert!(found.is_empty(), "no event of these kinds: {found:?}");
}

#[test]
fn every_event_is_written_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("journal.db");
    fs::copy(fixture("journal-0.1.0.db"), &path).unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    let mut rows = db
        .prepare("SELECT seq, body FROM events ORDER BY seq")
        .unwrap();
    let rows = rows
        .query_map([], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })
        .unwrap();
    for row in rows {
        let (seq, body) = row.unwrap();
        let event: EventBody = serde_json::from_str(&body).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), body, "event {seq}");
    }
}
