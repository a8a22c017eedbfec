//! `recurrent_step` over some panels: the product, and the gates as its epilogue.

use std::ops::Range;

use super::panels::{Format, Panels, Weight};
use super::product::{Begin, Factors, product};
use super::simd::{GATES, MOST_LANES, MOST_ROWS, Simd, Work};
use super::vector_activation::{sigmoid, tanh};
use crate::activation::Activation;

/// The weights of one LSTM as panels, and its activations.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) kernel: Panels,
    pub(super) recurrent_kernel: Panels,
    pub(super) bias: Panels,
    pub(super) activation: Activation,
    pub(super) recurrent_activation: Activation,
}

impl Weights {
    /// How both kernels are kept.
    fn format(&self) -> Format {
        self.recurrent_kernel.format()
    }
}

/// `projected = x · kernel + bias` for some rows and panels: `[row][panel][gate][lane]`.
#[derive(Debug)]
pub(super) struct Projection<'a> {
    pub(super) weights: &'a Weights,
    pub(super) panels: Range<usize>,
    pub(super) x: &'a [&'a [f32]],
    pub(super) projected: &'a mut [f32],
}

impl Work for Projection<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.weights.format() {
            Format::Full => self.run_with::<S, f32>(simd),
            Format::Halves => self.run_with::<S, u16>(simd),
        }
    }
}

impl Projection<'_> {
    #[inline(always)]
    fn run_with<S: Simd, W: Weight>(self, simd: S) {
        let width = GATES * S::LANES;
        let stride = self.panels.len() * width;
        for (place, panel) in self.panels.clone().enumerate() {
            let begin = Begin {
                values: self.weights.bias.panel(panel),
                stride: 0,
            };
            let mut first = 0;
            for x in self.x.chunks(S::ROWS) {
                let x_part = Factors {
                    rows: x,
                    panel: self.weights.kernel.panel::<W>(panel),
                };
                let none = Factors { rows: &[], panel: &[] };
                let sums = self
                    .projected
                    .get_mut(first * stride + place * width..)
                    .unwrap_or_default();
                product(simd, x.len(), begin, [x_part, none], sums, stride);
                first += x.len();
            }
        }
    }
}

/// What the gates of a step begin from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Input<'a> {
    /// The rows of the input, which the step multiplies itself: with many rows at once that costs nothing extra, and the
    /// sums never leave the registers.
    Rows(&'a [&'a [f32]]),
    /// Rows that a [`Projection`] of the same panels has made.
    Projected(&'a [f32]),
}

/// One step of some rows and panels.
///
/// ```text
/// i, f, o = recurrent_activation(x·kernel + bias + h·recurrent_kernel)
/// g       =           activation(x·kernel + bias + h·recurrent_kernel)
/// c = f * c + i * g
/// h = o * activation(c)
/// ```
#[derive(Debug)]
pub(super) struct Step<'a, 'rows> {
    pub(super) weights: &'a Weights,
    pub(super) panels: Range<usize>,
    /// Whether the last panel is the first to run: what the caches still hold of the step before is used first. Always in the
    /// same order, 2 MiB of weights would find nothing in a second cache of 1 MiB that drops what is oldest: a step of one row
    /// took 18.8 µs instead of 13.8. The rest comes from the third cache at what it gives a core, 120 GB/s. Tried on Zen 5
    /// without gain: fetching 1 to 32 KiB ahead by hand, with every hint; keeping some panels in the second cache (the hint
    /// for passing data does not spare it); large pages; two panels side by side; all gates together at the end.
    pub(super) backwards: bool,
    pub(super) input: Input<'a>,
    /// h before the step, of all units.
    pub(super) hidden: &'a [&'a [f32]],
    /// c, `[row][panel][lane]`.
    pub(super) cell: &'a mut [f32],
    /// h after the step, of the units of the panels.
    pub(super) next: &'a mut [&'rows mut [f32]],
}

