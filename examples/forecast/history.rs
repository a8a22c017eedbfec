//! Histories: what the network reads, cut from a series.

use ndarray::Array2;

use crate::series::Series;

/// The years that the network forecasts.
pub(crate) const HORIZON: usize = 11;
/// The fewest years that the network was trained to read.
pub(crate) const SHORTEST: usize = 20;

/// The features of a year: its value, and by how much it changed since the year before.
const FEATURES: usize = 2;
/// The years of the histories, in turn.
const LENGTHS: [usize; 4] = [30, 60, 90, 120];
/// The most histories that have measured years to compare with.
const MOST_SCORED: usize = 39;

/// The years before a forecast: `length` of them, and the last is the origin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct History {
    /// The place of the last year in the series.
    pub(crate) origin: usize,
    /// The number of years.
    pub(crate) length: usize,
}

/// The mean and deviation by which values are brought to the size that the network was trained with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scaling {
    pub(crate) mean: f32,
    pub(crate) deviation: f32,
}

impl Scaling {
    pub(crate) fn apply(&self, value: f32) -> f32 {
        (value - self.mean) / self.deviation
    }

    pub(crate) fn undo(&self, scaled: f32) -> f32 {
        scaled * self.deviation + self.mean
    }
}

impl History {
    /// The histories that end in the last years with 11 measured years after them (at most 39), and one that ends with
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

    /// What was measured after it: 11 values, fewer where the series ends.
    pub(crate) fn measured_after<'a>(&self, series: &'a Series) -> &'a [f32] {
        let start = self.origin + 1;
        let end = series.values.len().min(start + HORIZON);
        series.values.get(start..end).unwrap_or_default()
    }

    /// Whether all of what it is to forecast has been measured.
    pub(crate) fn is_scored(&self, series: &Series) -> bool {
        self.measured_after(series).len() == HORIZON
    }

    /// Whether it is one of those to show: the last one, and every eleventh year before it, so that the forecasts
    /// follow each other.
    pub(crate) fn is_shown(&self, series: &Series) -> bool {
        (series.values.len() - 1 - self.origin).is_multiple_of(HORIZON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sunspots_give_39_histories_to_score_and_one_beyond() {
        let series = Series {
            first_year: 1700,
            values: vec![1.0; 309],
        };
        let histories = History::cut(&series);
        let ends: Vec<i32> = histories.iter().map(|history| series.year(history.origin)).collect();
        assert_eq!((ends.len(), ends[0], ends[38], ends[39]), (40, 1959, 1997, 2008));
        assert_eq!(
            histories.iter().filter(|history| history.is_scored(&series)).count(),
            39
        );
        assert_eq!(histories.iter().filter(|history| history.is_shown(&series)).count(), 5);
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
            [History { origin: 19, length: 20 }, History { origin: 30, length: 31 }]
        );
    }

    #[test]
    fn the_second_feature_is_the_change() {
        let series = Series {
            first_year: 1,
            values: vec![10.0, 30.0, 20.0],
        };
        let features = History { origin: 2, length: 2 }.features(
            &series,
            Scaling {
                mean: 10.0,
                deviation: 10.0,
            },
        );
        assert_eq!(features, ndarray::array![[2.0, 0.0], [1.0, -1.0]]);
    }
}
