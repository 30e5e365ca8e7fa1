//! Goals, their plans and their permission requests in an editor.

mod from_position;
mod permission;
mod plan;
