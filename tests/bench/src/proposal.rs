//! A driver with a proposal, without the goal that would have led to it.

use std::{fs, path::Path, sync::Arc};

use claudecluster_driver::{
    Driver, DriverConfig, DriverSettings,
    store::{NewEvent, Store},
};
use claudecluster_protocol::{
    AttemptId, EventBody, FileMode, GoalId, GoalSpec, GoalState, RelPath, Timestamp,
    change::{FileVersion, Provenance},
    event::{ProposedFile, TaskVersion},
};
use serde_json::json;

use crate::output::Result;

/// The goal that proposes.
pub(crate) fn goal() -> GoalId {
    GoalId::new("g1")
}

/// Writes files into `dir`'s folder `work` and starts a driver that proposes another text for each:
/// its path, what it is, what it is to be.
pub(crate) async fn driver(
    dir: &Path,
    files: &[(String, &str, &str)],
    store: Store,
) -> Result<Driver> {
    let (work, state) = (dir.join("work"), dir.join("state"));
    for folder in [&work, &state] {
        fs::create_dir_all(folder)?;
    }
    let mut proposed = Vec::new();
    for (path, base, text) in files {
        fs::write(work.join(path), base)?;
        proposed.push(file(&store, path, base, text)?);
    }
    let spec: GoalSpec = serde_json::from_value(json!({"workspace": work, "prompt": "change it"}))?;
    let events = [
        EventBody::GoalSubmitted {
            spec: Box::new(spec),
        },
        EventBody::Proposed { files: proposed },
        EventBody::GoalChanged {
            state: GoalState::Proposed,
            error: None,
        },
    ];
    let event = |body| NewEvent {
        at: Timestamp(1),
        goal: goal(),
        body,
    };
    store
        .append_events(events.into_iter().map(event).collect())
        .await?;
    let config = DriverConfig {
        home: state,
        launcher: dir.join("none"),
        settings: DriverSettings::default(),
        restrictions: Arc::new(|_| Ok(Default::default())),
        keep_host: Arc::new(|_| Ok(())),
        hidden: Default::default(),
    };
    Driver::start(config, store)
        .await
        .map_err(|error| error.to_string().into())
}

fn file(store: &Store, path: &str, base: &str, text: &str) -> Result<ProposedFile> {
    let version = |text: &str| -> Result<Option<FileVersion>> {
        let blob = store.put_blob(text.as_bytes())?;
        let mode = FileMode::Regular;
        Ok(Some(FileVersion { blob, mode }))
    };
    let by = Provenance {
        task: "t".into(),
        title: "Task".into(),
        attempt: AttemptId(1),
        why: None,
    };
    let (base, proposed) = (version(base)?, version(text)?);
    Ok(ProposedFile {
        path: RelPath::new(path)?,
        entry: 0,
        from: None,
        held: Vec::new(),
        versions: vec![TaskVersion {
            by,
            base: base.clone(),
            proposed: proposed.clone(),
        }],
        base,
        proposed,
    })
}
