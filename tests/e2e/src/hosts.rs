//! Hosts of the network that no list names.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
};

use crate::World;

/// Reaches a host through the proxy of the sandbox, and keeps what it says.
pub const REACH: &str = "p=${HTTPS_PROXY#http://}; bash -c \"exec 3<>/dev/tcp/${p%:*}/${p#*:}; \
                         printf 'CONNECT host.example:443 HTTP/1.1\\r\\nUser-Agent: tool/1\\r\\n\\r\\n' >&3; \
                         cat <&3\" >said";

/// A world with these files whose own proxy leads everywhere. Hosts say what depends on the number of connections
/// before.
pub fn hosts_world(
    files: &[(&str, &str)],
    words: impl Fn(usize) -> String + Send + 'static,
) -> World {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap();
    // Ends with the test's process.
    std::thread::spawn(move || {
        let serve = |stream: TcpStream, number: usize| -> std::io::Result<()> {
            let mut reader = BufReader::new(stream.try_clone()?);
            let mut line = String::new();
            while reader.read_line(&mut line)? > 2 {
                line.clear();
            }
            write!(&stream, "HTTP/1.1 200 OK\r\n\r\n{}\n", words(number))
        };
        for (number, stream) in proxy.incoming().flatten().enumerate() {
            // A program that leaves early wants no answer.
            let _ = serve(stream, number);
        }
    });
    let mut world = World::new(files);
    let variable = ("HTTPS_PROXY".to_owned(), format!("http://{address}"));
    world.env.push(variable);
    world
}
