//! `dense`: rows times weights plus bias, and the activation, the rows split over the threads.

use super::gather::Source;
use super::tasks::over_rows;
use crate::activation::Activation;
use crate::cpu::cell::by_lane::Columns;
use crate::cpu::product::matrix::Matrix;
use crate::cpu::product::path::Path;
use crate::cpu::product::rows::multiply;
use crate::error::Result;
use crate::model::plan::PlannedDense;

/// One Dense layer, ready to run.
#[derive(Debug)]
pub(crate) struct Dense {
    path: Path,
    units: usize,
    kernel: Matrix,
    bias: Vec<f32>,
    activation: Activation,
}

impl Dense {
    pub(crate) fn new(part: &PlannedDense, path: Path) -> Result<Self> {
        let mut made = Self {
            path,
            units: part.weights.kernel.ncols(),
            kernel: Matrix::empty(),
            bias: Vec::new(),
            activation: part.activation,
        };
        made.refill(part)?;
        Ok(made)
    }

    /// Other weights of the same shapes, in the same memory.
    pub(crate) fn refill(&mut self, part: &PlannedDense) -> Result<()> {
        let bias = part.weights.bias.as_ref();
        self.bias.clear();
        self.bias.extend(bias.into_iter().flatten());
        self.bias.resize(self.units, 0.0);
        Columns::of_matrix(&part.weights.kernel).forward_into(self.path, &mut self.kernel)
    }

    /// `projected[r] = activation(source[index[r]] · kernel + bias)` for every r.
    pub(crate) fn run(&self, source: Source<'_>, index: &[u32], projected: &mut [f32]) {
        self.run_with(self.activation, (source, index), projected);
    }

    /// The same without the activation.
    pub(crate) fn run_linear(&self, source: Source<'_>, index: &[u32], projected: &mut [f32]) {
        self.run_with(Activation::Linear, (source, index), projected);
    }

    fn run_with(&self, activation: Activation, (source, index): (Source<'_>, &[u32]), projected: &mut [f32]) {
        over_rows((projected, self.units), index, |projected, index| {
            let row = |place| index.get(place).map_or(&[][..], |&number| source.row(number));
            let weights = (&self.kernel, Some(&*self.bias));
            multiply(self.path, weights, row, (&mut *projected, self.units));
            activation.apply(projected, self.units);
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use ndarray::linalg::general_mat_mul;
    use ndarray::{Array1, Array2};

    use super::*;
    use crate::layer::weights::DenseWeights;

    /// Around the edges of vectors, panels, tiles, tasks and sums: what ndarray gives.
    #[test]
    fn it_is_ndarrays_product() {
        let number = |a: usize, b: usize| ((a * 31 + b * 17) % 101) as f32 / 50.0 - 1.0;
        for path in Path::all() {
            for (depth, units) in [
                (1, 1),
                (5, 16),
                (64, 17),
                (256, 33),
                (257, 48),
                (600, 65),
                (3, 130),
                (0, 4),
            ] {
                let kernel = Array2::from_shape_fn((depth, units), |(k, unit)| number(k, unit));
                let bias = Array1::from_shape_fn(units, |unit| number(unit, 7));
                let part = PlannedDense {
                    weights: DenseWeights {
                        kernel: kernel.clone(),
                        bias: Some(bias.clone()),
                    },
                    activation: Activation::Linear,
                };
                let dense = Dense::new(&part, path).unwrap();
                for rows in [0, 1, 2, 3, 5, 7, 8, 13, 64, 65, 200] {
                    let input = Array2::from_shape_fn((rows, depth), |(row, k)| number(row + 3, k));
                    let mut want = Array2::from_shape_fn((rows, units), |(_, unit)| bias[unit]);
                    general_mat_mul(1.0, &input, &kernel, 1.0, &mut want);
                    let mut got = vec![f32::NAN; rows * units];
                    let zeros = vec![0.0; depth];
                    let source = Source::new(input.as_slice().unwrap_or_default(), depth, &zeros);
                    let index: Vec<u32> = (0..rows as u32).collect();
                    dense.run(source, &index, &mut got);
                    for (got, want) in got.iter().zip(&want) {
                        assert!(
                            (got - want).abs() < 2e-5 * want.abs().max(1.0),
                            "{}: {rows} rows, {depth} to {units}: {got} for {want}",
                            path.name()
                        );
                    }
                }
            }
        }
    }
}
