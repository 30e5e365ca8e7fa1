//! Other programs that write the very files that land.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use claudecluster_e2e::World;

use super::{numbered, propose};

#[test]
fn somebody_elses_writes_are_never_lost() {
    const FILES: usize = 60;
    let name = |n: usize| format!("f{n:02}.txt");
    let files: Vec<(String, String)> = (0..FILES).map(|n| (name(n), numbered(20))).collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(n, t)| (n.as_str(), t.as_str()))
        .collect();
    let world = World::new(&files);
    let goal = propose(&world, &[("t", "sed -i 's/^10$/ten/' f*.txt")]);
    let stop = AtomicBool::new(false);
    // Whole files are replaced from elsewhere, the way editors and git do it, while they land, are
    // undone and land again. A writer that has not seen a landing takes it away; that is its right.
    let written: Vec<usize> = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = vec![0; FILES];
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n = (n + 7) % FILES;
                let path = world.path(name(n));
                let text = fs::read_to_string(&path).unwrap();
                let beside = world.dir.path().join("beside.txt");
                fs::write(&beside, format!("typed {}\n{text}", written[n])).unwrap();
                fs::rename(&beside, &path).unwrap();
                written[n] += 1;
            }
            written
        });
        for verb in ["accept", "undo", "redo", "undo", "accept"] {
            // Whatever could not be carried out under this fire says so; what counts is the text.
            let said = world.run(&[verb, &goal]);
            assert!([0, 1, 3].contains(&said.status), "{said:#?}");
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    assert!(written.iter().sum::<usize>() > FILES);
    for (n, count) in written.into_iter().enumerate() {
        let text = world.read(name(n));
        let typed: Vec<String> = (0..count).rev().map(|n| format!("typed {n}")).collect();
        let (typed_part, rest) = text.split_at(text.find("1\n2\n").unwrap());
        assert_eq!(typed_part.lines().collect::<Vec<_>>(), typed, "{}", name(n));
        let plain = numbered(20);
        assert!(
            rest == plain || rest == plain.replace("\n10\n", "\nten\n"),
            "{rest}"
        );
    }
}
