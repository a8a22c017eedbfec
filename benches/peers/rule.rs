//! What every program of the comparison computes: the shapes, the lengths, the numbers and the digest of the output.
//!
//! `rule.py` says the same in Python. The numbers come from a hash of their index, bit for bit the same in all programs,
//! so that nothing has to be carried from one to the other and the outputs can be compared.

#![allow(dead_code, reason = "each program uses a part")]

use std::error::Error;
use std::fmt;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Where the numbers of each tensor come from.
const INPUT: u32 = 0;
const KERNEL: u32 = 1;
const RECURRENT_KERNEL: u32 = 2;
const BIAS: u32 = 3;
const WEIGHTS_OF_THE_DIGEST: u32 = 4;
const TARGETS: u32 = 5;

/// The training steps after which outputs are compared.
pub(crate) const TRAINING_STEPS: usize = 2;

/// How many single values of the output are compared.
const SAMPLES: usize = 32;

/// A prime that no batch is a multiple of: stepping by it visits every row, out of order.
const STRIDE: usize = 7919;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) batch: usize,
    pub(crate) time_steps: usize,
    pub(crate) features: usize,
    pub(crate) units: usize,
}

pub(crate) const SHAPES: [Shape; 6] = [
    Shape::new(1, 1000, 64, 128),
    Shape::new(1, 1000, 256, 512),
    Shape::new(32, 256, 128, 256),
    Shape::new(64, 256, 256, 512),
    Shape::new(128, 512, 512, 1024),
    Shape::new(512, 64, 32, 64),
];

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            batch,
            time_steps,
            features,
            units,
        } = self;
        write!(formatter, "{batch}x{time_steps}x{features}x{units}")
    }
}

impl Shape {
    pub(crate) const fn new(batch: usize, time_steps: usize, features: usize, units: usize) -> Self {
        Self {
            batch,
            time_steps,
            features,
            units,
        }
    }

    /// Floating point operations of a run over all time steps.
    pub(crate) fn operations(&self) -> f64 {
        8.0 * (self.batch * self.time_steps * self.units) as f64 * (self.features + self.units) as f64
    }

    /// Lengths spread evenly from 1 to `time_steps`, out of order; half of `time_steps` for a single sequence.
    pub(crate) fn spread_lengths(&self) -> Vec<usize> {
        if self.batch == 1 {
            return vec![self.time_steps.div_ceil(2)];
        }
        (0..self.batch)
            .map(|row| row * STRIDE % self.batch)
            .map(|rank| 1 + rank * (self.time_steps - 1) / (self.batch - 1))
            .collect()
    }
}

/// One LSTM and its input.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) shape: Shape,
    /// The number of valid steps of each sequence; `None` if all are valid.
    pub(crate) lengths: Option<Vec<usize>>,
    /// (batch, time_steps, features)
    pub(crate) input: Vec<f32>,
    /// (features, 4·units), gates i f g o
    pub(crate) kernel: Vec<f32>,
    /// (units, 4·units)
    pub(crate) recurrent_kernel: Vec<f32>,
    /// (4·units)
    pub(crate) bias: Vec<f32>,
}

/// What is compared of an output (batch, time_steps, units), padded steps being zero.
#[derive(Clone, Debug)]
pub(crate) struct Digest {
    pub(crate) sum: f64,
    /// The sum with a weight of its own for each value: an output in another order has another one.
    pub(crate) weighted: f64,
    pub(crate) samples: Vec<f32>,
}

impl Problem {
    pub(crate) fn new(shape: Shape, with_lengths: bool) -> Self {
        let columns = 4 * shape.units;
        // as PyTorch draws them: small enough that rounding does not grow from step to step
        let scale = (1.0 / (shape.units as f64).sqrt()) as f32;
        Self {
            lengths: with_lengths.then(|| shape.spread_lengths()),
            input: numbers(INPUT, shape.batch * shape.time_steps * shape.features, 1.0),
            kernel: numbers(KERNEL, shape.features * columns, scale),
            recurrent_kernel: numbers(RECURRENT_KERNEL, shape.units * columns, scale),
            bias: numbers(BIAS, columns, scale),
            shape,
        }
    }

    pub(crate) fn length(&self, row: usize) -> usize {
        let given = self.lengths.as_ref().and_then(|lengths| lengths.get(row));
        given.copied().unwrap_or(self.shape.time_steps)
    }

    /// The number of valid steps.
    pub(crate) fn rows(&self) -> usize {
        (0..self.shape.batch).map(|row| self.length(row)).sum()
    }

    /// What the outputs should be in a training, (batch, time_steps, units).
    pub(crate) fn targets(&self) -> Vec<f32> {
        numbers(
            TARGETS,
            self.shape.batch * self.shape.time_steps * self.shape.units,
            1.0,
        )
    }

    /// The same for some of the sequences only.
    pub(crate) fn of_sequences(&self, chosen: &[usize]) -> Self {
        let size = self.shape.time_steps * self.shape.features;
        let input = chosen.iter().filter_map(|&row| self.input.chunks_exact(size).nth(row));
        Self {
            shape: Shape {
                batch: chosen.len(),
                ..self.shape
            },
            lengths: self
                .lengths
                .is_some()
                .then(|| chosen.iter().map(|&row| self.length(row)).collect()),
            input: input.flatten().copied().collect(),
            kernel: self.kernel.clone(),
            recurrent_kernel: self.recurrent_kernel.clone(),
            bias: self.bias.clone(),
        }
    }

    pub(crate) fn digest(&self, output: &[f32]) -> Digest {
        let mut digest = Digest {
            sum: 0.0,
            weighted: 0.0,
            samples: Vec::with_capacity(SAMPLES),
        };
        for (index, &value) in (0_u32..).zip(output) {
            digest.sum += f64::from(value);
            digest.weighted += f64::from(value) * f64::from(number(WEIGHTS_OF_THE_DIGEST, index));
        }
        let Shape {
            batch,
            time_steps,
            units,
            ..
        } = self.shape;
        for sample in 0..SAMPLES {
            let row = sample * STRIDE % batch;
            let step = match sample % 2 {
                0 => self.length(row) - 1,
                _ => hash(sample as u32) as usize % time_steps,
            };
            let place = (row * time_steps + step) * units + sample * 37 % units;
            digest.samples.push(output.get(place).copied().unwrap_or(f32::NAN));
        }
        digest
    }
}

/// Uniform in ±`scale`.
fn numbers(stream: u32, count: usize, scale: f32) -> Vec<f32> {
    (0_u32..)
        .take(count)
        .map(|index| number(stream, index) * scale)
        .collect()
}

/// Uniform in ±1.
fn number(stream: u32, index: u32) -> f32 {
    let mixed = hash(
        index
            .wrapping_mul(2_654_435_761)
            .wrapping_add(stream.wrapping_mul(0x9E37_79B9)),
    );
    (mixed >> 8) as f32 / 8_388_608.0 - 1.0
}

fn hash(mut bits: u32) -> u32 {
    bits ^= bits >> 16;
    bits = bits.wrapping_mul(0x7FEB_352D);
    bits ^= bits >> 15;
    bits = bits.wrapping_mul(0x846C_A68B);
    bits ^ (bits >> 16)
}
