//! The `run` tool: a shell command in the sandbox, with an end.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
};

/// The bytes kept of an output: its beginning and its end.
const HEAD: usize = 8 << 10;
const TAIL: usize = 22 << 10;
/// Variables that commands have no business with.
const SECRETS: [&str; 3] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
];

/// The result of a shell command.
pub(super) struct ShellResult {
    /// The output of both streams, as text for the model.
    pub output: String,
    /// Whether it exited with status 0.
    pub passed: bool,
}

/// Runs `script` in `folder`. It and everything it started is killed after `limit`.
pub(super) async fn run_script(script: &str, folder: &Path, limit: Duration) -> ShellResult {
    // One pipe for both streams keeps their order.
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 2>&1; eval \"$1\"", "sh", script])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    for name in SECRETS {
        command.env_remove(name);
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            return ShellResult {
                output: format!("cannot start a shell: {error}"),
                passed: false,
            };
        }
    };
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    let mut kept = BoundedOutput::default();
    let stdout = child.stdout.take();
    let work = async {
        if let Some(stdout) = stdout {
            kept.read(stdout).await;
        }
        child.wait().await
    };
    let ended = tokio::time::timeout(limit, work).await;
    if let Some(group) = group.and_then(rustix::process::Pid::from_raw) {
        // Whatever it left behind goes with it; mostly there is nothing.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let (end, passed) = match ended {
        Ok(Ok(status)) if status.success() => (None, true),
        Ok(Ok(status)) => (Some(format!("({status})")), false),
        Ok(Err(error)) => (Some(format!("({error})")), false),
        Err(_) => (Some(format!("(killed after {} s)", limit.as_secs())), false),
    };
    let mut output = kept.end();
    if let Some(end) = end {
        if !output.is_empty() && !output.ends_with('\n') {
            output.push('\n');
        }
        output.push_str(&end);
    }
    ShellResult { output, passed }
}

/// The beginning and the end of an output of any length.
#[derive(Default)]
struct BoundedOutput {
    head: Vec<u8>,
    tail: Vec<u8>,
    left_out: usize,
}

impl BoundedOutput {
    async fn read(&mut self, mut from: impl AsyncRead + Unpin) {
        let mut chunk = vec![0; 8 << 10];
        while let Ok(count @ 1..) = from.read(&mut chunk).await {
            self.push(&chunk[..count]);
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.tail.extend_from_slice(&bytes[room..]);
        if self.tail.len() > 2 * TAIL {
            let excess = self.tail.len() - TAIL;
            self.tail.drain(..excess);
            self.left_out += excess;
        }
    }

    fn end(mut self) -> String {
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
        self.left_out += excess;
        if self.left_out > 0 {
            let gap = format!("\n… ({} bytes left out) …\n", self.left_out);
            self.head.extend_from_slice(gap.as_bytes());
        }
        self.head.append(&mut self.tail);
        String::from_utf8_lossy(&self.head).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(script: &str, limit: Duration, expected: &str, passed: bool) {
        let finished = run_script(script, Path::new("/"), limit).await;
        assert_eq!(
            (finished.output.as_str(), finished.passed),
            (expected, passed),
            "{script}"
        );
    }

    #[tokio::test]
    async fn commands_end_and_say_how() {
        let long = Duration::from_secs(60);
        check("echo out; echo err >&2", long, "out\nerr\n", true).await;
        check("printf x; exit 3", long, "x\n(exit status: 3)", false).await;
        check("cat", long, "", true).await;
        let short = Duration::from_millis(300);
        check(
            "echo a; sleep 100 & sleep 100",
            short,
            "a\n(killed after 0 s)",
            false,
        )
        .await;
    }

    #[tokio::test]
    async fn long_output_keeps_its_beginning_and_its_end() {
        let script = "echo first; head -c 1000000 /dev/zero | tr '\\0' x; echo last";
        let output = run_script(script, Path::new("/"), Duration::from_secs(60))
            .await
            .output;
        assert!(output.starts_with("first\n") && output.ends_with("last\n"));
        assert!(output.len() < 40_000 && output.contains("bytes left out"));
    }
}
