//! Each call needs the right that the table says, and a caller without it reaches nothing.

use std::{collections::BTreeSet, sync::Mutex};

use async_trait::async_trait;
use claudecluster_protocol::{
    BlobId, ErrorBody, ErrorKind, EventSeq, GoalId, GoalSpec, PermissionId, RelPath,
    api::{Answer, Call, Decision},
    content::PendingSide,
    event::Verdict,
    permission::{PermissionAnswer, PermissionDecision},
};
use claudecluster_service::{
    Caller, EventReceiver, Permit, Right, Rights, Service, ServiceClient, TypedCalls, right_needed,
};
use tokio::sync::mpsc;

use crate::world::World;

/// Answers everything, and records what reached it with the caller's name.
#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

#[async_trait]
impl Service for Recorder {
    async fn answer(&self, permit: Permit<'_>, _: Call) -> Result<Answer, ErrorBody> {
        self.0
            .lock()
            .unwrap()
            .push(permit.caller_name().to_string());
        Ok(Answer::Done)
    }

    fn stream(&self, _: Permit<'_>, _: Option<GoalId>, _: Option<EventSeq>) -> EventReceiver {
        self.0.lock().unwrap().push("stream".into());
        mpsc::channel(1).1
    }
}

/// One call of every kind, with the right that it needs.
fn table() -> Vec<(Call, Right)> {
    let goal_id = GoalId::new("g1");
    let decide = [
        Call::Submit {
            spec: Box::new(GoalSpec::new("/tmp", "do it")),
            again: false,
        },
        Call::Decide {
            decision: Decision::new(goal_id.clone(), Verdict::Accept),
        },
        Call::Cancel {
            goal_id: goal_id.clone(),
        },
        Call::Retry {
            goal_id: goal_id.clone(),
            task_id: None,
        },
        Call::Approve {
            goal_id: goal_id.clone(),
            plan: None,
            shown: None,
            task_id: None,
        },
        Call::Permit {
            answer: PermissionAnswer::new(PermissionId::new("p1"), PermissionDecision::Deny),
        },
    ];
    let look = [
        Call::Goals,
        Call::Goal {
            goal_id: goal_id.clone(),
        },
        Call::Watch {
            goal_id: None,
            after: None,
            attended: false,
        },
        Call::Hunks {
            goal_id: None,
            path: None,
        },
        Call::Diff {
            goal_id: goal_id.clone(),
            task_id: None,
            path: None,
            hunk_id: None,
        },
        Call::Content {
            goal_id: goal_id.clone(),
            path: RelPath::new("a").unwrap(),
            side: PendingSide::Base,
        },
        Call::Permissions,
        Call::Artifacts { goal_id },
        Call::Blob {
            id: BlobId::new("b"),
        },
        Call::Status,
    ];
    let administer = [Call::Stop { force: false }];
    let rows = |calls: Vec<Call>, right| calls.into_iter().map(move |call| (call, right));
    rows(look.into(), Right::Look)
        .chain(rows(decide.into(), Right::Decide))
        .chain(rows(administer.into(), Right::Administer))
        .collect()
}

fn caller(rights: Rights) -> Caller {
    Caller {
        rights,
        ..Caller::editor("an editor")
    }
}

fn every_set_of_rights() -> impl Iterator<Item = Rights> {
    (0..8).map(|bits| Rights {
        look: bits & 1 != 0,
        decide: bits & 2 != 0,
        administer: bits & 4 != 0,
    })
}

#[test]
fn the_table_has_every_call() {
    let schema = serde_json::to_value(schemars::schema_for!(Call)).unwrap();
    let variants = schema["oneOf"].as_array().unwrap();
    let all: BTreeSet<_> = variants
        .iter()
        .map(|variant| variant["properties"]["method"]["const"].as_str().unwrap())
        .collect();
    let table = table();
    let written = table
        .iter()
        .map(|(call, _)| serde_json::to_value(call).unwrap());
    let tested: Vec<_> = written
        .map(|call| call["method"].as_str().unwrap().to_owned())
        .collect();
    let tested: BTreeSet<_> = tested.iter().map(String::as_str).collect();
    assert_eq!(tested, all);
}

#[tokio::test]
async fn a_call_is_answered_exactly_where_the_caller_has_its_right() {
    for (call, right) in table() {
        assert_eq!(right_needed(&call), right, "{call:?}");
        for rights in every_set_of_rights() {
            let service = Recorder::default();
            let answer = service.call(&caller(rights), call.clone()).await;
            let reached = service.0.into_inner().unwrap();
            if rights.include(right) {
                assert_eq!(answer, Ok(Answer::Done), "{call:?} {rights:?}");
                assert_eq!(reached, ["an editor"]);
            } else {
                let error = answer.unwrap_err();
                assert_eq!(error.kind, ErrorKind::User);
                assert!(error.message.starts_with("an editor may not "), "{error}");
                assert!(error.hint.is_some());
                assert_eq!(reached, [""; 0], "{call:?} {rights:?}");
            }
        }
    }
}

#[tokio::test]
async fn events_are_for_callers_who_may_look() {
    for rights in every_set_of_rights() {
        let service = Recorder::default();
        let events = service.events(&caller(rights), None, None);
        assert_eq!(events.is_ok(), rights.look, "{rights:?}");
        assert_eq!(
            service.0.into_inner().unwrap().len(),
            usize::from(rights.look)
        );
    }
}

#[tokio::test]
async fn a_caller_who_only_looks_changes_nothing() {
    let world = World::start().await;
    let client = ServiceClient::new(world.driver.clone(), Caller::daemon());
    let error = client.submit_once(world.spec("do it")).await.unwrap_err();
    assert_eq!(
        error.message,
        "the daemon may not start goals or decide about them"
    );
    let goals = client.goals().await.unwrap();
    assert_eq!((goals.value, goals.as_of), (Vec::new(), EventSeq(0)));
    assert!(client.events(None, None).is_ok());
}

#[tokio::test]
async fn the_driver_does_not_stop_the_daemon() {
    let world = World::start().await;
    let stop = Call::Stop { force: true };
    let error = world
        .driver
        .call(&Caller::command_line(), stop)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Internal);
}
