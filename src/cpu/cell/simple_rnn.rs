//! The SimpleRNN: one lane.

use super::rule::{Back, BackwardRule, Rule, Units, activate, parts, pull_back};
use crate::activation::Activation;
use crate::cell::simple_rnn::SimpleRnnOptions;
use crate::cpu::product::activation::tanh;
use crate::cpu::product::simd::Simd;

/// `h' = activation(lane)`
#[derive(Clone, Copy, Debug)]
pub(crate) struct SimpleRnn(pub(super) SimpleRnnOptions);

impl Rule for SimpleRnn {
    #[inline(always)]
    fn finish<S: Simd>(&self, simd: S, units: Units<'_>) {
        if self.0.activation == Activation::Tanh && self.0.clip.is_none() {
            simd.store(tanh(simd, simd.load(units.lanes)), units.next);
        } else {
            self.finish_by_activation(units);
        }
    }

    #[inline(never)]
    fn finish_by_activation(&self, units: Units<'_>) {
        activate(self.0.activation, self.0.clip, units.lanes);
        let values = units.next.iter_mut().zip(units.lanes);
        values.for_each(|(next, lane)| *next = *lane);
    }
}

/// `∂lane = activation'(lane) · ∂h'`
impl BackwardRule for SimpleRnn {
    fn back<S: Simd>(&self, _: S, row: Back<'_>) {
        let Back {
            lanes,
            gradients,
            hidden_gradients,
            scratch,
            ..
        } = row;
        let [own, clipped] = parts(scratch, lanes.len());
        own.iter_mut().zip(gradients).for_each(|(to, &from)| *to = from);
        pull_back(self.0.activation, self.0.clip, lanes, own, clipped);
        lanes.copy_from_slice(own);
        hidden_gradients.fill(0.0);
    }
}
