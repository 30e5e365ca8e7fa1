//! What the types of the worker protocol promise on the wire.

use bytes::Bytes;

use super::*;
use crate::FileMode;

#[test]
fn a_layer_has_one_identifier() {
    let version = |text: &str| {
        Some(FileVersion {
            blob: BlobId::of_bytes(text.as_bytes()),
            mode: FileMode::Regular,
        })
    };
    let path = |path: &str| RelPath::new(path).unwrap();
    let files = [
        (path("b"), version("1")),
        (path("a/x"), None),
        (path("a-b"), version("2")),
    ];
    let one = LayerManifest(files.iter().cloned().collect());
    let other = LayerManifest(files.iter().rev().cloned().collect());
    assert_eq!(one.layer_id(), other.layer_id());
    let bytes = one.to_bytes();
    assert!(bytes.starts_with(br#"{"a-b":{"blob":""#), "{one:?}");
    assert_eq!(LayerManifest::from_bytes(&bytes), Ok(one));
    for other in [
        r#"{"b":null,"a":null}"#,
        r#"{"a": null}"#,
        r#"{"a":null,"a":null}"#,
    ] {
        let read = LayerManifest::from_bytes(other.as_bytes());
        assert_eq!(read, Err(ManifestError::NotCanonical), "{other}");
    }
    for other in [r#"{"../a":null}"#, r#"{"/a":null}"#, "{", "[]"] {
        let read = LayerManifest::from_bytes(other.as_bytes());
        assert!(matches!(read, Err(ManifestError::Unreadable(_))), "{other}");
    }
}

#[test]
fn contents_come_in_parts_and_whole_again() {
    for length in [0, 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES] {
        let bytes = Bytes::from(vec![7; length]);
        let whole = ContentPart::from_content(BlobId::of_bytes(&bytes), Some(bytes.clone()));
        let parts = whole.split_parts();
        let (last, rest) = parts.split_last().unwrap();
        assert!(!last.more && rest.iter().all(|part| part.more), "{length}");
        let mut joined = Vec::new();
        for part in parts {
            let line = serde_json::to_string(&part).unwrap();
            assert_eq!(serde_json::from_str::<ContentPart>(&line).unwrap(), part);
            joined.extend_from_slice(&part.data.unwrap().0);
        }
        assert_eq!(joined, bytes);
    }
}

#[test]
fn keys_are_not_written_to_logs() {
    let env = JobEnv(vec![EnvVar {
        name: "ANTHROPIC_API_KEY".into(),
        value: "secret".into(),
    }]);
    assert_eq!(format!("{env:?}"), r#"["ANTHROPIC_API_KEY"]"#);
    assert_eq!(env.get("ANTHROPIC_API_KEY"), Some("secret"));
}
