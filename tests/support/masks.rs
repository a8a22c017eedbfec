//! Masks of several patterns.

use ndarray::Array2;

use super::random::Random;

/// Which steps count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pattern {
    /// No mask at all.
    None,
    /// Padding after each sequence.
    Right,
    /// Padding before each sequence.
    Left,
    /// Anything anywhere.
    Holes,
    /// Every second row is masked from end to end.
    WholeRow,
    /// Each row by another pattern.
    Mixed,
}

impl Pattern {
    pub(crate) const ALL: [Self; 6] = [
        Self::None,
        Self::Right,
        Self::Left,
        Self::Holes,
        Self::WholeRow,
        Self::Mixed,
    ];

    /// A mask (batch, time_steps) of the pattern.
    pub(crate) fn mask(self, batch: usize, time_steps: usize, random: &mut Random) -> Option<Array2<bool>> {
        if self == Self::None {
            return None;
        }
        let mut mask = Array2::from_elem((batch, time_steps), true);
        for (row, mut steps) in mask.rows_mut().into_iter().enumerate() {
            let pattern = match self {
                Self::Mixed => Self::ALL[(row + random.below(2)) % 5],
                other => other,
            };
            let length = random.below(time_steps + 1);
            for (step, valid) in steps.iter_mut().enumerate() {
                *valid = match pattern {
                    Self::Right => step < length,
                    Self::Left => step >= time_steps - length,
                    Self::Holes => random.below(3) > 0,
                    Self::WholeRow => row % 2 == 1,
                    Self::None | Self::Mixed => true,
                };
            }
        }
        Some(mask)
    }
}
