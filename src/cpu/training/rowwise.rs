//! What changes each row by itself, backwards: activations, normalisations, and the merge of two directions.

use rayon::prelude::*;

use crate::activation::are_zero;
use crate::cpu::product::matrix::ROWS_PER_TASK;
use crate::cpu::product::rows::{over_rows, row_of};
use crate::cpu::stage::batch_normalization::Moments;
use crate::cpu::stage::gather::Gathered;
use crate::error::Result;
use crate::flow::BatchStatistics;
use crate::layer::bidirectional::MergeMode;
use crate::memory::RUN;
use crate::model::transform::{BatchWeights, Scale, Transform};

/// The rows whose sums are made at once; then those of all blocks are added, in their order.
const BLOCK: usize = 16 * ROWS_PER_TASK;

/// The gradients of a normalisation: of gamma, of beta, and the entries of its list.
#[derive(Debug)]
pub(super) struct RowwiseGradients {
    pub(super) gamma: Vec<f32>,
    pub(super) beta: Vec<f32>,
    pub(super) input: Vec<f32>,
}

/// A transform of inference, from the gradients of its rows.
pub(super) fn transform(by: &Transform, input: Gathered<'_>, mut gradients: Vec<f32>) -> Result<RowwiseGradients> {
    match by {
        Transform::Scale { by: None, activation } => {
            let width = gradients.len() / input.index.len().max(1);
            over_rows((&mut gradients, width), |gradients, first| {
                for (row, gradients) in (first..).zip(gradients.chunks_exact_mut(width.max(1))) {
                    activation.pull_back(input.row(row), gradients, width);
                }
            });
            Ok(RowwiseGradients {
                gamma: Vec::new(),
                beta: Vec::new(),
                input: gradients,
            })
        }
        Transform::Scale {
            by: Some(by),
            activation,
        } => {
            let Scale { scale, shift, of } = by;
            let width = scale.len();
            over_rows((&mut gradients, width), |gradients, first| {
                let mut sums = Vec::with_capacity(width);
                for (row, gradients) in (first..).zip(gradients.chunks_exact_mut(width.max(1))) {
                    sums.clear();
                    sums.extend(
                        input
                            .row(row)
                            .iter()
                            .zip(scale.iter().zip(shift))
                            .map(|(x, (scale, shift))| x * scale + shift),
                    );
                    activation.pull_back(&sums, gradients, width);
                }
            });
            let normal = |x: f32, feature: usize| {
                let [mean, variance] =
                    [&of.mean, &of.variance].map(|list| list.get(feature).map_or(0.0, |&value| f64::from(value)));
                (f64::from(x) - mean) / (variance + f64::from(of.epsilon)).sqrt()
            };
            let (gamma, beta) = sums(input, &gradients, width, normal)?;
            over_rows((&mut gradients, width), |gradients, _| {
                for gradients in gradients.chunks_exact_mut(width.max(1)) {
                    gradients
                        .iter_mut()
                        .zip(scale)
                        .for_each(|(gradient, scale)| *gradient *= scale);
                }
            });
            Ok(RowwiseGradients {
                gamma: narrow(&gamma)?,
                beta: narrow(&beta)?,
                input: gradients,
            })
        }
        Transform::Normalize { .. } => normalize(by, input, gradients),
    }
}

/// Over rows `(x − mean) · inverse = n`, `y = activation(n · gamma + beta)`:
///
/// ```text
/// ∂n = gamma activation'(…) ∂y        ∂x = inverse (∂n − mean of ∂n − n · mean of n ∂n)
/// ```
fn normalize(by: &Transform, input: Gathered<'_>, mut gradients: Vec<f32>) -> Result<RowwiseGradients> {
    let Transform::Normalize {
        gamma,
        beta,
        epsilon,
        activation,
    } = by
    else {
        return Err(crate::error::Error::defect("a LayerNormalization of the plan"));
    };
    let width = gamma.len();
    let of_row = |row: &[f32]| {
        let count = row.len() as f64;
        let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
        (mean, 1.0 / (variance + f64::from(*epsilon)).sqrt())
    };
    over_rows((&mut gradients, width), |gradients, first| {
        let mut sums = Vec::with_capacity(width);
        for (row, gradients) in (first..).zip(gradients.chunks_exact_mut(width.max(1))) {
            let x = input.row(row);
            let (mean, inverse) = of_row(x);
            sums.clear();
            let weights = gamma.iter().zip(beta);
            sums.extend(
                x.iter()
                    .zip(weights)
                    .map(|(&x, (gamma, beta))| ((f64::from(x) - mean) * inverse) as f32 * gamma + beta),
            );
            activation.pull_back(&sums, gradients, width);
        }
    });
    let moments = RUN.listed((0..input.index.len()).map(|row| of_row(input.row(row))))?;
    let (of_gamma, of_beta) = row_sums(input, &gradients, width, &moments)?;
    through_rows(input, gamma, &moments, &mut gradients);
    Ok(RowwiseGradients {
        gamma: narrow(&of_gamma)?,
        beta: narrow(&of_beta)?,
        input: gradients,
    })
}

