//! Half-precision numbers (`f16`, IEEE 754 binary16): weights rounded to them.

use half::f16;
use ndarray::{ArcArray, Dimension};

/// The bits of the nearest half-precision number, of two equally near ones the even one; infinity from 65,520 on.
pub(crate) fn half_bits(value: f32) -> u16 {
    f16::from_f32(value).to_bits()
}

/// The half-precision number of these bits; exact.
pub(crate) fn from_half_bits(bits: u16) -> f32 {
    f16::from_bits(bits).to_f32()
}

/// The number of these bits in bfloat16, which are the upper half of its float32.
#[cfg(any(feature = "keras", feature = "safetensors", feature = "onnx"))]
pub(crate) fn from_brain_bits(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The least number that is infinite as a half-precision number.
const END: f32 = 65_520.0;

/// The bits of that number: of two numbers above zero the larger one has more.
pub(crate) const HALVES_END: u32 = END.to_bits();

/// Whether a number keeps its meaning as a half-precision number: a finite one stays finite.
pub(crate) fn fits_half(value: f32) -> bool {
    let is_beyond = value.abs() >= END;
    !is_beyond || value.is_infinite()
}

/// Each rounded to the nearest half-precision number; `None` if one is beyond their range.
pub(crate) fn rounded<D: Dimension>(weights: &ArcArray<f32, D>) -> Option<ArcArray<f32, D>> {
    let rounded = weights.map(|&weight| from_half_bits(half_bits(weight))).into_shared();
    rounded.iter().all(|weight| weight.is_finite()).then_some(rounded)
}

#[cfg(test)]
mod tests {
    use ndarray::arr1;

    use super::*;

    /// Half-precision numbers by their meaning: sign, exponent, fraction.
    fn value(bits: u16) -> f64 {
        let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
        let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
        sign * match exponent {
            0 => fraction * (-14.0_f64).exp2(),
            31 if fraction == 0.0 => f64::INFINITY,
            31 => f64::NAN,
            _ => (1.0 + fraction) * f64::from(exponent - 15).exp2(),
        }
    }

    #[test]
    fn every_half_is_read_and_comes_back() {
        for bits in 0..=u16::MAX {
            let (got, want) = (from_half_bits(bits), value(bits));
            if want.is_nan() {
                assert!(got.is_nan());
                continue;
            }
            assert_eq!(f64::from(got), want);
            assert_eq!(half_bits(got), bits, "{want}");
        }
    }

    #[test]
    fn what_would_become_infinite_does_not_fit() {
        for value in [0.0, -65_504.0, 65_519.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            assert!(fits_half(value), "{value}");
            assert!(
                value.is_infinite() || !from_half_bits(half_bits(value)).is_infinite(),
                "{value}"
            );
        }
        for value in [65_520.0, -65_520.0, 1e6, f32::MAX, f32::MIN] {
            assert!(
                !fits_half(value) && from_half_bits(half_bits(value)).is_infinite(),
                "{value}"
            );
        }
    }

    /// Between any two neighbours: the middle goes to the even one, a hair beside it to the nearer one.
    #[test]
    fn what_lies_between_goes_to_the_nearest() {
        for sign in [0, 0x8000] {
            for below in 0..0x7c00_u16 {
                let above = below + 1;
                // the number after the largest would be 65,536, where infinity stands
                let ends = [value(below), if above == 0x7c00 { 65_536.0 } else { value(above) }];
                let middle = (ends.iter().sum::<f64>() / 2.0) as f32; // exact
                let even = if below % 2 == 0 { below } else { above };
                let signed = |value: f32| if sign == 0 { value } else { -value };
                assert_eq!(half_bits(signed(middle)), even | sign, "{middle}");
                assert_eq!(half_bits(signed(middle.next_down())), below | sign, "{middle}");
                assert_eq!(half_bits(signed(middle.next_up())), above | sign, "{middle}");
            }
        }
    }

    #[test]
    fn weights_beyond_the_range_are_not_rounded() {
        let weights = |largest: f32| arr1(&[0.1, largest]).into_shared();
        let values = [0.099_975_586, -65_504.0];
        assert_eq!(rounded(&weights(-65_519.0)), Some(arr1(&values).into_shared()));
        assert_eq!(rounded(&weights(-65_520.0)), None);
    }
}
