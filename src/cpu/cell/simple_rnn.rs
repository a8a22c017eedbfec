//! The SimpleRNN: one lane.

use super::rule::{Rule, Units, activate};
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
