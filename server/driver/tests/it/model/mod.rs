//! The driver against a model of it: random steps of a developer, of agents whose results arrive, of
//! other programs, of clients that misbehave and of daemons that end, and after each step the
//! promises that are simple enough to be sure of.
//!
//! Whatever a developer types is a character nobody else writes, so that "no keystroke is lost" is a
//! comparison of two strings.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a model fails by panicking"
)]

mod editor;
mod world;

use claudecluster_driver::settings::MergeWords;
use proptest::{
    prelude::*,
    sample::{Index, select},
    test_runner::FileFailurePersistence,
};
use world::World;

use self::editor::{MANNERS, Manner};

/// The files. The last one is proposed to be created.
const FILES: [&str; 4] = ["a.txt", "b.txt", "src/c.txt", "new.txt"];

/// Something that happens. Indices are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    /// The developer types where the file is: into its buffer, or with another program on the disk.
    Type(Index, Index, bool),
    /// The developer takes a line away that nobody typed into.
    DeleteLine(Index, Index),
    /// Another program writes to the disk, whoever has the file open.
    Write(Index, Index),
    Open(Index, Index),
    Close(Index),
    Save(Index),
    Accept(Scope, Vec<Manner>),
    Reject(Scope),
    Undo(Scope, Vec<Manner>),
    Redo(Scope, Vec<Manner>),
    Resolve(Index, bool, Vec<Manner>),
    /// The client makes the edit by itself and says so, or says so only.
    AppliedByClient(Index, bool),
    /// A later result, made from the first text, while the daemon restarts.
    Later(Index, Vec<(Index, u8)>),
    Restart,
    /// The developer presses the editor's own keys to undo or redo, this often, before the text settles.
    Back(Index, i8),
}

/// What a decision is about.
#[derive(Clone, Debug)]
enum Scope {
    Hunk(Index),
    File(Index),
    Task,
    Goal,
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        5 => any::<Index>().prop_map(Scope::Hunk),
        2 => any::<Index>().prop_map(Scope::File),
        1 => Just(Scope::Task),
        1 => Just(Scope::Goal),
    ]
}

fn manners() -> impl Strategy<Value = Vec<Manner>> {
    prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec(select(&MANNERS[..]), 1..4),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let at = any::<Index>;
    prop_oneof![
        6 => (at(), at(), any::<bool>()).prop_map(|(f, at, line)| Step::Type(f, at, line)),
        1 => (at(), at()).prop_map(|(f, at)| Step::DeleteLine(f, at)),
        2 => (at(), at()).prop_map(|(f, at)| Step::Write(f, at)),
        3 => (at(), at()).prop_map(|(f, desk)| Step::Open(f, desk)),
        1 => at().prop_map(Step::Close),
        2 => at().prop_map(Step::Save),
        5 => (scope(), manners()).prop_map(|(s, m)| Step::Accept(s, m)),
        2 => scope().prop_map(Step::Reject),
        3 => (scope(), manners()).prop_map(|(s, m)| Step::Undo(s, m)),
        1 => (scope(), manners()).prop_map(|(s, m)| Step::Redo(s, m)),
        1 => (at(), any::<bool>(), manners()).prop_map(|(h, both, m)| Step::Resolve(h, both, m)),
        1 => (at(), any::<bool>()).prop_map(|(h, honest)| Step::AppliedByClient(h, honest)),
        1 => (at(), prop::collection::vec((at(), any::<u8>()), 1..4))
            .prop_map(|(f, lines)| Step::Later(f, lines)),
        1 => Just(Step::Restart),
        5 => (at(), -5i8..4).prop_map(|(f, steps)| Step::Back(f, steps)),
    ]
}

/// The text of a file of `lines` lines, and what a task makes of it: most lines stay, some go, some
/// are others, some come.
fn proposal() -> impl Strategy<Value = (String, String)> {
    prop::collection::vec(0u8..12, 3..14).prop_map(|acts| {
        let same = |at: usize| format!("line {at}, kept ({at})\n");
        let base: String = (0..acts.len()).map(same).collect();
        // What is typed behind the comma can be merged with another first word.
        let line = |(at, act): (usize, &u8)| match act {
            0 => String::new(),
            1 => format!("task {at}\n"),
            2 => format!("task {at}, kept ({at})\n"),
            3 => format!("more {at}\n{}", same(at)),
            _ => same(at),
        };
        let proposed = acts.iter().enumerate().map(line).collect();
        (base, proposed)
    })
}

fn config(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: asked.and_then(|n| n.parse().ok()).unwrap_or(cases),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        max_shrink_iters: 2000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn the_driver_keeps_its_promises(
        files in prop::collection::vec(proposal(), FILES.len()),
        steps in prop::collection::vec(step(), 1..24),
        words in select(&[MergeWords::Off, MergeWords::Suggest, MergeWords::On, MergeWords::On][..]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(&files, words).await;
            world.check("the start").await;
            for step in &steps {
                world.happen(step).await;
                world.check(&format!("{step:?}")).await;
            }
            world.finish().await;
        });
    }
}
