//! Where Claude Code finds its model: Anthropic, a gateway, or a cloud.

use claudecluster_protocol::goal::EnvVar;
use url::Url;

use crate::agent::{
    LoginHeader, ProviderLogin,
    login::{read_headers, take_secrets, take_variable},
};

/// What it reaches at Anthropic: its interface, and where a login is refreshed.
const ANTHROPIC: [&str; 3] = [
    "api.anthropic.com",
    "platform.claude.com",
    "console.anthropic.com",
];
/// The base URL of Anthropic's interface, and its host.
const BASE_URL: &str = "https://api.anthropic.com";
const OWN_HOST: &str = "api.anthropic.com";
/// The variable with the base URL.
const ADDRESS: &str = "ANTHROPIC_BASE_URL";
/// Makes it take a base URL for Anthropic's own: tools are deferred, and parts of the prompt cached, only there.
const OWN_ADDRESS: &str = "_CLAUDE_CODE_ASSUME_FIRST_PARTY_BASE_URL";
/// The variables with a login, and how requests carry it.
const SECRETS: [(&str, LoginHeader); 3] = [
    ("ANTHROPIC_API_KEY", LoginHeader::ApiKey),
    ("ANTHROPIC_AUTH_TOKEN", LoginHeader::Bearer),
    ("CLAUDE_CODE_OAUTH_TOKEN", LoginHeader::Bearer),
];
/// What a session asks for. Nothing else of an account is a session's business, such as batches and files of others.
const PATHS: [&str; 5] = [
    "/",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/models",
    "/v1/models/",
];
/// The beginning of variables that choose a cloud.
const CLOUD: &str = "CLAUDE_CODE_USE_";
/// The region of a cloud where none is named.
const AWS_REGION: &str = "us-east-1";
const GOOGLE_REGION: &str = "us-east5";

/// Lists the hosts and base URLs that a session with these variables must reach.
pub(super) fn provider_addresses(variables: &[EnvVar]) -> Vec<String> {
    let get = |name: &str| {
        let named = variables.iter().rev().find(|var| var.name == name);
        named
            .map(|var| var.value.as_str())
            .filter(|value| !value.is_empty())
    };
    let is_set = |name: &str| get(name).is_some_and(|value| !matches!(value, "0" | "false"));
    if is_set("CLAUDE_CODE_USE_BEDROCK") {
        return bedrock(get("ANTHROPIC_BEDROCK_BASE_URL"), get("AWS_REGION"));
    }
    if is_set("CLAUDE_CODE_USE_VERTEX") {
        return vertex(get("ANTHROPIC_VERTEX_BASE_URL"), get("CLOUD_ML_REGION"));
    }
    match get("ANTHROPIC_BASE_URL") {
        Some(url) => vec![url.to_owned()],
        None => ANTHROPIC.map(str::to_owned).to_vec(),
    }
}

/// Takes the login out of a session's variables. A cloud has logins of other kinds, which stay with the session.
pub(super) fn take_login(variables: &mut Vec<EnvVar>) -> Option<ProviderLogin> {
    let is_set = |var: &EnvVar| !matches!(var.value.as_str(), "" | "0" | "false");
    let is_cloud = |var: &EnvVar| var.name.starts_with(CLOUD) && is_set(var);
    if variables.iter().any(is_cloud) {
        // Gateways to clouds take the third.
        let unused = ["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"];
        variables.retain(|var| !unused.contains(&var.name.as_str()));
        return None;
    }
    let secrets = take_secrets(variables, &SECRETS);
    // Those of clouds.
    variables.retain(|var| {
        let is_login = ["_KEY", "_TOKEN"].iter().any(|end| var.name.ends_with(end));
        !(var.name.starts_with("ANTHROPIC_") && is_login)
    });
    if secrets.is_empty() {
        return None;
    }
    // Leads around the base URL.
    take_variable(variables, "ANTHROPIC_UNIX_SOCKET");
    let headers = take_variable(variables, "ANTHROPIC_CUSTOM_HEADERS");
    let base_url = take_variable(variables, ADDRESS).unwrap_or_else(|| BASE_URL.to_owned());
    let own = EnvVar {
        name: OWN_ADDRESS.to_owned(),
        value: "1".to_owned(),
    };
    let is_own = is_anthropics(&base_url);
    Some(ProviderLogin {
        base_url,
        address_variable: ADDRESS,
        secrets,
        headers: headers.as_deref().map(read_headers).unwrap_or_default(),
        paths: &PATHS,
        // It asks there for the settings of an organization. Without the login it gets none, but where it cannot ask
        // it tries for many seconds before it starts.
        direct: is_own.then(|| OWN_HOST.to_owned()).into_iter().collect(),
        variables: is_own.then_some(own).into_iter().collect(),
    })
}

fn is_anthropics(base_url: &str) -> bool {
    Url::parse(base_url).is_ok_and(|url| url.host_str() == Some(OWN_HOST))
}

fn bedrock(base_url: Option<&str>, region: Option<&str>) -> Vec<String> {
    let region = region.unwrap_or(AWS_REGION);
    let model = match base_url {
        Some(url) => url.to_owned(),
        None => format!("bedrock-runtime.{region}.amazonaws.com"),
    };
    // The list of models, and the ways to a login.
    let logins = ["bedrock", "sts", "oidc", "portal.sso"];
    let logins = logins.map(|service| format!("{service}.{region}.amazonaws.com"));
    let global = "sts.amazonaws.com".to_owned();
    [model, global].into_iter().chain(logins).collect()
}

