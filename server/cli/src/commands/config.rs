//! `claudecluster config`

use std::path::PathBuf;

use claudecluster_driver::DriverSettings;
use claudecluster_protocol::ErrorBody;
use serde_json::json;

use super::{CommandContext, editor};
use crate::{
    cli::ConfigAction,
    config::{
        ConfigSources, WORKSPACE_FILE,
        keys::{self, ConfigKey, KEYS},
        value_text,
        write::write_file,
    },
    exit::{CommandExit, CommandResult},
    ui::text::{self, BOLD, DIM, PLAIN, StyledLine},
};

pub(super) fn run_config_command(
    cx: &mut CommandContext,
    action: &ConfigAction,
) -> CommandResult<CommandExit> {
    let sources = ConfigSources::of_process()?;
    match action {
        ConfigAction::List => list_settings(cx, &sources),
        ConfigAction::Get { key } => get(cx, &sources, key),
        ConfigAction::Set { key, value } => set_setting(cx, &sources, key, value),
        ConfigAction::Add { key, value } => add_items(cx, &sources, key, value),
        ConfigAction::Edit => edit_file(cx, &sources),
        ConfigAction::Path => print_path(cx, &sources),
        ConfigAction::Check => check_files(cx, &sources),
        ConfigAction::Schema => {
            let schema = schemars::schema_for!(DriverSettings);
            let mut text = serde_json::to_vec_pretty(&schema).unwrap_or_default();
            text.push(b'\n');
            cx.ui.bytes(&text)?;
            Ok(CommandExit::Done)
        }
    }
}

/// Returns the workspace whose file applies. Outside every workspace there is none, and that is no
/// error.
fn workspace_if_any(cx: &CommandContext) -> Result<Option<PathBuf>, ErrorBody> {
    match cx.workspace() {
        Ok(root) => Ok(Some(root)),
        Err(e) if cx.global.workspace.is_some() => Err(e),
        Err(_) => Ok(None),
    }
}

fn list_settings(cx: &mut CommandContext, sources: &ConfigSources) -> CommandResult<CommandExit> {
    let config = sources.load(workspace_if_any(cx)?.as_deref())?;
    for key in &KEYS {
        let (value, origin) = (config.value(key), config.origin(key));
        if cx.ui.json {
            let line = json!({"key": key.path, "value": value, "origin": origin.to_string()});
            cx.ui.json(&line)?;
            continue;
        }
        let line = StyledLine::new()
            .add(PLAIN, format!("{:<20} ", key.path))
            .add(BOLD, format!("{:<28} ", value_text(&value)))
            .add(DIM, origin.to_string());
        cx.ui.line(line.styled())?;
    }
    Ok(CommandExit::Done)
}

fn known_key(path: &str) -> Result<&'static ConfigKey, ErrorBody> {
    keys::find_key(path)
        .or_else(|| keys::mode_key(path))
        .ok_or_else(|| {
            ErrorBody::user(format!("unknown setting `{path}`"))
                .with_hint(keys::unknown_key_hint(path, false))
        })
}

fn get(cx: &mut CommandContext, sources: &ConfigSources, path: &str) -> CommandResult<CommandExit> {
    let key = known_key(path)?;
    let value = sources.load(workspace_if_any(cx)?.as_deref())?.value(key);
    if cx.ui.json {
        cx.ui.json(&value)?;
    } else {
        cx.ui.line(text::escape_controls(&value_text(&value)))?;
    }
    Ok(CommandExit::Done)
}

fn set_setting(
    cx: &mut CommandContext,
    sources: &ConfigSources,
    path: &str,
    value: &str,
) -> CommandResult<CommandExit> {
    let key = known_key(path)?;
    let value = key
        .read(value)
        .map_err(|e| ErrorBody::user(format!("`{path}`: {e}")))?;
    let file = &sources.user_file;
    sources.write_value(key, &value)?;
    if !cx.ui.quiet && !cx.ui.json {
        cx.ui.line(format!(
            "{path} = {}  ({})",
            text::escape_controls(&value_text(&value)),
            file.display()
        ))?;
        if !sources
            .load(None)
            .is_ok_and(|config| config.value(key) == value)
        {
            cx.ui.line("This value has no effect yet: another source or an error in the file overrides it. See: claudecluster config list")?;
        }
    }
    Ok(CommandExit::Done)
}

fn add_items(
    cx: &mut CommandContext,
    sources: &ConfigSources,
    path: &str,
    items: &str,
) -> CommandResult<CommandExit> {
    let key = known_key(path)?;
    sources.add_to_list(key.path, items)?;
    if !cx.ui.quiet && !cx.ui.json {
        let value = sources.load(None)?.value(key);
        cx.ui.line(format!(
            "{path} = {}  ({})",
            text::escape_controls(&value_text(&value)),
            sources.user_file.display()
        ))?;
    }
    Ok(CommandExit::Done)
}

fn edit_file(cx: &mut CommandContext, sources: &ConfigSources) -> CommandResult<CommandExit> {
    let file = &sources.user_file;
    if !file.exists() {
        write_file(
            file,
            "# ClaudeCluster settings. List them all with: claudecluster config list\n",
        )?;
    }
    editor::open_in_editor(file)?;
    check_files(cx, sources)
}

fn print_path(cx: &mut CommandContext, sources: &ConfigSources) -> CommandResult<CommandExit> {
    let user = &sources.user_file;
    let own = workspace_if_any(cx)?.map(|root| root.join(WORKSPACE_FILE));
    if cx.ui.json {
        cx.ui.json(&json!({"user": user, "workspace": own}))?;
        return Ok(CommandExit::Done);
    }
    for file in std::iter::once(user).chain(&own) {
        let there = if file.exists() {
            ""
        } else {
            "  (does not exist)"
        };
        cx.ui.line(format!(
            "{}{there}",
            text::escape_controls(&file.display().to_string())
        ))?;
    }
    Ok(CommandExit::Done)
}

fn check_files(cx: &mut CommandContext, sources: &ConfigSources) -> CommandResult<CommandExit> {
    let (_, problems) = sources.load_all(workspace_if_any(cx)?.as_deref())?;
    let unknown = sources.unknown_variables();
    if cx.ui.json {
        cx.ui
            .json(&json!({"problems": problems, "unknownVariables": unknown}))?;
    } else {
        for problem in &problems {
            let hint = problem
                .hint
                .as_ref()
                .map(|hint| format!(" ({hint})"))
                .unwrap_or_default();
            cx.ui
                .line(text::escape_controls(&format!("{problem}{hint}")))?;
        }
        for name in &unknown {
            cx.ui.line(format!(
                "environment: {name} is not a setting and is ignored"
            ))?;
        }
        if problems.is_empty() && unknown.is_empty() && !cx.ui.quiet {
            cx.ui.line("The configuration is valid")?;
        }
    }
    Ok(if problems.is_empty() {
        CommandExit::Done
    } else {
        CommandExit::Usage
    })
}
