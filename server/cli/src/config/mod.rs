//! Combines the settings: defaults, the user's file, the environment, and a command's options for
//! its goal. The workspace's file comes last and only narrows.

pub(crate) mod file;
pub(crate) mod keys;
pub(crate) mod write;

use std::{
    collections::BTreeMap,
    env, fmt, io,
    path::{Path, PathBuf},
};

use claudecluster_driver::settings::{DriverSettings, WorkspaceSettings};
use claudecluster_files::{open_regular_file, read_named_file, read_open_file};
use claudecluster_protocol::ErrorBody;
use etcetera::BaseStrategy;
use serde_json::{Map, Value};

use file::{ConfigEntry, ConfigOwner, ConfigProblem};
use keys::{ConfigKey, KEYS};

/// Names the workspace's configuration file.
pub(crate) const WORKSPACE_FILE: &str = ".claudecluster.toml";

/// Limits the size of a configuration file.
const FILE_LIMIT: u64 = 1 << 20;

/// Lists the variables with our prefix that are no settings.
const RESERVED: [&str; 3] = [
    "CLAUDECLUSTER_HOME",
    "CLAUDECLUSTER_CONFIG",
    "CLAUDECLUSTER_SERVER",
];

/// Names the origin of a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ConfigOrigin {
    Default,
    File(PathBuf, usize),
    Workspace(PathBuf, usize),
    Environment(String),
}

impl fmt::Display for ConfigOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(file, line) | Self::Workspace(file, line) => {
                write!(f, "{}:{line}", file.display())
            }
            Self::Environment(name) => f.write_str(name),
        }
    }
}

/// Holds the settings in effect, and the origin of each.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) settings: DriverSettings,
    origins: BTreeMap<&'static str, ConfigOrigin>,
}

impl Config {
    /// Returns the origin of a key's value.
    pub(crate) fn origin(&self, key: &ConfigKey) -> ConfigOrigin {
        self.origins
            .get(key.path)
            .cloned()
            .unwrap_or(ConfigOrigin::Default)
    }

    /// Returns the default value of a key.
    pub(super) fn default_value(key: &ConfigKey) -> Value {
        let config = Self {
            settings: DriverSettings::default(),
            origins: BTreeMap::new(),
        };
        config.value(key)
    }

    /// Returns a key's value, or null if the key has neither a value nor a default.
    pub(crate) fn value(&self, key: &ConfigKey) -> Value {
        let all = serde_json::to_value(&self.settings).unwrap_or_default();
        let pointer = format!("/{}", key.path.replace('.', "/"));
        all.pointer(&pointer).cloned().unwrap_or_default()
    }
}

/// Names the sources of the settings.
#[derive(Clone, Debug)]
pub(crate) struct ConfigSources {
    /// The path of the user's file, which need not exist.
    pub(crate) user_file: PathBuf,
    /// Whether `CLAUDECLUSTER_CONFIG` names the user's file. Then the file has to exist.
    named: bool,
    /// The variables that start with `CLAUDECLUSTER_`.
    variables: Vec<(String, String)>,
}

