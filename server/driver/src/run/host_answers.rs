//! Questions about hosts of the network: who can answer them, and which need no answer any more.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use claudecluster_protocol::{
    ErrorBody,
    network::host_and_port,
    permission::{PermissionAnswer, PermissionDecision, PermissionRequest, PermissionScope},
};
use claudecluster_store::Store;
use claudecluster_worker::network::{HostPort, HostRule};
use serde::Deserialize;

use crate::{
    blocking::run_blocking, config::HostKeeper, workspace::editor_registry::EditorRegistry,
};

/// The people who can answer, and the hosts that have been allowed for always. Clones share them.
#[derive(Clone)]
pub(crate) struct HostAnswers {
    editors: EditorRegistry,
    watchers: Arc<AtomicUsize>,
    keeper: HostKeeper,
    /// Hosts that were allowed since the settings were read.
    added: Arc<Mutex<Vec<String>>>,
}

/// Somebody looks at a stream of events and can answer questions, until this value is dropped.
#[derive(Debug)]
pub struct Attendance(Arc<AtomicUsize>);

impl Drop for Attendance {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The input of a question about a host.
#[derive(Deserialize)]
struct HostInput {
    host: String,
    port: u16,
    /// The address of a private network that the host's name leads to.
    #[serde(default)]
    address: Option<String>,
}

impl HostAnswers {
    /// Returns answers that are kept with `keeper`. Attached `editors` can answer.
    pub(crate) fn new(editors: EditorRegistry, keeper: HostKeeper) -> Self {
        Self {
            editors,
            watchers: Arc::default(),
            keeper,
            added: Arc::default(),
        }
    }

    /// Records that somebody can answer.
    pub(crate) fn attend(&self) -> Attendance {
        self.watchers.fetch_add(1, Ordering::Relaxed);
        Attendance(self.watchers.clone())
    }

    /// Returns whether anybody can answer now.
    pub(crate) fn somebody_attends(&self) -> bool {
        self.editors.len() > 0 || self.watchers.load(Ordering::Relaxed) > 0
    }

    /// Returns the hosts that have been allowed for always since the settings were read.
    pub(crate) fn added_hosts(&self) -> Vec<String> {
        self.added
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns the answer to a question that has been answered for always.
    pub(crate) fn standing_answer(&self, input: &str) -> Option<PermissionDecision> {
        let target = asked_host(input).ok()?;
        let added = self.added_hosts();
        let rules = added
            .iter()
            .filter_map(|rule| rule.parse::<HostRule>().ok());
        let mut covering = rules.filter(|rule| rule.covers(&target));
        covering.next().map(|_| PermissionDecision::Allow)
    }

    /// Keeps the host that an answer allows for always, before the request is answered: an answer that cannot be
    /// kept is none.
    pub(crate) async fn keep_answer(
        &self,
        store: &Store,
        open: Vec<PermissionRequest>,
        answer: &PermissionAnswer,
    ) -> Result<(), ErrorBody> {
        if (answer.scope, answer.decision) != (PermissionScope::Always, PermissionDecision::Allow) {
            return Ok(());
        }
        let asked = open.into_iter().find(|open| open.id == answer.request_id);
        let Some(asked) = asked.filter(PermissionRequest::is_about_host) else {
            // The dispatcher says what is wrong.
            return Ok(());
        };
        let (store, hosts) = (store.clone(), self.clone());
        run_blocking("keeping an allowed host", move || {
            let input = store.get_blob(&asked.input)?;
            hosts.keep_host(&input.unwrap_or_default())
        })
        .await
    }

    /// Allows the host of a question for always. Blocks on the user's configuration file.
    fn keep_host(&self, input: &[u8]) -> Result<(), ErrorBody> {
        let input = String::from_utf8_lossy(input);
        let target = asked_host(&input).map_err(ErrorBody::internal)?;
        let rule = HostRule::exactly(&target).to_string();
        // One at a time: each reads the file and writes it.
        let mut added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        (self.keeper)(&rule)?;
        if !added.contains(&rule) {
            added.push(rule);
        }
        Ok(())
    }
}

/// Reads the host that a question is about, or the address that is to be allowed for it.
fn asked_host(input: &str) -> Result<HostPort, String> {
    let HostInput {
        host,
        port,
        address,
    } = serde_json::from_str(input).map_err(|error| error.to_string())?;
    let host = address.unwrap_or(host);
    HostPort::parse(&host_and_port(&host, port), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_needs_no_answer_again() {
        let kept: Arc<Mutex<Vec<String>>> = Arc::default();
        let file = kept.clone();
        let keeper: HostKeeper = Arc::new(move |rule| {
            file.lock().unwrap().push(rule.to_owned());
            Ok(())
        });
        let answers = HostAnswers::new(EditorRegistry::default(), keeper);
        let asked = [
            r#"{"host":"a.example","port":443}"#,
            r#"{"host":"a.example","port":8443}"#,
            r#"{"address":"10.0.0.5","host":"b.example","port":5432}"#,
            r#"{"host":"::1","port":80}"#,
        ];
        for input in asked {
            assert_eq!(answers.standing_answer(input), None);
            answers.keep_host(input.as_bytes()).unwrap();
            assert_eq!(
                answers.standing_answer(input),
                Some(PermissionDecision::Allow)
            );
        }
        let expected = ["a.example", "a.example:8443", "10.0.0.5:5432", "::1"];
        assert_eq!(*kept.lock().unwrap(), expected);
        assert_eq!(answers.added_hosts(), expected);
        assert!(answers.keep_host(b"nonsense").is_err());
    }

    #[test]
    fn watchers_attend_until_they_leave() {
        let answers = HostAnswers::new(EditorRegistry::default(), Arc::new(|_| Ok(())));
        assert!(!answers.somebody_attends());
        let watcher = answers.attend();
        assert!(answers.somebody_attends());
        drop(watcher);
        assert!(!answers.somebody_attends());
    }
}
