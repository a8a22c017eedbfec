//! `place`: the rows of an output go to their (sequence, time step).

use ndarray::{ArrayD, IxDyn};

use super::gather::Source;
use crate::error::{Error, Result};
use crate::flow::Placed;

/// The padded array of an output.
pub(crate) fn place(source: Source<'_>, placed: &Placed) -> Result<ArrayD<f32>> {
    let values = source.gather(&placed.gather.index)?;
    ArrayD::from_shape_vec(IxDyn(&placed.shape), values).map_err(|_| Error::defect("the shape of an output"))
}
