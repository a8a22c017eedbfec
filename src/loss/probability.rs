//! Probabilities as Keras's losses take them.

/// What Keras takes for a probability below it (`keras.config.epsilon()`), as a float32.
pub(super) const LEAST: f64 = 1e-7_f32 as f64;

/// What Keras takes for a probability above it: 1 - 1e-7, which in float32, where Keras computes, is 1 - 2⁻²³.
pub(super) const MOST: f64 = (1.0 - 1e-7) as f32 as f64;

/// A probability within the bounds, and the derivative of it: 0 where it was beyond them. NaN stays NaN.
pub(super) fn clip(probability: f64) -> (f64, f64) {
    if probability < LEAST {
        (LEAST, 0.0)
    } else if probability > MOST {
        (MOST, 0.0)
    } else {
        (probability, 1.0)
    }
}

/// Makes `probabilities` the softmax of logits, and gives the logarithm of Σ eˣ.
pub(super) fn softmax(logits: &[f64], probabilities: &mut [f64]) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for (probability, &logit) in probabilities.iter_mut().zip(logits) {
        *probability = libm::exp(logit - largest);
        sum += *probability;
    }
    for probability in probabilities {
        *probability /= sum;
    }
    largest + libm::log(sum)
}
