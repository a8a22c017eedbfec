//! How the weights of a cell are kept.

use std::borrow::Cow;

use crate::cpu::product::panels::Format;
use crate::cpu::product::path::Path;
use crate::model::plan::PlannedCell;
use crate::settings::Precision;

/// From so many bytes of `recurrent_kernel` on, rounded weights are kept in halves. A smaller one comes from the first
/// caches as fast as it is converted, and a tile of rows has more to do then: of a batch of 512 with 64 units 5 % are lost, of
/// a single stream with 96 units 3 %; with 128 units 5 % are gained, with 512 a third.
const HALVES_FROM: usize = 192 << 10;

/// How the weights of a cell are kept, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// As they are.
    Full,
    /// As they are, though relaxed precision is wanted: one of them is beyond the range of half precision.
    Beyond,
    /// Rounded, in halves.
    Halves,
    /// Rounded, in full numbers: halves would be no faster.
    Small,
    /// Rounded, in full numbers, which the path reads faster.
    FullFaster,
}

impl Storage {
    /// How the weights of a cell are kept, and the cell with these weights.
    pub(crate) fn choose(cell: &PlannedCell, path: Path, precision: Precision) -> (Cow<'_, PlannedCell>, Self) {
        let as_it_is = Cow::Borrowed(cell);
        let weights = match precision {
            Precision::Full => return (as_it_is, Self::Full),
            Precision::Relaxed => cell.weights.rounded(),
        };
        let Some(weights) = weights else {
            return (as_it_is, Self::Beyond);
        };
        let storage = if !path.has_halves() {
            Self::FullFaster
        } else if weights.recurrent_kernel.len() * size_of::<f32>() < HALVES_FROM {
            Self::Small
        } else {
            Self::Halves
        };
        let cell = cell.cell.clone();
        (Cow::Owned(PlannedCell { cell, weights }), storage)
    }

    pub(crate) fn format(self) -> Format {
        match self {
            Self::Halves => Format::Halves,
            Self::Full | Self::Beyond | Self::Small | Self::FullFaster => Format::Full,
        }
    }

    /// For `explain`.
    pub(crate) fn explain(self) -> &'static str {
        match self {
            Self::Full => "weights in f32",
            Self::Beyond => "weights in f32, for one of them is beyond the range of f16",
            Self::Halves => "weights rounded to f16, read as f16",
            Self::Small => "weights rounded to f16, read as f32, for they fit into the first caches",
            Self::FullFaster => "weights rounded to f16, read as f32, which is faster with these instructions",
        }
    }
}
