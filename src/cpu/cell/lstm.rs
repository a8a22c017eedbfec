//! The LSTM: lanes i f g o, and c beside h.

use super::rule::{Back, BackwardRule, Rule, Scan, Units, activate, activated, parts, pull_back};
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

    /// i f g o, if the activations are the usual ones.
    #[inline(always)]
    fn leaves(&self) -> bool {
        self.is_usual()
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
        keeps,
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
    if keeps {
        let gates = [input, forget, candidate, output];
        for (gate, to) in gates.into_iter().zip(lanes.chunks_exact_mut(S::WIDTH)) {
            simd.store(gate, to);
        }
    }
}

/// ```text
/// ∂o  = e(c') ∂h                          e = output_activation
/// ∂c' += o e'(c') ∂h + p_o ∂(lane o)
/// ∂i  = g ∂c'     ∂f = c ∂c'     ∂g = i ∂c'        with input_forget ∂i has −∂f besides, and f has none
/// ∂c  = f ∂c' + p_i ∂(lane i) + p_f ∂(lane f)
/// ```
impl BackwardRule for Lstm {
    #[inline(always)]
    fn scan<S: Simd>(&self, simd: S, row: Scan<'_>) {
        if self.is_usual() {
            usual_scan(simd, row);
        } else {
            self.scan_by_activation(row);
        }
    }

    #[inline(always)]
    fn back<S: Simd>(&self, simd: S, row: Back<'_>) {
        if self.is_usual() {
            usual_back(simd, row);
        } else {
            self.back_by_activation(row);
        }
    }
}

impl Lstm {
    /// Leaves what goes into the activations in the lanes.
    #[inline(never)]
    fn scan_by_activation(&self, row: Scan<'_>) {
        let Scan {
            lanes,
            parameters,
            cell_before,
            cell_after,
            unprojected,
            scratch,
        } = row;
        let width = cell_after.len();
        let peephole = |number: usize| parameters.get(number * width..(number + 1) * width).unwrap_or_default();
        let [lane_input, lane_forget, lane_candidate, lane_output] = parts(lanes, width);
        let [input, forget, candidate, output] = parts(scratch, width);
        peep(lane_input, peephole(0), cell_before);
        peep(lane_forget, peephole(1), cell_before);
        self.gates(
            [lane_input, lane_forget, lane_candidate],
            [&mut *input, &mut *forget, &mut *candidate],
        );
        let values = input.iter().zip(&*candidate).zip(forget.iter().zip(cell_before));
        for (after, ((input, candidate), (forget, before))) in cell_after.iter_mut().zip(values) {
            *after = forget * before + input * candidate;
        }
        peep(lane_output, peephole(2), cell_after);
        if !unprojected.is_empty() {
            activated(self.0.recurrent_activation, self.0.clip, lane_output, output);
            activated(self.0.output_activation, None, cell_after, unprojected);
            unprojected
                .iter_mut()
                .zip(output)
                .for_each(|(to, output)| *to *= *output);
        }
    }

    /// i, f and g of their lanes.
    fn gates(&self, lanes: [&[f32]; 3], values: [&mut [f32]; 3]) {
        let LstmOptions {
            activation,
            recurrent_activation,
            clip,
            input_forget,
            ..
        } = self.0;
        let [lane_input, lane_forget, lane_candidate] = lanes;
        let [input, forget, candidate] = values;
        activated(recurrent_activation, clip, lane_input, input);
        if input_forget {
            forget.iter_mut().zip(&*input).for_each(|(to, input)| *to = 1.0 - input);
        } else {
            activated(recurrent_activation, clip, lane_forget, forget);
        }
        activated(activation, clip, lane_candidate, candidate);
    }

    #[inline(never)]
    fn back_by_activation(&self, row: Back<'_>) {
        let Back {
            lanes,
            parameters,
            cell_before,
            cell_after,
            gradients,
            cell_gradients,
            hidden_gradients,
            scratch,
            ..
        } = row;
        let (options, width) = (&self.0, cell_after.len());
        let peephole = |number: usize| parameters.get(number * width..(number + 1) * width).unwrap_or_default();
        let [lane_input, lane_forget, lane_candidate, lane_output] = parts(lanes, width);
        let [input, forget, candidate, output, shown, of_forget, clipped] = parts(scratch, width);
        let gate = options.recurrent_activation;
        activated(gate, options.clip, lane_output, output);
        activated(options.output_activation, None, cell_after, shown);
        for ((output, shown), gradient) in output.iter_mut().zip(shown.iter_mut()).zip(gradients) {
            (*output, *shown) = (*shown * gradient, *output * gradient);
        }
        options.output_activation.pull_back(cell_after, shown, width);
        cell_gradients.iter_mut().zip(shown).for_each(|(to, from)| *to += *from);
        pull_back(gate, options.clip, lane_output, output, clipped);
        peep(cell_gradients, peephole(2), output);
        lane_output.copy_from_slice(output);
        self.gates(
            [lane_input, lane_forget, lane_candidate],
            [&mut *input, &mut *forget, &mut *candidate],
        );
        let values = cell_gradients
            .iter_mut()
            .zip(cell_before)
            .zip(forget)
            .zip(of_forget.iter_mut());
        for (((((of_cell, before), forget), of_forget), input), candidate) in
            values.zip(input.iter_mut()).zip(candidate.iter_mut())
        {
            let gradient = *of_cell;
            *of_forget = gradient * before;
            *of_cell = gradient * *forget;
            (*input, *candidate) = (*candidate * gradient, *input * gradient);
        }
        if options.input_forget {
            input
                .iter_mut()
                .zip(of_forget.iter_mut())
                .for_each(|(input, forget)| *input -= std::mem::take(forget));
        }
        pull_back(gate, options.clip, lane_input, input, clipped);
        pull_back(gate, options.clip, lane_forget, of_forget, clipped);
        pull_back(options.activation, options.clip, lane_candidate, candidate, clipped);
        peep(cell_gradients, peephole(0), input);
        peep(cell_gradients, peephole(1), of_forget);
        lane_input.copy_from_slice(input);
        lane_forget.copy_from_slice(of_forget);
        lane_candidate.copy_from_slice(candidate);
        hidden_gradients.fill(0.0);
    }
}