impl ConfigSources {
    /// Returns the sources of this process.
    pub(crate) fn of_process() -> Result<Self, ErrorBody> {
        let variables = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with("CLAUDECLUSTER_"))
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect();
        let named = env::var_os("CLAUDECLUSTER_CONFIG").filter(|file| !file.is_empty());
        let user_file = match &named {
            Some(file) => std::path::absolute(file)
                .map_err(|e| ErrorBody::config(format!("CLAUDECLUSTER_CONFIG: {e}")))?,
            None => etcetera::choose_base_strategy()
                .map_err(|e| {
                    ErrorBody::environment(format!("cannot find the home folder: {e}"))
                        .with_hint("set HOME or CLAUDECLUSTER_CONFIG")
                })?
                .config_dir()
                .join("claudecluster")
                .join("config.toml"),
        };
        Ok(Self {
            user_file,
            named: named.is_some(),
            variables,
        })
    }

    /// Returns sources without a file and with these variables only, for the demo.
    pub(crate) fn only(variables: Vec<(String, String)>) -> Self {
        Self {
            user_file: PathBuf::new(),
            named: false,
            variables,
        }
    }

    /// Loads the settings for a workspace, or without one. The first mistake is an error.
    pub(crate) fn load(&self, workspace: Option<&Path>) -> Result<Config, ErrorBody> {
        let (config, problems) = self.load_all(workspace)?;
        match problems.into_iter().next() {
            Some(problem) => Err(problem.into()),
            None => Ok(config),
        }
    }

    /// Loads the valid settings, and returns every mistake.
    pub(crate) fn load_all(
        &self,
        workspace: Option<&Path>,
    ) -> Result<(Config, Vec<ConfigProblem>), ErrorBody> {
        let mut problems = Vec::new();
        let mut origins = BTreeMap::new();
        let mut settings = DriverSettings::default();

        let (entries, wrong) = self.read(&self.user_file, ConfigOwner::User)?;
        problems.extend(wrong);
        settings = overlay(&settings, &entries)?;
        for entry in &entries {
            let origin = ConfigOrigin::File(self.user_file.clone(), entry.line);
            origins.insert(entry.key.path, origin);
        }

        let (entries, wrong) = self.read_environment();
        problems.extend(wrong);
        settings = overlay(&settings, &entries)?;
        for entry in &entries {
            origins.insert(
                entry.key.path,
                ConfigOrigin::Environment(entry.key.variable()),
            );
        }

        if let Some(workspace) = workspace {
            let path = workspace.join(WORKSPACE_FILE);
            let (entries, wrong) = self.read(&path, ConfigOwner::Workspace)?;
            problems.extend(wrong);
            let before = settings.clone();
            let narrowing: WorkspaceSettings = overlay(&WorkspaceSettings::default(), &entries)?;
            settings = settings.restrict(&narrowing);
            note_narrowed(&before, &settings, &path, &entries, &mut origins);
        }
        Ok((Config { settings, origins }, problems))
    }

    /// Loads a workspace's file. The first mistake in the file is an error.
    pub(crate) fn narrowing(&self, workspace: &Path) -> Result<WorkspaceSettings, ErrorBody> {
        let (entries, problems) =
            self.read(&workspace.join(WORKSPACE_FILE), ConfigOwner::Workspace)?;
        match problems.into_iter().next() {
            Some(problem) => Err(problem.into()),
            None => overlay(&WorkspaceSettings::default(), &entries),
        }
    }

    /// Returns the variables with our prefix that name no setting.
    pub(crate) fn unknown_variables(&self) -> Vec<String> {
        self.variables
            .iter()
            .map(|(name, _)| name.clone())
            .filter(|name| !RESERVED.contains(&name.as_str()))
            .filter(|name| !KEYS.iter().any(|key| key.variable() == *name))
            .collect()
    }

    fn read(
        &self,
        path: &Path,
        owner: ConfigOwner,
    ) -> Result<(Vec<ConfigEntry>, Vec<ConfigProblem>), ErrorBody> {
        match read_text(path, owner) {
            Ok(text) => Ok(file::read_config(path, &text, owner)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                if owner == ConfigOwner::User && self.named {
                    return Err(
                        ErrorBody::config(format!("{} does not exist", path.display()))
                            .with_hint("create it, or unset CLAUDECLUSTER_CONFIG"),
                    );
                }
                Ok((Vec::new(), Vec::new()))
            }
            Err(e) => Err(ErrorBody::config(format!(
                "cannot read {}: {e}",
                path.display()
            ))),
        }
    }

    fn read_environment(&self) -> (Vec<ConfigEntry>, Vec<ConfigProblem>) {
        let mut entries = Vec::new();
        let mut problems = Vec::new();
        for key in &KEYS {
            let name = key.variable();
            let Some((_, text)) = self
                .variables
                .iter()
                .find(|(n, v)| *n == name && !v.is_empty())
            else {
                continue;
            };
            match key.read(text) {
                Ok(value) => entries.push(ConfigEntry {
                    key,
                    value,
                    line: 0,
                }),
                Err(message) => problems.push(ConfigProblem {
                    file: PathBuf::from("environment"),
                    line: 0,
                    key: Some(name),
                    message,
                    hint: None,
                }),
            }
        }
        (entries, problems)
    }
}

