//! The GRU: lanes z r n, and with `reset_after` one more for what h gives to n.

use super::rule::{Back, BackwardRule, Rule, Units, activate, activated, parts, pull_back};
use crate::activation::Activation;
use crate::cell::gru::GruOptions;
use crate::cpu::product::activation::{sigmoid, tanh};
use crate::cpu::product::simd::Simd;

/// ```text
/// z, r = recurrent_activation(lanes)
/// n    =           activation(lane n + r * lane of h), or of (lane n), which then has r * h multiplied
/// h'   = z * h + (1 - z) * n
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gru(pub(super) GruOptions);

impl Rule for Gru {
    #[inline(always)]
    fn finish<S: Simd>(&self, simd: S, units: Units<'_>) {
        let usual = (Activation::Tanh, Activation::Sigmoid);
        let options = &self.0;
        let is_usual = (options.activation, options.recurrent_activation) == usual;
        let of_hidden = units.lanes.get(3 * S::WIDTH..4 * S::WIDTH).unwrap_or_default();
        let is_number = of_hidden.iter().fold(true, |all, lane| all & !lane.is_nan());
        if is_usual && options.reset_after && options.clip.is_none() && is_number {
            self::usual(simd, units);
        } else {
            self.finish_by_activation(units);
        }
    }

    #[inline(never)]
    fn finish_by_activation(&self, units: Units<'_>) {
        let Units {
            lanes, hidden, next, ..
        } = units;
        let options = &self.0;
        let width = lanes.len() / 4;
        let (gates, rest) = lanes.split_at_mut(2 * width);
        let (update, reset) = gates.split_at_mut(width);
        let (candidate, of_hidden) = rest.split_at_mut(width);
        activate(options.recurrent_activation, options.clip, update);
        if options.reset_after {
            activate(options.recurrent_activation, options.clip, reset);
            // where x is infinite the lane of h has 0 * x, which is no number; in Keras h alone is there, and adds nothing
            for ((candidate, reset), of_hidden) in candidate.iter_mut().zip(reset).zip(of_hidden) {
                if !candidate.is_infinite() {
                    *candidate += *reset * *of_hidden;
                }
            }
        }
        activate(options.activation, options.clip, candidate);
        let values = update.iter().zip(candidate).zip(hidden);
        for (next, ((update, candidate), hidden)) in next.iter_mut().zip(values) {
            *next = update * hidden + (1.0 - update) * *candidate;
        }
    }

    fn reset(&self, lanes: &[f32], hidden: &[f32], product: &mut [f32]) {
        let width = lanes.len() / 4;
        let reset = lanes.get(width..2 * width).unwrap_or_default();
        product.iter_mut().zip(reset).for_each(|(to, &lane)| *to = lane);
        activate(self.0.recurrent_activation, self.0.clip, product);
        product.iter_mut().zip(hidden).for_each(|(to, hidden)| *to *= hidden);
    }
}

#[inline(always)]
fn usual<S: Simd>(simd: S, units: Units<'_>) {
    let Units {
        lanes, hidden, next, ..
    } = units;
    let lane = |lane: usize| simd.load(lanes.get(lane * S::WIDTH..).unwrap_or_default());
    let update = sigmoid(simd, lane(0));
    let reset = sigmoid(simd, lane(1));
    let candidate = tanh(simd, simd.mul_add(reset, lane(3), lane(2)));
    let of_candidate = simd.mul(simd.sub(simd.splat(1.0), update), candidate);
    simd.store(simd.mul_add(update, simd.load(hidden), of_candidate), next);
}

/// ```text
/// ∂n = (1 - z) ∂h'         ∂z = (h - n) ∂h'       h has z ∂h' directly
/// ∂(lane n) = activation'(...) ∂n
/// with reset_after:    ∂(lane of h) = r ∂(lane n)     ∂r = lane of h · ∂(lane n)
/// without:             ∂(r * h) is a product of ∂(lane n)     ∂r = h ∂(r * h), and h has r ∂(r * h) directly
/// ```
impl BackwardRule for Gru {
    fn back<S: Simd>(&self, _: S, row: Back<'_>) {
        let Back {
            lanes,
            hidden_before,
            gradients,
            hidden_gradients,
            scratch,
            ..
        } = row;
        let options = &self.0;
        let width = lanes.len() / 4;
        let [update, reset, candidate, sum, of_update, of_reset, clipped] = parts(scratch, width);
        let [lane_update, lane_reset, lane_candidate, lane_hidden] = parts(lanes, width);
        activated(options.recurrent_activation, options.clip, lane_update, update);
        sum.copy_from_slice(lane_candidate);
        if options.reset_after {
            activated(options.recurrent_activation, options.clip, lane_reset, reset);
            for ((sum, reset), of_hidden) in sum.iter_mut().zip(&*reset).zip(&*lane_hidden) {
                *sum += reset * of_hidden;
            }
        }
        activated(options.activation, options.clip, sum, candidate);
        let values = update
            .iter()
            .zip(candidate.iter_mut())
            .zip(hidden_before)
            .zip(gradients);
        for ((((update, candidate), before), gradient), (of_update, direct)) in
            values.zip(of_update.iter_mut().zip(hidden_gradients))
        {
            *of_update = gradient * (before - *candidate);
            *candidate = gradient * (1.0 - update);
            *direct = gradient * update;
        }
        pull_back(options.activation, options.clip, sum, candidate, clipped);
        if options.reset_after {
            let values = candidate.iter().zip(&*lane_hidden);
            of_reset
                .iter_mut()
                .zip(values)
                .for_each(|(to, (gradient, of_hidden))| *to = gradient * of_hidden);
            self.gate_back(lane_reset, of_reset, clipped);
            let values = candidate.iter().zip(&*reset);
            lane_hidden
                .iter_mut()
                .zip(values)
                .for_each(|(to, (gradient, reset))| *to = gradient * reset);
        }
        self.gate_back(lane_update, of_update, clipped);
        lane_candidate.copy_from_slice(candidate);
    }

    fn back_of_reset(
        &self,
        lanes: &mut [f32],
        hidden: &[f32],
        product: &[f32],
        hidden_gradients: &mut [f32],
        scratch: &mut [f32],
    ) {
        let width = lanes.len() / 4;
        let [reset, of_reset, clipped] = parts(scratch, width);
        let [_, lane_reset] = parts(lanes, width);
        activated(self.0.recurrent_activation, self.0.clip, lane_reset, reset);
        for ((direct, reset), product) in hidden_gradients.iter_mut().zip(reset).zip(product) {
            *direct += *reset * product;
        }
        let values = hidden.iter().zip(product);
        of_reset
            .iter_mut()
            .zip(values)
            .for_each(|(to, (hidden, product))| *to = hidden * product);
        self.gate_back(lane_reset, of_reset, clipped);
    }
}

impl Gru {
    /// The gradients of a gate become those of its lane.
    fn gate_back(&self, lane: &mut [f32], gradients: &mut [f32], scratch: &mut [f32]) {
        pull_back(self.0.recurrent_activation, self.0.clip, lane, gradients, scratch);
        lane.copy_from_slice(gradients);
    }
}
