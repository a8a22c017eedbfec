//! The LSTM: lanes i f g o, and c beside h.

use super::rule::{Rule, Units, activate};
use crate::activation::Activation;
use crate::cell::lstm::LstmOptions;
use crate::cpu::product::activation::{sigmoid, tanh};
use crate::cpu::product::simd::Simd;

/// ```text
/// i = recurrent_activation(lane i + p_i * c)
/// f = recurrent_activation(lane f + p_f * c), or 1 - i
/// g =           activation(lane g)
/// c' = f * c + i * g
/// o = recurrent_activation(lane o + p_o * c')
/// h = o * output_activation(c')
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lstm(pub(super) LstmOptions);

impl Rule for Lstm {
    #[inline(always)]
    fn finish<S: Simd>(&self, simd: S, units: Units<'_>) {
        if self.is_usual() {
            usual(simd, units);
        } else {
            self.finish_by_activation(units);
        }
    }

    #[inline(never)]
    fn finish_by_activation(&self, units: Units<'_>) {
        let Units {
            lanes,
            parameters,
            cell_state,
            next,
            ..
        } = units;
        let LstmOptions {
            activation,
            recurrent_activation,
            output_activation,
            clip,
            input_forget,
            ..
        } = self.0;
        let width = lanes.len() / 4;
        let peephole = |number: usize| parameters.get(number * width..(number + 1) * width).unwrap_or_default();
        let (input_forget_lanes, rest) = lanes.split_at_mut(2 * width);
        let (input, forget) = input_forget_lanes.split_at_mut(width);
        let (candidate, output) = rest.split_at_mut(width);
        peep(input, peephole(0), cell_state);
        activate(recurrent_activation, clip, input);
        if input_forget {
            forget.iter_mut().zip(&*input).for_each(|(to, input)| *to = 1.0 - input);
        } else {
            peep(forget, peephole(1), cell_state);
            activate(recurrent_activation, clip, forget);
        }
        activate(activation, clip, candidate);
        let products = input
            .iter()
            .zip(&*candidate)
            .map(|(input, candidate)| input * candidate);
        for ((cell, forget), product) in cell_state.iter_mut().zip(forget).zip(products) {
            *cell = *forget * *cell + product;
        }
        peep(output, peephole(2), cell_state);
        activate(recurrent_activation, clip, output);
        // the lanes are done with: the place of one takes output_activation(c)
        candidate
            .iter_mut()
            .zip(&*cell_state)
            .for_each(|(to, &cell)| *to = cell);
        activate(output_activation, None, candidate);
        for ((next, output), activated) in next.iter_mut().zip(output).zip(candidate) {
            *next = *output * *activated;
        }
    }
}

impl Lstm {
    #[inline(always)]
    fn is_usual(&self) -> bool {
        let options = &self.0;
        options.activations() == [Activation::Tanh, Activation::Sigmoid, Activation::Tanh]
            && !options.peepholes
            && !options.input_forget
            && options.clip.is_none()
    }
}

/// `lane += peephole * cell_state`
fn peep(lane: &mut [f32], peephole: &[f32], cell_state: &[f32]) {
    let products = peephole.iter().zip(cell_state).map(|(peephole, cell)| peephole * cell);
    lane.iter_mut()
        .zip(products)
        .for_each(|(lane, product)| *lane += product);
}

#[inline(always)]
fn usual<S: Simd>(simd: S, units: Units<'_>) {
    let Units {
        lanes,
        cell_state,
        next,
        ..
    } = units;
    let lane = |lane: usize| simd.load(lanes.get(lane * S::WIDTH..).unwrap_or_default());
    let input = sigmoid(simd, lane(0));
    let forget = sigmoid(simd, lane(1));
    let candidate = tanh(simd, lane(2));
    let output = sigmoid(simd, lane(3));
    let cell = simd.mul_add(forget, simd.load(cell_state), simd.mul(input, candidate));
    simd.store(cell, cell_state);
    simd.store(simd.mul(output, tanh(simd, cell)), next);
}
