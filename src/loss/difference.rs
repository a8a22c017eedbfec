//! The losses that look at the difference of output and target, feature by feature.

const LANES: usize = 8;

/// The squared difference and its derivative.
pub(super) fn squared(output: f64, target: f64) -> (f64, f64) {
    let error = output - target;
    (error * error, 2.0 * error)
}

/// The absolute difference and its derivative, which Keras takes as 0 where there is no difference.
pub(super) fn absolute(output: f64, target: f64) -> (f64, f64) {
    let error = output - target;
    let slope = if error == 0.0 { 0.0 } else { error.signum() };
    (error.abs(), slope)
}

/// The mean over the features of what `term` gives for an output and its target; `gradient` becomes that of the mean.
pub(super) fn mean(output: &[f64], target: &[f64], gradient: &mut [f64], term: impl Fn(f64, f64) -> (f64, f64)) -> f64 {
    let share = 1.0 / output.len() as f64;
    // so many sums run beside each other, so that the loop becomes vector instructions
    let mut sums = [0.0; LANES];
    let groups = output.chunks(LANES).zip(target.chunks(LANES));
    for ((output, target), gradient) in groups.zip(gradient.chunks_mut(LANES)) {
        let features = output.iter().zip(target).zip(gradient);
        for (((&output, &target), slope), sum) in features.zip(&mut sums) {
            let (value, derivative) = term(output, target);
            *sum += value;
            *slope = derivative * share;
        }
    }
    sums.into_iter().fold(0.0, |sum, lane| sum + lane) * share
}
