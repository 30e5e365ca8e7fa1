//! Quantities: time, duration and money. All are integers inside, so that replaying a journal
//! gives the same state bit for bit.

use std::{fmt, str::FromStr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds since the Unix epoch, UTC.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Debug,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(transparent)]
#[cfg_attr(feature = "codegen", ts(type = "number"))]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Returns the milliseconds from `earlier` to `self`; zero when the clock went backwards.
    pub fn span_since(self, earlier: Timestamp) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// Returns this moment plus `span`.
    pub fn saturating_add(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }
}

/// A length of time in milliseconds; written `"90s"`, `"10m"`, `"1h 30m"` in files and options.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[schemars(with = "String")]
#[cfg_attr(feature = "codegen", ts(type = "string"))]
pub struct Span(pub u64);

impl Span {
    /// Returns a span of whole seconds.
    pub const fn from_secs(s: u64) -> Self {
        Self(s * 1000)
    }

    /// Returns the span as the standard library's type.
    pub const fn to_duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.to_duration()).fmt(f)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let duration = humantime::parse_duration(s)
            .map_err(|e| format!("{s:?} is not a duration such as \"90s\" or \"10m\": {e}"))?;
        u64::try_from(duration.as_millis())
            .map(Self)
            .map_err(|_| format!("{s:?} is too long"))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

/// US dollars, kept as millionths; a plain number such as `2.5` on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[schemars(with = "f64")]
#[cfg_attr(feature = "codegen", ts(type = "number"))]
pub struct Usd(u64);

impl Usd {
    /// Nothing spent.
    pub const ZERO: Usd = Usd(0);

    /// Makes an amount from millionths of a dollar.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Makes an amount from dollars as agents report them. Negative and non-finite amounts count as
    /// zero.
    pub fn from_dollars(dollars: f64) -> Self {
        if dollars.is_finite() && dollars > 0.0 {
            // Saturates at the top, which no budget reaches.
            Self((dollars * 1e6).round() as u64)
        } else {
            Self::ZERO
        }
    }

    /// Returns the amount in dollars.
    pub fn as_dollars(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Returns the sum, saturating.
    #[must_use]
    pub fn saturating_add(self, other: Usd) -> Usd {
        Usd(self.0.saturating_add(other.0))
    }

    /// Returns the rest of `self` after spending `other`; zero when overspent.
    #[must_use]
    pub fn saturating_sub(self, other: Usd) -> Usd {
        Usd(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${:.2}", self.as_dollars())
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(self.as_dollars())
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(d)?;
        if !dollars.is_finite() || dollars < 0.0 {
            return Err(de::Error::custom("the amount must be zero or more"));
        }
        Ok(Self::from_dollars(dollars))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_what_they_write() {
        for text in ["90s", "10m", "1h 30m", "250ms", "0s"] {
            let span: Span = text.parse().unwrap();
            let json = serde_json::to_string(&span).unwrap();
            assert_eq!(serde_json::from_str::<Span>(&json).unwrap(), span, "{text}");
        }
        assert!(
            "ten minutes"
                .parse::<Span>()
                .unwrap_err()
                .contains("\"10m\"")
        );
    }

    #[test]
    fn money_survives_the_wire_and_refuses_nonsense() {
        let amount = Usd::from_dollars(0.123_456);
        let json = serde_json::to_string(&amount).unwrap();
        assert_eq!(serde_json::from_str::<Usd>(&json).unwrap(), amount);
        assert!(serde_json::from_str::<Usd>("-1").is_err());
        assert_eq!(Usd::from_dollars(f64::NAN), Usd::ZERO);
    }
}
