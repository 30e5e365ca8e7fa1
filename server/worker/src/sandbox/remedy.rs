//! What a machine leaves open, and what to do about it.

use super::view::Isolation;

/// The first version of Landlock that closes signals and abstract sockets.
const SCOPES: u32 = 6;
/// The first version of Landlock that closes TCP ports.
const PORTS: u32 = 4;

/// Tells how to allow namespaces on this machine.
pub fn namespace_remedy() -> String {
    let setting = |path: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/{path}")).unwrap_or_default();
        text.trim().to_owned()
    };
    let command = if setting("kernel/apparmor_restrict_unprivileged_userns") == "1" {
        "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    } else if setting("kernel/unprivileged_userns_clone") == "0" {
        "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    } else if setting("user/max_user_namespaces") == "0" {
        "sudo sysctl -w user.max_user_namespaces=15000"
    } else {
        return "allow user namespaces; in a container, start it with: --security-opt \
                seccomp=unconfined --security-opt apparmor=unconfined"
            .to_owned();
    };
    format!("allow user namespaces: {command}")
}

/// Lists what stays open with this isolation, as text for the user.
pub(super) fn open_points(isolation: Isolation, landlock: Option<u32>) -> Vec<String> {
    let namespaces = isolation == Isolation::Namespaces;
    let mut open = Vec::new();
    match landlock {
        None => open.push("no Landlock: there is no second wall behind the mounts".to_owned()),
        Some(version) if version < SCOPES && namespaces => open.push(format!(
            "Landlock {version}: with an open network, workers reach abstract sockets (needs Landlock {SCOPES})"
        )),
        Some(version) if version < SCOPES => open.push(format!(
            "Landlock {version}: workers can send signals to your processes (needs Landlock {SCOPES})"
        )),
        Some(_) => {}
    }
    if !namespaces {
        if landlock.is_some_and(|version| version < PORTS) {
            open.push(format!(
                "the network is open over TCP (needs Landlock {PORTS})"
            ));
        }
        open.push("no namespaces: workers see your processes and the names of files".to_owned());
    }
    open
}
