//! What was measured of one thing.

use std::time::{Duration, Instant};

/// Measured values, in one unit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Nothing yet.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// One value.
    pub(crate) fn one(value: f64) -> Self {
        Self(vec![value])
    }

    /// Adds a time in milliseconds.
    pub(crate) fn time(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1e3);
    }

    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The smallest value that at least this share of all values does not exceed; between the two in
    /// the middle for the median of an even number.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = share * sorted.len() as f64;
        let at = (rank.ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
        let value = sorted.get(at).copied().unwrap_or(f64::NAN);
        match sorted.get(at + 1) {
            Some(next) if share == 0.5 && rank.fract() == 0.0 => f64::midpoint(value, *next),
            _ => value,
        }
    }
}

/// Does something and gives how long it took.
pub(crate) fn timed<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<(T, Duration), E> {
    let start = Instant::now();
    let done = work()?;
    Ok((done, start.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let check = |values: &[f64], share: f64, expected: f64| {
            assert_eq!(Samples(values.to_vec()).quantile(share), expected);
        };
        check(&[3.0, 1.0, 2.0], 0.5, 2.0);
        check(&[4.0, 1.0, 2.0, 3.0], 0.5, 2.5);
        check(&[1.0], 0.99, 1.0);
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        check(&hundred, 0.9, 90.0);
        check(&hundred, 0.99, 99.0);
        assert!(Samples::default().median().is_nan());
    }
}
