//! What is there: files, editors, a daemon; and what is expected of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::Arc,
};

use claudecluster_core::{
    merge::merge3,
    review::{FileReview, HunkState, merge_later_result},
};
use claudecluster_driver::{AttachmentGuard, Driver, settings::MergeWords, store::NewEvent};
use claudecluster_protocol::{
    EventBody, FileMode, GoalId, HunkId, RelPath, Timestamp,
    api::{Decision, DecisionReport},
    change::{HunkStatus, HunkView},
    content::PendingSide,
    event::{ProposedFile, Verdict},
    resolution::Resolution,
};
use proptest::sample::Index;

use super::{
    FILES, Scope, Step,
    editor::{Desk, Manner},
};
use crate::support::{Fixture, GOAL, decision, resolution};

/// First of the characters that only the developer types.
const MARK: u32 = 0xE000;

fn marks(text: &str) -> String {
    let typed = |c: &char| (MARK..0xF8FF).contains(&(*c as u32));
    text.chars().filter(typed).collect()
}

/// Everything.
pub(crate) struct World {
    fixture: Fixture,
    driver: Driver,
    desks: [Arc<Desk>; 2],
    attached: Vec<AttachmentGuard>,
    /// Which desk has a file open.
    open: BTreeMap<usize, usize>,
    /// What the disk is to hold.
    disk: BTreeMap<usize, Option<String>>,
    /// The texts the goal started from.
    first: Vec<Option<String>>,
    /// Hunks that were rejected and not asked for again.
    rejected: BTreeSet<HunkId>,
    /// What the editor's own undo and redo go to in each open file.
    undo: BTreeMap<usize, Steps>,
    typed: u32,
    results: u32,
}

/// The texts of a file, oldest first, with what was pending then.
#[derive(Default)]
struct Steps {
    texts: Vec<(String, BTreeSet<HunkId>)>,
    /// Which of them is there.
    at: usize,
}

impl World {
    pub(crate) async fn new(files: &[(String, String)], words: MergeWords) -> Self {
        let mut fixture = Fixture::new();
        fixture.settings.review.merge_words = words;
        let mut first = Vec::new();
        for (at, (base, proposed)) in files.iter().enumerate() {
            let base = (at + 1 < FILES.len()).then_some(base.as_str());
            fixture = fixture.propose(FILES[at], base, Some(proposed));
            first.push(base.map(str::to_owned));
        }
        let driver = fixture.start().await;
        let mut world = Self {
            fixture,
            driver,
            desks: Default::default(),
            attached: Vec::new(),
            open: BTreeMap::new(),
            disk: first.iter().cloned().enumerate().collect(),
            first,
            rejected: BTreeSet::new(),
            undo: BTreeMap::new(),
            typed: 0,
            results: 0,
        };
        world.attach();
        world
    }

    fn attach(&mut self) {
        let desks = self.desks.iter().cloned();
        self.attached = desks.map(|desk| self.driver.attach(desk)).collect();
    }

    fn path(&self, file: usize) -> PathBuf {
        self.fixture.path(FILES[file])
    }

    fn on_disk(&self, file: usize) -> Option<String> {
        fs::read_to_string(self.path(file)).ok()
    }

    /// The buffer, or the disk where no editor has the file open.
    fn text(&self, file: usize) -> Option<String> {
        match self.open.get(&file) {
            Some(&desk) => self.desks[desk].text(&self.path(file)),
            None => self.on_disk(file),
        }
    }

    fn texts(&self) -> Vec<Option<String>> {
        (0..FILES.len()).map(|file| self.text(file)).collect()
    }

    fn write(&mut self, file: usize, text: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self.disk.insert(file, Some(text.to_owned()));
    }

    /// What the developer does to the text where the file is.
    fn put(&mut self, file: usize, text: &str) {
        match self.open.get(&file) {
            Some(&desk) => {
                self.desks[desk].set(&self.path(file), text).unwrap();
            }
            None => self.write(file, text),
        }
    }

