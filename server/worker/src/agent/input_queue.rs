//! Lines that wait until a program reads them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{io::AsyncWriteExt as _, process::ChildStdin, sync::mpsc, task::JoinHandle};

/// The most bytes that wait for a program. It takes what it asked for, or it is broken: a program that asks without
/// end and reads nothing must not fill the daemon.
const MOST_WAITING: usize = 64 << 20;

/// The input of a program, written beside the loop that reads its output: a program that does not read must not stop
/// us from noticing its silence. The input ends when the queue is dropped.
pub(super) struct InputQueue {
    lines: mpsc::UnboundedSender<String>,
    waiting: Arc<AtomicUsize>,
}

impl InputQueue {
    /// Starts writing to `stdin` what is pushed. Returns what writes, too, to be aborted once nobody reads.
    pub(super) fn new(stdin: ChildStdin) -> (Self, JoinHandle<()>) {
        let (lines, queued) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = tokio::spawn(write_lines(stdin, queued, waiting.clone()));
        (Self { lines, waiting }, writer)
    }

    /// Adds a line, without its end. Returns `false`, without adding it, if too much waits.
    pub(super) fn push(&self, line: String) -> bool {
        let size = line.len() + 1;
        if self.waiting.load(Ordering::Relaxed).saturating_add(size) > MOST_WAITING {
            return false;
        }
        self.waiting.fetch_add(size, Ordering::Relaxed);
        // Where the writer is gone the program has closed its input; its exit tells the rest.
        let _ = self.lines.send(line);
        true
    }
}

async fn write_lines(
    mut stdin: ChildStdin,
    mut lines: mpsc::UnboundedReceiver<String>,
    waiting: Arc<AtomicUsize>,
) {
    while let Some(mut line) = lines.recv().await {
        line.push('\n');
        if stdin.write_all(line.as_bytes()).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
        waiting.fetch_sub(line.len(), Ordering::Relaxed);
    }
}
