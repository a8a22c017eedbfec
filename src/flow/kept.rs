//! The flows of the last runs, kept for the next run of the same batch.

use std::sync::Arc;

use ndarray::{Array2, ArrayView2};

use super::{Flow, Input};
use crate::error::Result;
use crate::memory::STEPS;
use crate::model::plan::{Operation, Plan};
use crate::recent::{ForSize, Recent};

/// Lists of more bytes are not kept: they are made again, which next to a run of so many steps costs little. A step takes 17
/// bytes in a model of one recurrent layer, 33 in one of a `Bidirectional`, and 4 more for each further cell.
const LARGEST: usize = 16 << 20;

/// The flows of the runs of one model.
///
/// A flow is made from (batch, time_steps), the mask and, where an embedding comes first, the tokens. A run that brings the
/// same takes the flow of the earlier one, and the same `Arc`: who has prepared something for a flow knows it again by
/// [`Arc::ptr_eq`]. Comparing is one pass over the mask and the tokens. A `Masking` layer looks at the values themselves;
/// keeping and comparing those would cost as much as the flow, so such models make a new one every time.
#[derive(Debug)]
pub(crate) struct Flows {
    looks_at_values: bool,
    trains: bool,
    /// The transforms that take no statistics of a batch.
    held: Vec<usize>,
    recent: Recent<Arc<Kept>>,
}

/// A flow and what it was made from.
#[derive(Debug)]
struct Kept {
    size: (usize, usize),
    mask: Option<Array2<bool>>,
    tokens: Option<Array2<i32>>,
    flow: Arc<Flow>,
}

impl Kept {
    fn is_for(&self, input: Input<'_>, mask: Option<ArrayView2<'_, bool>>) -> bool {
        let tokens = tokens_of(input);
        self.size == input.size()
            && self.mask.as_ref().map(|kept| kept.view()) == mask
            && self.tokens.as_ref().map(|kept| kept.view()) == tokens
    }
}

