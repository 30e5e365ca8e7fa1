//! Ports of this machine that every sandbox of a test reaches.

use std::{
    net::TcpListener,
    sync::{LazyLock, Mutex},
};

/// How many places where programs stop a test may have.
const PLACES: usize = 8;

/// The listeners of places that no test has taken yet. Their ports are handed in to every sandbox by
/// `World::environment`, and are therefore known before a daemon starts.
static FREE_PLACES: LazyLock<Mutex<Vec<TcpListener>>> = LazyLock::new(|| {
    let listen = |_| TcpListener::bind("127.0.0.1:0").unwrap();
    Mutex::new((0..PLACES).map(listen).collect())
});

/// The ports of all places, as the setting `network.loopback` has them in the environment.
static PLACE_PORTS: LazyLock<String> = LazyLock::new(|| {
    let free = FREE_PLACES.lock().unwrap();
    let ports = free
        .iter()
        .map(|place| place.local_addr().unwrap().port().to_string());
    ports.collect::<Vec<_>>().join(",")
});

/// Returns the ports at which programs in a sandbox reach the places of this test.
pub fn place_ports() -> &'static str {
    &PLACE_PORTS
}

/// Takes the listener of a place that is still free.
pub(crate) fn take_place() -> TcpListener {
    // All ports are known before one of them is taken.
    place_ports();
    let place = FREE_PLACES.lock().unwrap().pop();
    place.unwrap_or_else(|| panic!("a test has no more than {PLACES} places"))
}
