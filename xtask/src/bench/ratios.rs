//! Medians and quartiles, and what can be told from noise.

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

/// Fewer ratios than this are never told from 1 at [`CHANCE`].
const FEWEST: usize = 6;
/// How often what is no difference may be taken for one.
const CHANCE: f64 = 0.05;

/// Whether these ratios cannot be told from 1: by a two-sided sign test, which asks only how many lie above and how many
/// below, and so for no shape of the noise. Nothing is said of fewer ratios than could tell.
pub(crate) fn is_noise(ratios: impl IntoIterator<Item = f64>) -> Option<bool> {
    let ratios: Vec<f64> = ratios.into_iter().filter(|ratio| ratio.is_finite()).collect();
    let [above, below] = [f64::gt as fn(&f64, &f64) -> bool, f64::lt]
        .map(|is| ratios.iter().filter(|ratio| is(ratio, &1.0)).count());
    let count = above + below;
    if ratios.len() < FEWEST {
        return None;
    }
    // As likely as this or less, if each were above or below by the toss of a coin.
    let (mut ways, mut tail) = (1.0, 0.0);
    for rarer in 0..=above.min(below) {
        tail += ways;
        ways *= (count - rarer) as f64 / (rarer + 1) as f64;
    }
    Some(2.0 * tail / (count as f64).exp2() > CHANCE)
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
    fn noise_is_what_lies_on_both_sides() {
        let of = |above: usize, below: usize| {
            is_noise(std::iter::repeat_n(1.1, above).chain(std::iter::repeat_n(0.9, below)))
        };
        assert_eq!(of(5, 0), None);
        assert_eq!(of(6, 0), Some(false), "1 of 32");
        assert_eq!(of(5, 1), Some(true));
        // R: binom.test(12, 15) says 0.035, binom.test(11, 15) says 0.118.
        assert_eq!(of(12, 3), Some(false));
        assert_eq!(of(3, 12), Some(false));
        assert_eq!(of(11, 4), Some(true));
        assert_eq!(is_noise([1.0; 9]), Some(true));
    }

    #[test]
    fn a_drift_of_the_machine_cancels_out() {
        assert!((ratio(1.0, 3.0, 2.0) - 2.0).abs() < 1e-12);
    }
}
