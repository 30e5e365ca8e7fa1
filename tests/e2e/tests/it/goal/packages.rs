//! Installs of ordinary projects: the real tools, through the door, without a question.
//!
//! The registries are stand-ins behind a proxy of the test's own, so nothing of the internet is needed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::HashMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use claudecluster_e2e::{
    World,
    live::{plan_of, shell},
};
use serde_json::{Value, json};

/// The files of a stand-in for the internet, by host and path.
#[derive(Default)]
struct Internet(HashMap<String, Vec<u8>>);

impl Internet {
    fn put(&mut self, address: &str, file: impl AsRef<[u8]>) {
        self.0.insert(address.to_owned(), file.as_ref().to_vec());
    }

    /// Makes the world's own proxy lead here.
    fn serve(self, world: &mut World) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let files = Arc::new(self.0);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let files = files.clone();
                // A client that leaves early wants no answer.
                std::thread::spawn(move || drop(answer_request(&files, &stream)));
            }
        });
        let variable = ("http_proxy".to_owned(), format!("http://{address}"));
        world.env.push(variable);
    }
}

/// Answers one request in absolute form.
fn answer_request(files: &HashMap<String, Vec<u8>>, stream: &TcpStream) -> std::io::Result<()> {
    let mut head = BufReader::new(stream.try_clone()?).lines();
    let line = head.next().unwrap_or_else(|| Ok(String::new()))?;
    for header in head {
        if header?.is_empty() {
            break;
        }
    }
    let url = line.split(' ').nth(1).unwrap_or_default();
    let address = url.trim_start_matches("http://");
    let address = address.split('?').next().unwrap_or_default();
    let found = files.get(address.trim_end_matches('/'));
    let status = found.map_or("404 Not Found", |_| "200 OK");
    let body = found.map(Vec::as_slice).unwrap_or_default();
    let kind = match address.rsplit_once('/') {
        Some((_, "greeting" | "")) if address.starts_with("pypi") => "text/html",
        Some((_, "greeting")) => "application/json",
        _ => "application/octet-stream",
    };
    let mut stream = stream;
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    if !line.starts_with("HEAD ") {
        stream.write_all(body)?;
    }
    Ok(())
}

/// Runs a program outside of every sandbox, and returns what it prints.
fn run_outside(folder: &Path, argv: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(argv[0])
        .args(&argv[1..])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{argv:?}");
    output.stdout
}

/// Packs files below a folder of this name.
fn tar_gz(name: &str, files: &[(&str, &str)]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(name).join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    run_outside(folder.path(), &["tar", "-cz", name], b"")
}

/// Runs a script as a task that nobody can be asked for; returns the file `said` of it.
#[track_caller]
fn install(world: &World, script: &str, hosts: &[&str]) -> String {
    let said = world.run_plan(&plan_of(&[shell("install", script, &[])]), &[]);
    let logs = world.run(&["logs", "g1", "install"]).stdout;
    assert_eq!(said.status, 0, "{logs}");
    let shown = world.goal("g1");
    let network = shown["network"].as_array().cloned().unwrap_or_default();
    let reached = network
        .iter()
        .map(|host| (&host["host"], &host["denied"], &host["port"]));
    let expected: Vec<Value> = hosts.iter().map(|host| json!(host)).collect();
    let (none, web) = (json!(0), json!(80));
    let expected = expected.iter().map(|host| (host, &none, &web));
    assert_eq!(
        reached.collect::<Vec<_>>(),
        expected.collect::<Vec<_>>(),
        "{logs}"
    );
    world.run(&["accept", "g1"]).expect(0);
    world.read("said")
}

#[test]
fn npm_installs_packages() {
    let mut internet = Internet::default();
    let manifest = json!({"name": "greeting", "version": "1.0.0"});
    let package = tar_gz(
        "package",
        &[
            ("package.json", &manifest.to_string()),
            ("index.js", "module.exports = 'hello from npm';\n"),
        ],
    );
    let tarball = "registry.npmjs.org/greeting/-/greeting-1.0.0.tgz";
    internet.put(tarball, package);
    let mut version = manifest;
    version["dist"] = json!({"tarball": format!("http://{tarball}")});
    let packument = json!({
        "name": "greeting",
        "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": version},
    });
    internet.put("registry.npmjs.org/greeting", packument.to_string());
    let mut world = World::new(&[
        (".gitignore", "node_modules\npackage*.json\n"),
        (
            ".npmrc",
            "registry=http://registry.npmjs.org/\naudit=false\nupdate-notifier=false\n",
        ),
    ]);
    internet.serve(&mut world);
    let script = "npm install greeting && node -p 'require(\"greeting\")' >said";
    let said = install(&world, script, &["registry.npmjs.org"]);
    assert_eq!(said, "hello from npm\n");
}

