//! How much of the planner's context the workers' first requests share.

use claudecluster_model::{Recorded, common_prefix};

use crate::{
    options::Bench,
    output::Result,
    repo::{self, Shape},
    stats::Samples,
    table::{Row, Table, Target, Unit},
    world::{World, events},
};

const SCRIPT: &str = r"
rules:
  - name: plan
    when: {user: Plan this goal, tools: [StructuredOutput]}
    turns:
      - - read: part-00/file-0000.txt
        - read: part-00/file-0001.txt
      - - run: 'git log --oneline; ls part-01'
      - - structured:
            status: done
            summary: Three units.
            plan:
              tasks:
                - {id: t0, title: First, instructions: Change unit 0, writes: [part-00/file-0000.txt]}
                - {id: t1, title: Second, instructions: Change unit 1, writes: [part-00/file-0001.txt]}
                - {id: t2, title: Third, instructions: Change unit 2, writes: [part-00/file-0002.txt]}
  - name: work
    when: {userMatches: 'Change unit (?<n>\d)', turn: 0}
    answer:
      - read: part-00/file-000{{n}}.txt
  - name: work on
    when: {userMatches: 'Change unit (?<n>\d)'}
    turns:
      - []
      - - edit: {path: 'part-00/file-000{{n}}.txt', old: 'line 3', new: 'line three'}
      - - structured: {status: done, summary: Changed.}
";

pub(crate) fn measure(bench: &Bench, table: &mut Table) -> Result {
    let root = repo::repository(&bench.dir, Shape::SMALL)?;
    let world = World::new(bench, &root, SCRIPT)?;
    let said = world.run(&[
        "run",
        "--json",
        "--agent",
        "claude-code",
        "change",
        "the",
        "units",
    ])?;
    let outcome = events(&said)?.pop().unwrap_or_default();
    if outcome["state"] != "proposed" {
        return Err(format!("the goal did not get through: {outcome}").into());
    }
    let turns = world.model.turns();
    let by = |rule: &'static str| {
        let of = move |turn: &&Recorded| turn.rule.as_deref() == Some(rule);
        turns.iter().filter(of).map(Recorded::context)
    };
    let planner = by("plan").next_back().ok_or("the planner said nothing")?;
    let mut shares = Samples::default();
    for worker in by("work") {
        shares.push(100.0 * common_prefix(&planner, &worker) as f64 / planner.len() as f64);
    }
    if shares.len() != 3 {
        return Err(format!("{} workers instead of three", shares.len()).into());
    }
    // The worst of the three decides.
    let worst = Samples::one(shares.quantile(0.0));
    let what = format!(
        "planner's context ({} bytes) shared by every fork",
        planner.len()
    );
    table.add(Row::new(what, Unit::Percent, worst).target(Target::AtLeast(95.0)));
    Ok(())
}
