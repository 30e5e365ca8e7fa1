//! Views of a workspace and the change sets that leave them.

mod changes;
mod control;
mod equivalence;
mod fences;
mod isolation;
mod limits;
mod privileges;
