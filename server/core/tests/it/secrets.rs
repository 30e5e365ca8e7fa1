//! What is taken for a secret, and what is not.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the files of the repository are examples"
)]

use std::{borrow::Cow, path::Path, process::Command};

use claudecluster_core::secrets::{SecretMask, added_secret, find_secrets, is_secret_name};
use proptest::prelude::*;

const LETTERS: &[u8] = b"kR7xQ2mZ9aLw4TnB8cVy1HsD5fGj3PuEo6iKqXtMzA0rNbWvSlYpUdChJgFeO";

/// Text that looks drawn at random, of `length` characters of a set.
fn random(length: usize, set: impl Fn(u8) -> bool) -> String {
    let fitting = LETTERS.iter().cycle().filter(|byte| set(**byte));
    fitting.take(length).map(|byte| char::from(*byte)).collect()
}

/// Examples of secrets: what stays visible, and the rest. No file has to contain one.
fn examples() -> Vec<(String, String)> {
    let word = |length| random(length, |_| true);
    let hex = |length| random(length, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let base32 = |length| random(length, |byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'));
    let bech32 = |length| {
        random(length, |byte| {
            byte.is_ascii_uppercase() || byte.is_ascii_digit()
        })
    };
    let pairs = [
        ("sk-ant-", format!("api03-{}-{}AA", word(43), word(40))),
        ("sk-proj-", format!("{}_{}", word(30), word(20))),
        ("sk-", word(48)),
        ("sk-or-v1-", hex(64)),
        ("AIza", word(35)),
        ("ya29.", word(60)),
        ("hf_", word(34)),
        ("gsk_", word(52)),
        ("r8_", word(37)),
        ("ghp_", word(36)),
        ("ghs_", word(36)),
        ("github_pat_", format!("{}_{}", word(22), word(59))),
        ("glpat-", word(20)),
        ("npm_", word(36)),
        ("pypi-AgE", word(100)),
        ("dckr_pat_", word(27)),
        ("AKIA", base32(16)),
        ("ASIA", base32(16)),
        ("aws_secret_access_key = \"", word(40)),
        ("\"SecretAccessKey\": \"", word(40)),
        ("dop_v1_", hex(64)),
        ("hvs.", word(90)),
        ("sk_live_", word(24)),
        ("SG.", format!("{}.{}", word(22), word(43))),
        ("xoxb-", format!("{}-{}", word(12), word(24))),
        ("AGE-SECRET-KEY-1", bech32(58)),
        ("Authorization: Bearer ", word(32)),
        ("authorization: BASIC ", format!("{}==", word(22))),
        (
            "eyJ",
            format!("hbGciOiJIUzI1NiIsIn.eyJzdWIiOiIx{}.{}", word(20), word(43)),
        ),
    ];
    let mut all: Vec<_> = pairs.map(|(shown, rest)| (shown.to_owned(), rest)).into();
    for (label, newline) in [("RSA ", "\n"), ("", "\\n"), ("OPENSSH ", "\r\n")] {
        let lines = [word(64), word(64), word(20) + "=="].join(newline);
        let begin = format!("-----BEGIN {label}PRIVATE KEY");
        // Its dashes and the lines after them are hidden as well.
        all.push((begin, format!("-----{newline}{lines}{newline}")));
    }
    all
}

#[test]
fn secrets_are_masked_wherever_they_are() {
    let mask = SecretMask::default();
    for (shown, rest) in examples() {
        let secret = format!("{shown}{rest}");
        let end = if shown.contains("PRIVATE") {
            "-----END"
        } else {
            ""
        };
        for (before, after) in [
            ("", ""),
            ("export KEY=", "\n"),
            ("{\"text\":\"a\\n", "\",\"x\":1}"),
            ("ä ", " ö"),
            ("(", ")"),
            ("key: '", "'; next"),
        ] {
            let text = format!("{before}{secret}{end}{after}");
            let masked = mask.mask(&text);
            let expected = format!("{before}{shown}…[hidden]{end}{after}");
            if shown.contains("PRIVATE") {
                assert!(
                    masked.contains("PRIVATE KEY") && !masked.contains(&rest[10..60]),
                    "{masked}"
                );
                assert!(
                    masked.ends_with(&format!("…[hidden]{end}{after}")),
                    "{masked}"
                );
            } else {
                assert_eq!(masked, expected);
            }
            assert_eq!(mask.mask(&masked), masked, "masking again changes nothing");
        }
    }
}

#[test]
fn what_is_no_secret_stays() {
    let word = |length| random(length, |_| true);
    for text in [
        // Parts of words, and prefixes without a value.
        "task-management-with-many-words-and-more-of-them-0123456789abcdef".to_owned(),
        format!("disk-{}", word(40)),
        "sk-ant-… and ghp_ are prefixes; set ANTHROPIC_API_KEY=sk-ant-your-key-here".to_owned(),
        format!("ghp_{}", "x".repeat(36)),
        format!("AKIAIOSFODNN7{}", "EXAMPLE"),
        "-----BEGIN PRIVATE KEY----- … -----END PRIVATE KEY-----".to_owned(),
        format!("-----BEGIN PUBLIC KEY-----\n{}\n", word(64)),
        format!("-----BEGIN CERTIFICATE-----\n{}\n", word(64)),
        "Bearer tokens are documented in the-authentication-chapter".to_owned(),
        "authorization: basic authentication".to_owned(),
        // Hashes and identifiers.
        "3be8ac7f0c1d4e5a6b7c8d9e0f1a2b3c4d5e6f70".to_owned(),
        "f47ac10b-58cc-4372-a567-0e02b2c3d479".to_owned(),
        format!("sha512-{}==", word(86)),
        format!("checksum = \"{}\"", "0123456789abcdef".repeat(4)),
        // Longer than the format allows.
        format!("AIza{}", word(36)),
        format!("npm_{}", word(40)),
        format!("x/AKIA{}", word(40)),
    ] {
        assert_eq!(find_secrets(&text).collect::<Vec<_>>(), [], "{text}");
        assert!(matches!(
            SecretMask::default().mask(&text),
            Cow::Borrowed(_)
        ));
    }
}

#[test]
fn the_files_of_this_repository_contain_none() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(&root)
        .output()
        .unwrap();
    let names = String::from_utf8(listed.stdout).unwrap();
    let (mut files, mut locks) = (0, 0);
    for name in names.split_terminator('\0') {
        let Ok(text) = std::fs::read_to_string(root.join(name)) else {
            continue;
        };
        files += 1;
        locks += usize::from(name.ends_with("Cargo.lock") || name.ends_with("package-lock.json"));
        let found: Vec<_> = find_secrets(&text)
            .map(|found| text[found.range].to_owned())
            .collect();
        assert!(found.is_empty(), "{name}: {found:?}");
    }
    assert!(
        files > 100 && locks > 1,
        "{files} files, {locks} of them locks"
    );
}

#[test]
fn known_values_are_masked_whatever_their_shape() {
    let shaped = format!("sk-ant-{}", random(40, |_| true));
    let mask = SecretMask::with_values(["hunter2-of-mine", "short", "  ", &shaped]);
    let text = format!("a hunter2-of-mine b short c xhunter2-of-miney d {shaped}");
    assert_eq!(
        mask.mask(&text),
        "a …[hidden] b short c x…[hidden]y d sk-ant-…[hidden]"
    );
    // What is no text does not keep the rest from being masked.
    assert_eq!(
        mask.mask_bytes(b"a\xff hunter2-of-mine\xfe\xffb hunter2-of-mine c\xff"),
        b"a\xff \xe2\x80\xa6[hidden]\xfe\xffb \xe2\x80\xa6[hidden] c\xff".as_slice()
    );
    assert_eq!(mask.mask_bytes(b"\xff short"), b"\xff short".as_slice());
    assert_eq!(mask.mask_bytes(b"hunter2-of-mine"), "…[hidden]".as_bytes());
}

#[test]
fn variables_with_secrets_are_known_by_their_names() {
    let secret = [
        "ANTHROPIC_API_KEY",
        "GITHUB_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "db_password",
    ];
    let plain = [
        "PATH",
        "ANTHROPIC_BASE_URL",
        "AWS_REGION",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ];
    assert!(secret.into_iter().all(is_secret_name));
    assert!(!plain.into_iter().any(is_secret_name));
}

#[test]
fn a_change_adds_a_secret_if_its_base_has_another_one_or_none() {
    let key = |end: &str| format!("key = ghp_{}{end}\n", random(35, |_| true));
    assert_eq!(added_secret(None, &key("a")), Some("a GitHub token"));
    assert_eq!(
        added_secret(Some(&key("b")), &key("a")),
        Some("a GitHub token")
    );
    let moved = format!("first\n{}", key("a"));
    assert_eq!(added_secret(Some(&key("a")), &moved), None);
    assert_eq!(added_secret(Some(&moved), "first\n"), None);
}

#[test]
fn hostile_text_takes_time_in_proportion_to_its_length() {
    // With a search that starts again at each prefix, any of these would take hours.
    let random = random(128, |_| true);
    for part in [
        "sk-ant-",
        "sk-",
        "eyJ",
        "eyJ.",
        "eyJ=",
        "\\neyJ",
        "bearer ",
        "-----BEGIN PRIVATE KEY",
        "-----BEGIN ",
        "secret_access_key=",
        "xoxb-sk-ant-glpat-",
        &format!("-----BEGIN PRIVATE KEY{random}\""),
        &format!("ghp_{}", &random[..35]),
    ] {
        let text = part.repeat((512 << 10) / part.len());
        let masked = SecretMask::with_values(["eyJeyJeyJ", "sk-sk-sk-"])
            .mask(&text)
            .len();
        assert!(masked <= 2 * text.len(), "{part}");
    }
}

proptest! {
    #[test]
    fn masking_leaves_no_planted_secret_and_changes_nothing_else(
        before in "\\PC{0,40}", after in "\\PC{0,40}", number in 0..29_usize,
    ) {
        let (shown, rest) = examples().swap_remove(number);
        let text = format!("{before} {shown}{rest} {after}");
        let mask = SecretMask::default();
        let masked = mask.mask(&text).into_owned();
        prop_assert!(!masked.contains(&rest), "{masked}");
        prop_assert_eq!(mask.mask(&masked), masked.as_str());
    }

    #[test]
    fn any_text_is_masked_at_boundaries(text in "(\\PC|sk-ant-|eyJ|\\.|ghp_|-----BEGIN PRIVATE KEY|[a-zA-Z0-9]{1,40}){0,20}") {
        let masked = SecretMask::default().mask(&text).into_owned();
        prop_assert_eq!(find_secrets(&masked).count(), 0, "{}", masked);
    }

    #[test]
    fn hashes_and_identifiers_are_no_secrets(bytes in any::<[u8; 32]>()) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let uuid = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]);
        let text = format!("{hex} sha256:{hex} {uuid} git+https://x/y#{} h1:{hex}=", &hex[..40]);
        prop_assert_eq!(find_secrets(&text).count(), 0);
    }
}
