//! How a cell finishes units from their lanes.

use crate::activation::Activation;
use crate::cpu::product::simd::Simd;

/// How units are finished from their lanes. They are those of one row and one panel, and S::WIDTH in number, or all units of a
/// row.
pub(crate) trait Rule: BackwardRule {
    /// With the activations that are usual, by vectors; with others by [`Rule::finish_by_activation`].
    fn finish<S: Simd>(&self, simd: S, units: Units<'_>);

    /// Whether units that are finished for a training leave in their lanes what [`BackwardRule::scan`] would; else their sums are kept,
    /// and the scan comes later.
    fn leaves(&self) -> bool {
        false
    }

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
    /// Whether the rule has to leave in the lanes what [`Rule::leaves`] says.
    pub(crate) keeps: bool,
}

/// How a cell goes back through a row. All lanes of all rows are there; [`BackwardRule::scan`] goes over them in the order of time,
/// [`BackwardRule::back`] the other way round.
pub(crate) trait BackwardRule {
    /// Leaves in the lanes what [`BackwardRule::back`] wants there, and makes the cell state after the row.
    fn scan<S: Simd>(&self, _simd: S, _row: Scan<'_>) {}

    /// From the gradients of the new state to those of the lanes and of the state before.
    fn back<S: Simd>(&self, simd: S, row: Back<'_>);

    /// What is left of [`BackwardRule::back`] for a rule whose lanes multiply r * h, whose gradient is `product`: the lane of r, and what h has
    /// directly of it.
    fn back_of_reset(
        &self,
        _lanes: &mut [f32],
        _hidden: &[f32],
        _product: &[f32],
        _hidden_gradients: &mut [f32],
        _scratch: &mut [f32],
    ) {
    }
}

/// All units of one row, on the way forward.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    /// The sums, `[lane][unit]`.
    pub(crate) lanes: &'a mut [f32],
    /// `[parameter][unit]`
    pub(crate) parameters: &'a [f32],
    pub(crate) cell_before: &'a [f32],
    /// To be made.
    pub(crate) cell_after: &'a mut [f32],
    /// To be made: the hidden state before a projection; empty where there is none.
    pub(crate) unprojected: &'a mut [f32],
    /// [`SCRATCH`] numbers for each unit.
    pub(crate) scratch: &'a mut [f32],
}

/// All units of one row, on the way back.
#[derive(Debug)]
pub(crate) struct Back<'a> {
    /// What [`BackwardRule::scan`] has left; become the gradients of the lanes.
    pub(crate) lanes: &'a mut [f32],
    /// `[parameter][unit]`
    pub(crate) parameters: &'a [f32],
    pub(crate) hidden_before: &'a [f32],
    pub(crate) cell_before: &'a [f32],
    pub(crate) cell_after: &'a [f32],
    /// Of the hidden state after the row, before a projection.
    pub(crate) gradients: &'a [f32],
    /// Of the cell state after the row; become those of the cell state before.
    pub(crate) cell_gradients: &'a mut [f32],
    /// To be set: of the hidden state before the row, but for what the lanes have of it.
    pub(crate) hidden_gradients: &'a mut [f32],
    /// [`SCRATCH`] numbers for each unit.
    pub(crate) scratch: &'a mut [f32],
}

/// How many numbers a rule may note for each unit of a row.
pub(crate) const SCRATCH: usize = 8;

/// A list in parts of `width` numbers; what is missing is empty.
pub(super) fn parts<const N: usize>(list: &mut [f32], width: usize) -> [&mut [f32]; N] {
    let mut rest = list;
    std::array::from_fn(|_| {
        let (part, behind) = std::mem::take(&mut rest)
            .split_at_mut_checked(width)
            .unwrap_or_default();
        rest = behind;
        part
    })
}

/// `values = activation(lanes)`, each lane first cut off at `±clip`.
pub(super) fn activated(activation: Activation, clip: Option<f32>, lanes: &[f32], values: &mut [f32]) {
    values.iter_mut().zip(lanes).for_each(|(to, &lane)| *to = lane);
    activate(activation, clip, values);
}

/// From the gradients of `activation(lanes)` to those of the lanes. What is cut off has none.
pub(super) fn pull_back(
    activation: Activation,
    clip: Option<f32>,
    lanes: &[f32],
    gradients: &mut [f32],
    scratch: &mut [f32],
) {
    let width = lanes.len();
    let Some(clip) = clip else {
        return activation.pull_back(lanes, gradients, width);
    };
    let scratch = scratch.get_mut(..width).unwrap_or_default();
    scratch
        .iter_mut()
        .zip(lanes)
        .for_each(|(to, lane)| *to = lane.clamp(-clip, clip));
    activation.pull_back(scratch, gradients, width);
    for (gradient, lane) in gradients.iter_mut().zip(lanes) {
        if lane.abs() > clip {
            *gradient = 0.0;
        }
    }
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
