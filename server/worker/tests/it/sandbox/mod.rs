//! Views of a workspace and the change sets that leave them.

mod changes;
mod equivalence;
mod isolation;
mod privileges;
