//! Processes that die and disks that refuse: what was acknowledged is there afterwards.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use claudecluster_protocol::{EventBody, EventSeq};
use claudecluster_store::Store;

const WRITER: &str = env!("CARGO_BIN_EXE_claudecluster-store-writer");

/// Spreads numbers over 64 bits (SplitMix64), so that a run can be repeated.
fn scatter(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let cycles: u64 = std::env::var("CLAUDECLUSTER_TORTURE_CYCLES")
        .map_or(40, |n| n.parse().expect("a number of cycles"));
    let longest = if cycles > 40 { 800 } else { 200 };
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let oracle = folder.path().join("acknowledged");
    let mut seen = HashMap::new();
    let mut checked = EventSeq(0);
    for cycle in 0..cycles {
        let mut child = Command::new(WRITER)
            .arg("forever")
            .args([&home, &oracle])
            .arg(cycle.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(5 + scatter(cycle) % longest));
        // SIGKILL: nothing of the process gets to run after it.
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "the writer ended by itself");

        let store = Store::open(&home).unwrap();
        assert_eq!(
            fs::read_dir(home.join("incoming")).unwrap().count(),
            0,
            "half-written files stay"
        );
        checked = check_new(&store, checked, &mut seen);
    }

    let store = Store::open(&home).unwrap();
    store.verify_contents().unwrap();
    let acknowledged = fs::read_to_string(&oracle).unwrap();
    for line in acknowledged.lines() {
        let (seq, what) = line.split_once(' ').unwrap();
        let seq = EventSeq(seq.parse().unwrap());
        assert_eq!(seen.get(&seq).map(String::as_str), Some(what), "{line}");
    }
    let unique: HashSet<_> = seen.values().collect();
    assert_eq!(unique.len(), seen.len(), "an event is there twice");
    assert!(
        acknowledged.lines().count() as u64 > cycles,
        "the writers came to nothing"
    );
}

/// Reads what is new, and looks for the blob that each event names.
fn check_new(store: &Store, after: EventSeq, seen: &mut HashMap<EventSeq, String>) -> EventSeq {
    for event in store.read_events(after, None).unwrap() {
        let EventBody::RetryScheduled {
            task_id, lesson, ..
        } = &event.body
        else {
            panic!("an event that nobody wrote: {event:?}");
        };
        let blob = store.get_blob(&lesson.as_str().into()).unwrap();
        let blob = blob.unwrap_or_else(|| panic!("event {} names a lost blob", event.seq));
        assert!(blob.ends_with(task_id.as_str().as_bytes()));
        seen.insert(event.seq, format!("{} {task_id}", event.goal_id));
    }
    store.last_seq()
}

/// What the starved writer reported.
fn report(output: &Output) -> HashMap<String, String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    let mut words = text.split_whitespace();
    let kind = words.next().expect("a report").to_owned();
    words
        .map(|word| word.split_once('=').unwrap())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .chain([("kind".to_owned(), kind)])
        .collect()
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=3m tmpfs \"$2\" && head -c 1m /dev/zero >\"$2/ballast\" \
                  && exec \"$1\" until-full \"$2/home\" \"$2/ballast\"";
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--mount", "sh", "-c"]);
    let possible = Command::new("unshare")
        .args([
            "--map-root-user",
            "--mount",
            "mount",
            "-t",
            "tmpfs",
            "tmpfs",
        ])
        .arg(folder.path())
        .status()
        .is_ok_and(|status| status.success());
    if !possible {
        eprintln!("not tested: this machine lets nobody mount a small disk in a user namespace");
        return;
    }
    let output = unshare
        .args([script, "sh", WRITER])
        .arg(folder.path())
        .output()
        .unwrap();
    let report = report(&output);
    assert_eq!(report["kind"], "full", "{report:?}");
    assert_ne!(report["acknowledged"], "0");
    assert_eq!(report["readable"], report["acknowledged"]);
    assert_eq!(report["healthy"], "false");
    assert_eq!(report["large"], "full");
    assert_eq!(
        report["half"], "0",
        "a half-written file stays on the full disk"
    );
    assert_eq!(report["recovered"], "true");
    assert_eq!(report["commits"], "true");
}

#[test]
fn a_failing_write_at_any_place_loses_nothing() {
    // The limit on the size of a file makes the write that crosses it short and the next one fail.
    // Where that happens in the log's frames differs with the limit.
    for blocks in [300, 301, 409, 517, 1023, 2050] {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let script =
            "trap '' XFSZ; ulimit -S -f \"$3\"; exec \"$1\" until-full \"$2\" /nonexistent";
        let output = Command::new("sh")
            .args(["-c", script, "sh", WRITER])
            .arg(&home)
            .arg(blocks.to_string())
            .output()
            .unwrap();
        let report = report(&output);
        assert_eq!(report["kind"], "read-only", "{blocks}: {report:?}");
        assert_eq!(report["readable"], report["acknowledged"], "{blocks}");
        assert_eq!(report["healthy"], "false");
        assert_eq!(report["large"], "refused");
        // Even now that writing works again: the next sync could not be believed.
        assert_eq!(report["recovered"], "false");
        assert_eq!(report["commits"], "false");
        reopens_whole(&home, report["acknowledged"].parse().unwrap());
    }
}

/// The store takes up where the last acknowledged event left off. The one that was refused may be
/// there too: its writer was told that nothing is known about it.
fn reopens_whole(home: &Path, acknowledged: u64) {
    let store = Store::open(home).unwrap();
    store.verify_contents().unwrap();
    store.check_writable().unwrap();
    let last = store.last_seq().0;
    assert!(acknowledged > 0);
    assert!((acknowledged..=acknowledged + 1).contains(&last), "{last}");
    assert_eq!(
        check_blobs(&store),
        last,
        "an event names a blob that is lost"
    );
}

fn check_blobs(store: &Store) -> u64 {
    let named = |body: &EventBody| match body {
        EventBody::RetryScheduled { lesson, .. } => store.get_blob(&lesson.as_str().into()),
        _ => Ok(None),
    };
    let events = store.read_events(EventSeq(0), None).unwrap();
    events
        .iter()
        .filter(|event| named(&event.body).unwrap().is_some())
        .count() as u64
}
