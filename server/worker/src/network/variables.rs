//! Variables that lead programs to the door.

use std::ffi::OsString;

/// What programs reach without the door: the sandbox's own loopback address.
const OWN: &str = "localhost,127.0.0.1,::1";

/// Variables of proxies, in lower case. Some programs read one spelling only.
const PROXY_NAMES: [&str; 4] = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];

/// Returns whether a variable says where the proxies of a machine are. In a sandbox with a door the user's own
/// lead nowhere.
pub fn is_proxy_variable(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    PROXY_NAMES.contains(&name.as_str())
}

/// Returns the variables for a proxy on a port of the loopback address.
///
/// Names that only one tool reads are there for tools that would otherwise take a proxy from the user's own
/// configuration files, which leads nowhere in a sandbox, or none at all.
pub(super) fn door_variables(port: u16) -> Vec<(OsString, OsString)> {
    let proxy = format!("http://127.0.0.1:{port}");
    // Java reaches loopback addresses directly by itself. Start scripts of Gradle before 7 hand these words to a
    // shell once more, so nothing that a shell reads may be in them.
    let java = format!(
        "-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort={port} -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort={port}"
    );
    // Maven's own transport looks at them only if it is told to.
    let maven = format!("{java} -Daether.connector.http.useSystemProperties=true");
    let mut variables: Vec<(&str, &str)> = Vec::new();
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        variables.push((name, &proxy));
    }
    variables.extend([
        ("HTTP_PROXY", proxy.as_str()),
        ("HTTPS_PROXY", &proxy),
        ("ALL_PROXY", &proxy),
        ("no_proxy", OWN),
        ("NO_PROXY", OWN),
        ("npm_config_proxy", &proxy),
        ("npm_config_https_proxy", &proxy),
        ("npm_config_noproxy", OWN),
        ("YARN_HTTP_PROXY", &proxy),
        ("YARN_HTTPS_PROXY", &proxy),
        ("CARGO_HTTP_PROXY", &proxy),
        // Node.js 22.21 and later; older ones have no way to be told.
        ("NODE_USE_ENV_PROXY", "1"),
        // `JAVA_TOOL_OPTIONS` would reach every Java program, but each then says so where its errors go.
        ("MAVEN_OPTS", &maven),
        ("GRADLE_OPTS", &java),
        ("SBT_OPTS", &java),
        // What reports to its makers would be asked about.
        ("DO_NOT_TRACK", "1"),
        ("DOTNET_CLI_TELEMETRY_OPTOUT", "1"),
    ]);
    let own = |(name, value): (&str, &str)| (name.into(), value.into());
    variables.into_iter().map(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_means_anything_to_a_shell() {
        for (name, value) in door_variables(61_180) {
            let value = value.into_string().unwrap();
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-.:/=, ".contains(c);
            assert!(value.chars().all(is_plain), "{name:?}: {value}");
        }
    }
}