/// Reads a file's text. A workspace's own file may be no link: what it leads to would be shown in errors.
fn read_text(path: &Path, owner: ConfigOwner) -> io::Result<String> {
    if path.as_os_str().is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let read = match owner {
        ConfigOwner::User => read_named_file(path, FILE_LIMIT),
        ConfigOwner::Workspace => {
            open_regular_file(path).and_then(|(file, stat)| read_open_file(file, &stat, FILE_LIMIT))
        }
    };
    String::from_utf8(read?).map_err(|_| io::Error::other("it is not UTF-8"))
}

/// Returns `base` with the values of `entries` set.
fn overlay<T: serde::Serialize + serde::de::DeserializeOwned>(
    base: &T,
    entries: &[ConfigEntry],
) -> Result<T, ErrorBody> {
    let broken =
        |e: serde_json::Error| ErrorBody::config(format!("cannot combine the settings: {e}"));
    let mut all = serde_json::to_value(base).map_err(broken)?;
    for entry in entries {
        put_value(&mut all, entry.key.path, entry.value.clone());
    }
    serde_json::from_value(all).map_err(broken)
}

fn put_value(all: &mut Value, path: &str, value: Value) {
    let mut place = all;
    for part in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[part];
    }
    *place = value;
}

/// Records the workspace's file as the origin of each value that the file changed.
fn note_narrowed(
    before: &DriverSettings,
    after: &DriverSettings,
    path: &Path,
    entries: &[ConfigEntry],
    origins: &mut BTreeMap<&'static str, ConfigOrigin>,
) {
    let value = |settings: &DriverSettings, key: &ConfigKey| {
        let config = Config {
            settings: settings.clone(),
            origins: BTreeMap::new(),
        };
        config.value(key)
    };
    for entry in entries {
        if value(before, entry.key) != value(after, entry.key) {
            let origin = ConfigOrigin::Workspace(path.to_owned(), entry.line);
            origins.insert(entry.key.path, origin);
        }
    }
}

/// Formats a value as people write it in a file.
pub(crate) fn value_text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(value_text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use claudecluster_protocol::plan::AgentName;

    use super::*;

    fn sources(dir: &Path, variables: &[(&str, &str)]) -> ConfigSources {
        ConfigSources {
            user_file: dir.join("config.toml"),
            named: false,
            variables: variables
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn layers_win_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = dir.path().join("w");
        fs::create_dir(&workspace).unwrap();
        fs::write(
            dir.path().join("config.toml"),
            "maxParallel = 8\nretries = 5\nmodel = \"m\"\n",
        )
        .unwrap();
        fs::write(
            workspace.join(WORKSPACE_FILE),
            "maxParallel = 100\nretries = 1\ndenyAgents = [\"native\"]\n",
        )
        .unwrap();
        let sources = sources(
            dir.path(),
            &[
                ("CLAUDECLUSTER_MODEL", "e"),
                ("CLAUDECLUSTER_HOME", "/x"),
                ("CLAUDECLUSTER_MODLE", "y"),
            ],
        );

        let config = sources.load(Some(&workspace)).unwrap();
        let origin = |path| config.origin(keys::find_key(path).unwrap()).to_string();
        assert_eq!(config.settings.max_parallel, 8);
        assert!(origin("maxParallel").ends_with("config.toml:1"));
        assert_eq!(config.settings.retries, 1);
        assert!(origin("retries").ends_with(".claudecluster.toml:2"));
        assert_eq!(config.settings.model.as_deref(), Some("e"));
        assert_eq!(origin("model"), "CLAUDECLUSTER_MODEL");
        assert_eq!(origin("sandbox"), "default");
        assert_eq!(config.settings.deny_agents, [AgentName::Native]);
        assert_eq!(sources.unknown_variables(), ["CLAUDECLUSTER_MODLE"]);
    }

    #[test]
    fn a_file_that_is_named_must_exist() {
        let dir = tempfile::tempdir().unwrap();
        let mut sources = sources(dir.path(), &[]);
        assert!(sources.load(None).is_ok());
        sources.named = true;
        assert!(
            sources
                .load(None)
                .unwrap_err()
                .message
                .contains("config.toml")
        );
    }
}
