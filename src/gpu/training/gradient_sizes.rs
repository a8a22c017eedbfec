//! How large the gradients are, found where they are: what clipping needs, and whether a number is NaN or infinite.

use bytemuck::{Pod, Zeroable};

use crate::gpu::shader::{Shader, reads, writes};
use crate::gpu::training::recorder::{CHUNK, Recorder};
use crate::gpu::training::texts::{CHUNK_SUMS, UPDATE_TYPES};
use crate::optimizer::GradientSize;

pub(crate) const SHADER: Shader = Shader {
    name: "gradient_sizes",
    source: include_str!("../../../shaders/backward/gradient_sizes.wgsl"),
    shared: &[UPDATE_TYPES, CHUNK_SUMS],
    runs_cell: false,
    params: ("GradientSizes", size_of::<Params>()),
    bindings: &[reads("gradient"), writes("sizes")],
    constants: &[],
};

/// The struct `GradientSizes` of update_types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    count: u32,
    first: u32,
}

/// The numbers that the shader leaves of each chunk.
const NUMBERS: usize = 2;

/// How many numbers it leaves of a gradient of so many values.
pub(super) fn numbers(count: usize) -> usize {
    NUMBERS * count.div_ceil(CHUNK)
}

/// Records it for a gradient; its numbers begin with number `first` of `sizes`.
pub(super) fn record(
    recorder: &mut Recorder<'_>,
    (gradient, count): (&wgpu::Buffer, usize),
    sizes: (&wgpu::Buffer, usize),
) {
    let (sizes, first) = sizes;
    let params = Params {
        count: count as u32,
        first: (first / NUMBERS) as u32,
    };
    recorder.dispatch((&SHADER, &[]), &[gradient, sizes], params, count.div_ceil(CHUNK) as u64);
}

/// The size of a gradient, by the numbers that are left of it.
pub(super) fn size(numbers: &[u32]) -> GradientSize {
    /// What the shader divides by is no larger.
    const LARGEST_EXPONENT: u32 = 253;
    let mut size = GradientSize {
        largest: 0.0,
        squares: 0.0,
    };
    let mut largest = 0;
    for chunk in numbers.chunks_exact(NUMBERS) {
        let &[of_chunk, squares] = chunk else { continue };
        largest = of_chunk.max(largest);
        let exponent = (of_chunk >> 23).min(LARGEST_EXPONENT);
        let power = f64::from(exponent as i32 - 127).exp2();
        size.squares += f64::from(f32::from_bits(squares)) * power * power;
    }
    size.largest = f32::from_bits(largest);
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the shader leaves of values.
    fn left(values: &[f32]) -> Vec<u32> {
        let chunks = values.chunks(CHUNK).map(|chunk| {
            let largest = chunk
                .iter()
                .map(|value| value.to_bits() & 0x7fff_ffff)
                .max()
                .unwrap_or(0);
            let inverse = f32::from_bits(0x7f00_0000 - (largest & 0x7f80_0000).min(0x7e80_0000));
            let squares: f32 = chunk.iter().map(|value| (value * inverse) * (value * inverse)).sum();
            [largest, squares.to_bits()]
        });
        chunks.flatten().collect()
    }

    #[test]
    fn sizes_are_those_of_the_values() {
        for scale in [1e-40_f32, 1e-30, 1e-12, 1.0, 3e10, 1e30, 3e38] {
            let values: Vec<f32> = (0..9000).map(|place| (place % 13) as f32 / -13.0 * scale).collect();
            let size = size(&left(&values));
            let squares: f64 = values.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
            assert!(
                (size.squares / squares - 1.0).abs() < 1e-5,
                "{scale}: {} {squares}",
                size.squares
            );
            assert_eq!(size.largest, 12.0 / 13.0 * scale);
        }
        assert_eq!(size(&left(&[0.0; 3])).squares, 0.0);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = vec![1.0; 5000];
            values[4999] = bad;
            assert!(!size(&left(&values)).largest.is_finite());
        }
        assert_eq!((numbers(0), numbers(1), numbers(4096), numbers(4097)), (0, 2, 2, 4));
    }
}
