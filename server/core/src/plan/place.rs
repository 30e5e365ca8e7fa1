//! Places in a plan, as paths of keys.

use std::fmt;

/// A place in a plan, as a path of keys: `tasks[2].dependsOn[0]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Place(Vec<Step>);

/// One step of a path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Step {
    /// Into an object.
    Key(String),
    /// Into an array, counting from 0.
    Index(usize),
}

impl Place {
    /// A key of the plan itself.
    pub fn key(key: &str) -> Self {
        Self::default().with(key)
    }

    /// A task.
    pub fn task(index: usize) -> Self {
        Self::key("tasks").at(index)
    }

    /// A key of what is at this place.
    #[must_use]
    pub fn with(mut self, key: &str) -> Self {
        self.0.push(Step::Key(key.to_owned()));
        self
    }

    /// An element of what is at this place.
    #[must_use]
    pub fn at(mut self, index: usize) -> Self {
        self.0.push(Step::Index(index));
        self
    }

    /// The steps from the plan to this place.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// What this is a key or an element of, and the last step; `None` for the plan itself.
    pub fn split_last(&self) -> Option<(Place, &Step)> {
        let (last, above) = self.0.split_last()?;
        Some((Self(above.to_vec()), last))
    }

    /// Whether this is `other` or lies in it.
    pub fn is_in(&self, other: &Place) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The task this is about, by its index.
    pub fn task_index(&self) -> Option<usize> {
        match self.0.as_slice() {
            [Step::Key(key), Step::Index(index), ..] if key == "tasks" => Some(*index),
            _ => None,
        }
    }
}

impl FromIterator<Step> for Place {
    fn from_iter<T: IntoIterator<Item = Step>>(steps: T) -> Self {
        Self(steps.into_iter().collect())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if i == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
