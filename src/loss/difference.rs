//! The losses that look at the difference of output and target, feature by feature.

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
    let mut sum = 0.0;
    for ((&output, &target), slope) in output.iter().zip(target).zip(gradient) {
        let (value, derivative) = term(output, target);
        sum += value;
        *slope = derivative * share;
    }
    sum * share
}
