//! Things outside a sandbox that nobody inside may touch, and the proof that nobody has.

use std::{
    collections::BTreeMap,
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
    helper,
    live::{gone, kill, sleepers},
};

/// What the secret file holds, and nothing else.
pub const SECRET: &str = "canary-of-a-private-key";

/// Something outside that was touched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Damage {
    /// A file has another content now.
    Content(PathBuf, String),
    /// A file has another owner, mode or time, or one more name.
    Attributes(PathBuf),
    /// A file is new.
    New(PathBuf),
    /// A file is gone.
    Removed(PathBuf),
    /// Somebody has connected to a socket.
    Connection,
    /// Somebody has sent a datagram.
    Datagram,
    /// A process was ended.
    Ended(&'static str),
    /// A process of the worker's goes on.
    StaysBehind,
}

/// What a file is.
#[derive(Clone, PartialEq, Eq, Debug)]
struct WatchedFile {
    content: String,
    owner: (u32, u32),
    mode: u32,
    modified: i64,
    links: u64,
}

/// What is watched in the surroundings of one world.
pub struct Canaries {
    targets: AttackTargets,
    before: BTreeMap<PathBuf, WatchedFile>,
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
        let mut canaries = Self {
            targets,
            before: BTreeMap::new(),
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
        // In the command itself: what lies in a temporary folder outside is not seen in every sandbox.
        format!("{} '{}' {what}", attacker.display(), self.targets.to_json())
    }

    /// Asserts that nobody has touched anything, the daemon included.
    ///
    /// # Panics
    ///
    /// If somebody has.
    #[track_caller]
    pub fn assert_untouched(&self, when: &str) {
        let damage = self.damage();
        assert!(damage.is_empty(), "{when}: {damage:#?}");
    }

    /// What has been touched.
    pub fn damage(&self) -> Vec<Damage> {
        let (targets, mut found) = (&self.targets, Vec::new());
        let (now, before) = (self.files(), &self.before);
        for (path, file) in &now {
            match before.get(path) {
                Some(was) if was.content != file.content => {
                    found.push(Damage::Content(path.clone(), file.content.clone()));
                }
                Some(was) if was != file => found.push(Damage::Attributes(path.clone())),
                Some(_) => {}
                None => found.push(Damage::New(path.clone())),
            }
        }
        let gone_files = before.keys().filter(|path| !now.contains_key(*path));
        found.extend(gone_files.cloned().map(Damage::Removed));
        for folder in ["/tmp", "/var/tmp", "/dev/shm"] {
            let left = Path::new(folder).join(format!("claudecluster-{}", targets.sleeper));
            found.extend(left.exists().then_some(Damage::New(left)));
        }
        for folder in ["/usr/bin", "/etc/cron.d", "/var/lib", "/", "/boot", "/opt"] {
            let evil = Path::new(folder).join("evil");
            found.extend(evil.exists().then_some(Damage::New(evil)));
        }
        if self.contacts.load(Ordering::SeqCst) > 0 {
            found.push(Damage::Connection);
        }
        if self.datagrams.recv(&mut [0; 1]).is_ok() {
            found.push(Damage::Datagram);
        }
        if gone(targets.bystander) {
            found.push(Damage::Ended("a process of the user"));
        }
        if gone(targets.daemon) {
            found.push(Damage::Ended("the daemon"));
        }
        if sleepers(&targets.sleeper) > 0 {
            found.push(Damage::StaysBehind);
        }
        found
    }

    /// Follows a daemon that was started again.
    pub fn follow_daemon(&mut self, world: &World) {
        self.targets.daemon = world.daemon();
    }

    /// Every watched file with what can be changed of it.
    fn files(&self) -> BTreeMap<PathBuf, WatchedFile> {
        let mut open = vec![self.targets.canary.clone(), self.targets.home.clone()];
        let mut found = BTreeMap::new();
        while let Some(path) = open.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            let mut file = WatchedFile {
                content: String::new(),
                owner: (meta.uid(), meta.gid()),
                mode: meta.mode(),
                // Those of folders change with the caches of tools in them.
                modified: 0,
                links: 0,
            };
            if meta.is_dir() {
                let entries = fs::read_dir(&path).unwrap();
                open.extend(entries.map(|entry| entry.unwrap().path()));
            } else {
                let content = fs::read(&path).unwrap_or_default();
                file.content = String::from_utf8_lossy(&content).into_owned();
                file.modified = meta.mtime();
                file.links = meta.nlink();
            }
            found.insert(path, file);
        }
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