    fn mark(&mut self) -> char {
        self.typed += 1;
        char::from_u32(MARK + self.typed).unwrap()
    }

    async fn hunks(&self) -> Vec<HunkView> {
        self.driver.hunks(None, None).await.unwrap()
    }

    async fn content(&self, file: usize, side: PendingSide) -> Option<String> {
        let path = RelPath::new(FILES[file]).unwrap();
        let goal = GoalId::new(GOAL);
        self.driver.content(&goal, &path, side).await.unwrap()
    }

    pub(crate) async fn happen(&mut self, step: &Step) {
        match step {
            Step::Type(file, at, line) => self.type_mark(file.index(FILES.len()), at, *line),
            Step::DeleteLine(file, at) => self.delete_line(file.index(FILES.len()), at),
            Step::Write(file, at) => {
                let file = file.index(FILES.len());
                let text = self.on_disk(file).unwrap_or_default();
                let text = with(&text, at, &format!("{}\n", self.mark()));
                self.write(file, &text);
            }
            Step::Open(file, desk) => {
                let (file, desk) = (file.index(FILES.len()), desk.index(2));
                if !self.open.contains_key(&file) {
                    let text = self.on_disk(file).unwrap_or_default();
                    self.desks[desk].open(&self.path(file), &text);
                    self.open.insert(file, desk);
                }
            }
            Step::Close(file) => {
                let file = file.index(FILES.len());
                if let Some(desk) = self.open.remove(&file) {
                    self.desks[desk].close(&self.path(file));
                }
            }
            Step::Save(file) => {
                let file = file.index(FILES.len());
                if self.open.contains_key(&file) {
                    let text = self.text(file).unwrap();
                    self.write(file, &text);
                }
            }
            Step::Accept(scope, manners) => self.decide(Verdict::Accept, scope, manners).await,
            Step::Reject(scope) => self.decide(Verdict::Reject, scope, &[]).await,
            Step::Undo(scope, manners) => self.decide(Verdict::Undo, scope, manners).await,
            Step::Redo(scope, manners) => self.decide(Verdict::Redo, scope, manners).await,
            Step::Resolve(hunk, both, manners) => self.resolve(hunk, *both, manners).await,
            Step::AppliedByClient(hunk, honest) => self.applied(hunk, *honest).await,
            Step::Later(file, lines) => self.later(file.index(FILES.len()), lines).await,
            Step::Restart => self.restart(None).await,
            Step::Back(file, steps) => self.back(file.index(FILES.len()), *steps).await,
        }
        self.remember(step).await;
    }

    /// Lets every text settle, and keeps what the editor's own undo can go back to.
    async fn remember(&mut self, step: &Step) {
        for file in 0..FILES.len() {
            self.driver.settled(&self.path(file)).await;
        }
        // Any other decision does more than the editor could undo.
        let undoable = matches!(
            step,
            Step::Type(..)
                | Step::Accept(..)
                | Step::AppliedByClient(..)
                | Step::Back(..)
                | Step::Save(_)
        );
        if !undoable {
            self.undo.clear();
        }
        // A file that was deleted is open no more.
        let (desks, fixture) = (&self.desks, &self.fixture);
        let shows = |file: usize, desk: usize| desks[desk].text(&fixture.path(FILES[file]));
        self.open.retain(|&file, desk| shows(file, *desk).is_some());
        self.undo.retain(|file, _| self.open.contains_key(file));
        for &file in self.open.keys() {
            let now = (self.text(file).unwrap(), self.pending(file).await);
            let steps = self.undo.entry(file).or_default();
            let last = steps.texts.get_mut(steps.at);
            if let Some(last) = last.filter(|last| last.0 == now.0) {
                *last = now;
                continue;
            }
            steps.texts.truncate(steps.at + 1);
            steps.texts.push(now);
            steps.at = steps.texts.len() - 1;
        }
    }

