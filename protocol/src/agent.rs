//! What agents can do, as data. Code that treats agents differently reads this and never compares names.

use crate::plan::AgentName;

/// Lists the capabilities of an agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AgentCapabilities {
    /// The input the agent works from: instructions or a command.
    pub input: AgentInput,
    /// The agent can turn a goal into a plan.
    pub plans: bool,
    /// A session can start with a copy of another session's context.
    pub forks: bool,
    /// A session can continue one that has ended.
    pub resumes: bool,
    /// The agent asks for permission while it works, and waits for the answer.
    pub asks_permission: bool,
    /// The agent reports the cost of a session, so that a budget can end the session.
    pub reports_cost: bool,
    /// The agent needs a model provider, and therefore sees the developer's keys.
    pub needs_provider: bool,
}

/// Names the input an agent works from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AgentInput {
    /// A task's `instructions`.
    #[default]
    Instructions,
    /// A task's `run`.
    Command,
}

/// The capabilities of every agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AgentCatalog([AgentCapabilities; AgentName::ALL.len()]);

impl AgentCatalog {
    /// Builds the catalog by asking for each agent's capabilities.
    pub fn new(capabilities: impl FnMut(AgentName) -> AgentCapabilities) -> Self {
        Self(AgentName::ALL.map(capabilities))
    }

    /// Returns the capabilities of `agent`.
    pub fn get(&self, agent: AgentName) -> AgentCapabilities {
        self.0[agent as usize]
    }

    /// Lists the agents that `matches` accepts, preferred ones first, as words: `` `a`, `b` or `c` ``.
    pub fn list_names(&self, matches: impl Fn(AgentCapabilities) -> bool) -> String {
        let names: Vec<String> = AgentName::ALL
            .into_iter()
            .filter(|&agent| matches(self.get(agent)))
            .map(|agent| format!("`{agent}`"))
            .collect();
        match names.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => names.concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_agent_has_its_own_entry() {
        for agent in AgentName::ALL {
            let catalog = AgentCatalog::new(|name| AgentCapabilities {
                plans: name == agent,
                ..AgentCapabilities::default()
            });
            let planning = AgentName::ALL.map(|name| catalog.get(name).plans);
            assert_eq!(planning, AgentName::ALL.map(|name| name == agent));
            assert_eq!(catalog.list_names(|one| one.plans), format!("`{agent}`"));
        }
    }

    #[test]
    fn lists_are_words() {
        let catalog = AgentCatalog::default();
        assert_eq!(
            catalog.list_names(|_| true),
            "`claude-code`, `native` or `command`"
        );
        assert_eq!(catalog.list_names(|_| false), "");
    }
}
