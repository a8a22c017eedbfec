//! What HDF5 says of the numbers of a tensor.

use hdf5_pure::{AttrValue, Dataset, Datatype, DatatypeByteOrder, FloatingPointLayout};

use crate::format::number::Number;

/// Numbers that weights are kept as.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) number: Number,
    pub(super) big_endian: bool,
}

impl Kind {
    /// `None` where a tensor has other numbers.
    pub(super) fn of(dataset: &Dataset) -> std::result::Result<Option<Self>, hdf5_pure::Error> {
        let (number, order) = match dataset.datatype()? {
            Datatype::FloatingPoint {
                size,
                layout,
                byte_order,
            } => match size {
                2 if layout.exponent_size == 5 && layout.mantissa_size == 10 => (Number::F16, byte_order),
                4 if layout == FloatingPointLayout::IEEE754_BINARY32 => (Number::F32, byte_order),
                8 if layout == FloatingPointLayout::IEEE754_BINARY64 => (Number::F64, byte_order),
                _ => return Ok(None),
            },
            // h5py knows no bfloat16
            Datatype::Opaque { size: 2, .. } => {
                let attributes = dataset.attrs()?;
                match attributes.get("dtype").and_then(AttrValue::as_str) {
                    Some("bfloat16") => (Number::Bf16, DatatypeByteOrder::LittleEndian),
                    _ => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        let big_endian = match order {
            DatatypeByteOrder::LittleEndian => false,
            DatatypeByteOrder::BigEndian => true,
            _ => return Ok(None),
        };
        Ok(Some(Self { number, big_endian }))
    }
}
