//! Which folder a layer is.

use claudecluster_protocol::{
    FileMode, RelPath, StopReason,
    change::FileVersion,
    worker::{LayerMaker, LayerManifest, LayerRef},
};

use super::*;

fn summary(report: &JobReport) -> (Option<StopReason>, &str) {
    (report.stop, &report.summary)
}

#[tokio::test]
async fn ignored_files_help_where_they_are_and_are_missed_nowhere_else() {
    let fixture = Fixture::new(&[(".gitignore", "target/\n"), ("a", "old\n")]);
    let here = local(&fixture, "here");
    let build = "mkdir target; echo built > target/out; echo new > a";
    let (first, contents) = run(&here, job(&fixture, build), Contents::new(), true).await;
    assert_eq!(first.stop, None, "{}", first.summary);
    let paths: Vec<String> = first.changes.iter().map(|c| c.path.to_string()).collect();
    assert_eq!(paths, ["a"]);
    let mut contents = contents;
    let manifest = Bytes::from(first.layer_manifest().to_bytes());
    let id = BlobId::of_bytes(&manifest);
    contents.insert(id.clone(), manifest);
    let mut next = job(&fixture, "cat a target/out 2>/dev/null | tail -1");
    next.epoch = epoch("u", 1, 2);
    next.layers = vec![LayerRef {
        manifest: id.clone(),
        made_by: Some(LayerMaker {
            task: "t".into(),
            attempt: AttemptId(1),
        }),
    }];
    let (report, _) = run(&here, next.clone(), contents.clone(), false).await;
    assert_eq!(summary(&report), (None, "built"));
    // Nothing was made from the manifest where the folder itself was there.
    assert!(!fixture.state.join("here/goals/g1/layers").exists());
    let elsewhere = pipe(&fixture, "elsewhere");
    let (report, _) = run(&elsewhere, next.clone(), contents.clone(), false).await;
    assert_eq!(summary(&report), (None, "new"));
    let made = fixture
        .state
        .join("elsewhere/goals/g1/layers")
        .join(id.as_str());
    assert_eq!(std::fs::read_to_string(made.join("a")).unwrap(), "new\n");
    // A released layer that is not kept is no longer there.
    let (_, _) = run(&here, job(&fixture, "exit 1"), Contents::new(), false).await;
    let left = fixture.state.join("here/goals/g1/tasks/t/1");
    let names: Vec<_> = std::fs::read_dir(left)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["transcript.jsonl"]);
    here.forget_goal(&"g1".into()).await;
    assert_eq!(
        std::fs::read_dir(fixture.state.join("here/goals/g1"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn a_layer_that_cannot_be_had_is_a_job_that_does_not_start() {
    let fixture = Fixture::new(&[("a", "old\n")]);
    let version = FileVersion {
        blob: BlobId::of_bytes(b"lost"),
        mode: FileMode::Regular,
    };
    let files = [(RelPath::new("a").unwrap(), Some(version))];
    let manifest = Bytes::from(LayerManifest(files.into()).to_bytes());
    let id = BlobId::of_bytes(&manifest);
    for executor in [&local(&fixture, "l") as &dyn Executor, &pipe(&fixture, "p")] {
        let mut lost = job(&fixture, "true");
        lost.layers = vec![LayerRef {
            manifest: id.clone(),
            made_by: None,
        }];
        let contents = Contents::from([(id.clone(), manifest.clone())]);
        let (report, _) = run(executor, lost.clone(), contents, false).await;
        assert_eq!(report.stop, Some(StopReason::SpawnFailed));
        assert!(report.summary.contains("is gone"), "{}", report.summary);
        // Names that lead elsewhere are refused before anything is done.
        lost.epoch.goal = "../../etc".into();
        let (report, _) = run(executor, lost, Contents::new(), false).await;
        assert_eq!(report.stop, Some(StopReason::SpawnFailed));
        assert!(
            report.summary.contains("cannot be the name"),
            "{}",
            report.summary
        );
    }
}
