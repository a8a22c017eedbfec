//! Allocating arrays and lists whose size comes from an argument, without aborting the program.

use ndarray::{Array, ArrayView, Dim, Dimension};

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

/// What memory is for, and what to do where there is too little of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose {
    pub(crate) what: &'static str,
    pub(crate) repair: &'static str,
}

/// The lists that say which step runs when and which row goes where: some numbers for each step of a batch.
pub(crate) const STEPS: Purpose = Purpose {
    what: "the lists of the steps of a batch",
    repair: "run fewer sequences at once, or a long series in pieces with Runner::run_from",
};

/// What a run computes in: on the CPU the rows of all stages, for a GPU those that are uploaded.
pub(crate) const RUN: Purpose = Purpose {
    what: "the rows of a run",
    repair: STEPS.repair,
};

/// What a run hands out.
pub(crate) const OUTPUT: Purpose = Purpose {
    what: "the output of a run",
    repair: "run fewer sequences at once, or ask for the last output alone (return_sequences(false))",
};

/// The states of the sequences of a batch.
pub(crate) const STATES: Purpose = Purpose {
    what: "the states",
    repair: "run fewer sequences at once",
};

/// The weights of a model in the order in which a device reads them.
pub(crate) const WEIGHTS: Purpose = Purpose {
    what: "the weights on their way to a device",
    repair: "take a smaller model",
};

/// A file that is read.
#[cfg(any(feature = "keras", feature = "pytorch"))]
pub(crate) const FILE: Purpose = Purpose {
    what: "the contents of the file",
    repair: "read the model on a machine with more memory, or save its weights as safetensors",
};

/// Lists, or [`Error::Memory`] where a `Vec` would panic or abort.
impl Purpose {
    /// An empty list with room for `length` entries.
    pub(crate) fn list<T>(self, length: usize) -> Result<Vec<T>> {
        let mut list = Vec::new();
        list.try_reserve_exact(length)
            .map_err(|_| self.too_large::<T>(length))?;
        Ok(list)
    }

    /// `length` times the same entry.
    pub(crate) fn filled<T: Clone>(self, length: usize, entry: T) -> Result<Vec<T>> {
        let mut list = self.list(length)?;
        list.resize(length, entry);
        Ok(list)
    }

    /// `length` zeros, whose memory comes zeroed from the system.
    pub(crate) fn zeros<T: Clone + Default>(self, length: usize) -> Result<Vec<T>> {
        let zeros = self.array(Dim([length]))?;
        Ok(zeros.into_raw_vec_and_offset().0)
    }

    /// An array of zeros.
    pub(crate) fn array<A: Clone + Default, D: Dimension>(self, shape: D) -> Result<Array<A, D>> {
        zeros(self.what, shape, self.repair)
    }

    /// What an iterator gives that knows its length.
    pub(crate) fn listed<T>(self, entries: impl ExactSizeIterator<Item = T>) -> Result<Vec<T>> {
        let mut list = self.list(entries.len())?;
        list.extend(entries);
        Ok(list)
    }

    /// What an iterator gives that need not know its length.
    pub(crate) fn collected<T>(self, entries: impl IntoIterator<Item = T>) -> Result<Vec<T>> {
        let entries = entries.into_iter();
        let mut list = self.list(entries.size_hint().0)?;
        for entry in entries {
            list.try_reserve(1)
                .map_err(|_| self.too_large::<T>(list.len().saturating_add(1)))?;
            list.push(entry);
        }
        Ok(list)
    }

    /// An array of its own with the same numbers.
    pub(crate) fn copied<A, D>(self, view: &ArrayView<'_, A, D>) -> Result<Array<A, D>>
    where
        A: Clone + Default,
        D: Dimension,
    {
        let mut copy = self.array(view.raw_dim())?;
        copy.assign(view);
        Ok(copy)
    }

    pub(crate) fn too_large<T>(self, length: usize) -> Error {
        Error::Memory {
            what: self.what,
            shape: vec![length],
            bytes: u64::try_from(length as u128 * size_of::<T>() as u128).unwrap_or(u64::MAX),
            repair: self.repair.to_owned(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot build its input has failed")]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn small_lists_are_made_and_impossible_ones_are_errors() {
        assert_eq!(STEPS.filled(2, 7).unwrap(), [7, 7]);
        assert_eq!(STEPS.listed([1, 2].into_iter()).unwrap(), [1, 2]);
        assert_eq!(
            STEPS.collected((0..9).filter(|number| number % 4 == 0)).unwrap(),
            [0, 4, 8]
        );
        assert_eq!(STEPS.copied(&array![[1, 2]].view()).unwrap(), array![[1, 2]]);
        let one = array![[1.0_f32]];
        let most = isize::MAX as usize;
        for error in [
            STEPS.list::<u32>(most).unwrap_err(),
            STEPS.filled(most, 1_u32).unwrap_err(),
            STEPS
                .listed((0..u32::MAX as usize).map(|_| [0_u8; 1 << 40]))
                .unwrap_err(),
            STEPS.collected(std::iter::repeat_n(1_u32, most)).unwrap_err(),
            STEPS.copied(&one.broadcast((1 << 30, 1 << 31)).unwrap()).unwrap_err(),
        ] {
            assert!(
                matches!(&error, Error::Memory { what, .. } if *what == STEPS.what),
                "{error}"
            );
            assert!(error.to_string().contains("run_from"), "{error}");
        }
    }

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
