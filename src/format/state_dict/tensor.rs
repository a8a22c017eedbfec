//! A tensor as a file keeps it, and its numbers as they are computed with.

use ndarray::{Array1, Array2, ArrayD, Dimension, Ix1, Ix2, IxDyn};

use crate::error::{Error, Result};
use crate::format::file::File;
use crate::format::number::Number;

/// The type of a tensor's numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Number(Number),
    /// One that no weight has, by its name.
    Other(String),
}

impl Kind {
    /// The bytes of one number.
    fn size(&self) -> usize {
        match self {
            Self::Number(number) => number.size(),
            Self::Other(_) => 1,
        }
    }
}

/// What the numbers of a tensor lie in; several tensors may share one.
#[derive(Clone, Debug)]
pub(crate) struct Storage<'a> {
    pub(crate) kind: Kind,
    pub(crate) bytes: &'a [u8],
    pub(crate) big_endian: bool,
}

/// A tensor by name. Nothing is copied until its values are asked for.
#[derive(Clone, Debug)]
pub(crate) struct Tensor<'a> {
    pub(crate) name: String,
    pub(crate) storage: Storage<'a>,
    pub(crate) shape: Vec<usize>,
    /// In numbers, one for each axis.
    strides: Vec<usize>,
    /// In numbers, from the begin of the storage.
    offset: usize,
}

impl<'a> Tensor<'a> {
    /// A tensor whose numbers lie row by row and fill the storage.
    pub(crate) fn whole(name: &str, storage: Storage<'a>, shape: &[usize], file: &File<'_>) -> Result<Self> {
        let strides = row_by_row(shape);
        Self::new(name, storage, shape, strides, 0, file)
    }

    /// A tensor anywhere in a storage.
    pub(crate) fn new(
        name: &str,
        storage: Storage<'a>,
        shape: &[usize],
        strides: Vec<usize>,
        offset: usize,
        file: &File<'_>,
    ) -> Result<Self> {
        let tensor = Self {
            name: name.to_owned(),
            storage,
            shape: shape.to_vec(),
            strides,
            offset,
        };
        match tensor.fits() {
            // the numbers of other types are never read
            true => Ok(tensor),
            _ if matches!(tensor.storage.kind, Kind::Other(_)) => Ok(tensor),
            false => {
                let Tensor {
                    shape, strides, offset, ..
                } = &tensor;
                let (size, length) = (tensor.storage.kind.size(), tensor.storage.bytes.len());
                Err(file.content(
                    format!("tensor {name}"),
                    format!("a tensor within the {length} bytes of its storage"),
                    format!("shape {shape:?}, strides {strides:?} and offset {offset}, in numbers of {size} bytes"),
                    "save it again, as `tensor.contiguous()`; the file may be damaged",
                ))
            }
        }
    }

    /// Whether all numbers lie within the storage, which has no fewer than the tensor: one that is repeated by a stride of 0 is none
    /// that a module has, and would take memory that the file does not.
    fn fits(&self) -> bool {
        let Some(count) = count(&self.shape) else {
            return false;
        };
        if count == 0 {
            return true;
        }
        let steps = self.shape.iter().zip(&self.strides);
        let last = steps.into_iter().try_fold(self.offset, |last, (&length, &stride)| {
            last.checked_add(length.checked_sub(1)?.checked_mul(stride)?)
        });
        let there = self.storage.bytes.len() / self.storage.kind.size();
        self.strides.len() == self.shape.len() && count <= there && last.is_some_and(|last| last < there)
    }

    /// The number of numbers.
    pub(crate) fn count(&self) -> usize {
        self.shape.iter().fold(1, |count, &length| count.saturating_mul(length))
    }

    /// The bytes of its numbers; none where they are never read.
    pub(crate) fn size(&self) -> u64 {
        match self.storage.kind {
            Kind::Other(_) => 0,
            Kind::Number(number) => (self.count() as u64).saturating_mul(number.size() as u64),
        }
    }

    /// The numbers as they are computed with.
    pub(crate) fn values(&self, file: &File<'_>) -> Result<ArrayD<f32>> {
        let number = match &self.storage.kind {
            Kind::Number(number) => *number,
            Kind::Other(name) => {
                return Err(file.content(
                    format!("tensor {}", self.name),
                    "weights of float32, float16, bfloat16 or float64",
                    name.clone(),
                    "convert the weights before they are saved: `model.float()`; quantised ones cannot be read",
                ));
            }
        };
        let (size, big_endian) = (number.size(), self.storage.big_endian);
        let shape = IxDyn(&self.shape);
        let values = match self.strides == row_by_row(&self.shape) {
            true => {
                let begin = self.offset.saturating_mul(size);
                let end = begin.saturating_add(self.count().saturating_mul(size));
                let bytes = self.storage.bytes.get(begin..end).unwrap_or_default();
                number.decoded(big_endian, bytes.chunks_exact(size))
            }
            false => {
                let numbers = ndarray::indices(shape.clone()).into_iter().map(|index| {
                    let place = index.slice().iter().zip(&self.strides);
                    let place = place.fold(self.offset, |sum, (index, stride)| sum + index * stride);
                    self.storage.bytes.get(place * size..).unwrap_or_default()
                });
                number.decoded(big_endian, numbers)
            }
        };
        let values = values.map_err(|beyond| beyond.error(file, &format!("tensor {}", self.name), &self.shape))?;
        let values = ArrayD::from_shape_vec(shape, values).map_err(|_| Error::defect("the shape of a tensor"))?;
        let name = format!("{} of {}", self.name, file.path.display());
        file.range.check(&name, &values.view())?;
        Ok(values)
    }

    /// As a matrix.
    pub(crate) fn matrix(&self, file: &File<'_>) -> Result<Array2<f32>> {
        let values = self.values(file)?.into_dimensionality::<Ix2>();
        values.map_err(|_| self.wrong_rank("(rows, columns)", file))
    }

    /// As a row.
    pub(crate) fn row(&self, file: &File<'_>) -> Result<Array1<f32>> {
        let values = self.values(file)?.into_dimensionality::<Ix1>();
        values.map_err(|_| self.wrong_rank("(length)", file))
    }

    fn wrong_rank(&self, axes: &str, file: &File<'_>) -> Error {
        file.content(
            format!("tensor {}", self.name),
            format!("axes {axes}"),
            format!("shape {:?}", self.shape),
            "check that the file is of the model that is meant",
        )
    }
}

/// The strides of a tensor that lies row by row.
pub(crate) fn row_by_row(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    let mut below = 1_usize;
    for (stride, &length) in strides.iter_mut().zip(shape).rev() {
        *stride = below;
        below = below.saturating_mul(length);
    }
    strides
}

/// How many numbers a shape has; `None` if there is no such number.
pub(crate) fn count(shape: &[usize]) -> Option<usize> {
    // lengths beside a 0 may be anything, and a product of them nothing
    let zero = shape.contains(&0);
    let count = shape.iter().filter(|length| **length > 0);
    let count = count
        .into_iter()
        .try_fold(1_usize, |count, &length| count.checked_mul(length))?;
    Some(if zero { 0 } else { count })
}
