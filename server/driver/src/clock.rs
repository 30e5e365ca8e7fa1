//! The clock of events.

use std::time::{SystemTime, UNIX_EPOCH};

use claudecluster_protocol::Timestamp;

/// Returns the current time as the journal records it.
pub(crate) fn now() -> Timestamp {
    let millis = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis());
    Timestamp(u64::try_from(millis).unwrap_or(u64::MAX))
}
