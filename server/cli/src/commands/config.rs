//! `claudecluster config`

use std::{
    fs::{self, DirBuilder},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use claudecluster_driver::DriverSettings;
use claudecluster_protocol::ErrorBody;
use serde_json::json;

use super::{Context, editor};
use crate::{
    cli::ConfigAction,
    config::{
        Sources, WORKSPACE_FILE, file,
        keys::{self, KEYS, Key},
        shown,
    },
    failure::{Context as _, Exit, Outcome},
    ui::text::{self, BOLD, DIM, Line, PLAIN},
};

pub(super) fn run(cx: &mut Context, action: &ConfigAction) -> Outcome<Exit> {
    let sources = Sources::of_process()?;
    match action {
        ConfigAction::List => list(cx, &sources),
        ConfigAction::Get { key } => get(cx, &sources, key),
        ConfigAction::Set { key, value } => set(cx, &sources, key, value),
        ConfigAction::Edit => edit(cx, &sources),
        ConfigAction::Path => path(cx, &sources),
        ConfigAction::Check => check(cx, &sources),
        ConfigAction::Schema => {
            let schema = schemars::schema_for!(DriverSettings);
            let mut text = serde_json::to_vec_pretty(&schema).unwrap_or_default();
            text.push(b'\n');
            cx.ui.bytes(&text)?;
            Ok(Exit::Done)
        }
    }
}

/// The workspace whose file counts. Outside every workspace there is none, and that is no mistake.
fn workspace(cx: &Context) -> Result<Option<PathBuf>, ErrorBody> {
    match cx.workspace() {
        Ok(root) => Ok(Some(root)),
        Err(e) if cx.global.workspace.is_some() => Err(e),
        Err(_) => Ok(None),
    }
}

fn list(cx: &mut Context, sources: &Sources) -> Outcome<Exit> {
    let config = sources.load(workspace(cx)?.as_deref())?;
    for key in &KEYS {
        let (value, origin) = (config.value(key), config.origin(key));
        if cx.ui.json {
            let line = json!({"key": key.path, "value": value, "origin": origin.to_string()});
            cx.ui.json(&line)?;
            continue;
        }
        let line = Line::new()
            .add(PLAIN, format!("{:<20} ", key.path))
            .add(BOLD, format!("{:<28} ", shown(&value)))
            .add(DIM, origin.to_string());
        cx.ui.line(line.styled())?;
    }
    Ok(Exit::Done)
}

fn known(path: &str) -> Result<&'static Key, ErrorBody> {
    keys::find(path).ok_or_else(|| {
        ErrorBody::user(format!("there is no setting `{path}`")).hint(keys::hint(path, false))
    })
}

fn get(cx: &mut Context, sources: &Sources, path: &str) -> Outcome<Exit> {
    let key = known(path)?;
    let value = sources.load(workspace(cx)?.as_deref())?.value(key);
    if cx.ui.json {
        cx.ui.json(&value)?;
    } else {
        cx.ui.line(text::safe(&shown(&value)))?;
    }
    Ok(Exit::Done)
}

fn set(cx: &mut Context, sources: &Sources, path: &str, value: &str) -> Outcome<Exit> {
    let key = known(path)?;
    let value = key
        .read(value)
        .map_err(|e| ErrorBody::user(format!("`{path}`: {e}")))?;
    let file = &sources.user_file;
    let before = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
        Err(e) => {
            return Err(ErrorBody::config(format!("cannot read {}: {e}", file.display())).into());
        }
    };
    let after = file::set(&before, key, &value).map_err(|e| {
        ErrorBody::config(format!(
            "cannot change {}: {}",
            file.display(),
            text::one_line(&e)
        ))
        .hint("correct it first: claudecluster config edit")
    })?;
    write(file, &after)?;
    if !cx.ui.quiet && !cx.ui.json {
        cx.ui.line(format!(
            "{path} = {}  ({})",
            text::safe(&shown(&value)),
            file.display()
        ))?;
        if !sources
            .load(None)
            .is_ok_and(|config| config.value(key) == value)
        {
            cx.ui.line("another layer or another mistake in the file overrides it: claudecluster config list")?;
        }
    }
    Ok(Exit::Done)
}

/// Replaces the file as a whole, through a link if it is one: people keep such files elsewhere.
fn write(file: &Path, text: &str) -> Result<(), ErrorBody> {
    let target = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let parent = target.parent().unwrap_or(Path::new("/"));
    let write = || -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)?;
        let mut temporary = tempfile::NamedTempFile::new_in(parent)?;
        temporary.write_all(text.as_bytes())?;
        if let Ok(meta) = fs::metadata(&target) {
            temporary.as_file().set_permissions(meta.permissions())?;
        }
        temporary.persist(&target)?;
        Ok(())
    };
    write().context(format!("cannot write {}", target.display()))
}

fn edit(cx: &mut Context, sources: &Sources) -> Outcome<Exit> {
    let file = &sources.user_file;
    if !file.exists() {
        write(
            file,
            "# Settings of ClaudeCluster. `claudecluster config list` shows every key.\n",
        )?;
    }
    editor::edit(file)?;
    check(cx, sources)
}

fn path(cx: &mut Context, sources: &Sources) -> Outcome<Exit> {
    let user = &sources.user_file;
    let own = workspace(cx)?.map(|root| root.join(WORKSPACE_FILE));
    if cx.ui.json {
        cx.ui.json(&json!({"user": user, "workspace": own}))?;
        return Ok(Exit::Done);
    }
    for file in std::iter::once(user).chain(&own) {
        let there = if file.exists() { "" } else { "  (not there)" };
        cx.ui.line(format!(
            "{}{there}",
            text::safe(&file.display().to_string())
        ))?;
    }
    Ok(Exit::Done)
}

fn check(cx: &mut Context, sources: &Sources) -> Outcome<Exit> {
    let (_, problems) = sources.load_all(workspace(cx)?.as_deref())?;
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
            cx.ui.line(text::safe(&format!("{problem}{hint}")))?;
        }
        for name in &unknown {
            cx.ui
                .line(format!("environment: {name} is no setting and is ignored"))?;
        }
        if problems.is_empty() && unknown.is_empty() && !cx.ui.quiet {
            cx.ui.line("the configuration is right")?;
        }
    }
    Ok(if problems.is_empty() {
        Exit::Done
    } else {
        Exit::Usage
    })
}
