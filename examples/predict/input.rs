//! What the model reads: from a file, or random numbers.

use std::io;
use std::ops::Range;
use std::path::Path;

use cellstate::{Layer, Model, Sequences, TimeDistributed};
use ndarray::{Array2, Array3, Array4, ArrayD, Axis, Ix2, Ix3, Ix4, s};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::array::{Numbers, shape_text};
use crate::{npy, table};

/// Random input, where nobody says how large it is.
const BATCH: usize = 3;
const TIME_STEPS: usize = 20;
const INNER_STEPS: usize = 8;

/// A batch of sequences.
#[derive(Debug)]
pub(crate) enum Input {
    /// (batch, time_steps, features)
    Values(Array3<f32>),
    /// (batch, time_steps)
    Tokens(Array2<i32>),
    /// (batch, time_steps, inner_time_steps, features)
    NestedValues(Array4<f32>),
    /// (batch, time_steps, inner_time_steps)
    NestedTokens(Array3<i32>),
}

impl Input {
    /// Reads a file for a model: `.npy`, or `.csv` and whatever else is text.
    pub(crate) fn open(path: &Path, model: &Model) -> Result<Self, String> {
        let here = |message: String| format!("{}: {message}", path.display());
        let bytes = whole(path).map_err(|error| {
            here(format!(
                "expected an input that can be read, got: {error}; check the path, or leave the input out to run on random numbers"
            ))
        })?;
        let is_table = !bytes.starts_with(b"\x93NUMPY") && path.extension().is_none_or(|ending| ending != "npy");
        let numbers = match is_table {
            true => table::read(&bytes),
            false => npy::read(&bytes),
        };
        let numbers = numbers.map_err(here)?;
        match (nested(model), embedding(model)) {
            (Some(_), Some(_)) => Self::nested_tokens(numbers),
            (Some(_), None) => Self::nested_values(numbers),
            (None, Some(_)) => Self::tokens(numbers, is_table),
            (None, None) => Self::values(numbers),
        }
        .map_err(here)
    }

    fn nested_values(numbers: Numbers) -> Result<Self, String> {
        let numbers = numbers.into_floats();
        let shape = shape_text(numbers.shape());
        let values = numbers.into_dimensionality::<Ix4>().map(Self::NestedValues);
        values.map_err(|_| {
            format!("expected a .npy file with the axes (batch, time_steps, inner_time_steps, features), got the shape {shape}")
        })
    }

    fn nested_tokens(numbers: Numbers) -> Result<Self, String> {
        let tokens = numbers.into_tokens()?;
        let shape = shape_text(tokens.shape());
        let tokens = tokens.into_dimensionality::<Ix3>().map(Self::NestedTokens);
        tokens.map_err(|_| {
            format!(
                "expected a .npy file of token numbers (batch, time_steps, inner_time_steps), got the shape {shape}"
            )
        })
    }

    fn values(numbers: Numbers) -> Result<Self, String> {
        let numbers = numbers.into_floats();
        let numbers = match numbers.ndim() {
            1 => numbers.insert_axis(Axis(1)).insert_axis(Axis(0)),
            2 => numbers.insert_axis(Axis(0)),
            _ => numbers,
        };
        let shape = shape_text(numbers.shape());
        numbers.into_dimensionality::<Ix3>().map(Self::Values).map_err(|_| {
            format!(
                "expected axes (batch, time_steps, features), or (time_steps, features) for one sequence, got the shape {shape}; in \
                 Python, reshape it before it is saved"
            )
        })
    }

    fn tokens(numbers: Numbers, is_table: bool) -> Result<Self, String> {
        let tokens = numbers.into_tokens()?;
        let tokens = match tokens.ndim() {
            1 => tokens.insert_axis(Axis(0)),
            // a table of one column is one sequence, as with numbers
            2 if is_table && tokens.len_of(Axis(1)) == 1 => tokens.reversed_axes(),
            _ => tokens,
        };
        let shape = shape_text(tokens.shape());
        tokens.into_dimensionality::<Ix2>().map(Self::Tokens).map_err(|_| {
            format!(
                "expected token numbers (batch, time_steps), got the shape {shape}; give one number for each time step"
            )
        })
    }

