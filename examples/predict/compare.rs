//! How far a result is from what is expected.

use ndarray::{ArrayViewD, Dimension};

use crate::array::shape_text;

/// The largest differences. NaN differs from everything, infinitely.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    pub(crate) absolute: f32,
    /// Relative to the expected value.
    pub(crate) relative: f32,
    /// How many values are beyond the tolerance, of how many.
    pub(crate) beyond: usize,
    pub(crate) count: usize,
    /// Where the largest is, with what came and what was expected.
    pub(crate) worst: Option<(Vec<usize>, f32, f32)>,
}

impl Difference {
    /// Compares; a value passes within `tolerance + tolerance · |expected|`.
    pub(crate) fn between(
        found: ArrayViewD<'_, f32>,
        expected: ArrayViewD<'_, f32>,
        tolerance: f32,
    ) -> Result<Self, String> {
        let fitting = expected.clone().into_shape_with_order(found.raw_dim());
        let only_ones = |shape: &[usize]| shape.iter().filter(|axis| **axis != 1).copied().collect::<Vec<_>>();
        // (5, 3) is what one sequence (1, 5, 3) gives
        let expected = match fitting {
            Ok(fitting) if only_ones(expected.shape()) == only_ones(found.shape()) => fitting,
            _ => {
                return Err(format!(
                    "expected the shape {} of the file, got a result of the shape {}; give the input that belongs to the file",
                    shape_text(expected.shape()),
                    shape_text(found.shape())
                ));
            }
        };
        let mut difference = Self {
            absolute: 0.0,
            relative: 0.0,
            beyond: 0,
            count: found.len(),
            worst: None,
        };
        for ((place, &found), &expected) in found.indexed_iter().zip(&expected) {
            let absolute = distance(found, expected);
            if absolute > difference.absolute || difference.worst.is_none() {
                difference.worst = Some((place.slice().to_vec(), found, expected));
            }
            difference.absolute = difference.absolute.max(absolute);
            let relative = if absolute == 0.0 {
                0.0
            } else {
                absolute / expected.abs()
            };
            difference.relative = difference
                .relative
                .max(if relative.is_nan() { f32::INFINITY } else { relative });
            // also where the tolerance is no number, because infinity was expected
            let passes =
                absolute == 0.0 || (absolute.is_finite() && absolute <= tolerance + tolerance * expected.abs());
            difference.beyond += usize::from(!passes);
        }
        Ok(difference)
    }
}

fn distance(found: f32, expected: f32) -> f32 {
    if found == expected {
        return 0.0; // infinities too
    }
    let distance = (found - expected).abs();
    if distance.is_nan() { f32::INFINITY } else { distance }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{arr1, array};

    #[test]
    fn the_largest_difference_is_found() -> Result<(), String> {
        let (found, expected) = (array![[1.0, 2.0, 4.5]].into_dyn(), arr1(&[1.0, 2.0, 4.0]).into_dyn());
        let difference = Difference::between(found.view(), expected.view(), 0.1)?;
        assert_eq!((difference.absolute, difference.relative), (0.5, 0.125));
        assert_eq!((difference.beyond, difference.worst), (0, Some((vec![0, 2], 4.5, 4.0))));
        assert_eq!(Difference::between(found.view(), expected.view(), 0.05)?.beyond, 1);
        Ok(())
    }

    #[test]
    fn nothing_that_is_no_number_passes() -> Result<(), String> {
        let passes = |found: f32, expected: f32| -> Result<bool, String> {
            let (found, expected) = (arr1(&[found]).into_dyn(), arr1(&[expected]).into_dyn());
            Ok(Difference::between(found.view(), expected.view(), 1.0)?.beyond == 0)
        };
        assert!(passes(f32::INFINITY, f32::INFINITY)?);
        for (found, expected) in [
            (f32::NAN, f32::NAN),
            (f32::NAN, 1.0),
            (1.0, f32::NAN),
            (1.0, f32::INFINITY),
            (f32::INFINITY, f32::NEG_INFINITY),
        ] {
            assert!(!passes(found, expected)?, "{found} for {expected}");
        }
        Ok(())
    }

    #[test]
    fn another_shape_is_an_error() {
        let (found, expected) = (
            array![[1.0, 2.0], [3.0, 4.0]].into_dyn(),
            array![1.0, 2.0, 3.0, 4.0].into_dyn(),
        );
        let error = Difference::between(found.view(), expected.view(), 1.0)
            .err()
            .unwrap_or_default();
        assert!(error.contains("expected the shape (4,)"), "{error}");
    }
}
