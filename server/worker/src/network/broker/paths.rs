//! What may be asked of a provider: paths below its base URL, read as strictly as any server may read them.

use http::Uri;

/// How often a path is decoded in search of steps upward. Servers decode once; some of those behind gateways twice.
const DECODED: usize = 3;

/// Why a request may not be passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PathRefusal {
    /// It is no path, or one that leads upward.
    Crooked,
    /// No session needs it.
    Unknown,
}

/// The paths of one provider that may be asked.
#[derive(Clone, Debug)]
pub(super) struct AskedPaths {
    base: String,
    allowed: &'static [&'static str],
}

impl AskedPaths {
    /// Allows the paths `allowed` below `base`, which has no slash at its end.
    pub(super) fn new(base: &str, allowed: &'static [&'static str]) -> Self {
        Self {
            base: base.to_owned(),
            allowed,
        }
    }

    /// Returns the path and query of a request, if it may be passed on.
    pub(super) fn check<'a>(&self, uri: &'a Uri) -> Result<&'a str, PathRefusal> {
        let asked = uri.path_and_query().ok_or(PathRefusal::Crooked)?;
        // A request to a proxy names a host of its own.
        if uri.scheme().is_some() || uri.authority().is_some() || is_crooked(asked.path()) {
            return Err(PathRefusal::Crooked);
        }
        let below = asked.path().strip_prefix(self.base.as_str());
        match below {
            Some(below) if self.allowed.iter().any(|rule| covers(rule, below)) => {
                Ok(asked.as_str())
            }
            _ => Err(PathRefusal::Unknown),
        }
    }
}

fn covers(rule: &str, path: &str) -> bool {
    match (rule, path) {
        ("/", "" | "/") => true,
        (rule, path) if rule.len() > 1 && rule.ends_with('/') => path
            .strip_prefix(rule)
            .is_some_and(|rest| !rest.is_empty() && !rest.contains('/')),
        (rule, path) => rule == path,
    }
}

/// Returns whether a path could be read as one that leads upward, or as another one.
fn is_crooked(path: &str) -> bool {
    let mut path = path.as_bytes().to_vec();
    for _ in 0..DECODED {
        let parts = path.split(|byte| matches!(byte, b'/' | b'\\'));
        let leads_up = |part: &[u8]| {
            // Some servers cut a parameter off each part.
            let name = part.split(|byte| *byte == b';').next().unwrap_or_default();
            matches!(name, b"." | b"..")
        };
        if path.contains(&b'\\')
            || path.iter().any(u8::is_ascii_control)
            || parts.into_iter().any(leads_up)
        {
            return true;
        }
        let decoded: Vec<u8> = percent_encoding::percent_decode(&path).collect();
        if decoded == path {
            return false;
        }
        path = decoded;
    }
    // Encoded more often than anybody would.
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_paths_below_the_base_pass() {
        let rules = &["/", "/v1/messages", "/v1/models/"];
        let check = |base: &str, uri: &str, expected: Result<(), PathRefusal>| {
            let paths = AskedPaths::new(base, rules);
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(paths.check(&uri).map(drop), expected, "{base} {uri}");
        };
        for path in [
            "/",
            "/v1/messages",
            "/v1/messages?beta=true",
            "/v1/models/a%20b",
        ] {
            check("", path, Ok(()));
        }
        for path in ["/gate", "/gate/", "/gate/v1/messages?a=/../b"] {
            check("/gate", path, Ok(()));
        }
        for path in [
            "/v1/files",
            "/v1/messages/batches",
            "/v1/models/",
            "/v1/models/a/b",
            "/v1",
        ] {
            check("", path, Err(PathRefusal::Unknown));
        }
        for path in [
            "/",
            "/v1/messages",
            "/gateway/v1/messages",
            "/gatev1/messages",
        ] {
            check("/gate", path, Err(PathRefusal::Unknown));
        }
        for path in [
            "/gate/v1/messages/../../../admin",
            "/gate/../v1/messages",
            "/gate/%2e%2e/v1/messages",
            "/gate/v1/models/.%2E",
            "/gate/v1/models/..%2fx",
            "/gate/v1/models/..%5cx",
            "/gate/v1/models/%252e%252e",
            "/gate/v1/models/%25252525252e",
            "/gate/v1/models/..;a=b",
            "/gate/./v1/messages",
            "/gate/v1/models/a%00",
            "http://other.example/gate/v1/messages",
            "other.example:443",
            "*",
        ] {
            let refusal = if path == "*" {
                PathRefusal::Unknown
            } else {
                PathRefusal::Crooked
            };
            check("/gate", path, Err(refusal));
        }
    }
}
