//! Things outside a sandbox that nobody inside may touch, and the proof that nobody has.

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::{MetadataExt, PermissionsExt},
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    World,
    attack::AttackTargets,
    live::{gone, kill, sleepers},
    machine::helper,
};

/// What the secret file holds, and nothing else.
pub const SECRET: &str = "canary-of-a-private-key";

/// What is watched in the surroundings of one world.
pub struct Canaries {
    targets: AttackTargets,
    /// Where the attacker finds its targets.
    file: PathBuf,
    before: Vec<String>,
    contacts: Arc<AtomicUsize>,
    datagrams: UdpSocket,
    bystander: Child,
    forget_key: Command,
}

impl Canaries {
    /// Sets everything up around a world, whose daemon is started.
    pub fn set(world: &World) -> Self {
        let dir = world.dir.path().canonicalize().unwrap();
        let canary = dir.join("canary");
        fs::create_dir(&canary).unwrap();
        fs::write(canary.join("file"), "canary\n").unwrap();
        let home = world.user_home();
        fs::create_dir_all(home.join(".ssh")).unwrap();
        let secret = home.join(".ssh/id_ed25519");
        fs::write(&secret, SECRET).unwrap();
        fs::write(home.join(".bashrc"), "mine\n").unwrap();
        let contacts = Arc::new(AtomicUsize::new(0));
        let socket = dir.join("canary.sock");
        let unix = UnixListener::bind(&socket).unwrap();
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
        count(&contacts, move || unix.accept().map(drop));
        let abstract_socket = format!("claudecluster-canary-{}", dir.display());
        let address = SocketAddr::from_abstract_name(&abstract_socket).unwrap();
        let unix = UnixListener::bind_addr(&address).unwrap();
        count(&contacts, move || unix.accept().map(drop));
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp_port = tcp.local_addr().unwrap().port();
        if let Ok(tcp) = TcpListener::bind(("::1", tcp_port)) {
            count(&contacts, move || tcp.accept().map(drop));
        }
        count(&contacts, move || tcp.accept().map(drop));
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        datagrams.set_nonblocking(true).unwrap();
        world.own(&[&canary, &home, &socket]);
        let key = format!("claudecluster-canary-{}", dir.display());
        let attacker = || world.as_user(Command::new(helper("claudecluster-attacker")));
        let added = attacker().args(["add-key", &key]).status().unwrap();
        assert!(added.success(), "the kernel keeps no keys");
        let mut forget_key = attacker();
        forget_key.args(["forget-key", &key]);
        let bystander = world
            .as_user(Command::new("sleep"))
            .arg("3000")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        world.run(&["daemon", "start"]).expect(0);
        let targets = AttackTargets {
            state: world.home(),
            home,
            secret,
            socket,
            abstract_socket,
            tcp_port,
            udp_port: datagrams.local_addr().unwrap().port(),
            key,
            daemon: world.daemon(),
            bystander: bystander.id(),
            sleeper: format!("78{}{tcp_port}", std::process::id()),
            canary,
        };
        let file = dir.join("targets.json");
        fs::write(&file, targets.to_json().to_string()).unwrap();
        let mut canaries = Self {
            targets,
            file,
            before: Vec::new(),
            contacts,
            datagrams,
            bystander,
            forget_key,
        };
        canaries.before = canaries.files();
        canaries
    }

    /// What the attacker is told.
    pub fn targets(&self) -> &AttackTargets {
        &self.targets
    }

    /// A shell command that runs the attacker.
    pub fn attack(&self, what: &str) -> String {
        let attacker = helper("claudecluster-attacker");
        format!("{} {} {what}", attacker.display(), self.file.display())
    }

    /// Asserts that nobody has touched anything, the daemon included.
    ///
    /// # Panics
    ///
    /// If somebody has.
    #[track_caller]
    pub fn assert_untouched(&self, when: &str) {
        assert_eq!(self.files(), self.before, "{when}: files");
        let contacts = self.contacts.load(Ordering::SeqCst);
        assert_eq!(contacts, 0, "{when}: connections to sockets outside");
        let datagram = self.datagrams.recv(&mut [0; 1]);
        assert!(datagram.is_err(), "{when}: a datagram came out");
        let targets = &self.targets;
        assert!(!gone(targets.bystander), "{when}: a process was ended");
        assert!(!gone(targets.daemon), "{when}: the daemon was ended");
        assert_eq!(sleepers(&targets.sleeper), 0, "{when}: one stays behind");
        for folder in ["/tmp", "/var/tmp", "/dev/shm"] {
            let left = Path::new(folder).join(format!("claudecluster-{}", targets.sleeper));
            assert!(!left.exists(), "{when}: {} came out", left.display());
        }
        for path in ["/usr/bin", "/etc/cron.d", "/var/lib", "/", "/boot", "/opt"] {
            let evil = Path::new(path).join("evil");
            assert!(!evil.exists(), "{when}: {} came out", evil.display());
        }
    }

    /// Follows a daemon that was started again.
    pub fn follow_daemon(&mut self, world: &World) {
        self.targets.daemon = world.daemon();
    }

    /// Every watched file with what can be changed of it.
    fn files(&self) -> Vec<String> {
        let mut open = vec![self.targets.canary.clone(), self.targets.home.clone()];
        let mut found = Vec::new();
        while let Some(path) = open.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_dir() {
                let entries = fs::read_dir(&path).unwrap();
                open.extend(entries.map(|entry| entry.unwrap().path()));
                // Times of folders change with the caches of tools in them.
                String::new()
            } else {
                let content = fs::read(&path).unwrap_or_default();
                format!("{} {}", meta.mtime(), String::from_utf8_lossy(&content))
            };
            let line = format!(
                "{} {:o} {}:{} {} {content}",
                path.display(),
                meta.mode(),
                meta.uid(),
                meta.gid(),
                meta.nlink()
            );
            found.push(line);
        }
        found.sort();
        found
    }
}

impl Drop for Canaries {
    fn drop(&mut self) {
        // It may have been ended by a test that fails for that.
        if !gone(self.targets.bystander) {
            kill(self.targets.bystander, "KILL");
        }
        let _ = self.bystander.wait();
        let _ = self.forget_key.status();
    }
}

/// Counts what comes to a listener, as long as the test runs.
fn count<E: Send + 'static>(
    contacts: &Arc<AtomicUsize>,
    accept: impl Fn() -> Result<(), E> + Send + 'static,
) {
    let contacts = contacts.clone();
    std::thread::spawn(move || {
        while accept().is_ok() {
            contacts.fetch_add(1, Ordering::SeqCst);
        }
    });
}
