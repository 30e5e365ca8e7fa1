//! Programs in real sandboxes, with a door and without one.

use std::{
    net::{IpAddr, Ipv4Addr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use claudecluster_worker::{
    launch::ProgramLauncher as _,
    sandbox::{NetworkDoor, Sandbox, SandboxChoice, SandboxSpec},
};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use super::support::{Door, echo_when_done, serve};
use crate::support::{Fixture, sh};

async fn sandbox(fixture: &Fixture, layer: &str, door: Option<&Door>) -> Sandbox {
    let spec = SandboxSpec {
        network: door.map(|door| door.door.clone() as Arc<dyn NetworkDoor>),
        ..fixture.spec(layer, SandboxChoice::Overlay)
    };
    Sandbox::prepare(spec).await.unwrap()
}

/// Runs a script and returns what it printed.
async fn printed(sandbox: &Sandbox, script: &str) -> String {
    let output = sh(sandbox, script).await;
    String::from_utf8(output.stdout).unwrap()
}

/// An address of this machine that is not loopback, if it has one. Nothing is sent to find it.
fn other_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}

#[tokio::test]
async fn nothing_is_reached_around_the_door() {
    let fixture = Fixture::new(&[]);
    let door = Door::closed(&[], &[]);
    let sandbox = sandbox(&fixture, "layer", Some(&door)).await;
    let mut hosts = vec!["127.0.0.1".to_owned(), "::1".to_owned()];
    hosts.extend(other_address().map(|address| address.to_string()));
    for host in hosts {
        let Ok(listener) = TcpListener::bind((host.as_str(), 0)).await else {
            // The machine has no such address.
            continue;
        };
        let udp = UdpSocket::bind((host.as_str(), 0)).unwrap();
        let (tcp_port, udp_port) = (
            listener.local_addr().unwrap().port(),
            udp.local_addr().unwrap().port(),
        );
        let reach = format!(
            "bash -c 'exec 3<>/dev/tcp/{host}/{tcp_port}' 2>/dev/null && echo reached; \
             bash -c 'echo x >/dev/udp/{host}/{udp_port}' 2>/dev/null; echo tried"
        );
        assert_eq!(printed(&sandbox, &reach).await, "tried\n", "{host}");
        udp.set_nonblocking(true).unwrap();
        assert!(udp.recv(&mut [0; 9]).is_err(), "{host}");
        // The same words reach it from outside.
        let mut outside = tokio::process::Command::new("sh");
        let outside = outside.args(["-c", &reach]).output().await.unwrap();
        assert_eq!(outside.stdout, b"reached\ntried\n", "{host}");
    }
    assert_eq!(door.door.close().await, (Vec::new(), 0));
}

#[tokio::test]
async fn allowed_hosts_are_reached_through_the_proxy_that_variables_name() {
    let host = echo_when_done().await;
    let fixture = Fixture::new(&[]);
    let door = Door::closed(&[&host.to_string()], &[]);
    let sandbox = sandbox(&fixture, "layer", Some(&door)).await;
    let connect = |target: &str| {
        format!(
            "proxy=${{HTTPS_PROXY#http://}}; bash -c \"exec 3<>/dev/tcp/${{proxy%:*}}/${{proxy#*:}}; \
             printf 'CONNECT {target} HTTP/1.1\\r\\n\\r\\n' >&3; head -n 1 <&3\""
        )
    };
    let said = printed(&sandbox, &connect(&host.to_string())).await;
    assert_eq!(said, "HTTP/1.1 200 Connection Established\r\n");
    let said = printed(&sandbox, &connect("example.org:443")).await;
    assert_eq!(
        said,
        "HTTP/1.1 403 Not allowed by claudecluster: example.org:443\r\n"
    );
    let (hosts, _) = door.door.close().await;
    let counts: Vec<_> = hosts
        .iter()
        .map(|host| (host.host.as_str(), host.allowed, host.denied))
        .collect();
    assert_eq!(counts, [("127.0.0.1", 1, 0), ("example.org", 0, 1)]);
}

#[tokio::test]
async fn ports_of_this_machine_are_handed_in() {
    let host = serve(|mut stream| async move {
        stream.write_all(b"hello\n").await.unwrap();
    })
    .await;
    let fixture = Fixture::new(&[]);
    let door = Door::closed(&[], &[host.port()]);
    let sandbox = sandbox(&fixture, "layer", Some(&door)).await;
    let port = host.port();
    for address in ["127.0.0.1", "::1"] {
        let read = format!("bash -c 'cat </dev/tcp/{address}/{port}'");
        assert_eq!(printed(&sandbox, &read).await, "hello\n", "{address}");
    }
}

#[tokio::test]
async fn each_task_has_its_own_ports() {
    let fixture = Fixture::new(&[]);
    let (one, two) = (Door::closed(&[], &[]), Door::closed(&[], &[]));
    let one = sandbox(&fixture, "one", Some(&one)).await;
    let two = sandbox(&fixture, "two", Some(&two)).await;
    // Each listens until it is told to end, which is when both have said that they do.
    let listen = "python3 -c 'import socket, sys\n\
         s = socket.create_server((\"127.0.0.1\", 47123))\n\
         c = socket.create_connection((\"127.0.0.1\", 47123))\n\
         print(\"listens\", flush=True)\n\
         sys.stdin.read()'";
    let start = |sandbox: &Sandbox| {
        let argv = claudecluster_worker::launch::argv(["sh", "-c", listen]);
        let mut command = sandbox.command(&argv, &sandbox.base_env());
        command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    let (mut first, mut second) = (start(&one), start(&two));
    for child in [&mut first, &mut second] {
        let mut said = tokio::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        tokio::io::AsyncBufReadExt::read_line(&mut said, &mut line)
            .await
            .unwrap();
        assert_eq!(line, "listens\n");
    }
    for mut child in [first, second] {
        drop(child.stdin.take());
        assert!(child.wait().await.unwrap().success());
    }
}

#[tokio::test]
async fn a_second_program_has_the_door_as_well() {
    let host = echo_when_done().await;
    let fixture = Fixture::new(&[]);
    let door = Door::closed(&[], &[host.port()]);
    let sandbox = sandbox(&fixture, "layer", Some(&door)).await;
    let port = host.port();
    for _ in 0..3 {
        let reach = format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}' && echo reached");
        assert_eq!(printed(&sandbox, &reach).await, "reached\n");
    }
}

#[tokio::test]
async fn an_open_network_is_the_machines_own() {
    let host = echo_when_done().await;
    let fixture = Fixture::new(&[]);
    let sandbox = sandbox(&fixture, "layer", None).await;
    let port = host.port();
    let reach = format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}' && echo reached");
    let reached = tokio::time::timeout(Duration::from_secs(60), printed(&sandbox, &reach)).await;
    assert_eq!(reached.unwrap(), "reached\n");
}