fn vertex(base_url: Option<&str>, region: Option<&str>) -> Vec<String> {
    let region = region.unwrap_or(GOOGLE_REGION);
    let model = match (base_url, region) {
        (Some(url), _) => url.to_owned(),
        (None, "global") => "aiplatform.googleapis.com".to_owned(),
        (None, region) => format!("{region}-aiplatform.googleapis.com"),
    };
    let logins = ["oauth2.googleapis.com", "sts.googleapis.com"];
    [model]
        .into_iter()
        .chain(logins.map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_is_what_the_variables_name() {
        let check = |variables: &[(&str, &str)], expected: &str| {
            let variables: Vec<EnvVar> = variables
                .iter()
                .map(|(name, value)| EnvVar {
                    name: (*name).to_owned(),
                    value: (*value).to_owned(),
                })
                .collect();
            assert_eq!(provider_addresses(&variables).join(" "), expected);
        };
        check(
            &[],
            "api.anthropic.com platform.claude.com console.anthropic.com",
        );
        check(
            &[("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")],
            "http://127.0.0.1:1",
        );
        check(
            &[
                ("CLAUDE_CODE_USE_BEDROCK", "1"),
                ("AWS_REGION", "eu-west-1"),
            ],
            "bedrock-runtime.eu-west-1.amazonaws.com sts.amazonaws.com bedrock.eu-west-1.amazonaws.com \
             sts.eu-west-1.amazonaws.com oidc.eu-west-1.amazonaws.com portal.sso.eu-west-1.amazonaws.com",
        );
        check(
            &[
                ("CLAUDE_CODE_USE_VERTEX", "1"),
                ("CLOUD_ML_REGION", "global"),
            ],
            "aiplatform.googleapis.com oauth2.googleapis.com sts.googleapis.com",
        );
        check(
            &[("CLAUDE_CODE_USE_VERTEX", "0")],
            "api.anthropic.com platform.claude.com console.anthropic.com",
        );
    }

    fn variables(text: &str) -> Vec<EnvVar> {
        let pairs = text
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(name, value)| EnvVar {
                name: name.to_owned(),
                value: value.to_owned(),
            })
            .collect()
    }

    /// Checks what is taken as a login, with its base URL, and which variables are left.
    #[track_caller]
    fn check_login(text: &str, expected: Option<(&str, &str)>, left: &str) {
        let mut given = variables(text);
        let login = take_login(&mut given);
        let found = login.as_ref().map(|login| {
            let secrets = login.secrets.iter();
            let secrets: Vec<String> = secrets
                .map(|secret| format!("{}={}", secret.variable, secret.value))
                .collect();
            (login.base_url.clone(), secrets.join(" "))
        });
        let found = found
            .as_ref()
            .map(|(url, secrets)| (url.as_str(), secrets.as_str()));
        assert_eq!(found, expected, "{text}");
        let given: Vec<&str> = given.iter().map(|var| var.name.as_str()).collect();
        assert_eq!(given.join(" "), left, "{text}");
    }

    #[test]
    fn keys_and_tokens_leave_the_session() {
        let own = "https://api.anthropic.com";
        check_login("PATH=/bin ANTHROPIC_MODEL=m", None, "PATH ANTHROPIC_MODEL");
        check_login(
            "PATH=/bin ANTHROPIC_API_KEY=k",
            Some((own, "ANTHROPIC_API_KEY=k")),
            "PATH",
        );
        check_login(
            "ANTHROPIC_BASE_URL=http://g:1/x ANTHROPIC_AUTH_TOKEN=t CLAUDE_CODE_OAUTH_TOKEN=o \
             ANTHROPIC_UNIX_SOCKET=/s ANTHROPIC_CUSTOM_HEADERS=a:b",
            Some((
                "http://g:1/x",
                "ANTHROPIC_AUTH_TOKEN=t CLAUDE_CODE_OAUTH_TOKEN=o",
            )),
            "",
        );
        // Keys of what the session does not use.
        check_login("ANTHROPIC_FOUNDRY_API_KEY=f ANTHROPIC_X_TOKEN=t", None, "");
        check_login(
            "CLAUDE_CODE_USE_BEDROCK=1 ANTHROPIC_API_KEY=k ANTHROPIC_AUTH_TOKEN=t AWS_PROFILE=p",
            None,
            "CLAUDE_CODE_USE_BEDROCK ANTHROPIC_AUTH_TOKEN AWS_PROFILE",
        );
        check_login(
            "CLAUDE_CODE_USE_VERTEX=0 ANTHROPIC_API_KEY=k",
            Some((own, "ANTHROPIC_API_KEY=k")),
            "CLAUDE_CODE_USE_VERTEX",
        );
    }

    #[test]
    fn the_broker_stands_for_anthropic_where_the_users_address_is_anthropics() {
        let check = |url: &str, is_own: bool| {
            let text = format!("ANTHROPIC_API_KEY=k ANTHROPIC_BASE_URL={url}");
            let login = take_login(&mut variables(&text)).unwrap();
            assert_eq!(login.variables.len(), usize::from(is_own), "{url}");
            assert_eq!(login.direct.len(), usize::from(is_own), "{url}");
        };
        check("", true);
        check("https://api.anthropic.com/", true);
        check("https://api.anthropic.com.example", false);
        check("http://127.0.0.1:1", false);
    }
}
