//! The optimisers against Keras and PyTorch, and against what must not be.

mod bits;
mod hostile;
mod trajectories;

use ndarray::{ArcArray, ArrayD, IxDyn};

use super::{Optimizer, OptimizerState};
use crate::error::Result;
use crate::golden::Golden;
use crate::parameters::{Parameters, Role};

type Arrays = Vec<(String, ArrayD<f32>)>;

/// The three parameters of the golden file: paths here, names there, roles.
const PARAMETERS: [(&str, &str, Role); 3] = [
    ("lstm/kernel", "kernel", Role::Kernel),
    ("lstm/recurrent_kernel", "recurrent_kernel", Role::RecurrentKernel),
    ("lstm/bias", "bias", Role::Bias),
];

fn parameters(arrays: &Arrays) -> Parameters {
    let mut parameters = Parameters::default();
    for (path, array) in arrays {
        let role = PARAMETERS.iter().find(|(here, ..)| here == path);
        let role = role.map_or(Role::MovingMean, |(_, _, role)| *role);
        parameters.push(path.clone(), role, ArcArray::from(array.clone()));
    }
    parameters
}

fn golden_weights(golden: &Golden) -> Arrays {
    let all = PARAMETERS.iter();
    all.map(|(path, name, _)| ((*path).to_owned(), golden.single(name)))
        .collect()
}

/// The gradients of one of the golden file's steps.
fn golden_gradients(golden: &Golden, step: usize) -> Arrays {
    let all = PARAMETERS.iter().map(|(path, name, _)| {
        let steps = golden.single(&format!("gradients.{name}"));
        ((*path).to_owned(), steps.index_axis(ndarray::Axis(0), step).to_owned())
    });
    all.collect()
}

fn state(optimizer: impl Into<Optimizer>, weights: &Arrays) -> OptimizerState {
    OptimizerState::new(optimizer.into(), &parameters(weights), &[]).unwrap()
}

/// A step that changes the weights where they are.
fn make_step(state: &mut OptimizerState, gradients: &mut Arrays, weights: &mut Arrays) -> Result<()> {
    let stepped = state.step(gradients, &parameters(weights))?;
    for (path, values) in stepped {
        let (_, weight) = weights.iter_mut().find(|(here, _)| *here == path).unwrap();
        *weight = values.into_owned();
    }
    Ok(())
}

/// Arrays of these lengths, with numbers that differ.
fn made(lengths: [usize; 3], seed: usize) -> Arrays {
    let arrays = PARAMETERS.iter().zip(lengths).map(|((path, ..), length)| {
        let value = |index: usize| ((index * 7919 + seed * 104_729) % 2003) as f32 / 1000.0 - 1.0;
        let values = (0..length).map(value).collect();
        (
            (*path).to_owned(),
            ArrayD::from_shape_vec(IxDyn(&[length]), values).unwrap(),
        )
    });
    arrays.collect()
}
