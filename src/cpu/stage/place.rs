//! `place`: the rows of an output go to their (sequence, time step).

use ndarray::{ArrayD, IxDyn};

use super::gather::Source;
use crate::error::{Error, Result};
use crate::flow::Placed;

/// An output for which everything is done that may fail.
#[derive(Debug)]
pub(crate) struct Placing<'a> {
    source: Source<'a>,
    index: &'a [u32],
    /// The padded array; `None` where an earlier one has the shape.
    new: Option<ArrayD<f32>>,
}

impl<'a> Placing<'a> {
    /// Makes the padded array, unless `earlier` has its shape.
    pub(crate) fn new(source: Source<'a>, placed: &'a Placed, earlier: Option<&ArrayD<f32>>) -> Result<Self> {
        let index = placed.gather.index.as_slice();
        let has_shape = |earlier: &&ArrayD<f32>| earlier.shape() == placed.shape && earlier.is_standard_layout();
        let new = match earlier.filter(has_shape) {
            Some(_) => None,
            None => {
                let array = ArrayD::from_shape_vec(IxDyn(&placed.shape), source.gather(index)?);
                Some(array.map_err(|_| Error::defect("the shape of an output"))?)
            }
        };
        Ok(Self { source, index, new })
    }

    /// The padded array: a new one, or the earlier one with other values.
    pub(crate) fn over(self, earlier: &mut ArrayD<f32>) -> ArrayD<f32> {
        let earlier = std::mem::take(earlier);
        self.new.unwrap_or_else(|| {
            let mut array = earlier;
            if let Some(values) = array.as_slice_mut() {
                self.source.gather_into(self.index, values);
            }
            array
        })
    }
}
