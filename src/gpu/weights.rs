//! The weights of a cell: rounded where that is asked for, by lane, and in the form in which shaders read them.

use std::borrow::Cow;

use crate::cell::{Cell, CellWeights};
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;
use crate::gpu::rows::padded;
use crate::half_precision::{from_half_bits, half_bits};
use crate::model::plan::PlannedCell;
use crate::settings::Precision;

/// What halves are stored times: with it the smallest half, 2⁻²⁴, is a normal one, which no GPU takes for zero.
const SCALE: f32 = 1024.0;

/// The form in which a shader reads weights. It is a property of the pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// `f32`, 16 bytes for four.
    #[default]
    Full,
    /// Half-precision numbers, four at a time in 8 bytes. Only for weights that are such numbers, of at most 63.97: it loses nothing then.
    Half,
}

impl Form {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 2] = [Self::Full, Self::Half];

    /// The WGSL that shaders read weights by, so many at a time: the type `Weights` and the function `unpacked`.
    pub(crate) const fn text(self, lanes: usize) -> &'static str {
        match (self, lanes) {
            (_, 1) => include_str!("../../shaders/shared/weights_one.wgsl"),
            (Self::Full, _) => include_str!("../../shaders/shared/weights_full.wgsl"),
            (Self::Half, _) => include_str!("../../shaders/shared/weights_half.wgsl"),
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
    fn packed(self, weights: &[f32]) -> Cow<'_, [u8]> {
        match self {
            Self::Full => Cow::Borrowed(bytemuck::cast_slice(weights)),
            Self::Half => {
                let half = |weight: f32| u32::from(half_bits(weight * SCALE));
                let pair = |low: f32, high: f32| half(low) | half(high) << 16;
                let (pairs, _) = weights.as_chunks();
                let pairs = pairs.iter().map(|&[low, high]| pair(low, high));
                Cow::Owned(pairs.flat_map(u32::to_ne_bytes).collect())
            }
        }
    }
}

impl Gpu {
    /// A buffer with weights.
    pub(crate) fn upload_weights(&self, label: &str, form: Form, weights: &[f32]) -> wgpu::Buffer {
        let bytes = form.packed(weights);
        let buffer = self.make_buffer(label, bytes.len() as u64, Use::Storage);
        self.queue().write_buffer(&buffer, 0, &bytes);
        buffer
    }
}

/// The values of a row of `projected`: the lanes of all units, up to a multiple of four.
pub(crate) fn projected_width(cell: &Cell) -> usize {
    padded(cell.units * cell.lanes().len())
}

/// Four values of a row of `projected`, or of a kernel whose columns are those: the lanes of the units, one unit after the other.
pub(crate) fn by_lane(cell: &Cell, vector: usize, value: impl Fn(usize, usize) -> f32) -> [f32; 4] {
    let lanes = cell.lanes().len();
    std::array::from_fn(|part| value((vector * 4 + part) % lanes, (vector * 4 + part) / lanes))
}

/// The units of a size class: texts are made for so many, and the recurrent kernel has so many rows and columns. What is past the units of the
/// cell is zero, so that no text has to ask where they end. A cell with an obstacle has no such texts.
pub(crate) fn class_of(cell: &Cell) -> usize {
    let step = match cell.units {
        0..=16 => 4,
        17..=128 => 16,
        129..=512 => 32,
        _ => 64,
    };
    match cell.obstacle() {
        None => cell.units.next_multiple_of(step),
        Some(_) => cell.units,
    }
}

/// How many values [`recurrent_weights`] are.
pub(crate) fn recurrent_values(cell: &Cell, first_k: usize, width: usize) -> usize {
    let rows = (cell.output + width - cell.units).saturating_sub(first_k) + usize::from(cell.has_unit_parameters());
    let projection = if cell.has_projection() { padded(cell.output) } else { 0 };
    width * (rows * cell.lanes().len() + projection)
}

/// The weights by which a cell multiplies its state, `[k][unit]` by lane, from row `first_k` on, with zeros up to `width` units in both directions.
/// Behind them, where the cell has such: the weights of its units, one more row; and the projection, `[unit][column]` with columns up to a multiple of four.
pub(crate) fn recurrent_weights(planned: &PlannedCell, first_k: usize, width: usize) -> Vec<f32> {
    let PlannedCell { cell, weights } = planned;
    let lanes = cell.lanes().len();
    let mut packed = Vec::with_capacity(recurrent_values(cell, first_k, width));
    let past = (width - cell.units) * lanes;
    for k in first_k..cell.output {
        for unit in 0..cell.units {
            packed.extend((0..lanes).map(|lane| cell.recurrent_lane(weights, k, lane, unit)));
        }
        packed.resize(packed.len() + past, 0.0);
    }
    packed.resize(packed.len() + (width - cell.units) * width * lanes, 0.0);
    if cell.has_unit_parameters() {
        let parameters = (0..cell.units).map(|unit| cell.unit_parameters(weights, unit));
        packed.extend(parameters.flat_map(|parameters| parameters.into_iter().take(lanes)));
        packed.resize(packed.len() + past, 0.0);
    }
    if let Some(projection) = &weights.projection {
        for row in projection.outer_iter() {
            let columns = 0..padded(cell.output);
            packed.extend(columns.map(|column| row.get(column).copied().unwrap_or(0.0)));
        }
    }
    packed
}

/// The cells of a recurrence with the weights that they run with, and the form that these are kept in: one for all, for
/// they share a buffer.
pub(crate) fn prepared<'a>(
    gpu: &Gpu,
    cells: &[&'a PlannedCell],
    precision: Precision,
) -> (Vec<Cow<'a, PlannedCell>>, Form) {
    let rounded = |cell: &'a PlannedCell| match precision {
        Precision::Full => None,
        Precision::Relaxed => cell.weights.rounded(),
    };
    let cells: Vec<Cow<'a, PlannedCell>> = cells
        .iter()
        .map(|&cell| match rounded(cell) {
            Some(weights) => Cow::Owned(PlannedCell {
                weights,
                cell: cell.cell.clone(),
            }),
            None => Cow::Borrowed(cell),
        })
        .collect();
    // what is borrowed has not been rounded; and halves are read four at a time, and by no shader that reads other weights too
    let plain = |cell: &Cell| cell.obstacle().is_none() && !cell.has_unit_parameters() && cell.lanes().len() == 4;
    let halves =
        |cell: &Cow<'_, PlannedCell>| matches!(cell, Cow::Owned(_)) && plain(&cell.cell) && scales(&cell.weights);
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
            let packed = Form::Half.packed(&[weight, 0.0, 0.0, -weight]).into_owned();
            let stored = [&packed[..2], &packed[6..]].map(|bytes| u16::from_ne_bytes([bytes[0], bytes[1]]));
            assert_eq!(stored.map(from_half_bits), [weight * SCALE, -weight * SCALE]);
            assert!(weight == 0.0 || stored[0] & 0x7c00 != 0, "{weight} is no normal number");
        }
        assert!(Form::Half.text(4).contains("const SCALE = 1024.0;") && SCALE == 1024.0);
    }
}
