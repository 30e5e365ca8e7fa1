//! The result of a job does not depend on who runs it.

use claudecluster_protocol::{
    FileMode, RelPath,
    change::FileVersion,
    plan::Command,
    worker::{LayerMaker, LayerManifest, LayerRef},
};
use proptest::prelude::*;

use super::*;

/// Something a program does to a file. Names are indices into [`NAMES`].
#[derive(Clone, Debug)]
enum Op {
    Write(usize, u8),
    Append(usize),
    Remove(usize),
    Move(usize, usize),
    Link(usize, usize),
    Executable(usize),
    MakeDir(usize),
    Pipe(usize),
}

/// Few enough that operations meet. The last two are ignored; some are inside others.
const NAMES: [&str; 10] = [
    "a",
    "b",
    "d",
    "d/x",
    "d/e/z",
    "n/x",
    "odd \\n, :name",
    "n",
    "skip/x",
    "x.log",
];

impl Op {
    fn script(&self) -> String {
        let name = |index: &usize| format!("\"$(printf './{}')\"", NAMES[*index]);
        let parent = |index: &usize| format!("mkdir -p \"$(dirname {})\"", name(index));
        match self {
            // Nobody reads a pipe, so a write to one would wait for ever.
            Op::Write(at, text) => format!(
                "{}; [ -p {1} ] && rm {1}; printf 'text {text}\\n' > {1}",
                parent(at),
                name(at)
            ),
            Op::Append(at) => format!("[ -f {0} ] && echo again >> {0}", name(at)),
            Op::Remove(at) => format!("rm -rf {}", name(at)),
            Op::Move(from, to) => format!("{}; mv -T {} {}", parent(to), name(from), name(to)),
            Op::Link(to, at) => format!("ln -s {} {}", name(to), name(at)),
            Op::Executable(at) => format!("[ -f {0} ] && [ ! -L {0} ] && chmod +x {0}", name(at)),
            Op::MakeDir(at) => format!("mkdir -p {}", name(at)),
            Op::Pipe(at) => format!("mkfifo {}", name(at)),
        }
    }
}

fn op(names: usize) -> impl Strategy<Value = Op> {
    let name = 0..names;
    prop_oneof![
        5 => (name.clone(), 0..3u8).prop_map(|(at, text)| Op::Write(at, text)),
        1 => name.clone().prop_map(Op::Append),
        3 => name.clone().prop_map(Op::Remove),
        3 => (name.clone(), name.clone()).prop_map(|(from, to)| Op::Move(from, to)),
        1 => (name.clone(), name.clone()).prop_map(|(to, at)| Op::Link(to, at)),
        1 => name.clone().prop_map(Op::Executable),
        1 => name.clone().prop_map(Op::MakeDir),
        1 => name.prop_map(Op::Pipe),
    ]
}

/// A task: what it does, how it ends, and its gates.
#[derive(Clone, Debug)]
struct Step {
    ops: Vec<Op>,
    status: u8,
    gates: Vec<&'static str>,
    tracked: bool,
}

fn step(names: usize) -> impl Strategy<Value = Step> {
    let gate = prop_oneof![
        4 => Just("true"),
        2 => Just("test -p a || cat a"),
        1 => Just("ls d n 2>&1; test -e x.log"),
        1 => Just("echo out; echo more; exit 3"),
    ];
    (
        prop::collection::vec(op(names), 0..8),
        prop_oneof![5 => Just(0), 1 => Just(7)],
        prop::collection::vec(gate, 0..3),
        any::<bool>(),
    )
        .prop_map(|(ops, status, gates, tracked)| Step {
            ops,
            status,
            gates,
            tracked,
        })
}

fn fixture() -> Fixture {
    Fixture::new(&[
        (".gitignore", "skip/\n*.log\n"),
        ("a", "text 0\n"),
        ("d/x", "text 1\n"),
        ("d/e/z", "text 2\n"),
        ("skip/x", "not looked at"),
    ])
}

