//! Histories: what the network reads, cut from a series.

use cellstate::Sequences;
use ndarray::Array2;

use crate::series::Series;

/// The years that the network forecasts.
pub(crate) const HORIZON: usize = 5;
/// The years after which the Sun more or less repeats itself.
pub(crate) const CYCLE: usize = 11;
/// The fewest years that the network was trained to read.
pub(crate) const SHORTEST: usize = 20;

/// The features of a year: its scaled value, and by how much that changed since the year before.
const FEATURES: usize = 2;
/// The years of the histories, in turn.
pub(crate) const LENGTHS: [usize; 4] = [30, 60, 90, 120];
/// The most histories that have measured years to compare with.
const MOST_SCORED: usize = 46;

/// The years before a forecast: `length` of them, and the last is the origin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct History {
    /// The place of the last year in the series.
    pub(crate) origin: usize,
    /// The number of years.
    pub(crate) length: usize,
}

/// How values are brought to the size that the network was trained with: the square root, less `mean`, in units of
/// `deviation`. With the square root a large cycle is not so far from a small one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scaling {
    pub(crate) mean: f32,
    pub(crate) deviation: f32,
}

impl Scaling {
    pub(crate) fn apply(&self, value: f32) -> f32 {
        (value.sqrt() - self.mean) / self.deviation
    }

    pub(crate) fn undo(&self, scaled: f32) -> f32 {
        (scaled * self.deviation + self.mean).max(0.0).powi(2)
    }
}

impl History {
    /// The histories that end in the last years with 5 measured years after them (at most 46), and one that ends with
    /// the series, whose forecast nobody has measured yet.
    pub(crate) fn cut(series: &Series) -> Vec<Self> {
        let years = series.values.len();
        let after_last = years.saturating_sub(HORIZON);
        let first = after_last.saturating_sub(MOST_SCORED).max(SHORTEST - 1);
        let origins = (first..after_last).chain(years.checked_sub(1));
        let length = |origin: usize, wanted: usize| wanted.min(origin + 1);
        origins
            .zip(LENGTHS.into_iter().cycle())
            .map(|(origin, wanted)| Self {
                origin,
                length: length(origin, wanted),
            })
            .collect()
    }

    /// The scaled features of its years, (time_steps, features).
    pub(crate) fn features(&self, series: &Series, scaling: Scaling) -> Array2<f32> {
        let start = self.origin + 1 - self.length;
        let scaled: Vec<f32> = series
            .values
            .iter()
            .skip(start)
            .take(self.length)
            .map(|value| scaling.apply(*value))
            .collect();
        Array2::from_shape_fn((scaled.len(), FEATURES), |(step, feature)| match (feature, step) {
            (0, _) => scaled[step],
            (_, 0) => 0.0,
            _ => scaled[step] - scaled[step - 1],
        })
    }

    /// What was measured after it: 5 values, fewer where the series ends.
    pub(crate) fn measured_after<'a>(&self, series: &'a Series) -> &'a [f32] {
        let start = self.origin + 1;
        let end = series.values.len().min(start + HORIZON);
        series.values.get(start..end).unwrap_or_default()
    }

    /// Whether all of what it is to forecast has been measured.
    pub(crate) fn is_scored(&self, series: &Series) -> bool {
        self.measured_after(series).len() == HORIZON
    }

    /// Which of the four lengths it was cut for, or the next longer one where the series is too short for that.
    pub(crate) fn kind(&self) -> usize {
        LENGTHS.iter().take_while(|length| **length < self.length).count()
    }

    /// Whether it is one of those to show: the last one, and every fifth year before it, so that the forecasts follow
    /// each other.
    pub(crate) fn is_shown(&self, series: &Series) -> bool {
        (series.values.len() - 1 - self.origin).is_multiple_of(HORIZON)
    }
}

/// All histories in one batch, padded after; only the real years are run.
pub(crate) fn batch(series: &Series, histories: &[History], scaling: Scaling) -> cellstate::Result<Sequences<'static>> {
    let features: Vec<Array2<f32>> = histories
        .iter()
        .map(|history| history.features(series, scaling))
        .collect();
    Sequences::pad(features.iter().map(|history| history.view()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sunspots_give_46_histories_to_score_and_one_beyond() {
        let series = Series {
            first_year: 1700,
            values: vec![1.0; 309],
        };
        let histories = History::cut(&series);
        let ends: Vec<i32> = histories.iter().map(|history| series.year(history.origin)).collect();
        assert_eq!((ends.len(), ends[0], ends[45], ends[46]), (47, 1958, 2003, 2008));
        assert_eq!(
            histories.iter().filter(|history| history.is_scored(&series)).count(),
            46
        );
        assert_eq!(histories.iter().filter(|history| history.is_shown(&series)).count(), 11);
    }

    #[test]
    fn the_shortest_series_gives_one_history_to_score() {
        let series = Series {
            first_year: 1,
            values: vec![1.0; SHORTEST + HORIZON],
        };
        let histories = History::cut(&series);
        assert_eq!(
            histories,
            [History { origin: 19, length: 20 }, History { origin: 24, length: 25 }]
        );
    }

    #[test]
    fn the_features_are_the_scaled_root_and_its_change() {
        let series = Series {
            first_year: 1,
            values: vec![0.0, 100.0, 4.0],
        };
        let scaling = Scaling {
            mean: 6.0,
            deviation: 4.0,
        };
        let features = History { origin: 2, length: 2 }.features(&series, scaling);
        assert_eq!(features, ndarray::array![[1.0, 0.0], [-1.0, -2.0]]);
        assert_eq!([1.0, -1.0, -9.0].map(|scaled| scaling.undo(scaled)), [100.0, 4.0, 0.0]);
    }
}
