//! The headers of requests and answers: the login is put in, and what belongs to one connection is left out.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        AUTHORIZATION, CONNECTION, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
        SET_COOKIE, TE, TRANSFER_ENCODING, UPGRADE,
    },
};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::agent::{LoginHeader, ProviderLogin};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Headers that carry a login, whichever is meant.
const LOGINS: [HeaderName; 2] = [API_KEY, AUTHORIZATION];

/// The login of a job, as requests carry it.
pub(super) struct LoginHeaders {
    secrets: Vec<PlacedSecret>,
    /// Headers that the user adds to every request.
    added: HeaderMap,
}

struct PlacedSecret {
    variable: &'static str,
    header: LoginHeader,
    placeholder: String,
    /// The value of the header with the real key or token.
    real: HeaderValue,
}

impl LoginHeaders {
    /// Makes the headers of a login, with new placeholders.
    pub(super) fn new(login: &ProviderLogin) -> Result<Self, String> {
        let secrets = login.secrets.iter().map(|secret| {
            let real = secret.header.value(&secret.value);
            let mut real = HeaderValue::try_from(real).map_err(|_| {
                format!(
                    "{} is no key: it has characters that no key has",
                    secret.variable
                )
            })?;
            real.set_sensitive(true);
            Ok(PlacedSecret {
                variable: secret.variable,
                header: secret.header,
                placeholder: new_placeholder(),
                real,
            })
        });
        let mut added = HeaderMap::new();
        for (name, value) in &login.headers {
            let pair = (HeaderName::try_from(name), HeaderValue::try_from(value));
            let (Ok(name), Ok(mut value)) = pair else {
                return Err(format!(
                    "{name:?} cannot be a header of a request to the provider"
                ));
            };
            value.set_sensitive(true);
            added.append(name, value);
        }
        Ok(Self {
            secrets: secrets.collect::<Result<_, String>>()?,
            added,
        })
    }

    /// Returns the variables with the placeholders.
    pub(super) fn placeholders(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        let secrets = self.secrets.iter();
        secrets.map(|secret| (secret.variable, secret.placeholder.clone()))
    }

    /// Puts the login into a request in the place of its placeholders; returns whether it had at least one, and no
    /// other login.
    pub(super) fn put_into(&self, headers: &mut HeaderMap) -> bool {
        let mut real = HeaderMap::new();
        for name in LOGINS {
            for value in headers.get_all(&name) {
                let Some(secret) = self.find(&name, value) else {
                    return false;
                };
                real.append(name.clone(), secret.real.clone());
            }
            headers.remove(name);
        }
        if real.is_empty() {
            return false;
        }
        // What the user adds wins over what the session says, also over its login.
        for name in self.added.keys() {
            headers.remove(name);
            real.remove(name);
        }
        headers.extend(real);
        headers.extend(self.added.clone());
        true
    }

    fn find(&self, name: &HeaderName, value: &HeaderValue) -> Option<&PlacedSecret> {
        self.secrets.iter().find(|secret| {
            let expected = secret.header.value(&secret.placeholder);
            secret.header.name() == *name && bool::from(expected.as_bytes().ct_eq(value.as_bytes()))
        })
    }
}

impl fmt::Debug for LoginHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variables: Vec<&str> = self.secrets.iter().map(|secret| secret.variable).collect();
        f.debug_struct("LoginHeaders")
            .field("variables", &variables)
            .finish_non_exhaustive()
    }
}

impl LoginHeader {
    fn name(self) -> HeaderName {
        match self {
            Self::ApiKey => API_KEY,
            Self::Bearer => AUTHORIZATION,
        }
    }

    fn value(self, secret: &str) -> String {
        match self {
            Self::ApiKey => secret.to_owned(),
            Self::Bearer => format!("Bearer {secret}"),
        }
    }
}

