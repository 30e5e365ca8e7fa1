//! The shapes of secrets, as their issuers document them.

use CharacterSet::{Alphanumeric, Base32, Base64, Bech32, Dotted, Hex, Token, Word};

/// The characters of a secret behind its prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CharacterSet {
    /// `a-z A-Z 0-9`
    Alphanumeric,
    /// `A-Z 2-7`
    Base32,
    /// `A-Z 0-9`, of which the format uses fewer
    Bech32,
    /// `0-9 a-f`
    Hex,
    /// letters, digits and `_`
    Word,
    /// letters, digits, `_` and `-`
    Token,
    /// letters, digits, `_`, `-` and `.`
    Dotted,
    /// letters, digits, `+`, `/`, `=`, `_`, `-`, `.` and `~`
    Base64,
}

impl CharacterSet {
    pub(super) fn contains(self, byte: u8) -> bool {
        match self {
            Alphanumeric => byte.is_ascii_alphanumeric(),
            Base32 => byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7'),
            Bech32 => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Hex => byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'),
            Word => byte.is_ascii_alphanumeric() || byte == b'_',
            Token => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'),
            Base64 => {
                byte.is_ascii_alphanumeric()
                    || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-' | b'.' | b'~')
            }
        }
    }
}

/// How a secret is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SecretForm {
    /// The prefix, then at least so many characters of a set.
    AtLeast(usize, CharacterSet),
    /// The prefix, then exactly so many characters of a set, and then another character.
    Exactly(usize, CharacterSet),
    /// Three parts in Base64 for addresses, joined by dots, of which the first two are JSON.
    WebToken,
    /// The block between two lines of dashes.
    PemBlock,
    /// A name in any case, a separator such as ` = "`, then exactly so many characters.
    Assigned(usize),
    /// The name of a way to authenticate in any case, a space, then at least so many characters.
    Credentials(usize),
}

use SecretForm::{Assigned, AtLeast, Credentials, Exactly, PemBlock, WebToken};

/// One kind of secret.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct SecretRule {
    /// What it is, in words that follow "looks like".
    pub(super) name: &'static str,
    pub(super) prefix: &'static str,
    pub(super) form: SecretForm,
}

const fn rule(name: &'static str, prefix: &'static str, form: SecretForm) -> SecretRule {
    SecretRule { name, prefix, form }
}

/// All kinds of secrets. A longer prefix comes before a shorter one that it starts with.
pub(super) const RULES: &[SecretRule] = &[
    // Providers of models.
    rule("an Anthropic key", "sk-ant-", AtLeast(20, Token)),
    rule("an OpenAI key", "sk-proj-", AtLeast(20, Token)),
    rule("an OpenAI key", "sk-svcacct-", AtLeast(20, Token)),
    rule("an OpenAI key", "sk-admin-", AtLeast(20, Token)),
    rule("an OpenRouter key", "sk-or-v1-", AtLeast(32, Hex)),
    rule("a provider's key", "sk-", AtLeast(32, Alphanumeric)),
    rule("a Google key", "AIza", Exactly(35, Token)),
    rule("a Google access token", "ya29.", AtLeast(30, Token)),
    rule("a Hugging Face token", "hf_", Exactly(34, Alphanumeric)),
    rule("a Groq key", "gsk_", Exactly(52, Alphanumeric)),
    rule("an xAI key", "xai-", AtLeast(70, Alphanumeric)),
    rule("a Replicate token", "r8_", Exactly(37, Alphanumeric)),
    rule("a Perplexity key", "pplx-", AtLeast(40, Alphanumeric)),
    rule("an NVIDIA key", "nvapi-", AtLeast(40, Token)),
    // Hosts of code.
    rule("a GitHub token", "ghp_", AtLeast(36, Alphanumeric)),
    rule("a GitHub token", "gho_", AtLeast(36, Alphanumeric)),
    rule("a GitHub token", "ghu_", AtLeast(36, Alphanumeric)),
    rule("a GitHub token", "ghs_", AtLeast(36, Alphanumeric)),
    rule("a GitHub token", "ghr_", AtLeast(36, Alphanumeric)),
    rule("a GitHub token", "github_pat_", AtLeast(36, Word)),
    rule("a GitLab token", "glpat-", AtLeast(20, Dotted)),
    rule("a GitLab token", "gldt-", AtLeast(20, Token)),
    rule("a GitLab token", "glrt-", AtLeast(20, Dotted)),
    rule("a GitLab token", "glcbt-", AtLeast(20, Token)),
    rule("a GitLab token", "glptt-", AtLeast(20, Token)),
    rule("an Atlassian token", "ATATT3", AtLeast(100, Base64)),
    // Registries of packages and images.
    rule("an npm token", "npm_", Exactly(36, Alphanumeric)),
    rule("a PyPI token", "pypi-AgE", AtLeast(50, Token)),
    rule("a RubyGems key", "rubygems_", Exactly(48, Hex)),
    rule("a Docker token", "dckr_pat_", AtLeast(20, Token)),
    // Clouds and services.
    rule("an AWS key", "AKIA", Exactly(16, Base32)),
    rule("an AWS key", "ASIA", Exactly(16, Base32)),
    rule("an AWS secret key", "secret_access_key", Assigned(40)),
    rule("an AWS secret key", "secretaccesskey", Assigned(40)),
    rule("a DigitalOcean token", "dop_v1_", Exactly(64, Hex)),
    rule("a Vault token", "hvs.", AtLeast(24, Token)),
    rule("a Stripe key", "sk_live_", AtLeast(24, Alphanumeric)),
    rule("a Stripe key", "rk_live_", AtLeast(24, Alphanumeric)),
    rule("a Stripe secret", "whsec_", AtLeast(32, Alphanumeric)),
    rule("a SendGrid key", "SG.", AtLeast(60, Dotted)),
    rule("a Shopify token", "shpat_", Exactly(32, Hex)),
    rule("a Linear key", "lin_api_", Exactly(40, Alphanumeric)),
    rule("a Grafana token", "glsa_", AtLeast(32, Word)),
    rule("a Slack token", "xoxb-", AtLeast(20, Token)),
    rule("a Slack token", "xoxp-", AtLeast(20, Token)),
    rule("a Slack token", "xoxa-", AtLeast(20, Token)),
    rule("a Slack token", "xoxr-", AtLeast(20, Token)),
    rule("a Slack token", "xoxs-", AtLeast(20, Token)),
    rule("a Slack token", "xapp-", AtLeast(20, Token)),
    // Of no issuer.
    rule("an age key", "AGE-SECRET-KEY-1", Exactly(58, Bech32)),
    rule("a private key", "-----BEGIN ", PemBlock),
    rule("a web token", "eyJ", WebToken),
    rule("a bearer token", "bearer ", Credentials(20)),
    rule("a password", "authorization: basic ", Credentials(12)),
];
