//! The rows of one step on the way back, by the vectors of a path and the rule of a cell.

use super::prepared::Recurrence;
use crate::cpu::cell::rule::{Back, BackwardRule, Rule, WithRule};
use crate::cpu::product::path::Path;
use crate::cpu::product::rows::row_of;
use crate::cpu::product::simd::{self, Simd};
use crate::cpu::threads::hand::Hand;

/// Something to do with vectors and a rule.
pub(super) trait VectorWork {
    fn run<S: Simd, R: BackwardRule>(self, simd: S, rule: &R);
}

pub(super) struct OnPath<W> {
    pub(super) path: Path,
    pub(super) work: W,
}

impl<W: VectorWork> WithRule for OnPath<W> {
    fn run<R: Rule, const L: usize>(self, rule: &R) {
        self.path.run(ByRule { work: self.work, rule });
    }
}

struct ByRule<'r, W, R> {
    work: W,
    rule: &'r R,
}

impl<W: VectorWork, R: BackwardRule> simd::Work for ByRule<'_, W, R> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.work.run(simd, self.rule);
    }
}

/// The rows of one step of a hand, on the way back.
pub(super) struct StepRows<'s, 'h> {
    pub(super) recurrence: &'s Recurrence,
    pub(super) hand: Hand<'s>,
    pub(super) step: usize,
    /// Where its rows begin in the block.
    pub(super) first: usize,
    /// Those of the block.
    pub(super) cell_states: &'s [f32],
    /// h before a row of the step.
    pub(super) before: &'s dyn Fn(usize) -> &'h [f32],
    /// The gradients of h, before a projection.
    pub(super) given: &'s [f32],
    /// From the first row of the step on, as all of these: what was left there becomes the gradients of the lanes.
    pub(super) lanes: &'s mut [f32],
    pub(super) cell_gradients: &'s mut [f32],
    pub(super) hidden_gradients: &'s mut [f32],
    pub(super) scratch: &'s mut [f32],
}

impl StepRows<'_, '_> {
    pub(super) fn back(self) {
        let recurrence = self.recurrence;
        recurrence.rule.with(OnPath {
            path: recurrence.path,
            work: self,
        });
    }
}

impl VectorWork for StepRows<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, R: BackwardRule>(self, simd: S, rule: &R) {
        let (recurrence, first) = (self.recurrence, self.first);
        let (stride, units, output) = (recurrence.stride(), recurrence.cell.units, recurrence.cell.output);
        let initial = self.hand.active(0);
        let (cell_before, cell_after) = match self.step {
            0 => (0, initial),
            step => (initial + first - self.hand.active(step - 1), initial + first),
        };
        let mut cell_gradients = self.cell_gradients.chunks_exact_mut(units.max(1));
        let rows = self
            .lanes
            .chunks_exact_mut(stride.max(1))
            .take(self.hand.active(self.step));
        let rows = rows.zip(self.hidden_gradients.chunks_exact_mut(output.max(1)));
        for (row, (lanes, hidden_gradients)) in rows.enumerate() {
            let back = Back {
                lanes,
                parameters: &recurrence.parameters,
                hidden_before: (self.before)(row),
                cell_before: row_of(self.cell_states, units, cell_before + row),
                cell_after: row_of(self.cell_states, units, cell_after + row),
                gradients: row_of(self.given, units, row),
                cell_gradients: cell_gradients.next().unwrap_or_default(),
                hidden_gradients,
                scratch: &mut *self.scratch,
            };
            rule.back(simd, back);
        }
    }
}
