//! The gradients of a plan as they come up, and by name at the end.

use ndarray::{ArrayD, IxDyn};

use super::dense::DenseGradients;
use super::recurrence::CellGradients;
use super::rowwise::RowwiseGradients;
use crate::error::{Error, Result};
use crate::memory::RUN;
use crate::model::plan::Plan;
use crate::model::planned_weight::{Owner, PlannedWeight};
use crate::parameters::Role;

/// The gradients of one plan by what has them; those of its input are taken out of them.
#[derive(Debug, Default)]
pub(super) struct Collected {
    cells: Vec<Option<CellGradients>>,
    denses: Vec<Option<DenseGradients>>,
    transforms: Vec<Option<RowwiseGradients>>,
    pub(super) tables: Vec<Option<Vec<f32>>>,
    /// Mean and variance of the batch, of a BatchNormalization.
    pub(super) moments: Vec<Option<[Vec<f64>; 2]>>,
}

impl Collected {
    pub(super) fn new(plan: &Plan) -> Self {
        fn nothing<T>(count: usize) -> Vec<Option<T>> {
            std::iter::repeat_with(|| None).take(count).collect()
        }
        Self {
            cells: nothing(plan.cells.len()),
            denses: nothing(plan.denses.len()),
            transforms: nothing(plan.transforms.len()),
            tables: nothing(plan.tables.len()),
            moments: nothing(plan.transforms.len()),
        }
    }

    pub(super) fn cell(&mut self, number: usize, gradients: CellGradients) {
        set(&mut self.cells, number, gradients);
    }

    pub(super) fn cell_at(&mut self, number: usize) -> Option<&mut CellGradients> {
        self.cells.get_mut(number)?.as_mut()
    }

    pub(super) fn dense(&mut self, number: usize, gradients: DenseGradients) {
        set(&mut self.denses, number, gradients);
    }

    pub(super) fn transform(&mut self, number: usize, gradients: RowwiseGradients) {
        set(&mut self.transforms, number, gradients);
    }

    /// The gradients of all weights that are trained, in the order of the plan. What no stage has used has gradients of 0.
    pub(super) fn named(&mut self, plan: &Plan) -> Result<Vec<(String, ArrayD<f32>)>> {
        let trained = plan.weights.iter().filter(|weight| weight.role.is_trained());
        trained
            .map(|weight| Ok((weight.path.clone(), self.array(weight)?)))
            .collect()
    }

    fn array(&mut self, weight: &PlannedWeight) -> Result<ArrayD<f32>> {
        let found = match weight.owner {
            Owner::Cell(number) => self
                .cells
                .get_mut(number)
                .and_then(Option::as_mut)
                .map(|of| match weight.role {
                    Role::Kernel => std::mem::take(&mut of.kernel),
                    Role::RecurrentKernel => std::mem::take(&mut of.recurrent_kernel),
                    Role::Bias => std::mem::take(&mut of.bias),
                    Role::Peepholes => std::mem::take(&mut of.peepholes),
                    _ => std::mem::take(&mut of.projection),
                }),
            Owner::Dense(number) => self
                .denses
                .get_mut(number)
                .and_then(Option::as_mut)
                .map(|of| match weight.role {
                    Role::Kernel => std::mem::take(&mut of.kernel),
                    _ => std::mem::take(&mut of.bias),
                }),
            Owner::Transform(number) => self
                .transforms
                .get_mut(number)
                .and_then(Option::as_mut)
                .map(|of| match weight.role {
                    Role::Gamma => std::mem::take(&mut of.gamma),
                    _ => std::mem::take(&mut of.beta),
                }),
            Owner::Table(number) => self.tables.get_mut(number).and_then(Option::take),
        };
        let values = match found {
            Some(values) => values,
            None => RUN.zeros(weight.shape.iter().product())?,
        };
        ArrayD::from_shape_vec(IxDyn(&weight.shape), values).map_err(|_| Error::defect("the shape of a gradient"))
    }
}

fn set<T>(list: &mut [Option<T>], number: usize, value: T) {
    if let Some(place) = list.get_mut(number) {
        *place = Some(value);
    }
}
