//! The files of the log: one a day, readable by their user only.

use std::{
    env,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use claudecluster_driver::secrets::{SecretMask, is_secret_name};
use rustix::fs::OFlags;

/// Limits the days for which logs are kept.
const DAYS: usize = 7;
const SECONDS_OF_A_DAY: u64 = 24 * 60 * 60;

/// Writes to the file of the day, whatever the process's umask, and masks secrets.
pub(super) struct DailyLog {
    dir: PathBuf,
    /// The days since 1970, in universal time.
    day: u64,
    file: File,
    mask: SecretMask,
}

impl DailyLog {
    /// Opens the file of today in `dir`, and makes older ones private.
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        let secrets: Vec<String> = env::vars_os()
            .filter(|(name, _)| is_secret_name(&name.to_string_lossy()))
            .filter_map(|(_, value)| value.into_string().ok())
            .collect();
        let mask = SecretMask::with_values(secrets.iter().map(String::as_str));
        Self::open_day(dir, today(), mask)
    }

    fn open_day(dir: PathBuf, day: u64, mask: SecretMask) -> io::Result<Self> {
        let file = open_private(&dir.join(file_name(day)))?;
        for (number, old) in log_files(&dir)?.into_iter().enumerate() {
            let kept = number < DAYS;
            let done = match kept {
                // Earlier versions left the mode to the umask.
                true => fs::set_permissions(&old, Permissions::from_mode(0o600)),
                false => fs::remove_file(&old),
            };
            if let Err(error) = done {
                tracing::warn!(path = %old.display(), %error, "cannot tidy an old log");
            }
        }
        Ok(Self {
            dir,
            day,
            file,
            mask,
        })
    }

    /// Writes to the file of `day`. Without such a file the last one goes on.
    fn write_on(&mut self, day: u64, text: &[u8]) -> io::Result<()> {
        if day != self.day
            && let Ok(next) = Self::open_day(self.dir.clone(), day, self.mask.clone())
        {
            *self = next;
        }
        // The log's lines come here one at a time, each as a whole.
        self.file.write_all(&self.mask.mask_bytes(text))
    }
}

impl Write for DailyLog {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.write_on(today(), text)?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn today() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs() / SECONDS_OF_A_DAY
}

fn file_name(day: u64) -> String {
    let start = UNIX_EPOCH + Duration::from_secs(day.saturating_mul(SECONDS_OF_A_DAY));
    let text = humantime::format_rfc3339_seconds(start).to_string();
    let date = text.split('T').next().unwrap_or_default();
    format!("daemon.{date}.log")
}

/// Opens a file to append to, and makes it private if it existed.
fn open_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Lists the log's files, the newest first.
fn log_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("daemon.") && name.ends_with(".log") {
            files.push(dir.join(&*name));
        }
    }
    files.sort_unstable_by(|a, b| b.cmp(a));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_has_a_private_file_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("stderr.log"), "kept").unwrap();
        fs::write(at("daemon.2023-11-14.log"), "old\n").unwrap();
        fs::set_permissions(at("daemon.2023-11-14.log"), Permissions::from_mode(0o644)).unwrap();
        // 2023-11-15.
        let mut log =
            DailyLog::open_day(dir.path().to_owned(), 19_676, SecretMask::default()).unwrap();
        for day in 19_676..19_682 {
            log.write_on(day, b"one\n").unwrap();
            log.write_on(day, b"two\n").unwrap();
        }
        let files = log_files(dir.path()).unwrap();
        assert_eq!(files.len(), DAYS);
        assert_eq!(
            fs::read(at("daemon.2023-11-20.log")).unwrap(),
            b"one\ntwo\n"
        );
        for file in &files {
            let mode = fs::metadata(file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file:?}");
        }
        log.write_on(19_682, b"x").unwrap();
        assert_eq!(log_files(dir.path()).unwrap().len(), DAYS);
        assert!(!at("daemon.2023-11-14.log").exists());
        assert!(at("stderr.log").exists());
        // A day without a file does not lose its lines.
        fs::create_dir(at("daemon.2023-11-22.log")).unwrap();
        log.write_on(19_683, b"y").unwrap();
        assert_eq!(fs::read(at("daemon.2023-11-21.log")).unwrap(), b"xy");
    }

    #[test]
    fn a_link_in_the_place_of_a_log_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        std::os::unix::fs::symlink(&target, dir.path().join(file_name(1))).unwrap();
        assert!(DailyLog::open_day(dir.path().to_owned(), 1, SecretMask::default()).is_err());
        assert!(!target.exists());
    }

    #[test]
    fn secrets_do_not_get_into_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let mask = SecretMask::with_values(["value-of-mine"]);
        let mut log = DailyLog::open_day(dir.path().to_owned(), 1, mask).unwrap();
        let key = format!("ghp_{}", "kR7xQ2mZ9aLw4TnB8cVy1HsD5fGj3PuEo6iK");
        let line = format!("INFO goal=g1: {key} and value-of-mine ä\n");
        log.write_on(1, line.as_bytes()).unwrap();
        let text = fs::read_to_string(dir.path().join(file_name(1))).unwrap();
        assert_eq!(text, "INFO goal=g1: ghp_…[hidden] and …[hidden] ä\n");
    }
}
