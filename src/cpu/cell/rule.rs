//! How a cell finishes units from their lanes.

use crate::activation::Activation;
use crate::cpu::product::simd::Simd;

/// How units are finished from their lanes. They are those of one row and one panel, and S::WIDTH in number, or all units of a
/// row.
pub(crate) trait Rule {
    /// With the activations that are usual, by vectors; with others by [`Rule::finish_by_activation`].
    fn finish<S: Simd>(&self, simd: S, units: Units<'_>);

    /// With any activations, for any number of units.
    fn finish_by_activation(&self, units: Units<'_>);

    /// r * h into `product`, for a rule whose lanes multiply this.
    fn reset(&self, _lanes: &[f32], _hidden: &[f32], _product: &mut [f32]) {}
}

/// Some units of one row.
#[derive(Debug)]
pub(crate) struct Units<'a> {
    /// The sums, `[lane][unit]`; the rule may write there.
    pub(crate) lanes: &'a mut [f32],
    /// `[parameter][unit]`.
    pub(crate) parameters: &'a [f32],
    /// h before the step; may have too few numbers in the last panel.
    pub(crate) hidden: &'a [f32],
    /// The cell state, which becomes that after the step; empty for a cell without one.
    pub(crate) cell_state: &'a mut [f32],
    /// h after the step; may have too few numbers in the last panel.
    pub(crate) next: &'a mut [f32],
}

/// Something to do with a rule and the number of its lanes.
pub(crate) trait WithRule {
    fn run<R: Rule, const L: usize>(self, rule: &R);
}

/// `values` become `activation(values)` of one row, each first cut off at `±clip`.
pub(super) fn activate(activation: Activation, clip: Option<f32>, values: &mut [f32]) {
    if let Some(clip) = clip {
        values.iter_mut().for_each(|value| *value = value.clamp(-clip, clip)); // NaN stays
    }
    let width = values.len();
    activation.apply(values, width);
}
