//! The kinds of numbers that tensors of HDF5 files consist of.

use hdf5_pure::{AttrValue, Dataset, Datatype, DatatypeByteOrder, FloatingPointLayout};

use crate::half_precision::from_half_bits;

/// The numbers of a tensor.
pub(super) enum Values {
    Narrow(Vec<f32>),
    Wide(Vec<f64>),
}

/// The kinds of numbers that weights are kept as.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Half,
    /// Two bytes, the upper half of a float32; h5py knows them as opaque.
    Brain,
    Single,
    Double,
}

impl Kind {
    pub(super) fn of(dataset: &Dataset) -> std::result::Result<Option<Self>, hdf5_pure::Error> {
        Ok(match dataset.datatype()? {
            Datatype::FloatingPoint {
                size,
                layout,
                byte_order,
            } => match size {
                2 if layout.exponent_size == 5 && layout.mantissa_size == 10 => {
                    (byte_order == DatatypeByteOrder::LittleEndian).then_some(Self::Half)
                }
                4 if layout == FloatingPointLayout::IEEE754_BINARY32 => Some(Self::Single),
                8 if layout == FloatingPointLayout::IEEE754_BINARY64 => Some(Self::Double),
                _ => None,
            },
            Datatype::Opaque { size: 2, .. } => {
                let attributes = dataset.attrs()?;
                let dtype = attributes.get("dtype").and_then(AttrValue::as_str);
                (dtype == Some("bfloat16")).then_some(Self::Brain)
            }
            _ => None,
        })
    }

    pub(super) fn width(self) -> u64 {
        match self {
            Self::Half | Self::Brain => 2,
            Self::Single => 4,
            Self::Double => 8,
        }
    }

    pub(super) fn converted(self) -> Option<&'static str> {
        match self {
            Self::Half => Some("float16"),
            Self::Brain => Some("bfloat16"),
            Self::Single => None,
            Self::Double => Some("float64"),
        }
    }

    pub(super) fn read(self, dataset: &Dataset) -> std::result::Result<Values, hdf5_pure::Error> {
        Ok(match self {
            Self::Single => Values::Narrow(dataset.read_f32()?),
            Self::Double => Values::Wide(dataset.read_f64()?),
            Self::Half | Self::Brain => {
                let raw = dataset.read_raw()?;
                let (pairs, _) = raw.as_chunks::<2>();
                let bits = pairs.iter().map(|pair| u16::from_le_bytes(*pair));
                Values::Narrow(match self {
                    Self::Half => bits.map(from_half_bits).collect(),
                    _ => bits.map(|bits| f32::from_bits(u32::from(bits) << 16)).collect(),
                })
            }
        })
    }
}
