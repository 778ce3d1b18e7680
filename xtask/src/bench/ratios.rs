//! Medians and quartiles.

/// The middle of a series, and the half of it that lies around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// Median.
    pub(crate) median: f64,
    /// A quarter lies below.
    pub(crate) lower: f64,
    /// A quarter lies above.
    pub(crate) upper: f64,
}

impl Spread {
    /// Of these values; nothing if there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        Some(Self {
            median: quantile(&values, 0.5)?,
            lower: quantile(&values, 0.25)?,
            upper: quantile(&values, 0.75)?,
        })
    }
}

/// With linear interpolation between neighbours.
fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = part * last as f64;
    let (below, above) = (sorted.get(at.floor() as usize)?, sorted.get(at.ceil() as usize)?);
    Some(below + (above - below) * at.fract())
}

/// What an operation cost in the middle, compared with the mean of the runs around it.
pub(crate) fn ratio(before: f64, between: f64, after: f64) -> f64 {
    between / f64::midpoint(before, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_between_neighbours() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(spread, Spread { median: 2.5, lower: 1.75, upper: 3.25 });
        assert_eq!(Spread::of([7.0]).unwrap(), Spread { median: 7.0, lower: 7.0, upper: 7.0 });
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([f64::NAN, 1.0]).unwrap().median, 1.0);
    }

    #[test]
    fn a_drift_of_the_machine_cancels_out() {
        assert!((ratio(1.0, 3.0, 2.0) - 2.0).abs() < 1e-12);
    }
}
