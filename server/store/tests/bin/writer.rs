//! The process that `tests/it/crash.rs` kills and starves. It writes events, each naming a blob that was
//! stored before it, and notes every acknowledged one in a file that outlives it.
//!
//! `forever HOME ORACLE CYCLE` writes from eight clients until it is killed.
//! `until-full HOME BALLAST` writes until the store refuses, looks whether everything can still be
//! read, removes the file BALLAST if there is one, or else the limit on the size of files, looks
//! whether the store recovers, and opens it once more.

use std::{
    error::Error,
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
    pin::pin,
    process::Command,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use claudecluster_protocol::{EventBody, EventSeq, GoalId, TaskId, Timestamp};
use claudecluster_store::{NewEvent, Store, StoreError};

type Failure = Box<dyn Error + Send + Sync>;

const CLIENTS: u64 = 8;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["forever", home, oracle, cycle] => forever(home, oracle, cycle),
        ["until-full", home, ballast] => until_full(Path::new(home), Path::new(ballast)),
        _ => Err("see the top of the source".into()),
    }
}

fn forever(home: &str, oracle: &str, cycle: &str) -> Result<(), Failure> {
    let store = Store::open(Path::new(home))?;
    let oracle = OpenOptions::new().create(true).append(true).open(oracle)?;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (store, oracle) = (&store, &oracle);
                scope.spawn(move || write_on(store, oracle, client, cycle))
            })
            .collect();
        for client in clients {
            client.join().map_err(|_| "a client panicked")??;
        }
        Ok(())
    })
}

fn write_on(store: &Store, mut oracle: &File, client: u64, cycle: &str) -> Result<(), Failure> {
    for number in 0_u64.. {
        let task = format!("{cycle}-{number}");
        // Every tenth blob is large enough for a file of its own.
        let size = if number % 10 == client { 70_000 } else { 500 };
        let mut blob = vec![client as u8; size];
        blob.extend_from_slice(task.as_bytes());
        let blob = store.put_blob(&blob)?;
        let event = event(&format!("c{client}"), &task, blob.as_str());
        let placed = block_on(store.append_events(vec![event]))?;
        // One write each: the kernel keeps it whole even when the process dies right after it.
        let line = format!("{} c{client} {task}\n", placed[0].seq);
        oracle.write_all(line.as_bytes())?;
    }
    Ok(())
}

fn until_full(home: &Path, ballast: &Path) -> Result<(), Failure> {
    let store = Store::open(home)?;
    let mut acknowledged = 0;
    let refusal = loop {
        match write_one(&store, acknowledged) {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    let kind = match refusal {
        StoreError::Full => "full",
        StoreError::ReadOnly(_) => "read-only",
        _ => "other",
    };
    let readable = check_all(&store)?;
    let healthy = store.check_writable().is_ok();
    let large = match store.put_blob(&[7; 200_000]) {
        Ok(_) => "stored",
        Err(StoreError::Full) => "full",
        Err(_) => "refused",
    };
    let half = fs::read_dir(home.join("incoming"))?.count();
    relieve(ballast)?;
    // Stores the refused blob once more, which is still known and so not sent again.
    let recovered = write_one(&store, acknowledged).is_ok() && store.check_writable().is_ok();
    let commits = block_on(store.append_events(Vec::new())).is_ok();
    drop(store);
    check_all(&Store::open(home)?)?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{kind} acknowledged={acknowledged} readable={readable} healthy={healthy} large={large} \
         half={half} recovered={recovered} commits={commits}",
    )?;
    Ok(())
}

/// Takes away what made writing fail: the file that fills the disk, or else the limit on the size of
/// files.
fn relieve(ballast: &Path) -> Result<(), Failure> {
    if ballast.exists() {
        return Ok(fs::remove_file(ballast)?);
    }
    let status = Command::new("prlimit")
        .arg(format!("--pid={}", std::process::id()))
        .arg("--fsize=unlimited")
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err("prlimit failed".into())
    }
}

/// Reads every event and the blob it names, and counts them.
fn check_all(store: &Store) -> Result<usize, Failure> {
    let events = store.read_events(EventSeq(0), None)?;
    for event in &events {
        let EventBody::RetryScheduled { lesson, .. } = &event.body else {
            return Err("an event that nobody wrote".into());
        };
        let blob = store.get_blob(&lesson.as_str().into())?;
        blob.ok_or_else(|| format!("event {} names a lost blob", event.seq))?;
    }
    Ok(events.len())
}

fn write_one(store: &Store, number: u64) -> Result<(), StoreError> {
    let blob = store.put_blob(format!("{number}{}", "x".repeat(3000)).as_bytes())?;
    let event = event("g1", &number.to_string(), blob.as_str());
    block_on(store.append_events(vec![event])).map(drop)
}

fn event(goal: &str, task: &str, lesson: &str) -> NewEvent {
    NewEvent {
        at: Timestamp(1),
        goal: GoalId::new(goal),
        body: EventBody::RetryScheduled {
            task_id: TaskId::new(task),
            not_before: Timestamp(0),
            lesson: lesson.to_owned(),
        },
    }
}

/// Enough of an executor to wait for one answer.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
