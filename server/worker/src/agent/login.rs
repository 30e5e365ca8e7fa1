//! A login that is a key or a token, apart from the session that uses it.

use std::fmt;

use claudecluster_protocol::goal::EnvVar;

/// The login of a session at its provider, taken out of the session's variables.
///
/// The session gets placeholders instead; what it sends passes a broker that knows the login
/// ([`KeyBroker`](crate::network::KeyBroker)).
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderLogin {
    /// The base URL of the provider's interface.
    pub base_url: String,
    /// The variable by which the agent's program finds the base URL.
    pub address_variable: &'static str,
    /// The keys and tokens.
    pub secrets: Vec<LoginSecret>,
    /// Headers that the user adds to every request. They may be secret as well.
    pub headers: Vec<(String, String)>,
    /// What the session needs of the interface: paths below the base URL. One that ends with `/` stands for all
    /// one level below it.
    pub paths: &'static [&'static str],
    /// Hosts that the session reaches by itself, without the login.
    pub direct: Vec<String>,
    /// Variables that the program needs because its base URL is the broker's.
    pub variables: Vec<EnvVar>,
}

/// A key or token of a login.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginSecret {
    /// The variable that the agent's program reads it from.
    pub variable: &'static str,
    /// Where requests carry it.
    pub header: LoginHeader,
    /// The key or token itself.
    pub value: String,
}

/// The header that carries a key or token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoginHeader {
    /// `x-api-key`.
    ApiKey,
    /// `authorization`, with the scheme `Bearer`.
    Bearer,
}

impl fmt::Debug for ProviderLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderLogin")
            .field("base_url", &self.base_url)
            .field("secrets", &self.secrets)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LoginSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginSecret")
            .field("variable", &self.variable)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// Takes the variables that hold keys or tokens out of `variables`, each with its header. One that is empty counts as
/// not set. The last of several with one name counts.
pub(super) fn take_secrets(
    variables: &mut Vec<EnvVar>,
    known: &[(&'static str, LoginHeader)],
) -> Vec<LoginSecret> {
    known
        .iter()
        .filter_map(|&(variable, header)| {
            let value = take_variable(variables, variable)?;
            Some(LoginSecret {
                variable,
                header,
                value,
            })
        })
        .collect()
}

/// Takes a variable out of `variables`; `None` if it is not set or empty.
pub(super) fn take_variable(variables: &mut Vec<EnvVar>, name: &str) -> Option<String> {
    let mut value = None;
    variables.retain(|var| {
        let is_named = var.name == name;
        if is_named {
            value = Some(var.value.trim().to_owned());
        }
        !is_named
    });
    value.filter(|value| !value.is_empty())
}

/// Reads headers that a variable lists, one `Name: value` a line.
pub(super) fn read_headers(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .filter(|(name, _)| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str, value: &str) -> EnvVar {
        EnvVar {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn secrets_are_taken_out_of_the_variables() {
        let mut variables = vec![
            variable("KEY", "old"),
            variable("PATH", "/bin"),
            variable("KEY", " new\n"),
            variable("TOKEN", ""),
        ];
        let known = [("KEY", LoginHeader::ApiKey), ("TOKEN", LoginHeader::Bearer)];
        let taken = take_secrets(&mut variables, &known);
        let expected = LoginSecret {
            variable: "KEY",
            header: LoginHeader::ApiKey,
            value: "new".to_owned(),
        };
        assert_eq!(taken, [expected]);
        assert_eq!(variables, [variable("PATH", "/bin")]);
        assert!(!format!("{taken:?}").contains("new"), "{taken:?}");
    }

    #[test]
    fn headers_are_listed_line_by_line() {
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        assert_eq!(
            read_headers("X-Team: a\nno header\n: b\nX-Url:https://x"),
            [("X-Team", "a"), ("X-Url", "https://x")].map(own)
        );
    }
}