impl Work for Step<'_, '_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.weights.format() {
            Format::Full => self.run_with::<S, f32>(simd),
            Format::Halves => self.run_with::<S, u16>(simd),
        }
    }
}

impl Step<'_, '_> {
    #[inline(always)]
    fn run_with<S: Simd, W: Weight>(self, simd: S) {
        let (from, count, lanes) = (self.panels.start, self.panels.len(), S::LANES);
        let width = GATES * lanes;
        let mut sums = [0.0; MOST_ROWS * GATES * MOST_LANES];
        for number in 0..count {
            let place = if self.backwards { count - 1 - number } else { number };
            let panel = from + place;
            let mut first = 0;
            for hidden in self.hidden.chunks(S::ROWS) {
                let (begin, x) = match self.input {
                    Input::Rows(x) => (
                        Begin {
                            values: self.weights.bias.panel(panel),
                            stride: 0,
                        },
                        x.get(first..first + hidden.len()).unwrap_or_default(),
                    ),
                    Input::Projected(projected) => (
                        Begin {
                            values: projected.get((first * count + place) * width..).unwrap_or_default(),
                            stride: count * width,
                        },
                        Default::default(),
                    ),
                };
                let x = Factors {
                    rows: x,
                    panel: self.weights.kernel.panel::<W>(panel),
                };
                let recurrent = Factors {
                    rows: hidden,
                    panel: self.weights.recurrent_kernel.panel(panel),
                };
                product(simd, hidden.len(), begin, [x, recurrent], &mut sums, width);
                let rows = sums.chunks_exact_mut(width).take(hidden.len()).enumerate();
                for (row, gates) in rows {
                    let cell = (first + row) * count * lanes + place * lanes;
                    let cell = self.cell.get_mut(cell..cell + lanes).unwrap_or_default();
                    let next = self.next.get_mut(first + row).map(|row| &mut **row).unwrap_or_default();
                    let next = next.get_mut(place * lanes..).unwrap_or_default();
                    let usual = (Activation::Tanh, Activation::Sigmoid);
                    if (self.weights.activation, self.weights.recurrent_activation) == usual {
                        update(simd, gates, cell, next);
                    } else {
                        update_by(self.weights, lanes, gates, cell, next);
                    }
                }
                first += hidden.len();
            }
        }
    }
}

/// The gates of one row and one panel, and its new c and h.
#[inline(always)]
fn update<S: Simd>(simd: S, gates: &[f32], cell: &mut [f32], next: &mut [f32]) {
    let gate = |gate: usize| simd.load(gates.get(gate * S::LANES..).unwrap_or_default());
    let input = sigmoid(simd, gate(0));
    let forget = sigmoid(simd, gate(1));
    let candidate = tanh(simd, gate(2));
    let output = sigmoid(simd, gate(3));
    let cell_state = simd.mul_add(forget, simd.load(cell), simd.mul(input, candidate));
    simd.store(cell_state, cell);
    simd.store(simd.mul(output, tanh(simd, cell_state)), next);
}

/// The same by any two activations.
#[inline(never)]
fn update_by(weights: &Weights, lanes: usize, gates: &mut [f32], cell: &mut [f32], next: &mut [f32]) {
    let (input_forget, rest) = gates.split_at_mut(2 * lanes);
    let (candidate, output) = rest.split_at_mut(lanes);
    weights.recurrent_activation.apply(input_forget, lanes);
    weights.activation.apply(candidate, lanes);
    weights.recurrent_activation.apply(output, lanes);
    let (input, forget) = input_forget.split_at(lanes);
    let products = input
        .iter()
        .zip(candidate.iter())
        .map(|(input, candidate)| input * candidate);
    for ((cell, forget), product) in cell.iter_mut().zip(forget).zip(products) {
        *cell = forget * *cell + product;
    }
    // the gates are done with: their place takes activation(c)
    candidate.copy_from_slice(cell);
    weights.activation.apply(candidate, lanes);
    for ((next, output), activated) in next.iter_mut().zip(output).zip(candidate) {
        *next = *output * *activated;
    }
}