/// Returns 244 random bits as text.
fn new_placeholder() -> String {
    let mut bytes = Vec::with_capacity(32);
    bytes.extend_from_slice(Uuid::new_v4().as_bytes());
    bytes.extend_from_slice(Uuid::new_v4().as_bytes());
    format!("placeholder-{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// Removes what a program says to the broker and not to the provider.
pub(super) fn leave_out_of_request(headers: &mut HeaderMap) {
    leave_out_hops(headers);
    // The broker has answered it already.
    headers.remove(EXPECT);
    headers.remove(HOST);
}

/// Removes what the provider says to the broker and not to the program.
pub(super) fn leave_out_of_answer(headers: &mut HeaderMap) {
    leave_out_hops(headers);
    // An agent keeps none, and a cookie may stand for the login.
    headers.remove(SET_COOKIE);
}

/// Removes what is meant for one connection (RFC 9110, section 7.6.1).
fn leave_out_hops(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect();
    let known = [
        CONNECTION,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    // The login is not for a program to have removed, nor the length of a body.
    let listed = listed.into_iter().filter(|name| !LOGINS.contains(name));
    let listed = listed.filter(|name| *name != http::header::CONTENT_LENGTH);
    for name in known.into_iter().chain(listed) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::LoginSecret;

    fn login(headers: &[(&str, &str)]) -> LoginHeaders {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let secret = |variable, header, value: &str| LoginSecret {
            variable,
            header,
            value: value.to_owned(),
        };
        LoginHeaders::new(&ProviderLogin {
            base_url: String::new(),
            address_variable: "URL",
            secrets: vec![
                secret("KEY", LoginHeader::ApiKey, "real-key"),
                secret("TOKEN", LoginHeader::Bearer, "real-token"),
                secret("OTHER", LoginHeader::Bearer, "real-other"),
            ],
            headers: headers.iter().map(own).collect(),
            paths: &[],
            direct: Vec::new(),
            variables: Vec::new(),
        })
        .unwrap()
    }

    /// Puts the login into a request whose headers may name placeholders by their variables.
    fn put(login: &LoginHeaders, request: &[(&str, &str)]) -> Option<Vec<String>> {
        let mut headers = HeaderMap::new();
        for (name, value) in request {
            let mut value = (*value).to_owned();
            for (variable, placeholder) in login.placeholders() {
                value = value.replace(&format!("<{variable}>"), &placeholder);
            }
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let is_put = login.put_into(&mut headers);
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        is_put.then_some(lines)
    }

    #[track_caller]
    fn check(request: &[(&str, &str)], expected: Option<&[&str]>) {
        let lines = put(&login(&[]), request);
        let lines: Option<Vec<&str>> = lines
            .as_ref()
            .map(|lines| lines.iter().map(String::as_str).collect());
        assert_eq!(lines.as_deref(), expected, "{request:?}");
    }

    #[test]
    fn placeholders_are_replaced_and_nothing_else_is_taken_for_a_login() {
        check(&[("x-api-key", "<KEY>")], Some(&["x-api-key: real-key"]));
        check(
            &[("Authorization", "Bearer <OTHER>"), ("x-a", "b")],
            Some(&["authorization: Bearer real-other", "x-a: b"]),
        );
        check(
            &[("x-api-key", "<KEY>"), ("authorization", "Bearer <TOKEN>")],
            Some(&["authorization: Bearer real-token", "x-api-key: real-key"]),
        );
        for refused in [
            &[][..],
            &[("x-a", "<KEY>")],
            &[("x-api-key", "")],
            &[("x-api-key", "<TOKEN>")],
            &[("x-api-key", "<KEY>x")],
            &[("authorization", "<TOKEN>")],
            &[("authorization", "Bearer <KEY>")],
            // The login of somebody else, beside ours or alone.
            &[("x-api-key", "<KEY>"), ("authorization", "Bearer mine")],
            &[("x-api-key", "<KEY>"), ("x-api-key", "mine")],
            &[("authorization", "Bearer mine")],
        ] {
            check(refused, None);
        }
    }

    #[test]
    fn the_users_own_headers_win() {
        let login = login(&[("X-Team", "a"), ("Authorization", "Bearer gateway")]);
        let lines = put(
            &login,
            &[
                ("x-team", "b"),
                ("authorization", "Bearer <TOKEN>"),
                ("x-api-key", "<KEY>"),
            ],
        );
        assert_eq!(
            lines.unwrap(),
            [
                "authorization: Bearer gateway",
                "x-api-key: real-key",
                "x-team: a"
            ]
        );
        assert_eq!(put(&login, &[("x-team", "b")]), None);
    }

    #[test]
    fn each_job_has_its_own_placeholders() {
        let (one, two) = (login(&[]), login(&[]));
        let mut all: Vec<String> = one
            .placeholders()
            .chain(two.placeholders())
            .map(|(_, placeholder)| placeholder)
            .collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 6);
        assert!(!format!("{one:?}").contains("real"), "{one:?}");
    }

    #[test]
    fn what_belongs_to_one_connection_is_left_out() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop, x-api-key, content-length"),
            ("x-hop", "1"),
            ("x-api-key", "k"),
            ("content-length", "3"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("transfer-encoding", "chunked"),
            ("proxy-authorization", "p"),
            ("keep-alive", "timeout=5"),
            ("expect", "100-continue"),
            ("host", "elsewhere.example"),
            ("set-cookie", "a=b"),
            ("x-stays", "1"),
        ] {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let mut answer = headers.clone();
        leave_out_of_request(&mut headers);
        let names = |headers: &HeaderMap| {
            let mut names: Vec<String> = headers.keys().map(ToString::to_string).collect();
            names.sort();
            names.join(" ")
        };
        assert_eq!(
            names(&headers),
            "content-length set-cookie x-api-key x-stays"
        );
        leave_out_of_answer(&mut answer);
        assert_eq!(
            names(&answer),
            "content-length expect host x-api-key x-stays"
        );
    }
}
