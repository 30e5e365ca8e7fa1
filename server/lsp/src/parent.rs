//! Noticing that the editor's process has died, for an editor that is killed closes nothing when a
//! child of its holds the pipe open.

/// Resolves when the process ends. Never, where that cannot be known: a process in another
/// namespace (an editor outside the container), or a system without process handles. The end of the
/// stream tells in those cases.
#[cfg(target_os = "linux")]
pub(crate) async fn death_of(pid: u32) {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    let handle = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::NONBLOCK).ok())
        .and_then(register);
    if let Some(handle) = handle
        && handle.readable().await.is_ok()
    {
        return;
    }
    tracing::debug!(pid, "the editor's process cannot be watched");
    std::future::pending::<()>().await;
}

/// Makes a process handle something to wait for.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
fn register(fd: rustix::fd::OwnedFd) -> Option<tokio::io::unix::AsyncFd<rustix::fd::OwnedFd>> {
    use tokio::io::{Interest, unix::AsyncFd};

    // SAFETY: the descriptor is owned by the value it is registered with, which closes it when it is
    // dropped and gives it to nobody before.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.ok()
}

/// Resolves when the process ends; never, on a system without process handles.
#[cfg(not(target_os = "linux"))]
pub(crate) async fn death_of(_pid: u32) {
    std::future::pending::<()>().await;
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[tokio::test]
    async fn a_death_is_noticed_and_a_missing_process_is_not_one() {
        let mut child = tokio::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let pid = child.id().unwrap();
        let death = tokio::spawn(super::death_of(pid));
        tokio::task::yield_now().await;
        assert!(!death.is_finished());
        child.kill().await.unwrap();
        death.await.unwrap();

        let never = super::death_of(pid);
        assert!(futures::FutureExt::now_or_never(never).is_none());
    }
}
