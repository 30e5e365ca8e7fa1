//! The editor's settings: those of `initialize`, overlaid by those the client has sent since.

use std::collections::BTreeSet;

use claudecluster_protocol::editor::{EditorSettings, SECTION};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// The settings of one connection.
#[derive(Default)]
pub(crate) struct SettingsStore(Mutex<SettingsLayers>);

#[derive(Default)]
struct SettingsLayers {
    /// The settings of `initializationOptions`.
    initial: EditorSettings,
    /// The settings that the client has sent since.
    client: EditorSettings,
    /// The mistakes in `initial` and in `client`, one sentence each.
    mistakes: (BTreeSet<String>, BTreeSet<String>),
    /// The mistakes that have been reported to the user and still exist.
    reported: BTreeSet<String>,
    /// The last revision that was given out.
    last_revision: SettingsRevision,
    /// The revision of `client`.
    client_revision: SettingsRevision,
}

/// The order of questions to the client and messages from it.
///
/// An answer that arrives late must not replace newer settings.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Default, Debug)]
pub(crate) struct SettingsRevision(u64);

impl SettingsStore {
    /// Reads the `initializationOptions` of `initialize`.
    pub(crate) fn read_options(&self, options: Option<&Value>) {
        let Some(options) = options else {
            return;
        };
        let (section, place) = match options.get(SECTION) {
            Some(section) => (section, format!("initializationOptions.{SECTION}")),
            None => (options, "initializationOptions".to_owned()),
        };
        let (settings, mistakes) = read_section(section, &place);
        let mut layers = self.0.lock();
        layers.initial = settings;
        layers.mistakes.0 = mistakes;
    }

    /// Returns the settings that apply now.
    pub(crate) fn current(&self) -> EditorSettings {
        let layers = self.0.lock();
        layers
            .client
            .clone()
            .with_defaults_from(layers.initial.clone())
    }

    /// Returns a new revision.
    ///
    /// Callers take it when they ask the client or receive its message, in the order of the wire.
    pub(crate) fn next_revision(&self) -> SettingsRevision {
        let mut layers = self.0.lock();
        layers.last_revision.0 += 1;
        layers.last_revision
    }

    /// Replaces the client's settings, unless they are of a newer revision.
    pub(crate) fn replace_client(&self, revision: SettingsRevision, section: &Value) {
        let (settings, mistakes) = read_section(section, SECTION);
        let mut layers = self.0.lock();
        if revision > layers.client_revision {
            layers.client_revision = revision;
            layers.client = settings;
            layers.mistakes.1 = mistakes;
        }
    }

    /// Returns the mistakes that have not been reported yet, and counts them as reported.
    ///
    /// A mistake that was corrected and is made again is returned again.
    pub(crate) fn take_mistakes(&self) -> Vec<String> {
        let mut layers = self.0.lock();
        let now: BTreeSet<_> = layers
            .mistakes
            .0
            .union(&layers.mistakes.1)
            .cloned()
            .collect();
        let new = now.difference(&layers.reported).cloned().collect();
        layers.reported = now;
        new
    }
}

/// Reads a section key by key, so that a wrong value affects no other key.
///
/// Returns the settings and one sentence for each mistake.
fn read_section(section: &Value, place: &str) -> (EditorSettings, BTreeSet<String>) {
    let mut settings = EditorSettings::default();
    let mut wrong = BTreeSet::new();
    match section {
        Value::Null => {}
        // Clients written in Lua send a table without keys as an array.
        Value::Array(items) if items.is_empty() => {}
        Value::Object(keys) => {
            for (key, value) in keys {
                match serde_path_to_error::deserialize::<_, EditorSettings>(json!({ key: value })) {
                    Ok(one) => settings = one.with_defaults_from(settings),
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
    fn a_mistake_is_named_and_affects_no_other_key() {
        let check = |section: Value, expected: &[&str]| {
            let (settings, wrong) = read_section(&section, "claudecluster");
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
    fn the_clients_newest_settings_override_the_initial_ones() {
        let settings = SettingsStore::default();
        settings.read_options(Some(&json!({"jobs": 2, "scope": "workspace"})));
        let (asked, told) = (settings.next_revision(), settings.next_revision());
        settings.replace_client(told, &json!({"jobs": 3}));
        // The answer to an earlier question.
        settings.replace_client(asked, &json!({"jobs": 4}));
        let now = settings.current();
        assert_eq!(now.jobs.map(std::num::NonZeroU32::get), Some(3));
        assert_eq!(now.scope, Some(DefaultScope::Workspace));
        // A removed setting no longer applies.
        settings.replace_client(settings.next_revision(), &Value::Null);
        assert_eq!(
            settings.current().jobs.map(std::num::NonZeroU32::get),
            Some(2)
        );
    }

    #[test]
    fn a_mistake_is_reported_once_until_it_is_corrected() {
        let settings = SettingsStore::default();
        settings.read_options(Some(&json!({SECTION: {"events": "yes"}})));
        let told = settings.take_mistakes();
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
            settings.replace_client(settings.next_revision(), &section);
            assert_eq!(settings.take_mistakes().len(), expected, "{section}");
        }
    }
}
