//! What training sees: stretches of the series, each a little slower or faster and larger or smaller than the Sun was.

use cellstate::{Examples, Sequences};
use ndarray::{Array2, Array3};

use crate::history::{HORIZON, SHORTEST, Scaling};

/// The years of a stretch.
pub(crate) const YEARS: usize = 120;
pub(crate) const FEATURES: usize = 2;
/// The most by which a stretch is larger, the share of a year by which its years differ, and the noise on its features.
const LOUDER: f64 = 2.0;
const FASTER: f64 = 0.04;
const NOISE: f64 = 0.15;

/// A stretch of the series: where it begins, how many years of the Sun are one of its years, and by how much it is larger.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) start: f64,
    pub(crate) pace: f64,
    pub(crate) louder: f64,
}

impl Stretch {
    fn draw(values: &[f64], random: &mut Random) -> Self {
        let pace = 1.0 + random.between(-FASTER, FASTER);
        let last = values.len() as f64 - 1.0 - (YEARS + HORIZON - 1) as f64 * pace;
        Self {
            start: random.between(0.0, last),
            pace,
            louder: LOUDER.powf(random.between(-1.0, 1.0)),
        }
    }

    /// Its years and those after it, scaled.
    fn scaled(&self, values: &[f64], scaling: Scaling) -> Vec<f64> {
        let scale =
            |value: f64| ((value * self.louder).sqrt() - f64::from(scaling.mean)) / f64::from(scaling.deviation);
        let year = |year: usize| scale(between_years(values, self.start + self.pace * year as f64));
        (0..YEARS + HORIZON).map(year).collect()
    }
}

/// The value at a time between two years, on the line between them.
fn between_years(values: &[f64], time: f64) -> f64 {
    let last = values.len() - 1;
    let year = (time.max(0.0) as usize).min(last);
    let next = values[(year + 1).min(last)];
    (next - values[year]) * (time - year as f64) + values[year]
}

/// Stretches as a network reads them.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// (number, years, features): the scaled value of each year, and its change since the year before
    inputs: Array3<f32>,
    /// (number, years, 5): the years that follow each year
    targets: Array3<f32>,
}

impl Batch {
    pub(crate) fn new(values: &[f64], stretches: &[Stretch], scaling: Scaling) -> Self {
        let mut inputs = Array3::zeros((stretches.len(), YEARS, FEATURES));
        let mut targets = Array3::zeros((stretches.len(), YEARS, HORIZON));
        for (row, stretch) in stretches.iter().enumerate() {
            let scaled = stretch.scaled(values, scaling);
            for year in 0..YEARS {
                let before = scaled[year.saturating_sub(1)];
                inputs[[row, year, 0]] = scaled[year] as f32;
                inputs[[row, year, 1]] = (scaled[year] - before) as f32;
                for ahead in 0..HORIZON {
                    targets[[row, year, ahead]] = scaled[year + 1 + ahead] as f32;
                }
            }
        }
        Self { inputs, targets }
    }

    /// Random stretches, with noise on what the network reads.
    pub(crate) fn draw(values: &[f64], number: usize, scaling: Scaling, seed: u64) -> Self {
        let mut random = Random(seed);
        let stretches: Vec<Stretch> = (0..number).map(|_| Stretch::draw(values, &mut random)).collect();
        let mut batch = Self::new(values, &stretches, scaling);
        batch
            .inputs
            .mapv_inplace(|value| value + (NOISE * random.normal()) as f32);
        batch
    }

    /// As examples. What the network says before the 20th year does not count; the weights are such that the loss is the mean
    /// over what does.
    pub(crate) fn examples(&self) -> cellstate::Result<Examples<'_, '_>> {
        let counting = (YEARS - SHORTEST + 1) as f32 / YEARS as f32;
        let (number, ..) = self.inputs.dim();
        let weights = Array2::from_shape_fn((number, YEARS), |(_, year)| match year + 1 < SHORTEST {
            true => 0.0,
            false => 1.0 / counting,
        });
        Examples::new(Sequences::from(&self.inputs), &self.targets)?.with_step_weights(weights)
    }
}

/// A generator that needs no package: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        let share = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        low + share * (high - low)
    }

    /// Of mean 0 and deviation 1, by the formula of Box and Muller.
    fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.between(0.0, 1.0), self.between(0.0, std::f64::consts::TAU));
        (-2.0 * radius.ln()).sqrt() * angle.cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALING: Scaling = Scaling {
        mean: 6.0,
        deviation: 4.0,
    };

    #[test]
    fn a_stretch_is_cut_between_years() {
        let values = [0.0, 10.0, 30.0];
        assert_eq!(
            [0.0, 0.5, 1.25, 2.0, 9.0].map(|time| between_years(&values, time))[..4],
            [0.0, 5.0, 15.0, 30.0]
        );
    }

    #[test]
    fn the_targets_of_a_year_follow_it() {
        let values: Vec<f64> = (0..200).map(|year| f64::from(year * year)).collect();
        let stretch = Stretch {
            start: 3.0,
            pace: 1.0,
            louder: 1.0,
        };
        let batch = Batch::new(&values, &[stretch], SCALING);
        let scaled = |year: usize| (year as f32 - 6.0) / 4.0;
        assert_eq!(batch.inputs[[0, 0, 0]], scaled(3));
        assert_eq!((batch.inputs[[0, 0, 1]], batch.inputs[[0, 1, 1]]), (0.0, 0.25));
        assert_eq!(
            (batch.targets[[0, 0, 0]], batch.targets[[0, 119, 4]]),
            (scaled(4), scaled(127))
        );
    }

    #[test]
    fn random_numbers_are_spread_as_they_should() {
        let mut random = Random(1);
        let normal: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = normal.iter().sum::<f64>() / 20_000.0;
        let variance = normal.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
