//! Places in a plan, as paths of keys.

use std::fmt;

/// A place in a plan, as a path of keys: `tasks[2].dependsOn[0]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct PlanPath(Vec<PlanPathStep>);

/// One step of a path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum PlanPathStep {
    /// Into an object.
    Key(String),
    /// Into an array, counting from 0.
    Index(usize),
}

impl PlanPath {
    /// Makes the place of a key of the plan itself.
    pub fn from_key(key: &str) -> Self {
        Self::default().join_key(key)
    }

    /// Makes the place of a task.
    pub fn of_task(index: usize) -> Self {
        Self::from_key("tasks").join_index(index)
    }

    /// Returns the place of a key below this one.
    #[must_use]
    pub fn join_key(mut self, key: &str) -> Self {
        self.0.push(PlanPathStep::Key(key.to_owned()));
        self
    }

    /// Returns the place of an element below this one.
    #[must_use]
    pub fn join_index(mut self, index: usize) -> Self {
        self.0.push(PlanPathStep::Index(index));
        self
    }

    /// Returns the steps from the plan to this place.
    pub fn steps(&self) -> &[PlanPathStep] {
        &self.0
    }

    /// Returns the parent of this place, and the last step; `None` for the plan itself.
    pub fn split_last(&self) -> Option<(PlanPath, &PlanPathStep)> {
        let (last, above) = self.0.split_last()?;
        Some((Self(above.to_vec()), last))
    }

    /// Returns whether this place is `other` or lies in `other`.
    pub fn is_in(&self, other: &PlanPath) -> bool {
        self.0.starts_with(&other.0)
    }

    /// Returns the index of the task that holds this place.
    pub fn task_index(&self) -> Option<usize> {
        match self.0.as_slice() {
            [PlanPathStep::Key(key), PlanPathStep::Index(index), ..] if key == "tasks" => {
                Some(*index)
            }
            _ => None,
        }
    }
}

impl FromIterator<PlanPathStep> for PlanPath {
    fn from_iter<T: IntoIterator<Item = PlanPathStep>>(steps: T) -> Self {
        Self(steps.into_iter().collect())
    }
}

impl fmt::Display for PlanPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                PlanPathStep::Key(key) if i == 0 => f.write_str(key)?,
                PlanPathStep::Key(key) => write!(f, ".{key}")?,
                PlanPathStep::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
