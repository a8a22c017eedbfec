//! The vector instructions of the machine behind one trait.
//!
//! A kernel is written once, for any [`Simd`], in safe Rust. `run` of [`Plain`], [`Avx2`], [`Avx512`] and [`Neon`] compiles it
//! once more for each. This is the only file of the CPU path with unsafe code: the calls of intrinsics, which are sound because a
//! value of these types is made only where the machine was found to have the instructions.
#![allow(unsafe_code, reason = "vector instructions; see above")]

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use std::arch::wasm32::*;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use crate::half_precision::from_half_bits;

/// The most rows of a tile, on any path.
pub(crate) const MOST_ROWS: usize = 6;

/// The most numbers of a vector.
pub(crate) const MOST_WIDTH: usize = 16;

/// The bytes of a line of the cache; of a machine with longer ones some are asked for twice.
pub(crate) const LINE: usize = 64;

/// Vectors of f32.
pub(crate) trait Simd: Copy {
    type Vector: Copy;
    /// The numbers of a vector.
    const WIDTH: usize;
    /// The rows of a tile: as many as leave the sums of 4 vectors each in registers.
    const ROWS: usize;

    fn splat(self, value: f32) -> Self::Vector;
    /// Asks for the line of a cache where number `place` of `values` lies, which may be beyond their end.
    #[inline(always)]
    fn prefetch<T>(self, _values: &[T], _place: usize) {}
    /// The first numbers of `values`; zeros where it is shorter.
    fn load(self, values: &[f32]) -> Self::Vector;
    /// The first numbers of `values`, which are half-precision numbers by their bits; zeros where it is shorter. Exact.
    #[inline(always)]
    fn load_halves(self, values: &[u16]) -> Self::Vector {
        let mut array = [0.0; MOST_WIDTH];
        let numbers = array.iter_mut().take(Self::WIDTH).zip(values);
        numbers.for_each(|(number, &bits)| *number = from_half_bits(bits));
        self.load(&array)
    }
    /// Into the first numbers of `values`, as many as it has.
    fn store(self, vector: Self::Vector, values: &mut [f32]);
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a · b + c, rounded once where the machine can, else twice.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// NaN stays NaN.
    fn clamp(self, x: Self::Vector, low: f32, high: f32) -> Self::Vector;
    fn abs(self, x: Self::Vector) -> Self::Vector;
    /// `magnitude`, which is not negative, with the sign of `sign`.
    fn with_sign(self, magnitude: Self::Vector, sign: Self::Vector) -> Self::Vector;
    /// 2 to the power of the integer in the low 9 bits of `bits`, from -127 (which gives 0) to 127.
    fn power_of_two(self, bits: Self::Vector) -> Self::Vector;
}

/// Something to do with vectors. `run` has to be `#[inline(always)]`, and whatever it calls, so that all of it is compiled
/// for the instructions of the path.
pub(crate) trait Work {
    fn run<S: Simd>(self, simd: S);
}

/// No instructions but those of the target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain;

impl Plain {
    pub(crate) fn run<W: Work>(self, work: W) {
        work.run(self);
    }
}

