//! Prompts of agents. Everything that comes from files, plans and people is quoted; nothing in it
//! is an instruction of ours.

use std::fmt::Write;

use claudecluster_core::state::Goal;
use claudecluster_protocol::{
    RelPath, TaskId, TaskState,
    change::Provenance,
    goal::GoalScopeKind,
    repair::{RepairCause, RepairSpec},
};
use serde_json::{Value, json};

/// Added to the system prompt of every session of every goal. One text for planners and workers: a
/// worker forks the planner's session, and what stands before the fork must be the same bytes.
pub(crate) const SYSTEM: &str = "\
You are one session of ClaudeCluster, which splits a developer's goal into tasks and gives each task \
to a session of its own. The first message of a turn says whether you plan or work. You see a \
private copy of the developer's workspace, as their editor shows it, at its usual path; what you \
change is collected when you end, merged with the other sessions' work, and shown to the developer \
hunk by hunk. So change only what your task needs, never commit, and do not run anything that \
reaches outside the workspace. Nobody can answer questions while you work. When you are done, \
answer with the structured answer: `status` is `done`, or `blocked` with the reason in `summary`; \
`summary` says in a sentence or two what you did and why; `plan` is there only when you plan.";

/// The most of a project's instructions that is passed on, in bytes.
const PROJECT_BYTES: usize = 48 << 10;

/// Returns a project's own instructions, as part of the system text.
pub(crate) fn project_instructions(name: &str, instructions: &str) -> String {
    let end = instructions.floor_char_boundary(PROJECT_BYTES);
    format!(
        "\n\nThe project's own instructions ({name}):\n\n{}",
        &instructions[..end]
    )
}

/// Returns the schema of every closing answer, plan or report. One for both, so that they share a
/// prompt prefix.
pub(crate) fn answer_schema() -> Value {
    let strings = json!({"type": "array", "items": {"type": "string"}});
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["status", "summary"],
        "properties": {
            "status": {"type": "string", "enum": ["done", "blocked"]},
            "summary": {"type": "string"},
            "plan": {
                "type": "object",
                "additionalProperties": false,
                "required": ["tasks"],
                "properties": {
                    "gates": strings,
                    "tasks": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "additionalProperties": false,
                            "required": ["id", "title", "instructions"],
                            "properties": {
                                "id": {"type": "string"},
                                "title": {"type": "string"},
                                "instructions": {"type": "string"},
                                "dependsOn": strings,
                                "writes": strings,
                                "gates": strings
                            }
                        }
                    }
                }
            }
        }
    })
}

/// Returns the prompt of the planner's first turn.
pub(crate) fn plan_prompt(goal: &Goal) -> String {
    let mut text = String::from(
        "Plan this goal. Explore the workspace as far as you need to, change nothing, and answer with \
         a `plan`: tasks that separate sessions can do, as parallel as the work allows.\n\
         - `id`: short, letters, digits and dashes. `title`: a few words. `instructions`: everything \
         a session needs to do the task well; it knows what you have read, and does not see the \
         other tasks.\n\
         - `dependsOn`: ids of tasks whose results it builds on; it starts when all of them have \
         succeeded, and sees their files. Leave it out where tasks are independent.\n\
         - `writes`: the files it will change, relative to the workspace. Give no file to two tasks \
         that can run at once, if you can avoid it.\n\
         - `gates`: commands that must succeed afterwards, for the task or for the whole plan, where \
         the project has such commands.\n\
         One task is a fine plan for a small goal.\n\nThe goal:\n",
    );
    push_quoted(&mut text, &goal.spec.prompt);
    push_scope(&mut text, goal);
    text
}

/// Returns the prompt of the planner's next turn, after an answer that broke the rules.
pub(crate) fn plan_repair_prompt(errors: &[String]) -> String {
    let mut text = String::from("The plan cannot be used:\n");
    for error in errors {
        let _ = writeln!(text, "- {error}");
    }
    text.push_str("Correct exactly that and answer with the whole plan again.");
    text
}

/// Returns the prompt of a worker's turn.
pub(crate) fn task_prompt(goal: &Goal, task: &TaskId) -> String {
    let spec = &goal.tasks[task].spec;
    let mut text = format!(
        "Work on one task of a goal: {} ({task}).\n\n",
        spec.title_or_id()
    );
    text.push_str("What to do:\n");
    push_quoted(&mut text, &spec.instructions);
    if !goal.spec.prompt.is_empty() {
        text.push_str("\nThe goal it is part of:\n");
        push_quoted(&mut text, &goal.spec.prompt);
    }
    if !spec.writes.is_empty() {
        text.push_str("\nYour files:\n");
        push_list(&mut text, spec.writes.iter());
    }
    push_scope(&mut text, goal);
    push_siblings(&mut text, goal, task);
    push_lesson(&mut text, goal, task);
    text
}

fn push_lesson(text: &mut String, goal: &Goal, task: &TaskId) {
    if let Some(lesson) = &goal.tasks[task].lesson {
        text.push_str("\nAn earlier try at this task did not succeed. What it ended with:\n");
        push_quoted(text, lesson);
    }
}

/// A change that a repair is about.
pub(crate) struct RepairedChange {
    pub(crate) path: RelPath,
    /// The task that made the change.
    pub(crate) by: Option<Provenance>,
    pub(crate) diff: String,
    /// The current text in its place, if the developer has changed it.
    pub(crate) now: Option<String>,
}

/// The most of one diff that a repair is shown, in bytes. The rest is in its files.
const SHOWN_BYTES: usize = 32 << 10;

