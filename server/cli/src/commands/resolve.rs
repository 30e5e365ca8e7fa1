//! `claudecluster resolve`

use std::{
    io::{self, Read, Write},
    path::Path,
};

use claudecluster_files::read_named_file;
use claudecluster_protocol::{
    ErrorBody, GoalId, HunkId,
    api::Decision,
    change::{ConflictView, HunkStatus, HunkView},
    event::Verdict,
    resolution::Resolution,
};

use super::{CommandContext, decide, editor, selection::HunkSelection};
use crate::{
    cli::{ResolutionArgs, ResolveOptions},
    client::DaemonClient,
    exit::{CommandExit, CommandResult, ErrorContext as _},
    ui::text,
};

/// The most bytes of a text that resolves a conflict.
const TEXT_BYTES: u64 = 256 << 20;
const MINE: &str = "<<<<<<< mine: current text";
const BASE: &str = "||||||| base: text before both changes";
const MIDDLE: &str = "=======";
const THEIRS: &str = ">>>>>>> theirs: proposed text";

pub(super) async fn resolve_conflict(
    cx: &mut CommandContext,
    args: ResolveOptions,
) -> CommandResult<CommandExit> {
    let client = cx.client()?;
    let goal = goal_of_hunk(&args.hunk)?;
    let resolution = match chosen_resolution(args.how)? {
        Some(resolution) => resolution,
        None => Resolution::Text {
            text: text_from_editor(&client, &goal, &args.hunk).await?,
        },
    };
    let decision = Decision {
        hunk_id: Some(args.hunk),
        reason: args.reason,
        resolution: Some(resolution),
        ..Decision::new(goal, Verdict::Resolve)
    };
    decide::decide_and_report(cx, &client, decision).await
}

fn goal_of_hunk(hunk: &HunkId) -> Result<GoalId, ErrorBody> {
    hunk.goal().ok_or_else(|| {
        ErrorBody::user(format!("{hunk} is not a hunk id")).with_hint(
            "list goals with: claudecluster goals, and their hunks with: claudecluster show GOAL",
        )
    })
}

/// Returns the resolution that the options name, or `None` if the user has to write it in an
/// editor.
fn chosen_resolution(how: ResolutionArgs) -> Result<Option<Resolution>, ErrorBody> {
    Ok(Some(match how {
        ResolutionArgs { mine: true, .. } => Resolution::Mine,
        ResolutionArgs { theirs: true, .. } => Resolution::Theirs,
        ResolutionArgs { both: true, .. } => Resolution::Both,
        ResolutionArgs { merged: true, .. } => Resolution::Merged,
        ResolutionArgs { markers: true, .. } => Resolution::Markers,
        ResolutionArgs { repair: true, .. } => Resolution::Repair,
        ResolutionArgs {
            text: Some(file), ..
        } => Resolution::Text {
            text: read_text(&file)?,
        },
        ResolutionArgs { .. } => return Ok(None),
    }))
}

fn read_text(file: &Path) -> Result<String, ErrorBody> {
    let mut bytes = Vec::new();
    let name = if file == Path::new("-") {
        io::stdin()
            .read_to_end(&mut bytes)
            .context("cannot read stdin")?;
        "stdin".to_owned()
    } else {
        bytes = read_named_file(file, TEXT_BYTES).map_err(|e| {
            ErrorBody::user(format!("cannot read {}: {e}", file.display()))
                .with_hint("pass an existing file to --text, or - for stdin")
        })?;
        file.display().to_string()
    };
    String::from_utf8(bytes).map_err(|_| {
        ErrorBody::user(format!("{name} is not UTF-8"))
            .with_hint("convert it to UTF-8, or resolve the conflict in the file with --markers")
    })
}