/// From the gradients of `n · gamma + beta` to those of x.
fn through_rows(input: Gathered<'_>, gamma: &[f32], moments: &[(f64, f64)], gradients: &mut [f32]) {
    let width = gamma.len();
    over_rows((gradients, width), |gradients, first| {
        for (row, gradients) in (first..).zip(gradients.chunks_exact_mut(width.max(1))) {
            if are_zero(gradients) {
                continue;
            }
            let (mean, inverse) = moments.get(row).copied().unwrap_or_default();
            let x = input.row(row);
            let normal = |x: f32| (f64::from(x) - mean) * inverse;
            gradients
                .iter_mut()
                .zip(gamma)
                .for_each(|(gradient, gamma)| *gradient *= gamma);
            let pairs = || {
                gradients
                    .iter()
                    .zip(x)
                    .map(|(&gradient, &x)| (f64::from(gradient), normal(x)))
            };
            let of_mean = pairs().map(|(gradient, _)| gradient).sum::<f64>() / width as f64;
            let of_normal = pairs().map(|(gradient, normal)| gradient * normal).sum::<f64>() / width as f64;
            for (gradient, &x) in gradients.iter_mut().zip(x) {
                *gradient = (inverse * (f64::from(*gradient) - of_mean - normal(x) * of_normal)) as f32;
            }
        }
    });
}

