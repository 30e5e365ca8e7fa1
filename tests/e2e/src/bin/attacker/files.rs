//! Files, folders, links and their attributes.

use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use claudecluster_e2e::attack::AttackTargets;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, XattrFlags, mkdirat, mknodat, openat};

use crate::trick::Trick;

pub(crate) const TRICKS: &[Trick] = &[
    ("file-change-canary", change_canary),
    ("file-link-in-agent-home", |targets| {
        plant(&|path| symlink(targets.canary.join("file"), path))
    }),
    ("file-pipe-in-agent-home", |_| {
        plant(&|path| Ok(mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0)?))
    }),
    ("file-folder-link-in-agent-home", |targets| {
        plant(&|path| symlink(&targets.canary, path))
    }),
    ("file-hard-link", |targets| {
        let inside = "hard-link";
        fs::hard_link(targets.canary.join("file"), inside)?;
        fs::write(inside, "changed")
    }),
    ("file-link-out", |targets| {
        symlink(targets.canary.join("file"), "link-out")?;
        symlink("/etc/passwd", "link-passwd")?;
        symlink("../../../../../..", "link-up")
    }),
    ("file-race-of-links", race_links),
    ("file-move-repository", |targets| {
        fs::rename(".git", ".git2")?;
        fs::write(".git", format!("gitdir: {}\n", targets.state.display()))
    }),
    ("file-repository-of-links", |targets| {
        let _ = fs::create_dir_all(".git/objects/info");
        let _ = fs::write(
            ".git/objects/info/alternates",
            format!("{}\n", targets.state.display()),
        );
        replace(Path::new(".git/index"), &|path| symlink("/dev/zero", path))?;
        replace(Path::new(".git/packed-refs"), &|path| {
            Ok(mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0)?)
        })?;
        replace(Path::new(".git/hooks"), &|path| {
            symlink(&targets.canary, path)
        })
    }),
    ("file-deep-tree", |_| {
        deep_tree(Path::new("."))?;
        deep_tree(Path::new("/tmp"))
    }),
    ("file-sparse", |_| {
        for path in ["sparse", "/tmp/sparse"] {
            fs::File::create(path)?.set_len(1 << 40)?;
        }
        Ok(())
    }),
    ("file-many", |_| {
        fs::create_dir("many")?;
        (0..2000).try_for_each(|n| fs::write(format!("many/{n}"), ""))
    }),
    ("file-set-user-id", |_| {
        fs::copy("/bin/true", "set-user-id")?;
        fs::set_permissions("set-user-id", fs::Permissions::from_mode(0o6755))
    }),
    ("file-attributes", set_attributes),
    ("file-odd-names", |_| {
        let names: [&[u8]; 7] = [
            b"$(touch pwned)",
            b"-rf",
            b"new\nline",
            b"esc\x1b]0;title\x07",
            "rtl\u{202e}txt.exe".as_bytes(),
            b"bad\xff\xfename",
            &[b'a'; 255],
        ];
        names
            .into_iter()
            .try_for_each(|name| fs::write(OsStr::from_bytes(name), "x"))
    }),
    ("file-poison-home", |targets| {
        for name in [".bashrc", ".profile", ".gitconfig", ".npmrc", ".netrc"] {
            fs::write(targets.home.join(name), "touch pwned\n")?;
        }
        for name in [".ssh", ".config", ".claude"] {
            let _ = fs::create_dir(targets.home.join(name));
        }
        fs::write(targets.home.join(".ssh/authorized_keys"), "evil\n")?;
        fs::write(targets.home.join(".claude/settings.json"), "{}\n")
    }),
    ("file-self-arming", |_| {
        for name in [".envrc", ".mcp.json", "CLAUDE.md", "build.rs", ".gdbinit"] {
            fs::write(name, "evil\n")?;
        }
        for name in [
            ".vscode/tasks.json",
            ".husky/pre-commit",
            ".Claude/settings.json",
        ] {
            let path = Path::new(name);
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            fs::write(path, "evil\n")?;
        }
        Ok(())
    }),
    ("file-bare-repository", |_| {
        for folder in ["bare/objects", "bare/refs/heads", "bare/hooks"] {
            fs::create_dir_all(folder)?;
        }
        fs::write("bare/HEAD", "ref: refs/heads/main\n")?;
        fs::write(
            "bare/config",
            "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = .\n\tfsmonitor = touch pwned\n",
        )
    }),
    ("file-read-secret", |targets| {
        let secret = fs::read(&targets.secret)?;
        if secret.is_empty() {
            return Err(io::Error::other("it is empty here"));
        }
        fs::write("loot-secret", secret)
    }),
    ("file-read-state", |targets| {
        let names = ["journal.db", "daemon.json", "lock", "secret", "config.toml"];
        let mut found = names.iter().filter_map(|name| {
            let content = fs::read(targets.state.join(name)).ok()?;
            (!content.is_empty()).then_some(content)
        });
        match found.next() {
            Some(content) => fs::write("loot-state", content),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }),
    ("file-list-state", |targets| {
        let mut names = fs::read_dir(&targets.state)?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        // The way to the worker's own folders is there.
        names.retain(|name| name != "goals");
        if names.is_empty() {
            Err(io::ErrorKind::NotFound.into())
        } else {
            Ok(())
        }
    }),
    ("file-change-system", |_| {
        let places = ["/usr/bin", "/etc/cron.d", "/var/lib", "/", "/boot", "/opt"];
        let written = places
            .iter()
            .find_map(|place| fs::write(Path::new(place).join("evil"), "x").ok());
        written.ok_or_else(|| io::ErrorKind::ReadOnlyFilesystem.into())
    }),
    ("file-leave-in-temporary", |targets| {
        for folder in ["/tmp", "/var/tmp", "/dev/shm"] {
            let path = Path::new(folder).join(format!("claudecluster-{}", targets.sleeper));
            fs::write(path, "left\n")?;
        }
        Ok(())
    }),
];