    /// The names of what is pending in a file.
    async fn pending(&self, file: usize) -> BTreeSet<HunkId> {
        let hunks = self.hunks().await.into_iter();
        let here = hunks.filter(|hunk| hunk.path.as_str() == FILES[file]);
        here.map(|hunk| hunk.id).collect()
    }

    /// What was pending when the text was as it is now is so again, and nothing else.
    async fn back(&mut self, file: usize, by: i8) {
        let Some(steps) = self.undo.get_mut(&file) else {
            return;
        };
        let at = steps.at.saturating_add_signed(by.into());
        steps.at = at.min(steps.texts.len() - 1);
        let (text, pending) = steps.texts[steps.at].clone();
        self.put(file, &text);
        self.driver.settled(&self.path(file)).await;
        assert_eq!(
            self.pending(file).await,
            pending,
            "{} of {text:?}",
            FILES[file]
        );
    }

    fn type_mark(&mut self, file: usize, at: &Index, line: bool) {
        let mark = self.mark();
        let text = self.text(file).unwrap_or_default();
        let typed = if line {
            with(&text, at, &format!("{mark}\n"))
        } else {
            let places: Vec<usize> = text
                .char_indices()
                .map(|(at, _)| at)
                .chain([text.len()])
                .collect();
            let place = places[at.index(places.len())];
            format!("{}{mark}{}", &text[..place], &text[place..])
        };
        self.put(file, &typed);
    }

    fn delete_line(&mut self, file: usize, at: &Index) {
        let Some(text) = self.text(file) else { return };
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        if lines.is_empty() {
            return;
        }
        let at = at.index(lines.len());
        if marks(lines[at]).is_empty() {
            lines.remove(at);
            let text = lines.concat();
            self.put(file, &text);
        }
    }

    /// The hunks a decision is about, and the decision.
    async fn chosen(&self, verdict: Verdict, scope: &Scope) -> (Vec<HunkView>, Decision) {
        let mut hunks = self.hunks().await;
        let mut wanted = decision(verdict);
        match scope {
            Scope::Hunk(at) => {
                let id = if matches!(verdict, Verdict::Accept | Verdict::Reject) {
                    hunks
                        .get(at.index(hunks.len().max(1)))
                        .map(|hunk| hunk.id.clone())
                } else {
                    let goal = self.driver.goal(&GoalId::new(GOAL)).unwrap();
                    let decided: Vec<_> = goal.decided.iter().map(|hunk| hunk.id.clone()).collect();
                    decided.get(at.index(decided.len().max(1))).cloned()
                };
                hunks.retain(|hunk| Some(&hunk.id) == id.as_ref());
                wanted.hunk_id = id;
            }
            Scope::File(at) => {
                let path = RelPath::new(FILES[at.index(FILES.len())]).unwrap();
                hunks.retain(|hunk| hunk.path == path);
                wanted.path = Some(path);
            }
            Scope::Task => wanted.task_id = Some("task0".into()),
            Scope::Goal => {}
        }
        (hunks, wanted)
    }

    fn behave(&mut self, manners: &[Manner]) {
        for desk in 0..2 {
            let keys: Vec<char> = manners.iter().map(|_| self.mark()).collect();
            self.desks[desk].behave(manners, &keys);
        }
    }

