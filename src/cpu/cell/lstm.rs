//! The LSTM: lanes i f g o, and c beside h.

use super::{Rule, Units};
use crate::activation::Activation;
use crate::cpu::product::activation::{sigmoid, tanh};
use crate::cpu::product::simd::Simd;

/// ```text
/// i, f, o = recurrent_activation(lanes)
/// g       =           activation(lane)
/// c = f * c + i * g
/// h = o * activation(c)
/// ```
#[derive(Debug)]
pub(crate) struct Lstm {
    pub(crate) activation: Activation,
    pub(crate) recurrent_activation: Activation,
}

impl Rule for Lstm {
    #[inline(always)]
    fn finish<S: Simd>(&self, simd: S, units: Units<'_>) {
        if (self.activation, self.recurrent_activation) == (Activation::Tanh, Activation::Sigmoid) {
            usual(simd, units);
        } else {
            self.by_activations(S::WIDTH, units);
        }
    }
}

#[inline(always)]
fn usual<S: Simd>(simd: S, units: Units<'_>) {
    let Units { lanes, state, next } = units;
    let lane = |lane: usize| simd.load(lanes.get(lane * S::WIDTH..).unwrap_or_default());
    let input = sigmoid(simd, lane(0));
    let forget = sigmoid(simd, lane(1));
    let candidate = tanh(simd, lane(2));
    let output = sigmoid(simd, lane(3));
    let cell = simd.mul_add(forget, simd.load(state), simd.mul(input, candidate));
    simd.store(cell, state);
    simd.store(simd.mul(output, tanh(simd, cell)), next);
}

impl Lstm {
    /// The same by any two activations.
    #[inline(never)]
    fn by_activations(&self, width: usize, units: Units<'_>) {
        let Units { lanes, state, next } = units;
        let (input_forget, rest) = lanes.split_at_mut(2 * width);
        let (candidate, output) = rest.split_at_mut(width);
        self.recurrent_activation.apply(input_forget, width);
        self.activation.apply(candidate, width);
        self.recurrent_activation.apply(output, width);
        let (input, forget) = input_forget.split_at(width);
        let products = input
            .iter()
            .zip(candidate.iter())
            .map(|(input, candidate)| input * candidate);
        for ((cell, forget), product) in state.iter_mut().zip(forget).zip(products) {
            *cell = forget * *cell + product;
        }
        // the lanes are done with: their place takes activation(c)
        candidate.copy_from_slice(state);
        self.activation.apply(candidate, width);
        for ((next, output), activated) in next.iter_mut().zip(output).zip(candidate) {
            *next = *output * *activated;
        }
    }
}
