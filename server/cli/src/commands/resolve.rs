//! `claudecluster resolve`

use std::{
    fs,
    io::{self, Read, Write},
    path::Path,
};

use claudecluster_protocol::{
    ErrorBody, GoalId, HunkId,
    api::{Decision, Resolution},
    change::{ConflictView, HunkStatus, HunkView},
    event::Verdict,
};

use super::{Context, decide, editor, selection::Selection};
use crate::{
    cli::{How, ResolveArgs},
    client::Client,
    failure::{Context as _, Exit, Outcome},
};

const MINE: &str = "<<<<<<< mine: current text";
const BASE: &str = "||||||| base: text before both changes";
const MIDDLE: &str = "=======";
const THEIRS: &str = ">>>>>>> theirs: proposed text";

pub(super) async fn run(cx: &mut Context, args: ResolveArgs) -> Outcome<Exit> {
    let client = cx.client()?;
    let goal = goal(&args.hunk)?;
    let resolution = match resolution(args.how)? {
        Some(resolution) => resolution,
        None => Resolution::Text {
            text: edited(&client, &goal, &args.hunk).await?,
        },
    };
    let decision = Decision {
        hunk_id: Some(args.hunk),
        reason: args.reason,
        resolution: Some(resolution),
        ..Decision::new(goal, Verdict::Resolve)
    };
    decide::carry_out(cx, &client, decision).await
}

fn goal(hunk: &HunkId) -> Result<GoalId, ErrorBody> {
    hunk.goal().ok_or_else(|| {
        ErrorBody::user(format!("{hunk} is not a hunk id")).hint(format!(
            "list conflicts with: claudecluster diff {hunk} --conflicts"
        ))
    })
}

/// What was asked for; `None` where an editor has to say it.
fn resolution(how: How) -> Result<Option<Resolution>, ErrorBody> {
    Ok(Some(match how {
        How { mine: true, .. } => Resolution::Mine,
        How { theirs: true, .. } => Resolution::Theirs,
        How { both: true, .. } => Resolution::Both,
        How { merged: true, .. } => Resolution::Merged,
        How { markers: true, .. } => Resolution::Markers,
        How { repair: true, .. } => Resolution::Repair,
        How {
            text: Some(file), ..
        } => Resolution::Text { text: read(&file)? },
        How { .. } => return Ok(None),
    }))
}

fn read(file: &Path) -> Result<String, ErrorBody> {
    let mut bytes = Vec::new();
    let name = if file == Path::new("-") {
        io::stdin()
            .read_to_end(&mut bytes)
            .context("cannot read stdin")?;
        "stdin".to_owned()
    } else {
        bytes = fs::read(file).map_err(|e| {
            ErrorBody::user(format!("cannot read {}: {e}", file.display()))
                .hint("pass an existing file to --text, or - for stdin")
        })?;
        file.display().to_string()
    };
    String::from_utf8(bytes).map_err(|_| {
        ErrorBody::user(format!("{name} is not UTF-8"))
            .hint("convert it to UTF-8, or resolve the conflict in the file with --markers")
    })
}

/// The text the user makes of both sides in an editor.
async fn edited(client: &Client, goal: &GoalId, hunk: &HunkId) -> Outcome<String> {
    let view = conflict(client, goal, hunk).await?;
    let Some(sides) = &view.conflict else {
        let error = ErrorBody::user(format!("{hunk} cannot be edited line by line"));
        return Err(error.hint("choose one side: --mine or --theirs").into());
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
    editor::edit(file.path())?;
    // By its name: many editors put a new file in the old one's place.
    let text = read(file.path())?;
    if text == before {
        let error = ErrorBody::user("the text was not changed, so the conflict was not resolved");
        return Err(error
            .hint(format!(
                "to write both sides into the file, run: claudecluster resolve {hunk} --markers"
            ))
            .into());
    }
    let kept = |what: ErrorBody, file: tempfile::NamedTempFile| {
        let kept = file.into_temp_path().keep();
        match kept {
            Ok(path) => what.hint(format!(
                "your text is saved in {path}; edit it there, then run: \
                 claudecluster resolve {hunk} --text {path}",
                path = path.display()
            )),
            Err(_) => what,
        }
    };
    if let Some(line) = marker_in(&text, sides) {
        let error = ErrorBody::user(format!("a conflict marker is still in the text: {line}"));
        return Err(kept(error, file).into());
    }
    let now = conflict(client, goal, hunk).await?;
    if now.conflict.as_ref() != Some(sides) {
        let error = ErrorBody::stale(format!(
            "{} has changed in the meantime",
            view.path.display()
        ));
        return Err(kept(error, file).into());
    }
    Ok(text)
}

/// The conflict as it stands now.
async fn conflict(client: &Client, goal: &GoalId, hunk: &HunkId) -> Outcome<HunkView> {
    let wanted = Selection {
        hunk: Some(hunk.clone()),
        ..Selection::all(goal.clone())
    };
    let view = wanted.hunks(client).await?.pop().ok_or_else(|| {
        ErrorBody::stale(format!("there is no pending hunk {hunk}")).hint(format!(
            "list conflicts with: claudecluster diff {goal} --conflicts"
        ))
    })?;
    if view.status == HunkStatus::Conflict {
        return Ok(view);
    }
    let error = ErrorBody::user(format!("{hunk} is not in conflict"));
    Err(error
        .hint(format!("accept it with: claudecluster accept {hunk}"))
        .into())
}

/// Both sides as people know them from git, with what they come from in between.
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

/// The first marker that nobody has taken out. A line of a side's own may look like one.
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