#[test]
fn pip_installs_packages() {
    let folder = tempfile::tempdir().unwrap();
    let info = "greeting-1.0.dist-info";
    fs::create_dir(folder.path().join(info)).unwrap();
    for (path, text) in [
        ("greeting.py", "TEXT = 'hello from pip'\n"),
        (
            "greeting-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
        ),
        (
            "greeting-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        ),
        ("greeting-1.0.dist-info/RECORD", ""),
    ] {
        fs::write(folder.path().join(path), text).unwrap();
    }
    let wheel = "greeting-1.0-py3-none-any.whl";
    let zip = ["python3", "-m", "zipfile", "-c", wheel, "greeting.py", info];
    run_outside(folder.path(), &zip, b"");
    let mut bytes = Vec::new();
    let mut file = fs::File::open(folder.path().join(wheel)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    let mut internet = Internet::default();
    internet.put(&format!("files.pythonhosted.org/{wheel}"), bytes);
    let link = format!("<a href=\"http://files.pythonhosted.org/{wheel}\">{wheel}</a>");
    internet.put("pypi.org/simple/greeting", link);
    let mut world = World::new(&[(".gitignore", "/deps/\n__pycache__\n")]);
    internet.serve(&mut world);
    // Some shims of Python fail afterwards, where they cannot write their own folder.
    let script = "python3 -m pip install --index-url http://pypi.org/simple --trusted-host pypi.org \
                  --trusted-host files.pythonhosted.org --disable-pip-version-check --target deps greeting \
                  ; PYTHONPATH=deps python3 -c 'import greeting; print(greeting.TEXT)' >said";
    let said = install(&world, script, &["files.pythonhosted.org", "pypi.org"]);
    assert_eq!(said, "hello from pip\n");
}

#[test]
fn cargo_fetches_crates() {
    let manifest = "[package]\nname = \"greeting\"\nversion = \"1.0.0\"\nedition = \"2021\"\n";
    let source = "pub const TEXT: &str = \"hello from cargo\";\n";
    let package = tar_gz(
        "greeting-1.0.0",
        &[("Cargo.toml", manifest), ("src/lib.rs", source)],
    );
    let sum = run_outside(Path::new("/"), &["sha256sum"], &package);
    let sum = String::from_utf8(sum).unwrap();
    let sum = sum.split(' ').next().unwrap();
    let mut internet = Internet::default();
    internet.put("static.crates.io/greeting/1.0.0/download", package);
    let index = json!({"dl": "http://static.crates.io"});
    internet.put("index.crates.io/config.json", index.to_string());
    let entry = json!({
        "name": "greeting", "vers": "1.0.0", "deps": [], "features": {}, "cksum": sum, "yanked": false
    });
    internet.put("index.crates.io/gr/ee/greeting", entry.to_string());
    let mut world = World::new(&[
        (
            "Cargo.toml",
            "[package]\nname = \"project\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\
             [dependencies]\ngreeting = \"1\"\n",
        ),
        ("src/lib.rs", ""),
        (".gitignore", "Cargo.lock\n"),
        (
            ".cargo/config.toml",
            "[source.crates-io]\nreplace-with = \"stand-in\"\n\
             [source.stand-in]\nregistry = \"sparse+http://index.crates.io/\"\n",
        ),
    ]);
    internet.serve(&mut world);
    // The toolchain itself: what stands on the path may choose one by files of the real home folder.
    let cargo = std::env::var("CARGO").unwrap();
    let rustc = Path::new(&cargo).with_file_name("rustc");
    let rustc = rustc.display();
    let script = format!(
        "RUSTC={rustc} {cargo} fetch && cat ~/.cargo/registry/src/*/greeting-1.0.0/src/lib.rs >said"
    );
    let said = install(&world, &script, &["index.crates.io", "static.crates.io"]);
    assert_eq!(said, source);
}

#[test]
fn git_clones_from_a_host_that_is_named() {
    let mut internet = Internet::default();
    let source = World::new(&[("greeting", "hello from git\n")]);
    source.git(&["repack", "-adq"]);
    source.git(&["update-server-info"]);
    let git = source.path(".git");
    let listed = run_outside(&git, &["find", ".", "-type", "f"], b"");
    for path in String::from_utf8(listed).unwrap().lines() {
        let path = path.trim_start_matches("./");
        let file = fs::read(git.join(path)).unwrap();
        internet.put(&format!("code.example/project.git/{path}"), file);
    }
    let mut world = World::new(&[(".gitignore", "/clone/\n")]);
    world.configure("network.allow = [\"code.example\"]\n");
    internet.serve(&mut world);
    let script = "git clone -q http://code.example/project.git clone && cp clone/greeting said";
    let said = install(&world, script, &["code.example"]);
    assert_eq!(said, "hello from git\n");
}
