//! The store without a disk, for the simulator and for tests of what stands on the store.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use claudecluster_protocol::{BlobId, Event, EventSeq, GoalId};

use crate::NewEvent;

#[derive(Debug, Default)]
pub(crate) struct MemoryBackend {
    state: Mutex<MemoryState>,
}

#[derive(Debug, Default)]
struct MemoryState {
    events: Vec<Event>,
    blobs: HashMap<BlobId, Vec<u8>>,
}

impl MemoryBackend {
    fn lock_state(&self) -> std::sync::MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn append_events(&self, events: Vec<NewEvent>) -> Vec<Event> {
        let mut state = self.lock_state();
        let first = state.events.len() as u64 + 1;
        let placed: Vec<Event> = (first..)
            .zip(events)
            .map(|(seq, event)| event.with_seq(EventSeq(seq)))
            .collect();
        state.events.extend_from_slice(&placed);
        placed
    }

    pub(crate) fn read_events(&self, after: EventSeq, goal: Option<&GoalId>) -> Vec<Event> {
        let state = self.lock_state();
        let skip = usize::try_from(after.0).unwrap_or(usize::MAX);
        let wanted = |event: &&Event| goal.is_none_or(|goal| event.goal_id == *goal);
        state
            .events
            .iter()
            .skip(skip)
            .filter(wanted)
            .cloned()
            .collect()
    }

    pub(crate) fn last_seq(&self) -> EventSeq {
        EventSeq(self.lock_state().events.len() as u64)
    }

    pub(crate) fn put_blob(&self, id: BlobId, bytes: &[u8]) {
        self.lock_state()
            .blobs
            .entry(id)
            .or_insert_with(|| bytes.into());
    }

    pub(crate) fn get_blob(&self, id: &BlobId) -> Option<Vec<u8>> {
        self.lock_state().blobs.get(id).cloned()
    }

    pub(crate) fn blob_len(&self, id: &BlobId) -> Option<u64> {
        self.lock_state()
            .blobs
            .get(id)
            .map(|bytes| bytes.len() as u64)
    }
}