fn tokens_of(input: Input<'_>) -> Option<ArrayView2<'_, i32>> {
    match input {
        Input::Tokens(tokens) => Some(tokens),
        Input::Values(_) => None,
    }
}

impl Flows {
    pub(crate) fn new(plan: &Plan) -> Self {
        let masking = |operation: &Operation| matches!(operation, Operation::Masking { .. });
        Self {
            looks_at_values: plan.operations.iter().any(masking),
            trains: false,
            held: Vec::new(),
            recent: Recent::default(),
        }
    }

    /// Flows of training.
    pub(crate) fn in_training(plan: &Plan) -> Self {
        Self {
            trains: true,
            ..Self::new(plan)
        }
    }

    /// From now on these transforms take no statistics of a batch, and all others do.
    pub(crate) fn hold(&mut self, transforms: Vec<usize>) {
        self.held = transforms;
        self.clear();
    }

    fn made(&self, plan: &Plan, input: Input<'_>, mask: Option<ArrayView2<'_, bool>>) -> Result<Arc<Flow>> {
        let mut flow = match self.trains {
            true => Flow::in_training(plan, input, mask),
            false => Flow::new(plan, input, mask),
        }?;
        flow.hold(&self.held);
        Ok(Arc::new(flow))
    }

    /// The flow of a batch: one that is kept, else a new one. Nothing is compared or made while others are locked out.
    pub(crate) fn flow(&self, plan: &Plan, input: Input<'_>, mask: Option<ArrayView2<'_, bool>>) -> Result<Arc<Flow>> {
        if self.looks_at_values {
            return self.made(plan, input, mask);
        }
        let size = input.size();
        let candidates = self.recent.all();
        if let Some(found) = candidates.iter().flatten().find(|kept| kept.is_for(input, mask)) {
            // it is the latest now, unless another thread has taken it for the same reason
            if let Some(taken) = self.recent.take_if(|kept| Arc::ptr_eq(kept, found)) {
                self.recent.keep(taken, size);
            }
            return Ok(Arc::clone(&found.flow));
        }
        let flow = self.made(plan, input, mask)?;
        let tokens = tokens_of(input);
        let bytes = [
            mask.map_or(0, |mask| mask.len()),
            tokens.map_or(0, |tokens| tokens.len() * size_of::<i32>()),
        ];
        if flow.bytes() + bytes.iter().sum::<usize>() <= LARGEST {
            let copied = mask.map(|mask| STEPS.copied(&mask)).transpose();
            // what does not fit into memory is not kept
            if let (Ok(mask), Ok(tokens)) = (copied, tokens.map(|tokens| STEPS.copied(&tokens)).transpose()) {
                let flow = Arc::clone(&flow);
                let kept = Kept {
                    size,
                    mask,
                    tokens,
                    flow,
                };
                self.recent.keep(ForSize::new(size, Arc::new(kept)), size);
            }
        }
        Ok(flow)
    }

    /// Gives the memory of all of them back.
    pub(crate) fn clear(&self) {
        self.recent.clear();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use ndarray::{Array3, array};

    use super::*;
    use crate::layer::bidirectional::Bidirectional;
    use crate::layer::embedding::Embedding;
    use crate::layer::lstm::Lstm;
    use crate::layer::masking::Masking;
    use crate::model::Model;

    #[test]
    fn a_flow_belongs_to_size_mask_and_tokens() {
        let model = Model::builder().add(Lstm::new(2, 3)).build().unwrap();
        let flows = Flows::new(model.plan());
        let values = Array3::zeros((2, 3, 2));
        let flow = |mask: Option<&Array2<bool>>| {
            let mask = mask.map(|mask| mask.view());
            flows.flow(model.plan(), Input::Values(values.view()), mask).unwrap()
        };
        let [all, some] = [[true; 3], [true, false, true]].map(|last| array![[true; 3], last]);
        let made = [flow(None), flow(Some(&all)), flow(Some(&some))];
        for (number, again) in [flow(None), flow(Some(&all)), flow(Some(&some))].iter().enumerate() {
            for (other, made) in made.iter().enumerate() {
                assert_eq!(Arc::ptr_eq(made, again), number == other);
            }
        }
        let longer = Array3::zeros((2, 4, 2));
        let longer = flows.flow(model.plan(), Input::Values(longer.view()), None).unwrap();
        assert_eq!((longer.batch, longer.stages[0].rows()), (2, 8));
        flows.clear();
        assert!(!Arc::ptr_eq(&flow(None), &made[0]));

        let model = Model::builder()
            .add(Embedding::new(9, 2).mask_zero(true))
            .add(Lstm::new(2, 3));
        let model = model.build().unwrap();
        let flows = Flows::new(model.plan());
        let [first, again, other] = [[1, 0], [1, 0], [1, 2]].map(|tokens| {
            let tokens = array![tokens];
            flows.flow(model.plan(), Input::Tokens(tokens.view()), None).unwrap()
        });
        assert!(Arc::ptr_eq(&first, &again) && !Arc::ptr_eq(&first, &other));
    }

    #[test]
    fn a_masking_layer_looks_at_the_values_of_every_batch() {
        let model = Model::builder()
            .add(Masking::new(0.0))
            .add(Lstm::new(1, 3))
            .build()
            .unwrap();
        let flows = Flows::new(model.plan());
        let rows = [array![[[1.0], [0.0]]], array![[[1.0], [2.0]]]].map(|values| {
            let flow = flows.flow(model.plan(), Input::Values(values.view()), None).unwrap();
            flow.stages[0].rows()
        });
        assert_eq!(rows, [1, 2]);
    }

    /// What the documentation says of the bytes, and that there is a largest.
    #[test]
    fn large_lists_are_not_kept() {
        let lstm = || Lstm::new(1, 1).return_sequences(true);
        let models = [
            (Model::builder().add(lstm()), 17),
            (Model::builder().add(lstm()).add(lstm()), 21),
            (Model::builder().add(Bidirectional::new(lstm())), 33),
        ];
        for (model, bytes) in models {
            let model = model.build().unwrap();
            let flows = Flows::new(model.plan());
            for (time_steps, kept) in [(1000, true), (LARGEST / bytes / 2 + 1, false)] {
                let values = Array3::zeros((2, time_steps, 1));
                let mask = Array2::from_elem((2, time_steps), true);
                let flow = || {
                    flows
                        .flow(model.plan(), Input::Values(values.view()), Some(mask.view()))
                        .unwrap()
                };
                assert_eq!(
                    Arc::ptr_eq(&flow(), &flow()),
                    kept,
                    "{bytes} bytes, {time_steps} time steps"
                );
            }
        }
    }
}
