//! The activations of the gates over vectors: `sigmoid` and `tanh` on whatever instructions a path has.
//!
//! Largest errors over the whole range of f32, measured against f64 on every path by the tests below:
//!
//! | function | relative error | absolute error | where it saturates |
//! |---|---|---|---|
//! | [`sigmoid`] | 2.5 ulp from -87 on | 1e-7 | 1 above 17.4, at most 1e-38 below -87 |
//! | [`tanh`] | 2.5 ulp | 1.5e-7 | ±1 beyond 9.1 |
//!
//! NaN goes in and comes out.

use super::simd::Simd;

/// 1.5 · 2^23: adding it to a number of magnitude below 2^22 rounds that number to an integer in the low bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts. The first has 9 significant bits, so that its product with an exponent is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// exp(x) = `scale` · (1 + `fraction`), |`fraction`| ≤ √2 - 1, for |x| ≤ 87: Cephes's polynomial for `expf`.
#[inline(always)]
fn reduce<S: Simd>(simd: S, x: S::Vector) -> (S::Vector, S::Vector) {
    let shifted = simd.mul_add(x, simd.splat(std::f32::consts::LOG2_E), simd.splat(ROUND));
    let rounded = simd.sub(shifted, simd.splat(ROUND));
    let rest = simd.mul_add(rounded, simd.splat(-LN_2_HIGH), x);
    let rest = simd.mul_add(rounded, simd.splat(-LN_2_LOW), rest);
    let series = simd.mul_add(simd.splat(1.987_569_1e-4), rest, simd.splat(1.398_2e-3));
    let series = simd.mul_add(series, rest, simd.splat(8.333_452e-3));
    let series = simd.mul_add(series, rest, simd.splat(4.166_579_6e-2));
    let series = simd.mul_add(series, rest, simd.splat(1.666_666_5e-1));
    let series = simd.mul_add(series, rest, simd.splat(0.5));
    let fraction = simd.mul_add(series, simd.mul(rest, rest), rest);
    (simd.power_of_two(shifted), fraction)
}

/// 1 / (1 + exp(-x)).
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let one = simd.splat(1.0);
    let minus_x = simd.sub(simd.splat(0.0), simd.clamp(x, -87.0, 87.0));
    let (scale, fraction) = reduce(simd, minus_x);
    let tail = simd.mul_add(scale, fraction, scale);
    simd.div(one, simd.add(one, tail))
}

/// tanh a = -m / (2 + m) with m = exp(-2a) - 1, which `reduce` gives without cancellation. From 10 on it is 1.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let magnitude = simd.clamp(simd.abs(x), 0.0, 10.0);
    let (scale, fraction) = reduce(simd, simd.mul(simd.splat(-2.0), magnitude));
    // the other sign, so that the quotient is not negative: 1 - scale - scale · fraction
    let numerator = simd.sub(simd.sub(simd.splat(1.0), scale), simd.mul(scale, fraction));
    let quotient = simd.div(numerator, simd.sub(simd.splat(2.0), numerator));
    simd.with_sign(quotient, x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::product::path::Path;
    use crate::cpu::product::simd::Work;

    /// A function of this file over a slice.
    struct Apply<'a> {
        sigmoid: bool,
        values: &'a mut [f32],
    }

    impl Work for Apply<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            for chunk in self.values.chunks_mut(S::WIDTH) {
                let x = simd.load(chunk);
                let y = if self.sigmoid { sigmoid(simd, x) } else { tanh(simd, x) };
                simd.store(y, chunk);
            }
        }
    }

    /// Every 997th bit pattern: 4.3 million numbers of all signs and sizes, infinities and NaN among them.
    fn sample() -> Vec<f32> {
        let special = [
            0.0,
            -0.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN,
            f32::MIN_POSITIVE,
        ];
        let all = (0..=u32::MAX).step_by(997).map(f32::from_bits);
        // and every size that gates have
        let near = (-100_000..100_000).map(|n| n as f32 * 1e-3);
        all.chain(near).chain(special).collect()
    }

    fn ulps(got: f32, want: f64) -> f64 {
        let exponent = want.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor();
        (f64::from(got) - want).abs() / (exponent - 23.0).exp2()
    }

    fn largest_errors(path: Path, is_sigmoid: bool, truth: impl Fn(f64) -> f64, from: f32) -> (f64, f64) {
        let sample = sample();
        let mut values = sample.clone();
        path.run(Apply {
            sigmoid: is_sigmoid,
            values: &mut values,
        });
        let (mut relative, mut absolute) = (0.0_f64, 0.0_f64);
        for (&x, &got) in sample.iter().zip(&values) {
            if x.is_nan() {
                assert!(got.is_nan(), "{}: NaN must come out, got {got}", path.name());
                continue;
            }
            let want = truth(f64::from(x));
            assert!(got.abs() <= 1.0, "{}: {x} gave {got}", path.name());
            absolute = absolute.max((f64::from(got) - want).abs());
            if x >= from {
                relative = relative.max(ulps(got, want));
            }
        }
        println!("{}: {relative} ulp, {absolute}", path.name());
        (relative, absolute)
    }

    #[test]
    fn sigmoid_is_accurate_over_the_whole_range() {
        let truth = |x: f64| {
            if x < 0.0 {
                x.exp() / (1.0 + x.exp())
            } else {
                1.0 / (1.0 + (-x).exp())
            }
        };
        for path in Path::all() {
            let (relative, absolute) = largest_errors(path, true, truth, -87.0);
            assert!(relative < 2.5 && absolute < 1e-7, "{}", path.name());
        }
    }

    #[test]
    fn tanh_is_accurate_over_the_whole_range() {
        for path in Path::all() {
            let (relative, absolute) = largest_errors(path, false, f64::tanh, f32::NEG_INFINITY);
            assert!(relative < 2.5 && absolute < 1.5e-7, "{}", path.name());
        }
    }

    #[test]
    fn the_ends_are_exact() {
        for path in Path::all() {
            let mut values = [f32::NEG_INFINITY, f32::INFINITY, 0.0, -0.0, f32::NAN];
            let mut sigmoids = values;
            path.run(Apply {
                sigmoid: true,
                values: &mut sigmoids,
            });
            // exp(-87), where the shaders stop as well
            assert!(sigmoids[0] < 1.7e-38 && sigmoids[1..4] == [1.0, 0.5, 0.5] && sigmoids[4].is_nan());
            path.run(Apply {
                sigmoid: false,
                values: &mut values,
            });
            assert_eq!(values[..2], [-1.0, 1.0]);
            assert!(values[2].is_sign_positive() && values[3].is_sign_negative() && values[4].is_nan());
        }
    }
}