/// Returns the prompt of a repair's turn.
pub(crate) fn repair_task_prompt(
    goal: &Goal,
    task: &TaskId,
    repair: &RepairSpec,
    shown: &[RepairedChange],
) -> String {
    let spec = &goal.tasks[task].spec;
    let mut text = format!(
        "Work on a repair of a goal's work: {} ({task}).\n\n",
        spec.title_or_id()
    );
    text.push_str(match repair.cause {
        RepairCause::TaskConflict => {
            "Tasks of the goal, each done without knowing of the others, changed the same lines \
             differently. You see all of their work that fits together; where they disagree, the file has \
             the version of the task that finished first. What the others want there, as a diff \
             against that version:\n"
        }
        RepairCause::Rejected => {
            "The developer has looked at this part of the work and rejected it; it is no longer in the \
             files. The diff of what was rejected:\n"
        }
        RepairCause::Conflict => {
            "This part of the work does not fit the text that is in the file now. What the work changes, \
             as a diff against what it started from:\n"
        }
    });
    for one in shown {
        let by = one
            .by
            .as_ref()
            .map(|by| format!(", by {} ({})", by.title, by.task));
        let _ = writeln!(text, "\n{}{}:", one.path, by.unwrap_or_default());
        push_quoted(
            &mut text,
            &one.diff[..one.diff.floor_char_boundary(SHOWN_BYTES)],
        );
        if let Some(now) = &one.now {
            text.push_str("What stands in its place now:\n");
            push_quoted(&mut text, now);
        }
    }
    if let Some(reason) = &repair.reason {
        text.push_str("\nWhat the developer says:\n");
        push_quoted(&mut text, reason);
    }
    text.push_str(match repair.cause {
        RepairCause::TaskConflict => {
            "\nEdit the files so that they do what all of these tasks are for, and leave no conflict \
             markers. If they are right as they are, change nothing. If both cannot be had, answer \
             `blocked` and say why: the developer decides then.\n"
        }
        RepairCause::Rejected => {
            "\nMake the change as the developer wants it; what you make takes the rejected part's place. If \
             nothing should, change nothing and say so.\n"
        }
        RepairCause::Conflict => {
            "\nEdit the files so that they do what the work is for and keep what the developer wrote, and \
             leave no conflict markers. If they are right as they are, change nothing.\n"
        }
    });
    if repair.cause != RepairCause::TaskConflict {
        text.push_str(
            "You see the workspace as the developer's editor shows it at this moment, with what is still \
             pending of the goal's work in it. It may have changed since you last looked: read before \
             you edit, and keep what you did not write.\n",
        );
    }
    text.push_str("\nThe tasks this is about:\n");
    for id in &repair.of {
        push_task(&mut text, goal, id);
    }
    if !goal.spec.prompt.is_empty() {
        text.push_str("\nThe goal it is part of:\n");
        push_quoted(&mut text, &goal.spec.prompt);
    }
    text.push_str("\nYour files; changes elsewhere are kept apart:\n");
    push_list(&mut text, repair.files.iter().map(RelPath::display));
    push_lesson(&mut text, goal, task);
    text
}

/// Appends the instructions and the summary of a task.
fn push_task(text: &mut String, goal: &Goal, id: &TaskId) {
    let task = &goal.tasks[id];
    let _ = writeln!(text, "{} ({id}) was to do:", task.spec.title_or_id());
    push_quoted(text, &task.spec.instructions);
    if let Some(outcome) = task.outcome() {
        text.push_str("It ended with:\n");
        push_quoted(text, &outcome.summary);
    }
}

fn push_siblings(text: &mut String, goal: &Goal, task: &TaskId) {
    let others: Vec<String> = goal
        .tasks
        .iter()
        .filter(|(id, _)| *id != task)
        .map(|(id, other)| {
            let state = match other.state {
                TaskState::Succeeded => "done",
                _ => "another session's",
            };
            let files = other.spec.writes.join(", ");
            format!("{} ({id}, {state}): {files}", other.spec.title_or_id())
        })
        .collect();
    if !others.is_empty() {
        text.push_str("\nThe goal's other tasks and their files, which are not yours to change:\n");
        push_list(text, others.iter());
    }
}

fn push_scope(text: &mut String, goal: &Goal) {
    let scope = &goal.spec.scope;
    if scope.kind != GoalScopeKind::Workspace {
        text.push_str(match scope.kind {
            GoalScopeKind::Open => {
                "\nThe goal is about the files that are open in the developer's editor. Changes \
                 elsewhere are kept apart, so make them only where the goal cannot do without:\n"
            }
            _ => {
                "\nThe goal is about these files. Changes elsewhere are kept apart, so make them only \
                 where the goal cannot do without:\n"
            }
        });
        push_list(text, scope.files.iter().map(RelPath::display));
        push_list(text, scope.globs.iter());
    }
    if let Some(selection) = &scope.selection {
        let _ = writeln!(
            text,
            "\nThe developer points at lines {} to {} of {}.",
            selection.start_line + 1,
            selection.end_line.max(selection.start_line + 1),
            selection.path
        );
    }
}

/// Appends text that somebody else wrote, set off line by line so that it cannot pass for ours.
fn push_quoted(text: &mut String, quoted: &str) {
    for line in quoted.lines() {
        let _ = writeln!(text, "> {line}");
    }
}

fn push_list(text: &mut String, items: impl Iterator<Item = impl std::fmt::Display>) {
    for item in items {
        let _ = writeln!(text, "- {item}");
    }
}