    /// Random numbers between -1 and 1, or random tokens; those of a seed are the same everywhere.
    pub(crate) fn random(
        model: &Model,
        batch: Option<usize>,
        time_steps: Option<usize>,
        seed: u64,
    ) -> Result<Self, String> {
        let batch = batch.unwrap_or(BATCH);
        let time_steps = time_steps.or_else(|| model.time_steps()).unwrap_or(TIME_STEPS);
        // a wrapper that reads all inner steps at once says how many there are
        let inner_steps = nested(model).map(|layers| all_steps(layers).unwrap_or(INNER_STEPS));
        let features = model.features().unwrap_or(1);
        let fits = [time_steps, inner_steps.unwrap_or(1), features]
            .iter()
            .try_fold(batch, |product, size| product.checked_mul(*size));
        if fits.is_none_or(|count| count > 1 << 30) {
            return Err(format!(
                "--batch, --time-steps: expected random input of at most 2^30 numbers, got {batch} sequences of {time_steps} steps of \
                 {features} features; give less"
            ));
        }
        let mut numbers = ChaCha8Rng::seed_from_u64(seed);
        if let Some((input_dim, masks_zero)) = embedding(model) {
            // where 0 is padding, nothing but padding is 0
            let least = usize::from(masks_zero && input_dim > 1);
            let count = (input_dim - least).max(1) as u64;
            let token = || (numbers.next_u64() % count) as i32 + least as i32;
            return Ok(match inner_steps {
                Some(steps) => Self::NestedTokens(Array3::from_shape_simple_fn((batch, time_steps, steps), token)),
                None => Self::Tokens(Array2::from_shape_simple_fn((batch, time_steps), token)),
            });
        }
        let value = || (numbers.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0;
        Ok(match inner_steps {
            Some(steps) => Self::NestedValues(Array4::from_shape_simple_fn(
                (batch, time_steps, steps, features),
                value,
            )),
            None => Self::Values(Array3::from_shape_simple_fn((batch, time_steps, features), value)),
        })
    }

    pub(crate) fn shape(&self) -> &[usize] {
        match self {
            Self::Values(values) => values.shape(),
            Self::Tokens(tokens) => tokens.shape(),
            Self::NestedValues(values) => values.shape(),
            Self::NestedTokens(tokens) => tokens.shape(),
        }
    }

    /// The number of sequences.
    pub(crate) fn batch(&self) -> usize {
        self.shape().first().copied().unwrap_or(0)
    }

    /// Some of the sequences, borrowed.
    pub(crate) fn part(&self, rows: Range<usize>) -> cellstate::Result<Sequences<'_>> {
        match self {
            Self::Values(values) => Ok(values.slice(s![rows, .., ..]).into()),
            Self::Tokens(tokens) => Ok(tokens.slice(s![rows, ..]).into()),
            Self::NestedValues(values) => Sequences::nested(values.slice(s![rows, .., .., ..])),
            Self::NestedTokens(tokens) => Sequences::nested_tokens(tokens.slice(s![rows, .., ..])),
        }
    }
}

/// The layers that run over a sequence within each time step, if the model has such.
fn nested(model: &Model) -> Option<&[Layer]> {
    match model.layers().first() {
        Some(Layer::TimeDistributed(layer)) => Some(TimeDistributed::layers(layer)),
        _ => None,
    }
}

/// The number of tokens that the model takes, if it takes tokens, and whether 0 is padding.
fn embedding(model: &Model) -> Option<(usize, bool)> {
    match nested(model).unwrap_or(model.layers()).first() {
        Some(Layer::Embedding(layer)) => Some((layer.input_dim(), layer.masks_zero())),
        _ => None,
    }
}