    async fn decide(&mut self, verdict: Verdict, scope: &Scope, manners: &[Manner]) {
        let (hunks, wanted) = self.chosen(verdict, scope).await;
        if matches!(scope, Scope::Hunk(_)) && wanted.hunk_id.is_none() {
            return;
        }
        let before = self.texts();
        let report = self.carry_out(wanted, manners).await;
        // What another verdict comes to is more than a splice; the checks after each step hold it.
        if verdict == Verdict::Reject {
            assert_eq!(self.texts(), before, "rejecting touches nothing");
            self.rejected
                .extend(hunks.iter().map(|hunk| hunk.id.clone()));
        }
        let Some(report) = report else { return };
        let count = |status| hunks.iter().filter(|hunk| hunk.status == status).count();
        // Hunks that are in the text already are decided too; nobody is shown those.
        if verdict == Verdict::Reject {
            assert!(report.decided as usize >= hunks.len(), "{report:?}");
        }
        // What these do, the driver notices and makes up for.
        let made_good = [
            Manner::Obeys,
            Manner::Late,
            Manner::DropsSilently,
            Manner::ReportsLate,
        ];
        let obeyed = manners.iter().all(|manner| made_good.contains(manner));
        if verdict == Verdict::Accept && obeyed {
            assert_eq!(
                report.conflicts as usize,
                count(HunkStatus::Conflict),
                "{report:?}"
            );
            assert!(
                report.decided as usize >= count(HunkStatus::Clean),
                "{report:?}"
            );
            assert!(report.failed.is_empty(), "{report:?}");
            for (file, text) in before.iter().enumerate() {
                let clean = hunks.iter().filter(|hunk| {
                    hunk.path.as_str() == FILES[file] && hunk.status == HunkStatus::Clean
                });
                let expected = spliced(text.as_deref(), &clean.collect::<Vec<_>>());
                assert_eq!(
                    self.text(file),
                    expected,
                    "{} after {report:?}",
                    FILES[file]
                );
            }
        }
    }

    /// Lets the driver carry a decision out, and holds that typed text stays. Nothing where what the
    /// decision names is not there.
    async fn carry_out(&mut self, wanted: Decision, manners: &[Manner]) -> Option<DecisionReport> {
        let before = self.texts();
        let back = matches!(wanted.verdict, Verdict::Undo | Verdict::Redo);
        self.behave(manners);
        let report = self.driver.decide(wanted).await.ok();
        self.behave(&[]);
        for (file, before) in before.iter().enumerate() {
            let after = self.text(file);
            let typed = marks(after.as_deref().unwrap_or_default());
            let kept = marks(before.as_deref().unwrap_or_default());
            assert!(
                typed.starts_with(&kept),
                "lost in {}: {before:?} -> {after:?}",
                FILES[file]
            );
            let landed = |report: &DecisionReport| {
                report.files.iter().any(|path| path.as_str() == FILES[file])
            };
            // A file that goes away goes from the disk, also where a buffer still shows it.
            let now = self.on_disk(file);
            let elsewhere = self.open.contains_key(&file) && now.is_some();
            if !elsewhere && report.as_ref().is_some_and(landed) {
                self.disk.insert(file, now);
            }
        }
        if back {
            let pending: BTreeSet<HunkId> = self.hunks().await.into_iter().map(|h| h.id).collect();
            self.rejected.retain(|id| !pending.contains(id));
        }
        report
    }

    async fn resolve(&mut self, hunk: &Index, both: bool, manners: &[Manner]) {
        let mut hunks = self.hunks().await;
        hunks.retain(|hunk| hunk.status == HunkStatus::Conflict && !hunk.whole);
        if hunks.is_empty() {
            return;
        }
        let hunk = hunks.swap_remove(hunk.index(hunks.len()));
        // What was typed is part of a proposal where somebody resolved to it before.
        let both = both && marks(&hunk.new_text).is_empty();
        let choice = match (both, &hunk.merged) {
            (true, Some(_)) => Resolution::Merged,
            (true, None) => Resolution::Both,
            (false, _) => Resolution::Mine,
        };
        let before = self.texts();
        let wanted = resolution(&hunk.id, choice);
        self.carry_out(wanted, manners)
            .await
            .expect("the hunk is there");
        if !both {
            assert_eq!(self.texts(), before, "what is there stays");
        }
    }

