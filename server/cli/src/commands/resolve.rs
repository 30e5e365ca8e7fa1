//! `claudecluster resolve`

use std::{
    fs,
    io::{self, Read, Write},
    path::Path,
};

use claudecluster_protocol::{
    ErrorBody, GoalId, HunkId,
    api::Decision,
    change::{ConflictView, HunkStatus, HunkView},
    event::Verdict,
    resolution::Resolution,
};

use super::{Context, decide, editor, selection::Selection};
use crate::{
    cli::{How, ResolveArgs},
    client::Client,
    failure::{Context as _, Exit, Outcome},
};

const MINE: &str = "<<<<<<< mine: what is there now";
const BASE: &str = "||||||| base: what both started from";
const MIDDLE: &str = "=======";
const THEIRS: &str = ">>>>>>> theirs: what is proposed";

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
        ErrorBody::user(format!("{hunk} is no hunk"))
            .hint(format!("claudecluster diff {hunk} --conflicts lists them"))
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
                .hint("name an existing file with --text, or - for stdin")
        })?;
        file.display().to_string()
    };
    String::from_utf8(bytes).map_err(|_| {
        ErrorBody::user(format!("{name} is not UTF-8"))
            .hint("convert it, or resolve it in the file: --markers")
    })
}

/// The text the user makes of both sides in an editor.
async fn edited(client: &Client, goal: &GoalId, hunk: &HunkId) -> Outcome<String> {
    let view = conflict(client, goal, hunk).await?;
    let Some(sides) = &view.conflict else {
        let error = ErrorBody::user(format!("{hunk} is not a conflict of lines"));
        return Err(error
            .hint("it can be decided as a whole: --mine or --theirs")
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
    editor::edit(file.path())?;
    // By its name: many editors put a new file in the old one's place.
    let text = read(file.path())?;
    if text == before {
        let error = ErrorBody::user("nothing was edited, so nothing is resolved");
        return Err(error
            .hint(format!(
                "claudecluster resolve {hunk} --markers leaves both sides in the file"
            ))
            .into());
    }
    let kept = |what: ErrorBody, file: tempfile::NamedTempFile| {
        let kept = file.into_temp_path().keep();
        match kept {
            Ok(path) => what.hint(format!(
                "what you wrote is in {path}; go on there, then: \
                 claudecluster resolve {hunk} --text {path}",
                path = path.display()
            )),
            Err(_) => what,
        }
    };
    if let Some(line) = marker_in(&text, sides) {
        let error = ErrorBody::user(format!("a conflict marker is left: {line}"));
        return Err(kept(error, file).into());
    }
    let now = conflict(client, goal, hunk).await?;
    if now.conflict.as_ref() != Some(sides) {
        let error = ErrorBody::stale(format!("{} has changed meanwhile", view.path.display()));
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
        ErrorBody::stale(format!("there is no pending hunk {hunk}"))
            .hint(format!("claudecluster diff {goal} --conflicts lists them"))
    })?;
    if view.status == HunkStatus::Conflict {
        return Ok(view);
    }
    let error = ErrorBody::user(format!("{hunk} conflicts with nothing"));
    Err(error
        .hint(format!("land it as it is: claudecluster accept {hunk}"))
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
            "<<<<<<< mine: what is there now\nTitle\n=======\n\
             ||||||| base: what both started from\na\n\
             =======\nb\n\
             >>>>>>> theirs: what is proposed\n"
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