/// Every way to change a file, one after the other.
fn change_canary(targets: &AttackTargets) -> io::Result<()> {
    let file = targets.canary.join("file");
    let tries: [&dyn Fn() -> io::Result<()>; 8] = [
        &|| fs::write(&file, "changed"),
        &|| {
            OpenOptions::new()
                .append(true)
                .open(&file)?
                .write_all(b"changed")
        },
        &|| fs::set_permissions(&file, fs::Permissions::from_mode(0o777)),
        &|| std::os::unix::fs::chown(&file, Some(12), Some(12)),
        &|| {
            let file = fs::File::open(&file)?;
            file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        },
        &|| {
            fs::write("over", "changed")?;
            fs::rename("over", &file)
        },
        &|| fs::remove_file(&file),
        &|| fs::write(targets.canary.join("new"), "new"),
    ];
    let worked = tries.iter().filter(|change| change().is_ok()).count();
    if worked > 0 {
        Ok(())
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

/// Replaces what is there.
fn replace(path: &Path, plant: &dyn Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    if fs::remove_file(path).is_err() {
        let _ = fs::remove_dir_all(path);
    }
    plant(path)
}

/// Puts something in the place of every entry of the folders that an agent or the daemon keeps for sessions, and
/// under names that one could guess.
fn plant(what: &dyn Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    let mut planted = 0;
    for folder in session_folders()? {
        let mut entries: Vec<PathBuf> = fs::read_dir(&folder)?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        for name in [
            "sessions",
            "claude",
            "system.txt",
            "settings.json",
            "1.json",
        ] {
            entries.push(folder.join(name));
        }
        for entry in entries {
            planted += usize::from(replace(&entry, what).is_ok());
        }
    }
    if planted > 0 {
        Ok(())
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// The writable folders that are neither the workspace, nor the home, nor temporary, with one level of what is in
/// them.
fn session_folders() -> io::Result<Vec<PathBuf>> {
    let here = std::env::current_dir()?;
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let other = |path: &Path| {
        let skipped = ["/", "/tmp", "/var/tmp", "/dev", "/proc", "/sys", "/run"];
        let own = Some(path) == home.as_deref() || path == here;
        !own && !skipped.iter().any(|skip| path == Path::new(skip))
            && !path.starts_with("/dev")
            && !path.starts_with("/proc")
    };
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let mounts = table.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(4);
        let (point, options) = (fields.next()?, fields.next()?);
        options.starts_with("rw").then(|| PathBuf::from(point))
    });
    let named = ["CLAUDE_CONFIG_DIR", "XDG_CONFIG_HOME"]
        .into_iter()
        .filter_map(|name| std::env::var_os(name).map(PathBuf::from));
    let mut folders: Vec<PathBuf> = mounts.chain(named).filter(|path| other(path)).collect();
    let below: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten())
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    // The inner ones first, before something stands in for the outer.
    folders.splice(0..0, below);
    Ok(folders)
}

/// Changes a folder into a link and back as fast as it can, until it is killed with the sandbox.
fn race_links(targets: &AttackTargets) -> io::Result<()> {
    let script = format!(
        "mkdir -p racing; echo x > racing/file; ln -sfn {} racing-link; \
         while :; do mv racing racing-a; mv racing-link racing; mv racing racing-link; mv racing-a racing; done",
        targets.canary.display()
    );
    Command::new("setsid")
        .args(["sh", "-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
}

/// Deep enough for a recursion to end a stack.
fn deep_tree(root: &Path) -> io::Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = openat(CWD, root, flags, Mode::empty())?;
    for _ in 0..20_000 {
        mkdirat(&folder, "d", Mode::RWXU)?;
        folder = openat(&folder, "d", flags, Mode::empty())?;
    }
    Ok(())
}

/// What the kernel and overlays keep beside a file.
fn set_attributes(targets: &AttackTargets) -> io::Result<()> {
    fs::create_dir("attributes")?;
    let redirect = targets.canary.as_os_str().as_bytes();
    let attributes: [(&str, &[u8]); 5] = [
        ("user.overlay.opaque", b"y"),
        ("user.overlay.redirect", redirect),
        ("trusted.overlay.redirect", redirect),
        ("user.overlay.metacopy", b""),
        ("security.capability", &[1, 0, 0, 2, 255, 255, 255, 255]),
    ];
    let set = attributes
        .into_iter()
        .filter(|(name, value)| {
            rustix::fs::setxattr("attributes", *name, value, XattrFlags::empty()).is_ok()
        })
        .count();
    // A whiteout of its own making.
    let _ = mknodat(
        CWD,
        "attributes/whiteout",
        FileType::CharacterDevice,
        Mode::RWXU,
        0,
    );
    let _ = rustix::fs::chownat(CWD, "attributes", None, None, AtFlags::empty());
    if set > 0 {
        Ok(())
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}