/// A BatchNormalization by the mean and the variance of the batch, of which each row is a part as often as it counts:
///
/// ```text
/// ∂x = scale (∂y − counts / count · (Σ ∂y + n Σ n ∂y))        n = (x − mean) / √(variance + epsilon)
/// ```
pub(super) fn batch_normalization(
    (weights, activation): (&BatchWeights, crate::activation::Activation),
    (input, statistics, moments): (Gathered<'_>, &BatchStatistics, &Moments),
    mut gradients: Vec<f32>,
) -> Result<RowwiseGradients> {
    let width = moments.mean.len();
    let scales = RUN.collected(moments.scales(weights))?;
    over_rows((&mut gradients, width), |gradients, first| {
        let mut sums = Vec::with_capacity(width);
        for (row, gradients) in (first..).zip(gradients.chunks_exact_mut(width.max(1))) {
            sums.clear();
            sums.extend(
                input
                    .row(row)
                    .iter()
                    .zip(&scales)
                    .map(|(x, (scale, shift))| x * scale + shift),
            );
            activation.pull_back(&sums, gradients, width);
        }
    });
    let inverses = moments
        .variance
        .iter()
        .map(|variance| 1.0 / (variance + f64::from(weights.epsilon)).sqrt());
    let normals = RUN.collected(moments.mean.iter().copied().zip(inverses))?;
    let normal = |x: f32, feature: usize| {
        let (mean, inverse) = normals.get(feature).copied().unwrap_or_default();
        (f64::from(x) - mean) * inverse
    };
    let (gamma, beta) = sums(input, &gradients, width, normal)?;
    over_rows((&mut gradients, width), |gradients, first| {
        for (row, gradients) in (first..).zip(gradients.chunks_exact_mut(width.max(1))) {
            let share = statistics
                .counts
                .get(row)
                .map_or(0.0, |&count| f64::from(count) / moments.count);
            let values = input
                .row(row)
                .iter()
                .zip(&scales)
                .zip(gamma.iter().zip(&beta))
                .enumerate();
            for (gradient, (feature, ((&x, (scale, _)), (gamma, beta)))) in gradients.iter_mut().zip(values) {
                // a row that does not count may hold anything
                let rest = if share == 0.0 {
                    0.0
                } else {
                    share * (beta + normal(x, feature) * gamma)
                };
                *gradient = (f64::from(*scale) * (f64::from(*gradient) - rest)) as f32;
            }
        }
    });
    Ok(RowwiseGradients {
        gamma: narrow(&gamma)?,
        beta: narrow(&beta)?,
        input: gradients,
    })
}

type BothSums = (Vec<f64>, Vec<f64>);

/// `(Σ n ∂y, Σ ∂y)` of each feature, n by the value and the feature.
fn sums(
    input: Gathered<'_>,
    gradients: &[f32],
    width: usize,
    normal: impl Fn(f32, usize) -> f64 + Sync,
) -> Result<BothSums> {
    in_blocks(input.index.len(), width, |row, feature| {
        let gradient = row_of(gradients, width, row)
            .get(feature)
            .map_or(0.0, |&gradient| f64::from(gradient));
        let x = input.row(row).get(feature).copied().unwrap_or(0.0);
        (times(gradient, normal(x, feature)), gradient)
    })
}

/// The same, n by the mean and the inverse deviation of each row.
fn row_sums(input: Gathered<'_>, gradients: &[f32], width: usize, moments: &[(f64, f64)]) -> Result<BothSums> {
    in_blocks(input.index.len(), width, |row, feature| {
        let (mean, inverse) = moments.get(row).copied().unwrap_or_default();
        let gradient = row_of(gradients, width, row)
            .get(feature)
            .map_or(0.0, |&gradient| f64::from(gradient));
        let x = input.row(row).get(feature).copied().unwrap_or(0.0);
        (times(gradient, (f64::from(x) - mean) * inverse), gradient)
    })
}

/// A product with a gradient, which is 0 where that is: of padding nobody knows what it holds.
fn times(gradient: f64, normal: f64) -> f64 {
    if gradient == 0.0 { 0.0 } else { normal * gradient }
}

fn in_blocks(count: usize, width: usize, of: impl Fn(usize, usize) -> (f64, f64) + Sync) -> Result<BothSums> {
    let block = |first: usize| -> Result<BothSums> {
        let mut sums = (RUN.filled(width, 0.0)?, RUN.filled(width, 0.0)?);
        for row in first..count.min(first + BLOCK) {
            for (feature, (one, other)) in sums.0.iter_mut().zip(&mut sums.1).enumerate() {
                let (further, again) = of(row, feature);
                (*one, *other) = (*one + further, *other + again);
            }
        }
        Ok(sums)
    };
    let starts: Vec<usize> = (0..count).step_by(BLOCK).collect();
    let parts: Vec<Result<BothSums>> = match starts.len() {
        0 | 1 => starts.iter().map(|&first| block(first)).collect(),
        _ => starts.par_iter().map(|&first| block(first)).collect(),
    };
    let mut sums = (RUN.filled(width, 0.0)?, RUN.filled(width, 0.0)?);
    for part in parts {
        let part = part?;
        sums.0.iter_mut().zip(part.0).for_each(|(sum, further)| *sum += further);
        sums.1.iter_mut().zip(part.1).for_each(|(sum, further)| *sum += further);
    }
    Ok(sums)
}

fn narrow(sums: &[f64]) -> Result<Vec<f32>> {
    RUN.listed(sums.iter().map(|&sum| sum as f32))
}

/// The gradients of both lists of a merge.
pub(super) fn merge(
    mode: MergeMode,
    [forward, backward]: [Gathered<'_>; 2],
    gradients: &[f32],
) -> Result<[Vec<f32>; 2]> {
    let rows = forward.index.len();
    let widths = [forward.source.width(), backward.source.width()];
    let mut both = [RUN.list(rows * widths[0])?, RUN.list(rows * widths[1])?];
    let [of_forward, of_backward] = &mut both;
    let width = gradients.len() / rows.max(1);
    for (row, gradients) in gradients.chunks_exact(width.max(1)).enumerate() {
        let (one, other) = (forward.row(row), backward.row(row));
        match mode {
            MergeMode::Concat => {
                let (first, second) = gradients.split_at(widths[0].min(gradients.len()));
                of_forward.extend_from_slice(first);
                of_backward.extend_from_slice(second);
            }
            MergeMode::Sum => {
                of_forward.extend_from_slice(gradients);
                of_backward.extend_from_slice(gradients);
            }
            MergeMode::Average => {
                of_forward.extend(gradients.iter().map(|gradient| gradient * 0.5));
                of_backward.extend(gradients.iter().map(|gradient| gradient * 0.5));
            }
            MergeMode::Multiply => {
                of_forward.extend(gradients.iter().zip(other).map(|(gradient, other)| gradient * other));
                of_backward.extend(gradients.iter().zip(one).map(|(gradient, one)| gradient * one));
            }
            // its outputs stay apart, and no stage merges them
            MergeMode::Separate => {}
        }
    }
    Ok(both)
}
