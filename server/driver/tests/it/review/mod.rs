//! Pending hunks and blame, as they are shown.

mod origins;
mod reviews;
