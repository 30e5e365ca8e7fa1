//! Ports of this machine that every sandbox of a test gets handed in: they are known before a daemon starts.

use std::{
    net::TcpListener,
    sync::{LazyLock, Mutex},
};

/// How many listeners a test may take.
const PLACES: usize = 8;

/// The listeners that no test has taken yet.
static FREE_PLACES: LazyLock<Mutex<Vec<TcpListener>>> = LazyLock::new(|| {
    let listen = |_| TcpListener::bind("127.0.0.1:0").unwrap();
    Mutex::new((0..PLACES).map(listen).collect())
});

/// The ports of all of them, as the setting `network.loopback` has them in the environment.
static PLACE_PORTS: LazyLock<String> = LazyLock::new(|| {
    let free = FREE_PLACES.lock().unwrap();
    let ports = free
        .iter()
        .map(|place| place.local_addr().unwrap().port().to_string());
    ports.collect::<Vec<_>>().join(",")
});

/// Returns the ports, separated by commas.
pub(crate) fn place_ports() -> &'static str {
    &PLACE_PORTS
}

/// Takes a listener on one of the ports.
pub(crate) fn take_place() -> TcpListener {
    // All ports are known before one of them is taken.
    place_ports();
    let free = FREE_PLACES.lock().unwrap().pop();
    free.unwrap_or_else(|| unreachable!("a test takes no more than eight places"))
}
