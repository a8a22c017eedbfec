//! The weights of an LSTM: rounded where that is asked for, and the form in which shaders read them.

use std::borrow::Cow;

use ndarray::ArrayView1;

use crate::cell::CellWeights;
pub(crate) use crate::cell::lstm::GATES;
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;
use crate::half_precision::{from_half_bits, half_bits};
use crate::model::plan::PlannedCell as Cell;
use crate::settings::Precision;

/// What halves are stored times: with it the smallest half, 2⁻²⁴, is a normal one, which no GPU takes for zero.
const SCALE: f32 = 1024.0;

/// The form in which a shader reads weights, four at a time. It is a property of the pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// `f32`, 16 bytes.
    #[default]
    Full,
    /// Half-precision numbers, 8 bytes. Only for weights that are such numbers, of at most 63.97: it loses nothing then.
    Half,
}

impl Form {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 2] = [Self::Full, Self::Half];

    /// The WGSL that shaders read weights by: the type `Weights` and the function `unpacked`.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Full => include_str!("../../shaders/shared/weights_full.wgsl"),
            Self::Half => include_str!("../../shaders/shared/weights_half.wgsl"),
        }
    }

    /// The bytes of so many weights.
    pub(crate) const fn bytes(self, weights: usize) -> u64 {
        match self {
            Self::Full => 4 * weights as u64,
            Self::Half => 2 * weights as u64,
        }
    }

    /// Weights as shaders read them.
    fn packed(self, weights: &[[f32; 4]]) -> Cow<'_, [u8]> {
        match self {
            Self::Full => Cow::Borrowed(bytemuck::cast_slice(weights)),
            Self::Half => {
                let half = |weight: f32| u32::from(half_bits(weight * SCALE));
                let pair = |low: f32, high: f32| half(low) | half(high) << 16;
                let pairs = weights.iter().flat_map(|&[a, b, c, d]| [pair(a, b), pair(c, d)]);
                Cow::Owned(pairs.flat_map(u32::to_ne_bytes).collect())
            }
        }
    }
}

impl Gpu {
    /// A buffer with weights.
    pub(crate) fn upload_weights(&self, label: &str, form: Form, weights: &[[f32; 4]]) -> wgpu::Buffer {
        let bytes = form.packed(weights);
        let buffer = self.make_buffer(label, bytes.len() as u64, Use::Storage);
        self.queue().write_buffer(&buffer, 0, &bytes);
        buffer
    }
}

/// Whether an activation needs all units of a row at once.
pub(crate) fn is_rowwise(cell: &Cell) -> bool {
    cell.activation().is_rowwise() || cell.recurrent_activation().is_rowwise()
}

/// The gates of each unit side by side: from a row of 4·units columns, gate by gate, to units times i f g o.
pub(crate) fn gates_of(row: ArrayView1<'_, f32>, units: usize) -> impl Iterator<Item = [f32; GATES]> {
    (0..units).map(move |unit| std::array::from_fn(|gate| row.get(gate * units + unit).copied().unwrap_or(0.0)))
}

/// The cells of a recurrence with the weights that they run with, and the form that these are kept in: one for all, for
/// they share a buffer.
pub(crate) fn prepared<'a>(gpu: &Gpu, cells: &[&'a Cell], precision: Precision) -> (Vec<Cow<'a, Cell>>, Form) {
    let rounded = |cell: &'a Cell| match precision {
        Precision::Full => None,
        Precision::Relaxed => cell.weights.rounded(),
    };
    let cells: Vec<Cow<'a, Cell>> = cells
        .iter()
        .map(|&cell| match rounded(cell) {
            Some(weights) => Cow::Owned(Cell {
                weights,
                cell: cell.cell.clone(),
            }),
            None => Cow::Borrowed(cell),
        })
        .collect();
    // what is borrowed has not been rounded; the shader for whole rows of units reads no halves
    let halves = |cell: &Cow<'_, Cell>| matches!(cell, Cow::Owned(_)) && !is_rowwise(cell) && scales(&cell.weights);
    let form = match gpu.has_halves() && cells.iter().all(halves) {
        true => Form::Half,
        false => Form::Full,
    };
    (cells, form)
}

/// Whether no weight leaves the range of halves when it is stored.
fn scales(weights: &CellWeights) -> bool {
    let mut all = weights.kernel.iter().chain(&weights.recurrent_kernel);
    all.all(|weight| from_half_bits(half_bits(weight * SCALE)).is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every half up to the largest that is stored: a normal number, or zero, and exactly what it was times the scale.
    #[test]
    fn halves_are_stored_as_normal_numbers() {
        let largest = half_bits(63.968_75);
        for bits in (0..=largest).flat_map(|bits| [bits, bits | 0x8000]) {
            let weight = from_half_bits(bits);
            let packed = Form::Half.packed(&[[weight, 0.0, 0.0, -weight]]).into_owned();
            let stored = [&packed[..2], &packed[6..]].map(|bytes| u16::from_ne_bytes([bytes[0], bytes[1]]));
            assert_eq!(stored.map(from_half_bits), [weight * SCALE, -weight * SCALE]);
            assert!(weight == 0.0 || stored[0] & 0x7c00 != 0, "{weight} is no normal number");
        }
        assert!(Form::Half.text().contains("const SCALE = 1024.0;") && SCALE == 1024.0);
    }
}
