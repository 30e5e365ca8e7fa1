//! The environment of programs in a sandbox: an allow-list over the daemon's own.
//!
//! Nothing comes from the workspace. The home folder stays the user's: toolchains, version managers
//! and package caches are found through it, and the sandbox lets it be written without keeping what is
//! written. Variables that say where build results go (`CARGO_TARGET_DIR` and its kin) are not on the
//! list: they name folders that cannot be written in a sandbox.

use std::ffi::OsString;

/// Variables that are passed on as they are.
const PASSED: [&str; 48] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "LOCALE_ARCHIVE",
    // Where toolchains are.
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "GOPATH",
    "GOROOT",
    "GOMODCACHE",
    "NVM_DIR",
    "VOLTA_HOME",
    "FNM_DIR",
    "PNPM_HOME",
    "BUN_INSTALL",
    "DENO_DIR",
    "PYENV_ROOT",
    "RBENV_ROOT",
    "JAVA_HOME",
    "GRADLE_USER_HOME",
    "ANDROID_HOME",
    "SDKMAN_DIR",
    "ASDF_DIR",
    "MISE_DATA_DIR",
    "NIX_PATH",
    "NIX_PROFILES",
    "XDG_DATA_DIRS",
    // Whom to trust, and the way out.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NIX_SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// Whether a variable of the daemon may be seen by workers.
fn is_allowed(name: &str) -> bool {
    PASSED.contains(&name) || name.starts_with("LC_") || matches!(name, "all_proxy" | "ALL_PROXY")
}

/// Whether a variable names a proxy, or what needs none.
pub(super) fn is_proxy(name: &std::ffi::OsStr) -> bool {
    let name = name.to_ascii_lowercase();
    name.to_str().is_some_and(|name| name.ends_with("_proxy"))
}

/// The variables of `own` that workers may see.
pub(super) fn allowed_variables(
    own: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    own.into_iter()
        .filter(|(name, _)| name.to_str().is_some_and(is_allowed))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_list_passes() {
        let check = |name: &str, expected: bool| {
            let kept = allowed_variables([(name.into(), "value".into())]);
            assert_eq!(!kept.is_empty(), expected, "{name}");
        };
        for name in [
            "PATH",
            "HOME",
            "LC_ALL",
            "https_proxy",
            "CARGO_HOME",
            "SSL_CERT_FILE",
        ] {
            check(name, true);
        }
        for name in [
            "LD_PRELOAD",
            "NODE_OPTIONS",
            "GIT_DIR",
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_BASE_URL",
            "SSH_AUTH_SOCK",
            "DBUS_SESSION_BUS_ADDRESS",
            "XDG_RUNTIME_DIR",
            "CLAUDECODE",
            "CARGO_TARGET_DIR",
            "RUSTFLAGS",
            "PYTHONPATH",
            "BASH_ENV",
            "path",
        ] {
            check(name, false);
        }
    }
}