    async fn applied(&mut self, hunk: &Index, honest: bool) {
        let mut hunks = self.hunks().await;
        // What is merged by words is the daemon's to land.
        let own = |hunk: &HunkView| !hunk.whole && hunk.merged.is_none();
        hunks.retain(|hunk| hunk.status == HunkStatus::Clean && own(hunk));
        hunks.retain(|hunk| {
            self.open
                .keys()
                .any(|&file| hunk.path.as_str() == FILES[file])
        });
        if hunks.is_empty() {
            return;
        }
        let hunk = hunks.swap_remove(hunk.index(hunks.len()));
        let file = FILES
            .iter()
            .position(|name| hunk.path.as_str() == *name)
            .unwrap();
        let text = self.text(file).unwrap();
        let expected = spliced(Some(&text), &[&hunk]).unwrap();
        assert_eq!(self.driver.preview(&hunk.id, &text).unwrap(), expected);
        if honest {
            self.put(file, &expected);
        }
        let wanted = Decision {
            hunk_id: Some(hunk.id),
            applied: true,
            ..decision(Verdict::Accept)
        };
        let report = self.carry_out(wanted, &[]).await.unwrap();
        assert_eq!((report.decided, report.failed.len()), (1, 0), "{report:?}");
        assert_eq!(self.text(file).unwrap(), expected, "once, whoever made it");
    }

    /// A result that was made from the first text comes into the proposal.
    async fn later(&mut self, file: usize, lines: &[(Index, u8)]) {
        let Some(first) = &self.first[file] else {
            return;
        };
        self.results += 1;
        let mut new: Vec<String> = first.split_inclusive('\n').map(str::to_owned).collect();
        for (at, act) in lines {
            let at = at.index(new.len());
            // Always a line nobody proposed before: what was rejected is not proposed anew.
            let line = format!("later {} {at}\n", self.results);
            new[at] = match act % 2 {
                0 => line,
                _ => format!("{}{line}", new[at]),
            };
        }
        let path = RelPath::new(FILES[file]).unwrap();
        let base = self.content(file, PendingSide::Base).await;
        let Some(proposed) = self.content(file, PendingSide::Proposed).await else {
            return;
        };
        let merged = merge_later_result(first, &proposed, &new.concat()).taken_ours();
        let known = self
            .fixture
            .files
            .iter()
            .find(|known| known.path == path)
            .unwrap();
        let amended = ProposedFile {
            base: self.fixture.version(base.as_deref(), FileMode::Regular),
            proposed: self.fixture.version(Some(&merged), FileMode::Regular),
            ..known.clone()
        };
        self.restart(Some(amended)).await;
    }

    /// The daemon ends and another one takes up what it left.
    async fn restart(&mut self, amended: Option<ProposedFile>) {
        let goal = GoalId::new(GOAL);
        let before = self.driver.goal(&goal).unwrap();
        self.attached.clear();
        self.driver.shutdown().await;
        let unchanged = amended.is_none();
        if let Some(file) = amended {
            let event = NewEvent {
                at: Timestamp(2),
                goal: goal.clone(),
                body: EventBody::Amended {
                    task_id: "task0".into(),
                    files: vec![file],
                },
            };
            self.fixture.store.append_events(vec![event]).await.unwrap();
        }
        self.driver = self.fixture.start().await;
        self.attach();
        if unchanged {
            assert_eq!(
                self.driver.goal(&goal).unwrap(),
                before,
                "the journal has all of it"
            );
        }
    }

