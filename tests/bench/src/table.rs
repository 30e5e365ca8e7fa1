//! The table that is printed at the end.

use std::fmt;

use crate::stats::Samples;

/// What the numbers of a row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Millis,
    Megabytes,
    Percent,
}

/// Which value of the samples a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Median,
    P99,
}

/// What is asked of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// Ours over the alternative.
    Ratio(f64),
    /// The alternative over ours.
    Faster(f64),
}

/// Ours beside the alternative.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: Unit,
    pub(crate) value: Value,
    pub(crate) ours: Samples,
    /// What it is, and what was measured of it.
    pub(crate) alternative: Option<(String, Samples)>,
    pub(crate) targets: Vec<Target>,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, unit: Unit, ours: Samples) -> Self {
        Self {
            what: what.into(),
            unit,
            value: Value::Median,
            ours,
            alternative: None,
            targets: Vec::new(),
        }
    }

    pub(crate) fn against(mut self, name: impl Into<String>, samples: Samples) -> Self {
        self.alternative = Some((name.into(), samples));
        self
    }

    pub(crate) fn by(mut self, value: Value) -> Self {
        self.value = value;
        self
    }

    pub(crate) fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    fn value_of(&self, samples: &Samples) -> f64 {
        match self.value {
            Value::Median => samples.median(),
            Value::P99 => samples.quantile(0.99),
        }
    }

    /// Ours over the alternative.
    fn ratio(&self) -> Option<f64> {
        let (_, alternative) = self.alternative.as_ref()?;
        Some(self.value_of(&self.ours) / self.value_of(alternative))
    }

    fn reached(&self) -> bool {
        let ours = self.value_of(&self.ours);
        let ratio = self.ratio().unwrap_or(f64::NAN);
        self.targets.iter().all(|target| match *target {
            Target::AtMost(most) => ours <= most,
            Target::AtLeast(least) => ours >= least,
            Target::Ratio(most) => ratio <= most,
            Target::Faster(least) => 1.0 / ratio >= least,
        })
    }

    fn cells(&self) -> [String; 6] {
        let shown = |samples: &Samples| {
            let main = number(self.value_of(samples), self.unit);
            match (self.value, samples.len()) {
                (_, 0 | 1) => main,
                (Value::Median, count) => {
                    let p90 = number(samples.quantile(0.9), self.unit);
                    format!("{main} (p90 {p90}, n {count})")
                }
                (Value::P99, count) => {
                    let median = number(samples.median(), self.unit);
                    format!("{main} (median {median}, n {count})")
                }
            }
        };
        let alternative = match &self.alternative {
            Some((name, samples)) => format!("{name}: {}", shown(samples)),
            None => "—".to_owned(),
        };
        let ratio = match self.ratio() {
            Some(ratio) if ratio < 0.1 => format!("1/{:.0}", 1.0 / ratio),
            Some(ratio) => format!("{ratio:.2}"),
            None => "—".to_owned(),
        };
        let targets: Vec<_> = self
            .targets
            .iter()
            .map(|target| match *target {
                Target::AtMost(most) => format!("≤ {}", number(most, self.unit)),
                Target::AtLeast(least) => format!("≥ {}", number(least, self.unit)),
                Target::Ratio(most) => format!("≤ {most} ×"),
                Target::Faster(least) => format!("≥ {least} × faster"),
            })
            .collect();
        let verdict = match (self.targets.is_empty(), self.reached()) {
            (true, _) => "",
            (false, true) => "yes",
            (false, false) => "NO",
        };
        [
            self.what.clone(),
            shown(&self.ours),
            alternative,
            ratio,
            targets.join(", "),
            verdict.to_owned(),
        ]
    }
}

fn number(value: f64, unit: Unit) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 || v.fract() == 0.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let unit = match unit {
        Unit::Millis => "ms",
        Unit::Megabytes => "MB",
        Unit::Percent => "%",
    };
    format!("{value:.digits$} {unit}")
}

/// All rows so far.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn add(&mut self, row: Row) {
        crate::output::say(&format!("  {}", row.cells().join(" | ")));
        self.0.push(row);
    }

    /// Whether every row reached its targets.
    pub(crate) fn all_reached(&self) -> bool {
        self.0.iter().all(Row::reached)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["", "ours", "alternative", "ratio", "target", "ok?"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(head)
            .chain(self.0.iter().map(Row::cells))
            .collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths: [usize; 6] = std::array::from_fn(|column| width(column).unwrap_or(0));
        for (index, row) in rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if index == 0 {
                let rules = widths.map(|width| "-".repeat(width));
                writeln!(f, "| {} |", rules.join(" | "))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_judged() {
        let check = |target, expected: bool| {
            let row = Row::new("x", Unit::Millis, Samples::one(2.0))
                .against("y", Samples::one(100.0))
                .target(target);
            assert_eq!(row.reached(), expected, "{target:?}");
        };
        check(Target::AtMost(2.0), true);
        check(Target::AtMost(1.9), false);
        check(Target::AtLeast(2.1), false);
        check(Target::Ratio(0.02), true);
        check(Target::Ratio(0.01), false);
        check(Target::Faster(50.0), true);
        check(Target::Faster(51.0), false);
        let alone = Row::new("x", Unit::Millis, Samples::one(2.0)).target(Target::Ratio(9.0));
        assert!(!alone.reached(), "nothing to compare with is no success");
    }
}
