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

/// Returns all generated files, in a fixed order.
pub fn generated_files() -> Vec<GeneratedFile> {
    let mut all = GeneratedFiles::default();
    // What others send is described as we read it, what we send as we write it: a key with a default
    // may be left out of the one and is always there in the other.
    all.add_input_type::<Plan>("plan");
    all.add_input_type::<GoalSpec>("goal-spec");
    all.add_input_type::<Call>("call");
    all.add_input_type::<Request>("request");
    all.add_input_type::<Hello>("hello");
    all.add_output_type::<Welcome>("welcome");
    all.add_output_type::<Answer>("answer");
    all.add_output_type::<Reply>("reply");
    all.add_output_type::<DaemonFile>("daemon-file");
    all.add_output_type::<Event>("event");
    all.add_output_type::<StreamItem>("stream-item");
    all.add_output_type::<GoalView>("goal-view");
    all.add_output_type::<PermissionRequest>("permission-request");
    all.add_output_type::<HunkView>("hunk-view");
    all.add_output_type::<HunkOrigin>("origin");
    all.add_output_type::<GoalOutcome>("outcome");
    all.add_output_type::<ErrorBody>("error-body");
    all.add_input_type::<EditorSettings>("editor-settings");
    all.add_output_type::<EditChecksum>("editor-edit-of");
    all.add_input_type::<SubmitArgs>("editor-submit-args");
    all.add_output_type::<SubmittedGoal>("editor-submitted");
    all.add_input_type::<GoalArgs>("editor-goal-args");
    all.add_input_type::<ApproveArgs>("editor-approve-args");
    all.add_input_type::<PlanArgs>("editor-plan-args");
    all.add_output_type::<PlanDocument>("editor-plan-document");
    all.add_input_type::<HunkArgs>("editor-hunk-args");
    all.add_input_type::<ResolveArgs>("editor-resolve-args");
    all.add_input_type::<PermissionAnswer>("editor-permission-answer");
    all.add_input_type::<ChangesParams>("editor-changes-params");
    all.add_output_type::<Changes>("editor-changes");
    all.add_input_type::<PendingContentParams>("editor-content-params");
    all.add_output_type::<PendingContent>("editor-content");
    all.add_output_type::<MessageToWorker>("message-to-worker");
    all.add_input_type::<MessageFromWorker>("message-from-worker");
    all.add_output_type::<LayerManifest>("layer-manifest");
    all.into_files()
}

fn generate_schema<T: JsonSchema>(settings: SchemaSettings) -> Value {
    SchemaGenerator::new(settings)
        .into_root_schema_for::<T>()
        .to_value()
}

/// Collects the generated files.
#[derive(Default)]
struct GeneratedFiles {
    files: Vec<GeneratedFile>,
    types: TypeDeclarations,
}

impl GeneratedFiles {
    fn add_input_type<T: JsonSchema + TS + 'static>(&mut self, name: &str) {
        self.add_type::<T>(name, SchemaSettings::draft2020_12().for_deserialize());
    }

    fn add_output_type<T: JsonSchema + TS + 'static>(&mut self, name: &str) {
        self.add_type::<T>(name, SchemaSettings::draft2020_12().for_serialize());
    }

    fn add_type<T: JsonSchema + TS + 'static>(&mut self, name: &str, settings: SchemaSettings) {
        self.files.push(GeneratedFile {
            name: format!("{name}.schema.json"),
            content: format!("{:#}\n", generate_schema::<T>(settings)),
        });
        self.types.visit::<T>();
    }

    fn into_files(mut self) -> Vec<GeneratedFile> {
        self.files.push(GeneratedFile {
            name: "protocol.ts".to_owned(),
            content: self.types.into_source(),
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
    fn into_source(self) -> String {
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
