//! Detection of the end of the editor's process.
//!
//! The end of the stream is not enough: a killed editor leaves the pipe open if a child process of
//! the editor has inherited it.

/// Resolves when the process ends.
///
/// Never resolves if the process cannot be watched:
/// - it runs in another namespace, such as an editor outside the container;
/// - the system has no process handles.
///
/// The end of the stream is the only sign in those cases.
#[cfg(target_os = "linux")]
pub(crate) async fn wait_for_exit(pid: u32) {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    let handle = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::NONBLOCK).ok())
        .and_then(register_handle);
    if let Some(handle) = handle
        && handle.readable().await.is_ok()
    {
        return;
    }
    tracing::debug!(pid, "the editor's process cannot be watched");
    std::future::pending::<()>().await;
}

/// Registers a process handle with the runtime, so that its end can be awaited.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
fn register_handle(
    fd: rustix::fd::OwnedFd,
) -> Option<tokio::io::unix::AsyncFd<rustix::fd::OwnedFd>> {
    use tokio::io::{Interest, unix::AsyncFd};

    // SAFETY: the descriptor is owned by the value it is registered with, which closes it when it is
    // dropped and gives it to nobody before.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.ok()
}

/// Never resolves: the system has no process handles.
#[cfg(not(target_os = "linux"))]
pub(crate) async fn wait_for_exit(_pid: u32) {
    std::future::pending::<()>().await;
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[tokio::test]
    async fn the_end_of_a_process_is_noticed_and_a_missing_process_is_ignored() {
        let mut child = tokio::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let pid = child.id().unwrap();
        let death = tokio::spawn(super::wait_for_exit(pid));
        tokio::task::yield_now().await;
        assert!(!death.is_finished());
        child.kill().await.unwrap();
        death.await.unwrap();

        let never = super::wait_for_exit(pid);
        assert!(futures::FutureExt::now_or_never(never).is_none());
    }
}
