//! What the editor's settings say, one layer over the other: what came with `initialize`, and what the
//! client has told since.

use std::{collections::BTreeSet, sync::Mutex};

use claudecluster_protocol::editor::{EditorSettings, SECTION};
use serde_json::{Value, json};

use crate::session::lock;

/// The settings of one connection.
#[derive(Default)]
pub(crate) struct Settings(Mutex<Layers>);

#[derive(Default)]
struct Layers {
    initial: EditorSettings,
    client: EditorSettings,
    /// What is wrong with each, one sentence a mistake.
    wrong: (BTreeSet<String>, BTreeSet<String>),
    /// Mistakes that the user has been told of and that are still there.
    told: BTreeSet<String>,
    /// How often the client has been asked or has told.
    turns: u64,
    /// The turn that `client` is of.
    taken: u64,
}

/// Tells an answer of the client from the answer to an earlier question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Turn(u64);

impl Settings {
    /// Takes what came with `initialize`.
    pub(crate) fn initialize(&self, options: Option<&Value>) {
        let Some(options) = options else {
            return;
        };
        let (section, place) = match options.get(SECTION) {
            Some(section) => (section, format!("initializationOptions.{SECTION}")),
            None => (options, "initializationOptions".to_owned()),
        };
        let (settings, wrong) = read(section, &place);
        let mut layers = lock(&self.0);
        layers.initial = settings;
        layers.wrong.0 = wrong;
    }

    /// What holds now.
    pub(crate) fn now(&self) -> EditorSettings {
        let layers = lock(&self.0);
        layers.client.clone().over(layers.initial.clone())
    }

    /// The next turn: taken where the client is asked, or where it tells, in the order of the wire.
    pub(crate) fn turn(&self) -> Turn {
        let mut layers = lock(&self.0);
        layers.turns += 1;
        Turn(layers.turns)
    }

    /// Takes the section as the client has it, unless something newer has been taken already.
    pub(crate) fn take(&self, turn: Turn, section: &Value) {
        let (settings, wrong) = read(section, SECTION);
        let mut layers = lock(&self.0);
        if turn.0 > layers.taken {
            layers.taken = turn.0;
            layers.client = settings;
            layers.wrong.1 = wrong;
        }
    }

    /// The mistakes that the user has not been told of yet. They count as told from here on, until
    /// they are gone.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut layers = lock(&self.0);
        let now: BTreeSet<_> = layers.wrong.0.union(&layers.wrong.1).cloned().collect();
        let new = now.difference(&layers.told).cloned().collect();
        layers.told = now;
        new
    }
}

/// Reads key by key: one that is wrong costs no other.
fn read(section: &Value, place: &str) -> (EditorSettings, BTreeSet<String>) {
    let mut settings = EditorSettings::default();
    let mut wrong = BTreeSet::new();
    match section {
        Value::Null => {}
        // What a table without keys becomes in clients written in Lua.
        Value::Array(items) if items.is_empty() => {}
        Value::Object(keys) => {
            for (key, value) in keys {
                match serde_path_to_error::deserialize::<_, EditorSettings>(json!({ key: value })) {
                    Ok(one) => settings = one.over(settings),
                    Err(error) => {
                        let path = error.path().to_string();
                        wrong.insert(format!("{place}.{path}: {}", error.into_inner()));
                    }
                }
            }
        }
        _ => {
            wrong.insert(format!("{place}: expected an object"));
        }
    }
    (settings, wrong)
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::editor::DefaultScope;

    use super::*;

    #[test]
    fn a_mistake_is_named_and_costs_no_other_key() {
        let check = |section: Value, expected: &[&str]| {
            let (settings, wrong) = read(&section, "claudecluster");
            let wrong: Vec<_> = wrong.into_iter().collect();
            assert_eq!(wrong.len(), expected.len(), "{wrong:?}");
            for (wrong, expected) in wrong.iter().zip(expected) {
                assert!(wrong.contains(expected), "{wrong}");
            }
            settings
        };
        for nothing in [json!(null), json!({}), json!([])] {
            assert_eq!(check(nothing, &[]), EditorSettings::default());
        }
        check(json!("fast"), &["claudecluster: expected an object"]);
        let settings = check(
            json!({
                "agent": "gpt",
                "budgetUsd": -1,
                "gates": ["true", 3],
                "jobs": 0,
                "model": "a-model",
                "modle": "x",
                "scope": "files",
            }),
            &[
                "claudecluster.agent: unknown variant `gpt`",
                "claudecluster.budgetUsd: the amount must be zero or more",
                "claudecluster.gates[1]:",
                "claudecluster.jobs: invalid value: integer `0`",
                "claudecluster.modle: unknown field `modle`",
                "claudecluster.scope: unknown variant `files`",
            ],
        );
        let expected = EditorSettings {
            model: Some("a-model".into()),
            ..EditorSettings::default()
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn the_clients_newest_word_is_over_what_came_first() {
        let settings = Settings::default();
        settings.initialize(Some(&json!({"jobs": 2, "scope": "workspace"})));
        let (asked, told) = (settings.turn(), settings.turn());
        settings.take(told, &json!({"jobs": 3}));
        // The answer to an earlier question.
        settings.take(asked, &json!({"jobs": 4}));
        let now = settings.now();
        assert_eq!(now.jobs.map(std::num::NonZeroU32::get), Some(3));
        assert_eq!(now.scope, Some(DefaultScope::Workspace));
        // What is taken out of the settings holds no longer.
        settings.take(settings.turn(), &Value::Null);
        assert_eq!(settings.now().jobs.map(std::num::NonZeroU32::get), Some(2));
    }

    #[test]
    fn a_mistake_is_told_once_until_it_is_gone() {
        let settings = Settings::default();
        settings.initialize(Some(&json!({SECTION: {"events": "yes"}})));
        let told = settings.complaints();
        assert!(
            told[0].starts_with("initializationOptions.claudecluster.events: "),
            "{told:?}"
        );
        for (section, expected) in [
            (json!({"jobs": "many"}), 1),
            (json!({"jobs": "many"}), 0),
            (json!({}), 0),
            (json!({"jobs": "many"}), 1),
        ] {
            settings.take(settings.turn(), &section);
            assert_eq!(settings.complaints().len(), expected, "{section}");
        }
    }
}
