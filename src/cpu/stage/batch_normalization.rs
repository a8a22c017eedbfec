//! `batch_normalization`: in training, each feature by the mean and the variance of the batch; in inference it is a `transform`.

use super::gather::Gathered;
use super::tasks::over_rows;
use crate::activation::Activation;
use crate::error::Result;
use crate::flow::BatchStatistics;
use crate::memory::RUN;
use crate::model::transform::BatchWeights;

/// Mean and variance of each feature of a batch.
#[derive(Debug)]
pub(crate) struct Moments {
    pub(crate) mean: Vec<f64>,
    pub(crate) variance: Vec<f64>,
    /// What sums over the steps that count are divided by.
    pub(crate) count: f64,
}

impl Moments {
    /// Over the steps that count, as in Keras: the variance is that of the batch, divided by their number.
    pub(crate) fn new(input: Gathered<'_>, statistics: &BatchStatistics, width: usize) -> Result<Self> {
        let count = statistics.count();
        let sums = |of: &dyn Fn(usize, f64) -> f64| -> Result<Vec<f64>> {
            let mut sums = RUN.filled(width, 0.0)?;
            for (entry, &count) in statistics.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                for (feature, (sum, &x)) in sums.iter_mut().zip(input.row(entry)).enumerate() {
                    *sum += f64::from(count) * of(feature, f64::from(x));
                }
            }
            sums.iter_mut().for_each(|sum| *sum /= count);
            Ok(sums)
        };
        let mean = sums(&|_, x| x)?;
        let variance = sums(&|feature, x| {
            let difference = x - mean.get(feature).copied().unwrap_or(0.0);
            difference * difference
        })?;
        Ok(Self { mean, variance, count })
    }

    /// `scale = gamma / √(variance + epsilon)` and `shift = beta − mean · scale`, of each feature.
    pub(crate) fn scales(&self, weights: &BatchWeights) -> impl Iterator<Item = (f32, f32)> {
        let pairs = self.mean.iter().zip(&self.variance).enumerate();
        pairs.map(|(feature, (mean, variance))| {
            let of = |vector: &Option<ndarray::Array1<f32>>, absent: f64| {
                let value = vector.as_ref().and_then(|vector| vector.get(feature));
                value.map_or(absent, |&value| f64::from(value))
            };
            let scale = of(&weights.gamma, 1.0) / (variance + f64::from(weights.epsilon)).sqrt();
            (scale as f32, (of(&weights.beta, 0.0) - mean * scale) as f32)
        })
    }
}

/// `rows[r] = activation(x · scale + shift)`, scale and shift of the batch.
pub(crate) fn batch_normalization(
    (weights, activation): (&BatchWeights, Activation),
    input: Gathered<'_>,
    statistics: &BatchStatistics,
    (rows, width): (&mut [f32], usize),
) -> Result<()> {
    let moments = Moments::new(input, statistics, width)?;
    let scales = RUN.collected(moments.scales(weights))?;
    over_rows((rows, width), input.index, |rows, index| {
        for (row, &number) in rows.chunks_exact_mut(width.max(1)).zip(index) {
            let values = input.source.row(number).iter().zip(&scales);
            row.iter_mut()
                .zip(values)
                .for_each(|(to, (x, (scale, shift)))| *to = x * scale + shift);
        }
        activation.apply(rows, width);
    });
    Ok(())
}