/// Leaves i f g o in the lanes.
#[inline(always)]
fn usual_scan<S: Simd>(simd: S, row: Scan<'_>) {
    let Scan {
        lanes,
        cell_before,
        cell_after,
        unprojected,
        ..
    } = row;
    let [inputs, forgets, candidates, outputs] = parts(lanes, cell_after.len());
    for (number, after) in cell_after.chunks_mut(S::WIDTH).enumerate() {
        let begin = number * S::WIDTH;
        let i = sigmoid(simd, load_from(simd, inputs, begin));
        let f = sigmoid(simd, load_from(simd, forgets, begin));
        let g = tanh(simd, load_from(simd, candidates, begin));
        let o = sigmoid(simd, load_from(simd, outputs, begin));
        let cell = simd.mul_add(f, load_from(simd, cell_before, begin), simd.mul(i, g));
        store_from(simd, i, inputs, begin);
        store_from(simd, f, forgets, begin);
        store_from(simd, g, candidates, begin);
        store_from(simd, o, outputs, begin);
        simd.store(cell, after);
        if let Some(unprojected) = unprojected.get_mut(begin..) {
            simd.store(simd.mul(o, tanh(simd, cell)), unprojected);
        }
    }
}

/// From i f g o, by sigmoid' = s (1 − s) and tanh' = 1 − t². (Functions, not closures that an array is mapped by: those are not always
/// inlined.)
#[inline(always)]
fn usual_back<S: Simd>(simd: S, row: Back<'_>) {
    let Back {
        lanes,
        cell_before,
        cell_after,
        gradients,
        cell_gradients,
        hidden_gradients,
        ..
    } = row;
    let [inputs, forgets, candidates, outputs] = parts(lanes, cell_after.len());
    for (number, of_cell) in cell_gradients.chunks_mut(S::WIDTH).enumerate() {
        let begin = number * S::WIDTH;
        let (i, f) = (load_from(simd, inputs, begin), load_from(simd, forgets, begin));
        let (g, o) = (load_from(simd, candidates, begin), load_from(simd, outputs, begin));
        let gradient = load_from(simd, gradients, begin);
        let shown = tanh(simd, load_from(simd, cell_after, begin));
        let cell = through_tanh(simd, shown, simd.mul(o, gradient));
        let cell = simd.add(simd.load(of_cell), cell);
        let before = load_from(simd, cell_before, begin);
        store_from(simd, through_sigmoid(simd, i, simd.mul(cell, g)), inputs, begin);
        store_from(simd, through_sigmoid(simd, f, simd.mul(cell, before)), forgets, begin);
        store_from(simd, through_tanh(simd, g, simd.mul(cell, i)), candidates, begin);
        store_from(
            simd,
            through_sigmoid(simd, o, simd.mul(gradient, shown)),
            outputs,
            begin,
        );
        simd.store(simd.mul(cell, f), of_cell);
    }
    hidden_gradients.fill(0.0);
}

/// The gradient of x where s = sigmoid(x) has this gradient.
#[inline(always)]
fn through_sigmoid<S: Simd>(simd: S, s: S::Vector, gradient: S::Vector) -> S::Vector {
    simd.mul(gradient, simd.mul(s, simd.sub(simd.splat(1.0), s)))
}

/// The gradient of x where t = tanh(x) has this gradient.
#[inline(always)]
fn through_tanh<S: Simd>(simd: S, t: S::Vector, gradient: S::Vector) -> S::Vector {
    simd.mul(gradient, simd.sub(simd.splat(1.0), simd.mul(t, t)))
}

#[inline(always)]
fn load_from<S: Simd>(simd: S, list: &[f32], begin: usize) -> S::Vector {
    simd.load(list.get(begin..).unwrap_or_default())
}

#[inline(always)]
fn store_from<S: Simd>(simd: S, vector: S::Vector, list: &mut [f32], begin: usize) {
    simd.store(vector, list.get_mut(begin..).unwrap_or_default());
}
