//! Files that change while the daemon looks at them: folders and files that become links, pipes and devices, and back,
//! as fast as the kernel allows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use claudecluster_e2e::{
    World,
    live::{plan_of, shell},
    traps::{CANARY, Outside, peak_memory},
};
use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};

/// Swaps pairs of entries until it is dropped.
struct Swapper {
    stop: Arc<AtomicBool>,
    running: Option<JoinHandle<u64>>,
}

impl Swapper {
    fn start(pairs: Vec<(PathBuf, PathBuf)>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let swapping = move || {
            let mut swaps = 0;
            while !told.load(Ordering::Relaxed) {
                for (one, other) in &pairs {
                    // The daemon may be replacing one of them.
                    let swapped = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
                    swaps += u64::from(swapped.is_ok());
                }
            }
            swaps
        };
        let running = Some(std::thread::spawn(swapping));
        Self { stop, running }
    }

    /// Ends it and returns how often it has swapped.
    fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.running.take().unwrap().join().unwrap()
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

const FOLDERS: usize = 60;
const ROUNDS: usize = 8;

/// Makes a tree of folders with a file each.
fn make_tree(top: &Path, text: &str) {
    for number in 0..FOLDERS {
        let folder = top.join(format!("d{number}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("file.txt"), text).unwrap();
    }
}

/// A world whose workspace has a tree that is also a link to one that no worker may see, a file that is also a link
/// to the canary, patterns that are also a pipe, and a file that is also a device without an end.
fn swapped_world(sandbox: &str) -> (World, Outside, Vec<(PathBuf, PathBuf)>) {
    let world = World::new(&[("a.txt", "a\n"), ("z.txt", "z\n"), ("keep.txt", "keep\n")]);
    world.configure(&format!("sandbox = \"{sandbox}\"\n"));
    make_tree(&world.path("top"), "harmless\n");
    world.write(".gitignore", "ignored/\n");
    make_tree(&world.path("ignored"), "harmless\n");
    world.git(&["add", "-A"]);
    world.git(&["commit", "-q", "-m", "trees"]);
    // Covered inside, as everything there.
    let outside = Outside::at(world.user_home().join(".ssh"));
    let secret = world.user_home().join(".gnupg");
    make_tree(&secret, &format!("{CANARY}\n"));
    let aside = world.path(".git/aside");
    fs::create_dir(&aside).unwrap();
    let pair = |name: &str| (world.path(name), aside.join(name));
    let pairs = vec![
        pair("top"),
        pair("ignored"),
        pair("a.txt"),
        pair("z.txt"),
        pair(".gitignore"),
    ];
    symlink(&secret, &pairs[0].1).unwrap();
    symlink(&secret, &pairs[1].1).unwrap();
    symlink(outside.folder.join("canary"), &pairs[2].1).unwrap();
    let mode = Mode::from_raw_mode(0o644);
    symlink("/dev/zero", &pairs[3].1).unwrap();
    mknodat(CWD, &pairs[4].1, FileType::Fifo, mode, 0).unwrap();
    (world, outside, pairs)
}

fn check(sandbox: &str) {
    let (world, outside, pairs) = swapped_world(sandbox);
    let secret = world.user_home().join(".gnupg");
    let script = format!(
        "grep -rls {} . > found.txt; echo changed > a.txt; echo new > top/new.txt; echo keep-me > keep.txt; true",
        CANARY.replace("CANARY", "CAN[A]RY")
    );
    let plan = plan_of(&[shell("t", &script, &[]), shell("u", &script, &["t"])]);
    // A pipe for patterns ends most goals: it joins for the last rounds.
    let (last, first) = pairs.split_last().unwrap();
    let mut swapper = Some(Swapper::start(first.to_vec()));
    let mut swaps = 0;
    for round in 1..=ROUNDS {
        if round == ROUNDS - 1 {
            swaps += swapper
                .replace(Swapper::start(vec![last.clone()]))
                .unwrap()
                .end();
        }
        let said = world.run_plan(&plan, &["--apply"]);
        let context = format!("{sandbox}, round {round}: {said:#?}");
        assert!(!context.contains("panicked"), "{context}");
        let goal = format!("g{round}");
        world.run(&["accept", &goal, "--task", "t"]);
        let diff = world.run(&["diff", &goal]);
        assert!(!format!("{diff:?}").contains(CANARY), "{context} {diff:#?}");
        world.run(&["reject", &goal]);
        outside.assert_untouched(&context);
        assert!(!secret.join("new.txt").exists(), "{context}");
        if let Ok(found) = fs::read_to_string(world.path("found.txt")) {
            assert_eq!(found, "", "{context}");
        }
    }
    let peak = peak_memory(world.daemon());
    swaps += swapper.unwrap().end();
    assert!(swaps > 1_000, "{swaps}");
    assert!(peak < 700 << 10, "{peak}");
    world.run(&["daemon", "stop"]).expect(0);
}

#[test]
fn what_changes_under_an_overlay_shows_nothing_and_hangs_nobody() {
    check("auto");
}

#[test]
fn what_changes_while_it_is_copied_shows_nothing_and_hangs_nobody() {
    check("copy");
}