/// Opens both sides in an editor, and returns the text that the user makes of them.
async fn text_from_editor(
    client: &DaemonClient,
    goal: &GoalId,
    hunk: &HunkId,
) -> CommandResult<String> {
    let view = current_conflict(client, goal, hunk).await?;
    let Some(sides) = &view.conflict else {
        let error = ErrorBody::user(format!("{hunk} cannot be edited line by line"));
        return Err(error
            .with_hint("choose one side: --mine or --theirs")
            .into());
    };
    let name = view.path.as_str().rsplit('/').next().unwrap_or_default();
    let mut file = tempfile::Builder::new()
        .prefix(&format!("{hunk}-"))
        .suffix(&format!("-{name}"))
        .tempfile()
        .context("cannot write a temporary file")?;
    let before = with_markers(sides);
    file.write_all(before.as_bytes())
        .context("cannot write a temporary file")?;
    editor::open_in_editor(file.path())?;
    // By its name: many editors put a new file in the old one's place.
    let text = read_text(file.path())?;
    if text == before {
        let error = ErrorBody::user("the text was not changed, so the conflict was not resolved");
        return Err(error
            .with_hint(format!(
                "to write both sides into the file, run: claudecluster resolve {hunk} --markers"
            ))
            .into());
    }
    let kept = |what: ErrorBody, file: tempfile::NamedTempFile| {
        let kept = file.into_temp_path().keep();
        match kept {
            Ok(path) => what.with_hint(format!(
                "your text is saved in {path}; edit it there, then run: \
                 claudecluster resolve {hunk} --text {path}",
                path = text::shell_word(&path.display().to_string())
            )),
            Err(_) => what,
        }
    };
    if let Some(line) = marker_in(&text, sides) {
        let error = ErrorBody::user(format!("a conflict marker is still in the text: {line}"));
        return Err(kept(error, file).into());
    }
    let now = current_conflict(client, goal, hunk).await?;
    if now.conflict.as_ref() != Some(sides) {
        let error = ErrorBody::stale(format!(
            "{} has changed in the meantime",
            view.path.display()
        ));
        return Err(kept(error, file).into());
    }
    Ok(text)
}

/// Returns the conflict with its current texts.
async fn current_conflict(
    client: &DaemonClient,
    goal: &GoalId,
    hunk: &HunkId,
) -> CommandResult<HunkView> {
    let wanted = HunkSelection {
        hunk: Some(hunk.clone()),
        ..HunkSelection::all(goal.clone())
    };
    let view = wanted.hunks(client).await?.pop().ok_or_else(|| {
        ErrorBody::stale(format!("there is no pending hunk {hunk}")).with_hint(format!(
            "list conflicts with: claudecluster diff {goal} --conflicts"
        ))
    })?;
    if view.status == HunkStatus::Conflict {
        return Ok(view);
    }
    let error = ErrorBody::user(format!("{hunk} is not in conflict"));
    Err(error
        .with_hint(format!("accept it with: claudecluster accept {hunk}"))
        .into())
}

/// Joins both sides with conflict markers as git writes them, and the base in between.
fn with_markers(sides: &ConflictView) -> String {
    let mut text = String::new();
    for (marker, side) in [
        (MINE, sides.mine.as_str()),
        (BASE, &sides.base),
        (MIDDLE, &sides.theirs),
        (THEIRS, ""),
    ] {
        text.push_str(marker);
        text.push('\n');
        text.push_str(side);
        if !side.is_empty() && !side.ends_with('\n') {
            text.push('\n');
        }
    }
    text
}

/// Returns the first conflict marker left in a text. Lines of a side that look like a marker do not
/// count.
fn marker_in<'a>(text: &'a str, sides: &ConflictView) -> Option<&'a str> {
    let own = |line: &str| {
        [&sides.mine, &sides.base, &sides.theirs]
            .into_iter()
            .any(|side| side.lines().any(|own| own == line))
    };
    text.lines()
        .find(|line| [MINE, BASE, MIDDLE, THEIRS].contains(line) && !own(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_unless_the_text_has_them_itself() {
        let sides = ConflictView {
            base: "a\n".to_owned(),
            mine: "Title\n=======\n".to_owned(),
            theirs: "b".to_owned(),
        };
        let text = with_markers(&sides);
        assert_eq!(
            text,
            "<<<<<<< mine: current text\nTitle\n=======\n\
             ||||||| base: text before both changes\na\n\
             =======\nb\n\
             >>>>>>> theirs: proposed text\n"
        );
        assert_eq!(marker_in(&text, &sides), Some(MINE));
        assert_eq!(marker_in("Title\n=======\nb\n", &sides), None);
        let sides = ConflictView {
            mine: "c\n".to_owned(),
            ..sides
        };
        assert_eq!(marker_in("c\n=======\nb\n", &sides), Some(MIDDLE));
    }
}
