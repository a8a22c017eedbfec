//! A Dense layer backwards.

use super::spare::Spare;
use super::sums::{Factor, Summed, Sums};
use crate::activation::{Activation, are_zero};
use crate::cpu::cell::by_lane::Columns;
use crate::cpu::product::matrix::Matrix;
use crate::cpu::product::path::Path;
use crate::cpu::product::rows::{add, over_rows, row_of};
use crate::cpu::stage::dense::Dense;
use crate::cpu::stage::gather::{Gathered, Source};
use crate::error::Result;
use crate::flow::NONE;
use crate::memory::RUN;
use crate::model::plan::PlannedDense;

/// One Dense layer, ready to go backwards.
#[derive(Debug)]
pub(super) struct DenseBackward {
    path: Path,
    features: usize,
    units: usize,
    activation: Activation,
    /// (units, features)
    kernel: Matrix,
}

/// The gradients of a Dense layer: of its kernel, its bias, and the entries of its list.
#[derive(Debug)]
pub(super) struct DenseGradients {
    pub(super) kernel: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) input: Vec<f32>,
}

impl DenseBackward {
    pub(super) fn new(part: &PlannedDense, path: Path) -> Result<Self> {
        let (features, units) = part.weights.kernel.dim();
        let mut made = Self {
            path,
            features,
            units,
            activation: part.activation,
            kernel: Matrix::empty(),
        };
        made.refill(part)?;
        Ok(made)
    }

    /// Other weights of the same shapes, in the same memory.
    pub(super) fn refill(&mut self, part: &PlannedDense) -> Result<()> {
        Columns::of_matrix(&part.weights.kernel).back(self.path, &mut self.kernel)
    }

    /// From the gradients of its rows, of which `made` are the values; `forward` has made them:
    ///
    /// ```text
    /// ∂z = activation'(z) ∂y      ∂kernel = Σ xᵀ ∂z      ∂bias = Σ ∂z      ∂x = ∂z · kernelᵀ
    /// ```
    pub(super) fn backward(
        &self,
        input: Gathered<'_>,
        (forward, made): (&Dense, Source<'_>),
        (mut gradients, wants_input): (Vec<f32>, bool),
        spare: &mut Spare,
    ) -> Result<DenseGradients> {
        let (features, units, count) = (self.features, self.units, input.index.len());
        self.through_activation(input, (forward, made), &mut gradients)?;
        // a row that nothing depends on may be padding, and hold anything
        let x = |row| match are_zero(row_of(&gradients, units, row)) {
            true => input.source.row(NONE),
            false => input.row(row),
        };
        let Summed { products, d: bias } = Sums {
            path: self.path,
            count,
            d: |row| row_of(&gradients, units, row),
            lanes: 1,
            width: units,
            factors: &[Factor {
                x: &x,
                features,
                parts: &[Some(0)],
            }],
        }
        .run_in(spare)?;
        let mut of_input = RUN.zeros(if wants_input { count * features } else { 0 })?;
        over_rows((&mut of_input, features), |of_input, first| {
            let row = |place| row_of(&gradients, units, first + place);
            add(self.path, &self.kernel, row, (of_input, features));
        });
        Ok(DenseGradients {
            kernel: products.into_iter().next().unwrap_or_default(),
            bias,
            input: of_input,
        })
    }

    fn through_activation(
        &self,
        input: Gathered<'_>,
        (forward, made): (&Dense, Source<'_>),
        gradients: &mut [f32],
    ) -> Result<()> {
        let units = self.units;
        if self.activation.pull_back_by_outputs(&[], &mut [], units) {
            over_rows((gradients, units), |gradients, first| {
                for (row, gradients) in (first..).zip(gradients.chunks_exact_mut(units.max(1))) {
                    self.activation
                        .pull_back_by_outputs(made.row(row as u32), gradients, units);
                }
            });
            return Ok(());
        }
        let mut sums = RUN.zeros(input.index.len() * units)?;
        // its values do not tell the derivative of this activation
        forward.run_linear(input.source, input.index, &mut sums);
        over_rows((gradients, units), |gradients, first| {
            for (row, gradients) in (first..).zip(gradients.chunks_exact_mut(units.max(1))) {
                self.activation.pull_back(row_of(&sums, units, row), gradients, units);
            }
        });
        Ok(())
    }
}
