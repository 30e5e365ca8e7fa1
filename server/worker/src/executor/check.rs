//! What a report must keep to. It comes from a worker, so nothing in it is taken on trust.

use std::collections::HashSet;

use claudecluster_protocol::{
    RelPath,
    network::NAMED_HOSTS,
    worker::{JobReport, WorkerJob},
};

/// Checks a report against its job. The error says which rule it breaks.
pub(super) fn check_report(job: &WorkerJob, report: &JobReport) -> Result<(), String> {
    let limits = &job.change_limits;
    if report.changes.len() > limits.files {
        return Err(format!("it has more than {} changes", limits.files));
    }
    if report.left_out.len() > limits.refusals {
        return Err(format!(
            "it names more than {} files that are left out",
            limits.refusals
        ));
    }
    if report.hosts.len() > NAMED_HOSTS {
        return Err(format!("it names more than {NAMED_HOSTS} hosts"));
    }
    if let Some(host) = report.hosts.iter().find(|host| host.host.len() > 255) {
        return Err(format!("{:?} names no host", host.host));
    }
    let mut seen = HashSet::new();
    for change in &report.changes {
        let paths = [Some(&change.path), change.from.as_ref()];
        for path in paths.into_iter().flatten() {
            if is_gits(path) {
                return Err(format!("it changes {path}, which belongs to git"));
            }
        }
        if !seen.insert(&change.path) {
            return Err(format!("it names {} twice", change.path));
        }
        if change.from.is_some() && change.version.is_none() {
            return Err(format!("it moves and deletes {}", change.path));
        }
        let id = change.version.as_ref().map(|version| &version.blob);
        if let Some(id) = id.filter(|id| !id.is_hash()) {
            return Err(format!("{id:?} names no content"));
        }
    }
    if report.transcript.as_ref().is_some_and(|id| !id.is_hash()) {
        return Err("its transcript names no content".to_owned());
    }
    if report
        .layer
        .as_ref()
        .is_some_and(|layer| *layer != report.layer_manifest().layer_id())
    {
        return Err("its layer is not what it changes".to_owned());
    }
    let gates = report.gates.iter().map(|result| &result.command);
    if report.gates.len() > job.gates.len() || !gates.eq(job.gates.iter().take(report.gates.len()))
    {
        return Err("its gates are not those of the job".to_owned());
    }
    Ok(())
}

/// Returns whether a path is that of a repository or inside it. A worker never collects such a path.
fn is_gits(path: &RelPath) -> bool {
    path.components().any(|part| part == ".git")
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::{
        AttemptId, BlobId, FileMode, Span,
        change::FileVersion,
        goal::GateResult,
        network::NetworkPolicy,
        plan::Command,
        worker::{
            AttemptEpoch, ChangeLimits, EpochNumber, JobDeadlines, JobEnv, JobWork, ReportedChange,
            SandboxChoice, SandboxFences,
        },
    };

    use super::*;

    fn job() -> WorkerJob {
        WorkerJob {
            epoch: AttemptEpoch {
                goal: "g1".into(),
                work: JobWork::Task { task: "t".into() },
                attempt: AttemptId(1),
                number: EpochNumber(1),
            },
            workspace: "/w".into(),
            base: None,
            layers: Vec::new(),
            network: NetworkPolicy::default(),
            sandbox: SandboxChoice::Auto,
            session: None,
            session_env: JobEnv::default(),
            gates: vec![Command::Shell("true".into())],
            gate_env: JobEnv::default(),
            deadlines: JobDeadlines {
                view: Span::from_secs(1),
                gate: Span::from_secs(1),
            },
            change_limits: ChangeLimits {
                files: 2,
                ..ChangeLimits::default()
            },
            fences: SandboxFences::default(),
            tracked: Vec::new(),
        }
    }

    fn change(path: &str) -> ReportedChange {
        ReportedChange {
            path: RelPath::new(path).unwrap(),
            from: None,
            version: Some(FileVersion {
                blob: BlobId::of_bytes(b"x"),
                mode: FileMode::Regular,
            }),
        }
    }

    fn report(paths: &[&str]) -> JobReport {
        let mut report = JobReport {
            changes: paths.iter().map(|path| change(path)).collect(),
            ..JobReport::default()
        };
        report.layer = Some(report.layer_manifest().layer_id());
        report
    }

    #[test]
    fn a_report_keeps_to_the_rules() {
        let check = |report: &JobReport, expected: &str| {
            let said = check_report(&job(), report).err().unwrap_or_default();
            assert!(
                said.contains(expected) && said.is_empty() == expected.is_empty(),
                "{said}"
            );
        };
        check(&report(&["a", "b"]), "");
        check(&report(&["a", "b", "c"]), "more than 2");
        check(&report(&["a", "a"]), "twice");
        check(&report(&[".git/hooks/post-commit"]), "belongs to git");
        check(&report(&["sub/.git/config"]), "belongs to git");
        let mut other = report(&["a"]);
        other.layer = Some(BlobId::of_bytes(b"other"));
        check(&other, "not what it changes");
        let mut named = report(&["a"]);
        let blob = BlobId::new("../../etc/passwd");
        named.changes[0].version = Some(FileVersion {
            blob,
            mode: FileMode::Regular,
        });
        check(&named, "names no content");
        let mut gates = report(&[]);
        gates.gates = vec![GateResult {
            command: Command::Shell("false".into()),
            passed: true,
            status: Some(0),
            output: String::new(),
            duration_ms: 0,
        }];
        check(&gates, "not those of the job");
    }
}
