//! The random numbers behind the initialisers: in f64, from ChaCha8 and software functions alone, so that a seed means
//! the same bits on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::Initializer;
use crate::error::{Error, Result};

/// The standard deviation of the normal distribution cut off at two deviations, with Keras's digits.
const TRUNCATED_DEVIATION: f64 = 0.879_625_661_034_239_8;

/// The numbers of a weight of `shape`, row by row. The parameters have been checked.
pub(super) fn values(initializer: &Initializer, shape: (usize, usize), seed: u64, stream: u64) -> Result<Vec<f32>> {
    let (rows, columns) = shape;
    let count = rows
        .checked_mul(columns)
        .filter(|count| *count > 0)
        .ok_or_else(|| initializer.wrong_shape(shape))?;
    let mut values: Vec<f32> = reserved(initializer, shape, count)?;
    let mut numbers = Numbers::new(seed, stream);
    match *initializer {
        Initializer::Orthogonal { gain } => {
            let mut vectors = reserved(initializer, shape, count)?;
            let length = rows.max(columns);
            vectors.extend((0..count).map(|_| numbers.normal()));
            orthonormalize(&mut vectors, length).map_err(|index| dependent(index, seed))?;
            let gain = f64::from(gain);
            if rows <= columns {
                values.extend(vectors.iter().map(|value| (gain * value) as f32));
            } else {
                // The vectors are the columns.
                let by_row = (0..rows).flat_map(|row| vectors.iter().skip(row).step_by(length));
                values.extend(by_row.map(|value| (gain * value) as f32));
            }
        }
        Initializer::Identity { gain } => {
            values.extend((0..count).map(|index| if index / columns == index % columns { gain } else { 0.0 }));
        }
        _ => numbers.fill(&mut values, count, initializer, (rows as f64, columns as f64)),
    }
    Ok(values)
}

/// The numbers of a bias whose parts have these lengths, one part after the other. The parameters have been checked, and the
/// initialiser is one for a single axis. As in Keras `fan_in` and `fan_out` of a part are both its length.
pub(super) fn bias_values(initializer: &Initializer, parts: &[usize], seed: u64, stream: u64) -> Result<Vec<f32>> {
    let length = parts.iter().fold(0_usize, |sum, &part| sum.saturating_add(part));
    let mut values: Vec<f32> = reserved(initializer, (1, length), length)?;
    let mut numbers = Numbers::new(seed, stream);
    for &part in parts {
        numbers.fill(&mut values, part, initializer, (part as f64, part as f64));
    }
    Ok(values)
}

/// An empty vector with room for `count` numbers, or the error that says so.
fn reserved<T>(initializer: &Initializer, shape: (usize, usize), count: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    values
        .try_reserve_exact(count)
        .map_err(|_| initializer.wrong_shape(shape))?;
    Ok(values)
}

/// Continuous draws are never linearly dependent; this is what a seed that managed it would be told.
fn dependent(index: usize, seed: u64) -> Error {
    Error::Value {
        argument: "orthogonal.seed".to_owned(),
        expected: "a seed whose numbers are linearly independent".to_owned(),
        found: format!("{seed} (vector {index})"),
        repair: "use another seed".to_owned(),
    }
}

/// A stream of random numbers.
struct Numbers {
    generator: ChaCha8Rng,
    /// Normal numbers come in pairs: the second one.
    spare: Option<f64>,
}

