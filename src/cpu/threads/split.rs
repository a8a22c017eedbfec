//! Over how many threads a run is split, and how.

use super::crew::MOST_TOGETHER;
use super::exchange::BLOCK;

/// So many floating point operations are worth waking a thread: with fewer, the others are done before it is there.
const WORTH_WAKING: usize = 1_000_000;

/// The bytes of recurrent weights that a thread should have to read in a step: about a microsecond of work, several times
/// what it takes to meet the others.
const WORTH_MEETING: usize = 64 << 10;

/// How a run is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// The batch over hands, which need not wait for each other.
    pub(crate) hands: usize,
    /// The units of each hand over the members of a crew, who meet after every step.
    pub(crate) members: usize,
}

impl Split {
    /// `sizes` are those of the run; how many threads there are is asked only if it matters.
    pub(crate) fn new(threads: impl FnOnce() -> usize, sizes: Sizes) -> Self {
        let Sizes {
            batch,
            rows,
            features,
            units,
            lanes,
            tile_rows,
        } = sizes;
        let operations = rows
            .saturating_mul(units)
            .saturating_mul(2 * lanes * (features + units));
        let worth = operations / WORTH_WAKING;
        let threads = if worth > 1 { threads().min(worth) } else { 1 };
        if threads <= 1 {
            return Self { hands: 1, members: 1 };
        }
        // A hand of fewer rows than a tile has would read the weights as often, for fewer rows. Then rather its units are
        // split, and each core keeps its part of the weights in its own cache.
        let hands = (batch / tile_rows).clamp(1, threads);
        let useful = units.saturating_mul(units).saturating_mul(lanes * size_of::<f32>()) / WORTH_MEETING;
        let members = (threads / hands).min(units.div_ceil(BLOCK)).min(useful.max(1));
        if !cfg!(target_has_atomic = "64") || members == 1 || batch.div_ceil(hands) > MOST_TOGETHER {
            return Self {
                hands: batch.clamp(1, threads),
                members: 1,
            };
        }
        Self { hands, members }
    }

    /// How a batch is run, in words.
    pub(crate) fn explain(self, batch: usize, tile_rows: usize) -> String {
        let Self { hands, members } = self;
        let threads = match (hands, members) {
            (1, 1) => "one thread".to_owned(),
            (_, 1) => format!("sequences dealt out to {hands} threads"),
            (1, _) => format!("units split over a crew of {members} threads"),
            _ => format!("sequences dealt out to {hands} crews, units split over {members} threads each"),
        };
        let rows = match batch.div_ceil(hands.max(1)) {
            rows if rows >= tile_rows => format!("tiles of {tile_rows} rows"),
            1 => "a row at a time".to_owned(),
            rows => format!("{rows} rows at a time"),
        };
        format!("{threads}, {rows}")
    }
}

/// What a split depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) batch: usize,
    /// The valid steps of all sequences.
    pub(crate) rows: usize,
    pub(crate) features: usize,
    pub(crate) units: usize,
    /// The sums of a unit.
    pub(crate) lanes: usize,
    pub(crate) tile_rows: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(threads: usize, batch: usize, units: usize) -> (usize, usize) {
        let split = Split::new(
            || threads,
            Sizes {
                batch,
                rows: batch * 1000,
                features: 64,
                units,
                lanes: 4,
                tile_rows: 6,
            },
        );
        (split.hands, split.members)
    }

    #[test]
    fn a_split_is_said_in_words() {
        let say = |hands, members, batch| Split { hands, members }.explain(batch, 6);
        assert_eq!(say(1, 1, 1), "one thread, a row at a time");
        assert_eq!(say(2, 1, 32), "sequences dealt out to 2 threads, tiles of 6 rows");
        assert_eq!(say(1, 2, 3), "units split over a crew of 2 threads, 3 rows at a time");
        assert_eq!(
            say(2, 8, 12),
            "sequences dealt out to 2 crews, units split over 8 threads each, tiles of 6 rows"
        );
    }

    #[test]
    #[cfg(target_has_atomic = "64")]
    fn batches_are_split_by_rows_and_streams_by_units() {
        assert_eq!(split(2, 32, 256), (2, 1));
        assert_eq!(split(2, 1, 512), (1, 2));
        assert_eq!(split(2, 11, 512), (1, 2));
        assert_eq!(split(16, 12, 512), (2, 8));
        assert_eq!(split(16, 1, 128), (1, 4));
        assert_eq!(split(64, 32, 512), (5, 12));
        // where meeting would cost more than it gains
        assert_eq!(split(16, 3, 32), (3, 1));
        assert_eq!(split(16, 1, 4), (1, 1));
        assert_eq!(split(1, 64, 512), (1, 1));
    }
}
