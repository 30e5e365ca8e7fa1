//! A whole driver on a real workspace, with agents and sandboxes left out.

mod goal;
mod landing;
mod model;
mod review;
mod support;
