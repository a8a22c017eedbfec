//! The tensors of a file: what their fields say, held to what is there.

use ndarray::{ArcArray, IxDyn};

use super::arrays::count;
use super::dim::Dim;
use super::external::External;
use super::messages::{TensorProto, data_type};
use super::value::{Floats, Value};
use crate::error::{Error, Result};
use crate::format::file::File;
use crate::format::number::{Beyond, Number, narrowed};
use crate::half_precision::{from_brain_bits, from_half_bits};

/// No tensor of a model has more axes.
pub(super) const MOST_AXES: usize = 8;

/// Reads the tensors of one file.
#[derive(Debug)]
pub(super) struct Tensors<'a> {
    pub(super) file: File<'a>,
    external: External<'a>,
}

impl<'a> Tensors<'a> {
    pub(super) fn new(file: File<'a>) -> Self {
        Self {
            file,
            external: External::new(file),
        }
    }

    /// The value of a tensor. `place` is what messages call it.
    pub(super) fn value(&mut self, tensor: &TensorProto, place: &str) -> Result<Value> {
        let shape = self.shape(tensor, place)?;
        let count = count(&shape);
        let count = count.ok_or_else(|| self.wrong(place, "sizes that can be multiplied", format!("{shape:?}")))?;
        let outside = match tensor.data_location {
            0 => None,
            _ => {
                let width = width(tensor.data_type).ok_or_else(|| self.unknown_type(tensor, place))?;
                let bytes = count.checked_mul(width);
                let bytes =
                    bytes.ok_or_else(|| self.wrong(place, "sizes that can be multiplied", format!("{shape:?}")))?;
                Some(self.external.read(tensor, bytes, place)?)
            }
        };
        let raw = match &outside {
            Some(raw) => raw.as_slice(),
            None => tensor.raw_data.as_slice(),
        };
        match tensor.data_type {
            data_type::FLOAT | data_type::DOUBLE | data_type::FLOAT16 | data_type::BFLOAT16 => {
                let values = floats(tensor, raw).ok_or_else(|| self.partial(place))?;
                let values = values.map_err(|beyond| beyond.error(&self.file, place, &shape))?;
                self.counted(place, values.len(), count, &shape)?;
                let array = ArcArray::from_shape_vec(IxDyn(&shape), values);
                let array = array.map_err(|_| Error::defect("the shape of a tensor"))?;
                let kind = tensor.data_type;
                Ok(Value::Floats(Floats { kind, array }))
            }
            data_type::INT64 | data_type::INT32 | data_type::BOOL => {
                let values = integers(tensor, raw);
                let values = values.ok_or_else(|| self.partial(place))?;
                self.counted(place, values.len(), count, &shape)?;
                let array = ArcArray::from_shape_vec(IxDyn(&shape), values);
                Ok(Value::Integers(
                    array.map_err(|_| Error::defect("the shape of a tensor"))?,
                ))
            }
            _ => Err(self.unknown_type(tensor, place)),
        }
    }

    fn shape(&self, tensor: &TensorProto, place: &str) -> Result<Vec<usize>> {
        if tensor.dims.len() > MOST_AXES {
            let found = format!("{} axes", tensor.dims.len());
            return Err(self.wrong(place, &format!("at most {MOST_AXES} axes"), found));
        }
        let size = |&size: &i64| usize::try_from(size);
        let shape: std::result::Result<Vec<usize>, _> = tensor.dims.iter().map(size).collect();
        shape.map_err(|_| self.wrong(place, "sizes of 0 or more", format!("{:?}", tensor.dims)))
    }

    fn counted(&self, place: &str, found: usize, expected: usize, shape: &[usize]) -> Result<()> {
        if found == expected {
            return Ok(());
        }
        let expected = format!("{expected} values for the shape {shape:?}");
        Err(self.wrong(place, &expected, format!("{found} values")))
    }

    fn partial(&self, place: &str) -> Error {
        let found = "bytes that end inside of a value".to_owned();
        self.wrong(place, "raw data of whole values", found)
    }

    fn unknown_type(&self, tensor: &TensorProto, place: &str) -> Error {
        let expected = "float32, float16, bfloat16, float64, int64, int32 or bool";
        self.wrong(place, expected, data_type::name(tensor.data_type))
    }

    fn wrong(&self, place: &str, expected: &str, found: String) -> Error {
        self.file.content(place, expected, found, "export the model again")
    }
}

/// The bytes of a value.
fn width(kind: i32) -> Option<usize> {
    match kind {
        data_type::BOOL => Some(1),
        data_type::FLOAT16 | data_type::BFLOAT16 => Some(2),
        data_type::FLOAT | data_type::INT32 => Some(4),
        data_type::DOUBLE | data_type::INT64 => Some(8),
        _ => None,
    }
}

/// The values, of raw bytes or of the fields for their type; `None` where bytes are left over.
fn floats(tensor: &TensorProto, raw: &[u8]) -> Option<std::result::Result<Vec<f32>, Beyond>> {
    let number = match tensor.data_type {
        data_type::FLOAT => Number::F32,
        data_type::DOUBLE => Number::F64,
        data_type::FLOAT16 => Number::F16,
        _ => Number::Bf16,
    };
    if !raw.is_empty() {
        let numbers = raw.chunks_exact(number.size());
        return numbers.remainder().is_empty().then(|| number.decoded(false, numbers));
    }
    let of_bits = |value: fn(u16) -> f32| {
        let bits = tensor.int32_data.iter();
        let values: Option<Vec<f32>> = bits.map(|bits| Some(value(u16::try_from(*bits).ok()?))).collect();
        values.map(Ok)
    };
    match number {
        Number::F32 => Some(Ok(tensor.float_data.clone())),
        Number::F64 => Some(narrowed(&tensor.double_data)),
        Number::F16 => of_bits(from_half_bits),
        Number::Bf16 => of_bits(from_brain_bits),
    }
}

fn integers(tensor: &TensorProto, raw: &[u8]) -> Option<Vec<Dim>> {
    if raw.is_empty() {
        return Some(match tensor.data_type {
            data_type::INT64 => tensor.int64_data.iter().copied().map(Dim::number).collect(),
            _ => tensor
                .int32_data
                .iter()
                .map(|&value| Dim::number(value.into()))
                .collect(),
        });
    }
    match tensor.data_type {
        data_type::INT64 => whole(raw, |bytes| Dim::number(i64::from_le_bytes(bytes))),
        data_type::INT32 => whole(raw, |bytes| Dim::number(i32::from_le_bytes(bytes).into())),
        _ => whole(raw, |[byte]: [u8; 1]| Dim::number(byte.into())),
    }
}

fn whole<const WIDTH: usize, T>(raw: &[u8], value: impl Fn([u8; WIDTH]) -> T) -> Option<Vec<T>> {
    let (chunks, rest) = raw.as_chunks::<WIDTH>();
    rest.is_empty()
        .then(|| chunks.iter().map(|bytes| value(*bytes)).collect())
}