/// A type for a set of instructions: its value, if this machine has them, and work with them.
macro_rules! instructions {
    ($(#[$doc:meta])* $name:ident, $arch:literal, $enable:literal, $detected:expr) => {
        $(#[$doc])*
        #[cfg(target_arch = $arch)]
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name(());

        #[cfg(target_arch = $arch)]
        impl $name {
            pub(crate) fn detect() -> Option<Self> {
                $detected.then_some(Self(()))
            }

            pub(crate) fn run<W: Work>(self, work: W) {
                #[target_feature(enable = $enable)]
                fn enabled<W: Work>(simd: $name, work: W) {
                    work.run(simd);
                }
                // SAFETY: a value of the type is there, so the machine has the instructions.
                unsafe { enabled(self, work) }
            }
        }
    };
}

instructions!(
    /// AVX2 with FMA.
    Avx2, "x86_64", "avx2,fma",
    (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"))
);

instructions!(
    /// AVX-512 (F and VL).
    Avx512, "x86_64", "avx2,fma,avx512f,avx512vl",
    (Avx2::detect().is_some() && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl"))
);

instructions!(
    /// NEON.
    Neon, "aarch64", "neon",
    (std::arch::is_aarch64_feature_detected!("neon"))
);

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
const fn each(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [(f32, f32, f32); 4] {
    [
        (a[0], b[0], c[0]),
        (a[1], b[1], c[1]),
        (a[2], b[2], c[2]),
        (a[3], b[3], c[3]),
    ]
}

/// Written so that the compiler makes vectors of four of it, where the target has them.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
impl Simd for Plain {
    type Vector = [f32; 4];
    const WIDTH: usize = 4;
    const ROWS: usize = 2;

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; 4] {
        [value; 4]
    }
    #[inline(always)]
    fn load(self, values: &[f32]) -> [f32; 4] {
        values.first_chunk().copied().unwrap_or_else(|| padded(values))
    }
    #[inline(always)]
    fn store(self, vector: [f32; 4], values: &mut [f32]) {
        store_array(vector, values);
    }
    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(a, b, b).map(|(a, b, _)| a + b)
    }
    #[inline(always)]
    fn sub(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(a, b, b).map(|(a, b, _)| a - b)
    }
    #[inline(always)]
    fn mul(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(a, b, b).map(|(a, b, _)| a * b)
    }
    #[inline(always)]
    fn div(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(a, b, b).map(|(a, b, _)| a / b)
    }
    #[inline(always)]
    fn mul_add(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        // not `f32::mul_add`, which is a slow call where the target has no such instruction
        each(a, b, c).map(|(a, b, c)| a * b + c)
    }
    #[inline(always)]
    fn clamp(self, x: [f32; 4], low: f32, high: f32) -> [f32; 4] {
        x.map(|x| x.clamp(low, high))
    }
    #[inline(always)]
    fn abs(self, x: [f32; 4]) -> [f32; 4] {
        x.map(f32::abs)
    }
    #[inline(always)]
    fn with_sign(self, magnitude: [f32; 4], sign: [f32; 4]) -> [f32; 4] {
        each(magnitude, sign, sign).map(|(magnitude, sign, _)| magnitude.copysign(sign))
    }
    #[inline(always)]
    fn power_of_two(self, bits: [f32; 4]) -> [f32; 4] {
        bits.map(|bits| f32::from_bits((bits.to_bits() << 23).wrapping_add(ONE)))
    }
}

/// The bits of 1.0.
const ONE: u32 = 0x3f80_0000;

#[inline(always)]
fn padded<T: Copy + Default, const WIDTH: usize>(values: &[T]) -> [T; WIDTH] {
    let mut array = [T::default(); WIDTH];
    array.iter_mut().zip(values).for_each(|(entry, &value)| *entry = value);
    array
}

#[inline(always)]
fn store_array<const WIDTH: usize>(array: [f32; WIDTH], values: &mut [f32]) {
    match values.first_chunk_mut() {
        Some(chunk) => *chunk = array,
        None => values.iter_mut().zip(array).for_each(|(value, number)| *value = number),
    }
}

/// The trait for one set of instructions; what its vectors differ in are the names.
#[cfg(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    all(target_arch = "wasm32", target_feature = "simd128")
))]
macro_rules! simd {
    (
        $simd:ty, $vector:ty, $width:literal wide, $rows:literal rows,
        $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident, $div:ident,
        |$a:ident, $b:ident, $c:ident| $mul_add:expr, $max:ident, $min:ident, $abs:expr, $with_sign:expr, $power:expr
        $(, |$halves:ident| $load_halves:expr)? $(; $prefetch:ident)?
    ) => {
        // SAFETY of all: a value of the type is there, so the machine has the instructions; `load` and `store` get arrays
        // of the length that they read and write, which need no alignment.
        #[allow(unused_unsafe, reason = "what computes needs none in wasm")]
        impl Simd for $simd {
            type Vector = $vector;
            const WIDTH: usize = $width;
            const ROWS: usize = $rows;

            #[inline(always)]
            fn splat(self, value: f32) -> $vector {
                unsafe { $splat(value) }
            }
            #[inline(always)]
            fn load(self, values: &[f32]) -> $vector {
                match values.first_chunk::<$width>() {
                    Some(chunk) => unsafe { $load(chunk.as_ptr()) },
                    None => unsafe { $load(padded::<_, $width>(values).as_ptr()) },
                }
            }
            $(
                #[inline(always)]
                fn load_halves(self, values: &[u16]) -> $vector {
                    let $halves = values.first_chunk::<$width>().copied().unwrap_or_else(|| padded(values));
                    let $halves = $halves.as_ptr();
                    unsafe { $load_halves }
                }
            )?
            #[inline(always)]
            fn store(self, vector: $vector, values: &mut [f32]) {
                match values.first_chunk_mut::<$width>() {
                    Some(chunk) => unsafe { $store(chunk.as_mut_ptr(), vector) },
                    None => {
                        let mut array = [0.0; $width];
                        unsafe { $store(array.as_mut_ptr(), vector) };
                        store_array(array, values);
                    }
                }
            }
            $(
                #[inline(always)]
                fn prefetch<T>(self, values: &[T], place: usize) {
                    // SAFETY: nothing is read; the machine passes over an address where nothing lies.
                    unsafe { $prefetch::<_MM_HINT_T1>(values.as_ptr().wrapping_add(place).cast()) };
                }
            )?
            #[inline(always)]
            fn add(self, a: $vector, b: $vector) -> $vector {
                unsafe { $add(a, b) }
            }
            #[inline(always)]
            fn sub(self, a: $vector, b: $vector) -> $vector {
                unsafe { $sub(a, b) }
            }
            #[inline(always)]
            fn mul(self, a: $vector, b: $vector) -> $vector {
                unsafe { $mul(a, b) }
            }
            #[inline(always)]
            fn div(self, a: $vector, b: $vector) -> $vector {
                unsafe { $div(a, b) }
            }
            #[inline(always)]
            fn mul_add(self, $a: $vector, $b: $vector, $c: $vector) -> $vector {
                unsafe { $mul_add }
            }
            #[inline(always)]
            fn clamp(self, x: $vector, low: f32, high: f32) -> $vector {
                // where one is NaN, x86 takes the second and NEON gives NaN
                unsafe { $min($splat(high), $max($splat(low), x)) }
            }
            #[inline(always)]
            fn abs(self, x: $vector) -> $vector {
                unsafe { $abs(x) }
            }
            #[inline(always)]
            fn with_sign(self, magnitude: $vector, sign: $vector) -> $vector {
                unsafe { $with_sign(magnitude, sign) }
            }
            #[inline(always)]
            fn power_of_two(self, bits: $vector) -> $vector {
                unsafe { $power(bits) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
simd!(
    Avx2, __m256, 8 wide, 3 rows,
    _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps, _mm256_div_ps,
    |a, b, c| _mm256_fmadd_ps(a, b, c), _mm256_max_ps, _mm256_min_ps,
    |x| _mm256_andnot_ps(_mm256_set1_ps(-0.0), x),
    |magnitude, sign| _mm256_or_ps(magnitude, _mm256_and_ps(_mm256_set1_ps(-0.0), sign)),
    |bits| _mm256_castsi256_ps(_mm256_add_epi32(
        _mm256_slli_epi32::<23>(_mm256_castps_si256(bits)),
        _mm256_set1_epi32(ONE as i32)
    ));
    _mm_prefetch
);

#[cfg(target_arch = "x86_64")]
simd!(
    Avx512, __m512, 16 wide, 6 rows,
    _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps, _mm512_div_ps,
    |a, b, c| _mm512_fmadd_ps(a, b, c), _mm512_max_ps, _mm512_min_ps,
    |x| _mm512_abs_ps(x),
    |magnitude, sign| _mm512_castsi512_ps(_mm512_or_si512(
        _mm512_castps_si512(magnitude),
        _mm512_and_si512(_mm512_set1_epi32(i32::MIN), _mm512_castps_si512(sign))
    )),
    |bits| _mm512_castsi512_ps(_mm512_add_epi32(
        _mm512_slli_epi32::<23>(_mm512_castps_si512(bits)),
        _mm512_set1_epi32(ONE as i32)
    )),
    |halves| _mm512_cvtph_ps(_mm256_loadu_si256(halves.cast()));
    _mm_prefetch
);

#[cfg(target_arch = "aarch64")]
simd!(
    Neon, float32x4_t, 4 wide, 6 rows,
    vdupq_n_f32, vld1q_f32, vst1q_f32, vaddq_f32, vsubq_f32, vmulq_f32, vdivq_f32,
    |a, b, c| vfmaq_f32(c, a, b), vmaxq_f32, vminq_f32,
    |x| vabsq_f32(x),
    |magnitude, sign| vbslq_f32(vdupq_n_u32(1 << 31), sign, magnitude),
    |bits| vreinterpretq_f32_u32(vaddq_u32(vshlq_n_u32::<23>(vreinterpretq_u32_f32(bits)), vdupq_n_u32(ONE)))
);

// The compiler does not make them of the arrays there. wasm has no multiplication and addition rounded once.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
simd!(
    Plain, v128, 4 wide, 3 rows,
    f32x4_splat, load_four, store_four, f32x4_add, f32x4_sub, f32x4_mul, f32x4_div,
    |a, b, c| f32x4_add(f32x4_mul(a, b), c), f32x4_max, f32x4_min,
    |x| f32x4_abs(x),
    |magnitude, sign| v128_or(magnitude, v128_and(f32x4_splat(-0.0), sign)),
    |bits| i32x4_add(i32x4_shl(bits, 23), i32x4_splat(ONE as i32))
);

// SAFETY of both: the caller has four numbers there, and they need no alignment.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
unsafe fn load_four(numbers: *const f32) -> v128 {
    unsafe { v128_load(numbers.cast()) }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
unsafe fn store_four(numbers: *mut f32, vector: v128) {
    unsafe { v128_store(numbers.cast(), vector) }
}
