//! One event as it stands in the journal.

use claudecluster_protocol::{Event, EventBody, EventSeq, GoalId, Timestamp};
use rusqlite::Row;

use crate::StoreError;

/// An event that has no place in the journal yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewEvent {
    /// The moment of the event.
    pub at: Timestamp,
    /// The goal it happened to.
    pub goal: GoalId,
    /// The event itself.
    pub body: EventBody,
}

impl NewEvent {
    /// Returns the event at its place.
    pub(crate) fn with_seq(self, seq: EventSeq) -> Event {
        Event {
            seq,
            at: self.at,
            goal_id: self.goal,
            body: self.body,
        }
    }
}

/// Computes a row's checksum over every column that matters. Each column goes in with its length,
/// so that no two different rows have the same input.
pub(crate) fn row_checksum(seq: EventSeq, at: Timestamp, goal: &str, body: &str) -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    hash.update(&seq.0.to_le_bytes());
    hash.update(&at.0.to_le_bytes());
    hash.update(&(goal.len() as u64).to_le_bytes());
    hash.update(goal.as_bytes());
    hash.update(body.as_bytes());
    *hash.finalize().as_bytes()
}

/// Reads `seq, at, goal, body, checksum` and verifies them.
pub(crate) fn decode_row(row: &Row<'_>) -> Result<Event, StoreError> {
    let seq: i64 = row
        .get(0)
        .map_err(StoreError::database("read the number of an event"))?;
    let seq = EventSeq(seq.cast_unsigned());
    let corrupt = |reason: String| StoreError::CorruptEvent { seq, reason };
    let column = |e: rusqlite::Error| corrupt(e.to_string());

    let at = Timestamp(row.get::<_, i64>(1).map_err(column)?.cast_unsigned());
    let goal: String = row.get(2).map_err(column)?;
    let body = row.get_ref(3).map_err(column)?;
    let body = body.as_str().map_err(|e| corrupt(e.to_string()))?;
    let stored = row.get_ref(4).map_err(column)?;
    let stored = stored.as_blob().map_err(|e| corrupt(e.to_string()))?;
    if stored != row_checksum(seq, at, &goal, body) {
        return Err(corrupt("its checksum does not match".to_owned()));
    }
    let body = serde_json::from_str(body).map_err(|e| corrupt(e.to_string()))?;
    Ok(Event {
        seq,
        at,
        goal_id: GoalId::new(goal),
        body,
    })
}
