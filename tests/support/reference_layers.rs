//! The layers without cells in f64: normalisations, activations, and changes of the shape.

use ndarray::{Array1, Array2, ArrayD, Axis, Ix3};

use super::{layers::LayerSpec, mutant::Mutant, reference_activation::activate};

type Rows = (ArrayD<f64>, Option<Array2<bool>>);

/// What such a layer gives of values and a mask: the mask goes on through what works on each row, and ends where the time steps change.
pub(crate) fn without_cells(
    layer: &LayerSpec,
    values: ArrayD<f64>,
    mask: Option<Array2<bool>>,
    mutant: Mutant,
) -> Rows {
    let on = |mask: Option<Array2<bool>>| mask.filter(|_| mutant != Mutant::RowsEndMask);
    match layer {
        LayerSpec::Activation { activation } => (by_row(values, |row| activate(activation, row)), on(mask)),
        LayerSpec::Dropout { .. } => (values, mask),
        LayerSpec::BatchNormalization {
            gamma,
            beta,
            mean,
            variance,
            epsilon,
            ..
        } => {
            let normalized = by_row(values, |row| {
                for (feature, x) in row.iter_mut().enumerate() {
                    let spread = deviation(f64::from(variance[feature]), *epsilon, mutant);
                    let normal = (*x - f64::from(mean[feature])) / spread;
                    *x = match mutant {
                        Mutant::BetaBeforeGamma => (normal + of(beta, feature, 0.0)) * of(gamma, feature, 1.0),
                        _ => normal * of(gamma, feature, 1.0) + of(beta, feature, 0.0),
                    };
                }
            });
            (normalized, on(mask))
        }
        LayerSpec::LayerNormalization {
            gamma, beta, epsilon, ..
        } => {
            let normalized = by_row(values, |row| {
                let count = row.len() as f64;
                let mean = row.iter().sum::<f64>() / count;
                let squares: f64 = row.iter().map(|x| (x - mean).powi(2)).sum();
                let variance = match mutant {
                    Mutant::SampleVariance => squares / (count - 1.0),
                    _ => squares / count,
                };
                let spread = deviation(variance, *epsilon, mutant);
                for (feature, x) in row.iter_mut().enumerate() {
                    *x = (*x - mean) / spread * of(gamma, feature, 1.0) + of(beta, feature, 0.0);
                }
            });
            (normalized, on(mask))
        }
        LayerSpec::Reshape { from, to } => {
            let same_steps = to.is_some_and(|to| to[0] == from[0]);
            let kept = mask.filter(|_| mutant == Mutant::ReshapeKeepsMask && same_steps);
            (reshaped(values, *from, *to, mutant), kept)
        }
        LayerSpec::LastStep => {
            let values = values.into_dimensionality::<Ix3>().expect("three axes");
            let (batch, time_steps, width) = values.dim();
            let last = Array2::from_shape_fn((batch, width), |(row, feature)| {
                let counts = |step: &usize| mask.as_ref().is_none_or(|mask| mask[[row, *step]]);
                let step = match mutant {
                    Mutant::LastStepThatCounts => (0..time_steps).rev().find(counts),
                    _ => time_steps.checked_sub(1),
                };
                step.map_or(0.0, |step| values[[row, step, feature]])
            });
            (last.into_dyn(), None)
        }
        other => panic!("{other:?} is run elsewhere"),
    }
}

fn of(weights: &Option<Array1<f32>>, feature: usize, absent: f64) -> f64 {
    weights.as_ref().map_or(absent, |weights| f64::from(weights[feature]))
}

fn deviation(variance: f64, epsilon: f32, mutant: Mutant) -> f64 {
    match mutant {
        Mutant::EpsilonOutside => variance.sqrt() + f64::from(epsilon),
        _ => (variance + f64::from(epsilon)).sqrt(),
    }
}

fn by_row(mut values: ArrayD<f64>, mut change: impl FnMut(&mut [f64])) -> ArrayD<f64> {
    let last = Axis(values.ndim() - 1);
    for mut row in values.lanes_mut(last) {
        let mut changed = row.to_vec();
        change(&mut changed);
        row.assign(&Array1::from(changed));
    }
    values
}

/// The values of each sequence one behind the other, in other steps.
fn reshaped(values: ArrayD<f64>, [steps, width]: [usize; 2], to: Option<[usize; 2]>, mutant: Mutant) -> ArrayD<f64> {
    let batch = values.shape()[0];
    let values = values.as_standard_layout().into_owned();
    let shape = (batch, steps, width);
    let mut values = values.into_shape_with_order(shape).expect("so many values");
    if mutant == Mutant::ReshapeByFeatures {
        values.swap_axes(1, 2);
    }
    let list: Vec<f64> = values.iter().copied().collect();
    let shape = match to {
        Some([steps, width]) => vec![batch, steps, width],
        None => vec![batch, steps * width],
    };
    ArrayD::from_shape_vec(shape, list).expect("as many values")
}
