//! Goals as they are submitted.

mod submit;