impl Numbers {
    fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self { generator, spare: None }
    }

    /// Uniform in [0, 1), from the 53 top bits.
    fn unit(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.generator.next_u64() >> 11) as f64 * STEP
    }

    /// Mean 0, deviation 1, by the method of Box and Muller.
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        let (sine, cosine) = libm::sincos(std::f64::consts::TAU * self.unit());
        self.spare = Some(radius * sine);
        radius * cosine
    }

    /// Mean 0, deviation 1 before the cut: beyond ±2 is drawn again.
    fn truncated_normal(&mut self) -> f64 {
        loop {
            let number = self.normal();
            if number.abs() <= 2.0 {
                return number;
            }
        }
    }

    /// `count` numbers that do not depend on their place in a matrix: of every initialiser but the orthogonal and the
    /// identity, which add nothing here.
    fn fill(&mut self, values: &mut Vec<f32>, count: usize, initializer: &Initializer, fans: (f64, f64)) {
        let (fan_in, fan_out) = fans;
        match *initializer {
            Initializer::GlorotUniform => self.uniform(values, count, (6.0 / (fan_in + fan_out)).sqrt()),
            Initializer::HeUniform => self.uniform(values, count, (6.0 / fan_in).sqrt()),
            Initializer::LecunUniform => self.uniform(values, count, (3.0 / fan_in).sqrt()),
            Initializer::GlorotNormal => self.scaled_normal(values, count, 2.0 / (fan_in + fan_out)),
            Initializer::HeNormal => self.scaled_normal(values, count, 2.0 / fan_in),
            Initializer::LecunNormal => self.scaled_normal(values, count, 1.0 / fan_in),
            Initializer::RandomUniform { min, max } => {
                let (low, width) = (f64::from(min), f64::from(max) - f64::from(min));
                values.extend((0..count).map(|_| (low + width * self.unit()) as f32));
            }
            Initializer::RandomNormal { mean, deviation } => {
                let (mean, deviation) = (f64::from(mean), f64::from(deviation));
                values.extend((0..count).map(|_| (mean + deviation * self.normal()) as f32));
            }
            Initializer::TruncatedNormal { mean, deviation } => {
                let (mean, deviation) = (f64::from(mean), f64::from(deviation));
                values.extend((0..count).map(|_| (mean + deviation * self.truncated_normal()) as f32));
            }
            Initializer::Zeros => values.extend(std::iter::repeat_n(0.0, count)),
            Initializer::Ones => values.extend(std::iter::repeat_n(1.0, count)),
            Initializer::Constant(value) => values.extend(std::iter::repeat_n(value, count)),
            Initializer::Orthogonal { .. } | Initializer::Identity { .. } => {}
        }
    }

    /// `count` numbers, uniform in ±`limit`.
    fn uniform(&mut self, values: &mut Vec<f32>, count: usize, limit: f64) {
        values.extend((0..count).map(|_| (limit * (2.0 * self.unit() - 1.0)) as f32));
    }

    /// `count` numbers from a truncated normal distribution of the given variance.
    fn scaled_normal(&mut self, values: &mut Vec<f32>, count: usize, variance: f64) {
        let deviation = variance.sqrt() / TRUNCATED_DEVIATION;
        values.extend((0..count).map(|_| (deviation * self.truncated_normal()) as f32));
    }
}

/// How many vectors are worked on together, so that the finished ones are read from memory once for all of them.
const BLOCK: usize = 8;

/// Makes the vectors of `length` numbers, which lie one after another, orthonormal: modified Gram-Schmidt, and a second
/// time where a vector lost most of its length, because then the rest is mostly rounding. The diagonal of R is the
/// lengths, so that it is positive, which is the sign that Keras's rule asks for.
///
/// `Err` holds the index of a vector that depends on those before it.
fn orthonormalize(vectors: &mut [f64], length: usize) -> std::result::Result<(), usize> {
    let total = vectors.len() / length;
    for start in (0..total).step_by(BLOCK) {
        let end = total.min(start + BLOCK);
        let (done, open) = vectors.split_at_mut(start * length);
        let (block, _) = open.split_at_mut((end - start) * length);
        let before: Vec<f64> = block.chunks_exact(length).map(|vector| dot(vector, vector)).collect();
        for direction in done.chunks_exact(length) {
            block
                .chunks_exact_mut(length)
                .for_each(|vector| remove(direction, vector));
        }
        for (position, before) in before.into_iter().enumerate() {
            let (finished, open) = block.split_at_mut(position * length);
            let Some(vector) = open.get_mut(..length) else {
                continue;
            };
            finished
                .chunks_exact(length)
                .for_each(|direction| remove(direction, vector));
            let mut square = dot(vector, vector);
            if square < 1e-4 * before {
                let directions = done.chunks_exact(length).chain(finished.chunks_exact(length));
                directions.for_each(|direction| remove(direction, vector));
                square = dot(vector, vector);
            }
            if square.is_nan() || square <= 1e-24 * before {
                return Err(start + position);
            }
            let scale = 1.0 / square.sqrt();
            vector.iter_mut().for_each(|value| *value *= scale);
        }
    }
    Ok(())
}

/// Takes the part along `direction` out of `vector`.
fn remove(direction: &[f64], vector: &mut [f64]) {
    let share = dot(direction, vector);
    for (value, direction) in vector.iter_mut().zip(direction) {
        *value -= share * direction;
    }
}

/// The product of two vectors, in eight sums: fast, and the same order on every machine.
fn dot(left: &[f64], right: &[f64]) -> f64 {
    let (left, left_rest) = left.as_chunks::<8>();
    let (right, right_rest) = right.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (left, right) in left.iter().zip(right) {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum += left * right;
        }
    }
    let rest: f64 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    sums.iter().sum::<f64>() + rest
}
