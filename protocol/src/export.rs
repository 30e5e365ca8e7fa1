//! JSON Schema and TypeScript for people who speak the protocol from other languages.
//!
//! `cargo xtask codegen` writes what [`generated_files`] returns to `protocol/generated`; a test fails when
//! the two differ.

use std::collections::{BTreeMap, HashSet};

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::Value;
use ts_rs::{Config, TS, TypeVisitor};

use crate::{
    ErrorBody, Event, GoalSpec, Plan,
    api::{Answer, Call, DaemonFile, GoalOutcome, Hello, Reply, Request, Welcome},
    change::{HunkOrigin, HunkView},
    content::{PendingContent, PendingContentParams},
    editor::{
        ApproveArgs, Changes, ChangesParams, EditChecksum, EditorSettings, GoalArgs, HunkArgs,
        PlanArgs, PlanDocument, ResolveArgs, SubmitArgs,
    },
    event::StreamItem,
    goal::GoalView,
    permission::{PermissionAnswer, PermissionRequest},
    submitted::SubmittedGoal,
    worker::{LayerManifest, MessageFromWorker, MessageToWorker},
};

/// A generated file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GeneratedFile {
    /// Its name in `protocol/generated`.
    pub name: String,
    /// Its content.
    pub content: String,
}

/// Everything that is generated, in a fixed order.
pub fn generated_files() -> Vec<GeneratedFile> {
    let mut all = GeneratedFiles::default();
    // What others send is described as we read it, what we send as we write it: a key with a default
    // may be left out of the one and is always there in the other.
    all.input::<Plan>("plan");
    all.input::<GoalSpec>("goal-spec");
    all.input::<Call>("call");
    all.input::<Request>("request");
    all.input::<Hello>("hello");
    all.output::<Welcome>("welcome");
    all.output::<Answer>("answer");
    all.output::<Reply>("reply");
    all.output::<DaemonFile>("daemon-file");
    all.output::<Event>("event");
    all.output::<StreamItem>("stream-item");
    all.output::<GoalView>("goal-view");
    all.output::<PermissionRequest>("permission-request");
    all.output::<HunkView>("hunk-view");
    all.output::<HunkOrigin>("origin");
    all.output::<GoalOutcome>("outcome");
    all.output::<ErrorBody>("error-body");
    all.input::<EditorSettings>("editor-settings");
    all.output::<EditChecksum>("editor-edit-of");
    all.input::<SubmitArgs>("editor-submit-args");
    all.output::<SubmittedGoal>("editor-submitted");
    all.input::<GoalArgs>("editor-goal-args");
    all.input::<ApproveArgs>("editor-approve-args");
    all.input::<PlanArgs>("editor-plan-args");
    all.output::<PlanDocument>("editor-plan-document");
    all.input::<HunkArgs>("editor-hunk-args");
    all.input::<ResolveArgs>("editor-resolve-args");
    all.input::<PermissionAnswer>("editor-permission-answer");
    all.input::<ChangesParams>("editor-changes-params");
    all.output::<Changes>("editor-changes");
    all.input::<PendingContentParams>("editor-content-params");
    all.output::<PendingContent>("editor-content");
    all.output::<MessageToWorker>("message-to-worker");
    all.input::<MessageFromWorker>("message-from-worker");
    all.output::<LayerManifest>("layer-manifest");
    all.finish()
}

fn schema<T: JsonSchema>(settings: SchemaSettings) -> Value {
    SchemaGenerator::new(settings)
        .into_root_schema_for::<T>()
        .to_value()
}

/// What has been generated so far.
#[derive(Default)]
struct GeneratedFiles {
    files: Vec<GeneratedFile>,
    types: TypeDeclarations,
}

impl GeneratedFiles {
    fn input<T: JsonSchema + TS + 'static>(&mut self, name: &str) {
        self.add::<T>(name, SchemaSettings::draft2020_12().for_deserialize());
    }

    fn output<T: JsonSchema + TS + 'static>(&mut self, name: &str) {
        self.add::<T>(name, SchemaSettings::draft2020_12().for_serialize());
    }

    fn add<T: JsonSchema + TS + 'static>(&mut self, name: &str, settings: SchemaSettings) {
        self.files.push(GeneratedFile {
            name: format!("{name}.schema.json"),
            content: format!("{:#}\n", schema::<T>(settings)),
        });
        self.types.visit::<T>();
    }

    fn finish(mut self) -> Vec<GeneratedFile> {
        self.files.push(GeneratedFile {
            name: "protocol.ts".to_owned(),
            content: self.types.finish(),
        });
        self.files
    }
}

/// TypeScript declarations, each once, with everything they refer to.
struct TypeDeclarations {
    config: Config,
    seen: HashSet<std::any::TypeId>,
    by_name: BTreeMap<String, String>,
}

impl Default for TypeDeclarations {
    fn default() -> Self {
        Self {
            // Counts and times stay far below 2^53, and `JSON.parse` makes numbers of them anyway.
            config: Config::new().with_large_int("number"),
            seen: HashSet::new(),
            by_name: BTreeMap::new(),
        }
    }
}

impl TypeVisitor for TypeDeclarations {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        if !self.seen.insert(std::any::TypeId::of::<T>()) {
            return;
        }
        // Types of the language itself, such as `string`, have no declaration and no place.
        if T::output_path().is_some() {
            let comment = T::docs().unwrap_or_default();
            let declaration = format!("{comment}export {}\n", T::decl(&self.config));
            // Two types of one name would make one declaration stand for both. Both are kept, and
            // the TypeScript compiler refuses the file.
            self.by_name
                .entry(T::ident(&self.config))
                .or_default()
                .push_str(&declaration);
        }
        T::visit_generics(self);
        T::visit_dependencies(self);
    }
}

impl TypeDeclarations {
    fn finish(self) -> String {
        let mut text = String::from("// Written by `cargo xtask codegen` from the Rust types.\n");
        for declaration in self.by_name.values() {
            text.push('\n');
            // The generator leaves a space where it breaks a line.
            for line in declaration.lines() {
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
        text
    }
}