    /// What holds at any time.
    pub(crate) async fn check(&self, after: &str) {
        for (&file, expected) in &self.disk {
            assert_eq!(
                &self.on_disk(file),
                expected,
                "{} on disk after {after}",
                FILES[file]
            );
        }
        let hunks = self.hunks().await;
        let back: Vec<_> = hunks
            .iter()
            .filter(|h| self.rejected.contains(&h.id))
            .collect();
        assert!(
            back.is_empty(),
            "rejected, and there again after {after}: {back:?}"
        );
        let ids: BTreeSet<_> = hunks.iter().map(|hunk| &hunk.id).collect();
        assert_eq!(
            ids.len(),
            hunks.len(),
            "each has its own name after {after}"
        );
        let counts = self.driver.goal(&GoalId::new(GOAL)).unwrap().summary.hunks;
        let count = |status| hunks.iter().filter(|hunk| hunk.status == status).count();
        let found = (count(HunkStatus::Clean), count(HunkStatus::Conflict));
        let told = (counts.pending as usize, counts.conflicts as usize);
        assert_eq!(found, told, "after {after}");
        for (file, name) in FILES.iter().enumerate() {
            let base = self.content(file, PendingSide::Base).await;
            let proposed = self.content(file, PendingSide::Proposed).await;
            let (Some(base), Some(proposed), Some(current)) = (base, proposed, self.text(file))
            else {
                continue;
            };
            let review = FileReview::new(&base, &current, &proposed);
            let expected = review
                .hunks()
                .iter()
                .filter(|hunk| hunk.state != HunkState::Present);
            let by_words = self.fixture.settings.review.merge_words == MergeWords::On;
            let new = |hunk| {
                let merged = review
                    .merged_words(hunk)
                    .filter(|_| by_words && review.is_alone(hunk));
                merged.unwrap_or_else(|| review.new_text(hunk).to_owned())
            };
            let expected: Vec<_> = expected
                .map(|hunk| (hunk.current.start, new(hunk)))
                .collect();
            let told = hunks
                .iter()
                .filter(|hunk| hunk.path.as_str() == *name && !hunk.whole);
            let told: Vec<_> = told.map(|h| (h.start_line, h.new_text.clone())).collect();
            assert_eq!(told, expected, "{} after {after}", *name);
        }
    }

    /// Everything clean is accepted; then each text is the merge, and nothing clean is left.
    pub(crate) async fn finish(mut self) {
        let mut expected = Vec::new();
        for file in 0..FILES.len() {
            let (base, proposed) = (
                self.content(file, PendingSide::Base).await,
                self.content(file, PendingSide::Proposed).await,
            );
            let merge = match (&base, &self.text(file), &proposed) {
                (Some(base), Some(now), Some(proposed)) => merge3(base, now, proposed).clean_text(),
                _ => None,
            };
            expected.push(merge);
        }
        self.carry_out(decision(Verdict::Accept), &[])
            .await
            .unwrap();
        self.check("accepting everything").await;
        for (file, merge) in expected.iter().enumerate() {
            if merge.is_some() {
                assert_eq!(&self.text(file), merge, "{}", FILES[file]);
            }
        }
        let left = self.hunks().await;
        assert!(
            left.iter().all(|hunk| hunk.status == HunkStatus::Conflict),
            "{left:?}"
        );
    }
}

/// A text with another line at some place.
fn with(text: &str, at: &Index, line: &str) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let at = at.index(lines.len() + 1);
    let (above, below) = lines.split_at(at);
    let end = above.last().is_some_and(|last| !last.ends_with('\n'));
    let end = if end { "\n" } else { "" };
    format!("{}{end}{line}{}", above.concat(), below.concat())
}

/// A text with hunks in it, by nothing but where they say they stand.
fn spliced(text: Option<&str>, hunks: &[&HunkView]) -> Option<String> {
    if let Some(whole) = hunks.iter().find(|hunk| hunk.whole) {
        return Some(whole.new_text.clone());
    }
    let lines: Vec<&str> = text?.split_inclusive('\n').collect();
    let (mut out, mut done) = (String::new(), 0);
    for hunk in hunks {
        let (start, end) = (hunk.start_line as usize, hunk.end_line as usize);
        out.push_str(&lines[done..start].concat());
        out.push_str(&hunk.new_text);
        done = end;
    }
    out.push_str(&lines[done..].concat());
    Some(out)
}