/// A layer that no attempt made: one file more, one less.
fn seed(contents: &mut Contents) -> LayerRef {
    let text = Bytes::from_static(b"unsaved\n");
    let blob = BlobId::of_bytes(&text);
    contents.insert(blob.clone(), text);
    let version = FileVersion {
        blob,
        mode: FileMode::Regular,
    };
    let path = |path: &str| RelPath::new(path).unwrap();
    let files = [(path("b"), Some(version)), (path("d/x"), None)];
    add_layer(&LayerManifest(files.into()), contents, None)
}

fn add_layer(
    manifest: &LayerManifest,
    contents: &mut Contents,
    made_by: Option<LayerMaker>,
) -> LayerRef {
    let bytes = Bytes::from(manifest.to_bytes());
    let manifest = BlobId::of_bytes(&bytes);
    contents.insert(manifest.clone(), bytes);
    LayerRef { manifest, made_by }
}

/// Runs steps one on top of the other, each by the executor that `executor` gives for it, and returns the
/// reports without what may differ.
async fn play<E: Executor>(
    fixture: &Fixture,
    steps: &[Step],
    executor: impl Fn(usize) -> E,
) -> Vec<JobReport> {
    let mut contents = Contents::new();
    let mut layers = vec![seed(&mut contents)];
    let mut reports = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let ops = step
            .ops
            .iter()
            .map(|op| format!("{{ {}; }} 2>/dev/null", op.script()));
        let mut script: Vec<String> = ops.collect();
        script.push(format!("echo done; exit {}", step.status));
        let task = format!("t{number}");
        let mut job = job(fixture, &script.join("\n"));
        job.epoch = epoch(&task, 1, number as u64 + 1);
        job.layers.clone_from(&layers);
        job.gates = step
            .gates
            .iter()
            .map(|gate| Command::Shell((*gate).into()))
            .collect();
        if step.tracked {
            job.tracked = vec![RelPath::new("x.log").unwrap()];
        }
        let (mut report, changed) =
            run(&executor(number), job, contents.clone(), step.status == 0).await;
        let manifest = report.layer_manifest();
        assert_eq!(report.layer, Some(manifest.layer_id()), "{report:?}");
        contents.extend(changed);
        if report.stop.is_none() {
            let maker = LayerMaker {
                task: task.as_str().into(),
                attempt: AttemptId(1),
            };
            layers.insert(0, add_layer(&manifest, &mut contents, Some(maker)));
        }
        for gate in &mut report.gates {
            gate.duration_ms = 0;
        }
        reports.push(report);
    }
    reports
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// A step of which a manifest says everything.
fn without_folders(mut step: Step) -> Step {
    step.ops
        .retain(|op| !matches!(op, Op::MakeDir(_) | Op::Pipe(_)));
    step.gates = vec!["cat a b 2>&1"];
    step.tracked = false;
    step
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_gives_the_same_reports_here_and_over_a_pipe(
        steps in prop::collection::vec(step(NAMES.len()), 1..4),
    ) {
        let fixture = fixture();
        let here = block_on(play(&fixture, &steps, |_| local(&fixture, "local")));
        let there = block_on(play(&fixture, &steps, |_| pipe(&fixture, "pipe")));
        prop_assert_eq!(here, there);
    }

    /// Without ignored files and empty folders, which manifests do not have.
    #[test]
    fn a_worker_that_has_no_layer_makes_it_from_its_manifest(
        steps in prop::collection::vec(
            step(2).prop_map(without_folders),
            2..4,
        ),
    ) {
        let fixture = fixture();
        let here = block_on(play(&fixture, &steps, |_| local(&fixture, "local")));
        let elsewhere = block_on(play(&fixture, &steps, |number| {
            pipe(&fixture, &format!("worker{number}"))
        }));
        prop_assert_eq!(here, elsewhere);
    }
}
