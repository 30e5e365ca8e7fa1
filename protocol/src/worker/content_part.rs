//! Contents on their way between a worker and the daemon.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::PART_BYTES;
use crate::BlobId;

/// A content, or a part of it. Parts of one content come in order, without another part of it between.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct ContentPart {
    /// The hash of the whole content.
    pub id: BlobId,
    /// The bytes; `None` if the sender has no such content.
    pub data: Option<ContentBytes>,
    /// Says whether more parts follow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

impl ContentPart {
    /// Returns a whole content, or that there is none.
    pub fn from_content(id: BlobId, data: Option<Bytes>) -> Self {
        Self {
            id,
            data: data.map(ContentBytes),
            more: false,
        }
    }

    /// Returns the same content in parts of at most [`PART_BYTES`].
    pub fn split_parts(self) -> Vec<Self> {
        let Some(ContentBytes(mut rest)) = self.data else {
            return vec![self];
        };
        let mut parts = Vec::new();
        while rest.len() > PART_BYTES {
            let data = Some(ContentBytes(rest.split_to(PART_BYTES)));
            parts.push(Self {
                id: self.id.clone(),
                data,
                more: true,
            });
        }
        parts.push(Self {
            id: self.id,
            data: Some(ContentBytes(rest)),
            more: self.more,
        });
        parts
    }
}

/// Bytes that are base64 in JSON.
#[derive(Clone, PartialEq, Eq, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[schemars(with = "String")]
#[cfg_attr(feature = "codegen", ts(type = "string"))]
pub struct ContentBytes(pub Bytes);

impl fmt::Debug for ContentBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for ContentBytes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for ContentBytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let bytes = BASE64.decode(text).map_err(de::Error::custom)?;
        Ok(Self(bytes.into()))
    }
}
