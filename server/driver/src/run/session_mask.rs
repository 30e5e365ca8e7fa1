//! Keeps secrets out of what is shown and journaled of a session.
//!
//! A session's change set stays as it is: a masked file would be a broken file. A change that adds what
//! looks like a secret is held for review instead.

use std::{borrow::Cow, sync::Arc};

use claudecluster_core::secrets::{SecretMask, is_secret_name};
use claudecluster_protocol::{
    event::AgentEvent,
    goal::{EnvVar, GateResult},
    worker::{JobReport, WorkerJob},
};
use claudecluster_store::blob_id;
use claudecluster_worker::executor::FinishedJob;
use serde_json::Value;

use crate::blocking::run_blocking;

/// Masks secrets in what a session says: those of known shapes, and those of its environment.
pub(crate) struct SessionMask(Arc<SecretMask>);

impl SessionMask {
    /// Creates the mask for a job.
    pub(crate) fn of_job(job: &WorkerJob) -> Self {
        let variables: Vec<&EnvVar> = job.session_env.0.iter().chain(&job.gate_env.0).collect();
        let secrets = variables.iter().filter(|var| is_secret_name(&var.name));
        let mask = SecretMask::with_values(secrets.map(|var| var.value.as_str()));
        Self(Arc::new(mask))
    }

    /// Masks the texts of an activity.
    pub(crate) fn mask_event(&self, mut event: AgentEvent) -> AgentEvent {
        match &mut event {
            AgentEvent::Text { text } | AgentEvent::Output { text } => self.mask_text(text),
            AgentEvent::Tool { detail, .. } => self.mask_text(detail),
            AgentEvent::Denied { what } => self.mask_text(what),
            AgentEvent::Started { .. }
            | AgentEvent::Connection { .. }
            | AgentEvent::RateLimited { .. }
            | AgentEvent::Spent { .. } => {}
        }
        event
    }

    /// Masks the texts of a report, and its transcript.
    pub(crate) async fn mask_report(&self, finished: &mut FinishedJob) {
        let JobReport {
            summary,
            answer,
            gates,
            left_out,
            isolation,
            transcript,
            ..
        } = &mut finished.report;
        for text in [summary, isolation] {
            self.mask_text(text);
        }
        if let Some(Value::String(words)) = answer.as_mut().and_then(|it| it.get_mut("summary")) {
            self.mask_text(words);
        }
        for GateResult { output, .. } in gates {
            self.mask_text(output);
        }
        for file in left_out {
            self.mask_text(&mut file.reason);
        }
        let Some(id) = transcript else { return };
        let Some(bytes) = finished.contents.get(id).cloned() else {
            return;
        };
        let mask = self.0.clone();
        // A transcript may have many megabytes.
        let masked = run_blocking("masking a transcript", move || {
            Ok(match mask.mask_bytes(&bytes) {
                Cow::Owned(masked) => Some((blob_id(&masked), masked)),
                Cow::Borrowed(_) => None,
            })
        });
        match masked.await {
            // Under an identifier of its own: a file of the change set may be equal to the transcript.
            Ok(Some((masked_id, masked))) => {
                *id = masked_id.clone();
                finished.contents.insert(masked_id, masked.into());
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "a transcript is not kept");
                *transcript = None;
            }
        }
    }

    fn mask_text(&self, text: &mut String) {
        if let Cow::Owned(masked) = self.0.mask(text) {
            *text = masked;
        }
    }
}
