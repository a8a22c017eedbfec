//! Allocating arrays whose size comes from an argument, without aborting the program.

use ndarray::{Array, Dimension};

use crate::{Error, Result};

/// An array of zeros (`false` for `bool`), or [`Error::Memory`] where `vec!` would panic or abort.
///
/// The probe comes first because only `vec!` hands out memory that the system has zeroed: of a batch that is mostly
/// padding, the pages of the padding are never touched.
pub(crate) fn zeros<A, D>(what: &'static str, shape: D, repair: &str) -> Result<Array<A, D>>
where
    A: Clone + Default,
    D: Dimension,
{
    let elements = shape
        .slice()
        .iter()
        .fold(1_u128, |product, &size| product.saturating_mul(size as u128));
    let too_large = || Error::Memory {
        what,
        shape: shape.slice().to_vec(),
        bytes: u64::try_from(elements.saturating_mul(size_of::<A>() as u128)).unwrap_or(u64::MAX),
        repair: repair.to_owned(),
    };
    let count = usize::try_from(elements).map_err(|_| too_large())?;
    Vec::<A>::new().try_reserve_exact(count).map_err(|_| too_large())?;
    // An array without elements may still have axes too long for ndarray, so this can fail too.
    Array::from_shape_vec(shape.clone(), vec![A::default(); count]).map_err(|_| too_large())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot build its input has failed")]
mod tests {
    use super::*;
    use ndarray::{Dim, array};

    #[test]
    fn small_arrays_are_zero_and_impossible_ones_are_errors() {
        assert_eq!(
            zeros::<i32, _>("numbers", Dim([1, 2]), "ask for less").unwrap(),
            array![[0, 0]]
        );
        let huge = [
            [usize::MAX, usize::MAX, usize::MAX],
            [1, usize::MAX, 1],
            [1, 1 << 61, 1],
            [0, usize::MAX, 1],
        ];
        for shape in huge {
            let error = zeros::<f32, _>("numbers", Dim(shape), "ask for less").unwrap_err();
            assert!(
                matches!(&error, Error::Memory { shape: found, .. } if found[..] == shape),
                "{error}"
            );
        }
    }
}
