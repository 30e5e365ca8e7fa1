//! Calls as methods: what each returns, and what an answer to another question becomes.

use async_trait::async_trait;
use claudecluster_protocol::{
    BlobId, ErrorBody, ErrorKind, GoalId, GoalState, TaskId,
    api::{Answer, Call},
};
use claudecluster_service::TypedCalls;

use crate::world::{World, is_last};

/// Answers every call with the same.
struct Always(Answer);

#[async_trait]
impl TypedCalls for Always {
    async fn send_call(&self, _: Call) -> Result<Answer, ErrorBody> {
        Ok(self.0.clone())
    }
}

#[tokio::test]
async fn an_answer_to_another_question_is_a_mistake_of_ours() {
    let check = |error: ErrorBody, name: &str| {
        assert_eq!(error.kind, ErrorKind::Internal);
        assert_eq!(
            error.message,
            format!("unexpected reply from the daemon: `{name}`")
        );
        assert!(error.hint.is_some());
    };
    let wrong = Always(Answer::Done);
    check(wrong.goals().await.unwrap_err(), "done");
    check(wrong.status().await.unwrap_err(), "done");
    let hunks = Always(Answer::Hunks { hunks: Vec::new() });
    check(hunks.cancel(&GoalId::new("g1")).await.unwrap_err(), "hunks");
}

#[tokio::test]
async fn bytes_that_are_not_base64_are_an_error() {
    let damaged = Always(Answer::Blob {
        base64: "?".to_owned(),
    });
    let error = damaged.blob(&BlobId::new("b")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Internal);
}

#[tokio::test]
async fn a_goal_is_started_looked_at_and_cancelled() {
    let world = World::start().await;
    let client = &world.client;
    let mut events = client.events(None, None).unwrap();
    let goal = client.submit_once(world.spec("do it")).await.unwrap();
    assert_eq!(goal.duplicate_of, None);
    let again = client.submit_once(world.spec("do it")).await.unwrap();
    assert_eq!(again.duplicate_of.as_ref(), Some(&goal.goal_id));
    loop {
        match events.recv().await.unwrap() {
            claudecluster_protocol::event::StreamItem::Event(event) if is_last(&event.body) => {
                break;
            }
            _ => {}
        }
    }
    let goal = goal.goal_id;
    let state = client.goal(&goal).await.unwrap().value.summary.state;
    assert_eq!(state, GoalState::AwaitingApproval);
    assert_eq!(client.hunks(None, None).await.unwrap(), []);
    assert_eq!(client.permissions().await.unwrap(), []);
    assert_eq!(client.status().await.unwrap().editors, 0);
    let kinds: Vec<_> = client.artifacts(&goal).await.unwrap();
    for artifact in kinds {
        client.blob(&artifact.id).await.unwrap();
    }

    let error = client
        .approve_task(&goal, &TaskId::new("nowhere"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::User);
    client.cancel(&goal).await.unwrap();
    let state = client.goal(&goal).await.unwrap().value.summary.state;
    assert_eq!(state, GoalState::Cancelled);
    let error = client.goal(&GoalId::new("g9")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::User);
}
