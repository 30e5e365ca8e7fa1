//! Where Claude Code finds its model: Anthropic, a gateway, or a cloud.

use claudecluster_protocol::goal::EnvVar;

/// What it reaches at Anthropic: its interface, and where a login is refreshed.
const ANTHROPIC: [&str; 3] = [
    "api.anthropic.com",
    "platform.claude.com",
    "console.anthropic.com",
];
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
}