/// How many steps a layer wants that reads all of them at once.
fn all_steps(layers: &[Layer]) -> Option<usize> {
    layers.iter().find_map(|layer| match layer {
        Layer::Flatten(layer) => Some(layer.time_steps()),
        Layer::Reshape(layer) => Some(layer.from_shape()[0]),
        _ => None,
    })
}

/// The numbers of a `.npy` file, for comparing.
pub(crate) fn expected(path: &Path) -> Result<ArrayD<f32>, String> {
    let here = |message: String| format!("{}: {message}", path.display());
    let bytes = whole(path).map_err(|error| {
        here(format!(
            "expected a .npy file that can be read, got: {error}; check the path"
        ))
    })?;
    npy::read(&bytes).map(Numbers::into_floats).map_err(here)
}

/// All of a file. A device may have no end, and a pipe waits for whoever writes into it.
fn whole(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::metadata(path)?.is_file() {
        true => std::fs::read(path),
        false => Err(io::Error::other("a folder, a pipe or a device, and no file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cellstate::{Embedding, Lstm};
    use ndarray::array;

    #[test]
    fn shapes_are_completed() -> Result<(), String> {
        let one = Input::values(Numbers::Float(array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]].into_dyn()))?;
        assert_eq!(one.shape(), [1, 3, 2]);
        assert_eq!(
            Input::values(Numbers::Whole(array![1, 2].into_dyn()))?.shape(),
            [1, 2, 1]
        );
        assert_eq!(
            Input::tokens(Numbers::Whole(array![[7], [8]].into_dyn()), true)?.shape(),
            [1, 2]
        );
        assert_eq!(
            Input::tokens(Numbers::Whole(array![[7], [8]].into_dyn()), false)?.shape(),
            [2, 1]
        );
        assert!(Input::values(Numbers::Float(ArrayD::zeros(vec![1, 2, 3, 4]))).is_err());
        assert!(Input::tokens(Numbers::Float(array![[0.5]].into_dyn()), false).is_err());
        Ok(())
    }

    #[test]
    #[cfg(unix)]
    fn what_has_no_end_is_not_read() -> Result<(), Box<dyn std::error::Error>> {
        let model = Model::builder().add(Lstm::new(4, 2)).build()?;
        for path in ["/dev/zero", "/dev"].map(Path::new) {
            for message in [Input::open(path, &model).err(), expected(path).err()] {
                let message = message.unwrap_or_default();
                assert!(message.starts_with(&format!("{}: ", path.display())), "{message}");
                assert!(message.contains("got: a folder, a pipe or a device"), "{message}");
            }
        }
        Ok(())
    }

    #[test]
    fn random_input_fits_the_model() -> Result<(), Box<dyn std::error::Error>> {
        let model = Model::builder().add(Lstm::new(4, 2)).build()?;
        let (one, again) = (
            Input::random(&model, Some(2), None, 7)?,
            Input::random(&model, Some(2), None, 7)?,
        );
        assert_eq!(one.shape(), [2, 20, 4]);
        assert_eq!(one.part(0..2)?.values(), again.part(0..2)?.values());
        let model = Model::builder()
            .add(Embedding::new(5, 2).mask_zero(true))
            .add(Lstm::new(2, 2))
            .build()?;
        let tokens = Input::random(&model, None, Some(50), 0)?;
        let part = tokens.part(0..3)?;
        assert!(
            part.tokens()
                .is_some_and(|tokens| tokens.iter().all(|token| (1..5).contains(token)))
        );
        let within = TimeDistributed::new(Embedding::new(5, 2)).add(Lstm::new(2, 3));
        let model = Model::builder().add(within).add(Lstm::new(3, 2)).build()?;
        assert_eq!(Input::random(&model, None, Some(4), 0)?.shape(), [3, 4, 8]);
        Ok(())
    }
}
