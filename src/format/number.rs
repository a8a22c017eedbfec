//! The numbers that files keep weights as, and what is computed with: float32.

use super::file::File;
use crate::cell::unflatten;
use crate::error::Error;
use crate::half_precision::{from_brain_bits, from_half_bits};

/// A type of floating-point numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    F16,
    Bf16,
    F32,
    F64,
}

/// A number of float64 that is beyond float32, and its position among the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Beyond {
    position: usize,
    value: f64,
}

/// One number; one that is beyond float32 as it is.
type Read = fn(&[u8]) -> Result<f32, f64>;

impl Number {
    #[cfg(any(feature = "keras", feature = "safetensors"))]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }

    /// The bytes of one number.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Numbers in float32, each of so many bytes as it has.
    pub(crate) fn decoded<'b>(
        self,
        big_endian: bool,
        numbers: impl Iterator<Item = &'b [u8]>,
    ) -> Result<Vec<f32>, Beyond> {
        let read: Read = match (self, big_endian) {
            (Self::F16, false) => |bytes| Ok(from_half_bits(u16::from_le_bytes(first(bytes)))),
            (Self::F16, true) => |bytes| Ok(from_half_bits(u16::from_be_bytes(first(bytes)))),
            (Self::Bf16, false) => |bytes| Ok(from_brain_bits(u16::from_le_bytes(first(bytes)))),
            (Self::Bf16, true) => |bytes| Ok(from_brain_bits(u16::from_be_bytes(first(bytes)))),
            (Self::F32, false) => |bytes| Ok(f32::from_le_bytes(first(bytes))),
            (Self::F32, true) => |bytes| Ok(f32::from_be_bytes(first(bytes))),
            (Self::F64, false) => |bytes| narrow(f64::from_le_bytes(first(bytes))),
            (Self::F64, true) => |bytes| narrow(f64::from_be_bytes(first(bytes))),
        };
        collected(numbers, read)
    }
}

/// Numbers of float64 in float32.
#[cfg(feature = "onnx")]
pub(crate) fn narrowed(numbers: &[f64]) -> Result<Vec<f32>, Beyond> {
    collected(numbers.iter(), |value| narrow(*value))
}

fn collected<T>(numbers: impl Iterator<Item = T>, read: impl Fn(T) -> Result<f32, f64>) -> Result<Vec<f32>, Beyond> {
    let mut values = Vec::with_capacity(numbers.size_hint().0);
    for (position, number) in numbers.enumerate() {
        values.push(read(number).map_err(|value| Beyond { position, value })?);
    }
    Ok(values)
}

/// The nearest number of float32; the number itself where it is finite and that is not.
fn narrow(value: f64) -> Result<f32, f64> {
    let narrow = value as f32;
    match narrow.is_finite() || !value.is_finite() {
        true => Ok(narrow),
        false => Err(value),
    }
}

/// The first bytes, zero where there are fewer, which bounds have ruled out.
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut first = [0; N];
    first.iter_mut().zip(bytes).for_each(|(first, byte)| *first = *byte);
    first
}

impl Beyond {
    /// The error that names the tensor.
    pub(crate) fn error(self, file: &File<'_>, tensor: &str, shape: &[usize]) -> Error {
        file.content(
            format!("{tensor}, at {:?}", unflatten(self.position, shape)),
            format!("numbers of float64 that float32 can hold, up to {:e}", f32::MAX),
            format!("{:e}", self.value),
            "the training may have diverged, save the weights of an earlier epoch; or scale the weights",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(number: Number, big_endian: bool, bytes: &[u8]) -> Result<Vec<f32>, Beyond> {
        number.decoded(big_endian, bytes.chunks_exact(number.size()))
    }

    #[test]
    fn every_type_is_read_in_both_orders() {
        let values = [1.0_f32, -2.5, 0.0, f32::INFINITY];
        for number in [Number::F16, Number::Bf16, Number::F32, Number::F64] {
            let of = |value: f32| match number {
                Number::F16 => half::f16::from_f32(value).to_be_bytes().to_vec(),
                Number::Bf16 => half::bf16::from_f32(value).to_be_bytes().to_vec(),
                Number::F32 => value.to_be_bytes().to_vec(),
                Number::F64 => f64::from(value).to_be_bytes().to_vec(),
            };
            let big: Vec<u8> = values.iter().flat_map(|value| of(*value)).collect();
            let little: Vec<u8> = big
                .chunks_exact(number.size())
                .flat_map(|bytes| bytes.iter().rev().copied())
                .collect();
            assert_eq!(decoded(number, true, &big), Ok(values.to_vec()), "{number:?}");
            assert_eq!(decoded(number, false, &little), Ok(values.to_vec()), "{number:?}");
        }
        let nan = decoded(Number::F64, false, &f64::NAN.to_le_bytes());
        assert!(nan.is_ok_and(|values| values.iter().all(|value| value.is_nan())));
    }

    #[test]
    fn what_float32_cannot_hold_is_found() {
        let numbers = [1.0, f64::INFINITY, -1e39];
        let bytes: Vec<u8> = numbers.iter().flat_map(|value| value.to_le_bytes()).collect();
        let beyond = Beyond {
            position: 2,
            value: -1e39,
        };
        assert_eq!(decoded(Number::F64, false, &bytes), Err(beyond));
    }
}
