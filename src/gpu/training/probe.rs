//! Where each weight of a plan stands in the buffers of the forward pass: found by weights that are their own numbers.
//!
//! The packers of the forward pass only move values, pad with zeros, and add up the two rows of a bias. So they say themselves where a value
//! goes, and nothing here knows a layout. What stands there for good is neither a number nor zero.

use ndarray::{ArcArray2, Array1, Array2};

use crate::error::Result;
use crate::gpu::stage::interface::defect;
use crate::memory::WEIGHTS;
use crate::model::plan::Plan;
use crate::model::planned_weight::Owner;
use crate::model::transform::Transform;
use crate::parameters::Role;

/// A value that belongs to no weight and yet is no padding.
const CONSTANT: f32 = 0.5;

/// A number in digits of this base is exact in f32.
const BASE: usize = 4096;

/// Which rows of biases have numbers; the others are zeros, so that no two numbers are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// All but the second row of a bias.
    First,
    /// That row alone.
    Second,
}

/// A digit of the number of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digit {
    Low,
    High,
}

impl Digit {
    /// One more than the digit, so that no digit is 0.
    fn of(self, number: usize) -> f32 {
        let digit = match self {
            Self::Low => number % BASE,
            Self::High => number / BASE,
        };
        (digit + 1) as f32
    }
}

/// The number whose digits stand in a place; `None` where no weight stands, but padding or what is constant.
pub(super) fn number(low: f32, high: f32) -> Option<usize> {
    let digit = |value: f32| (value >= 1.0).then(|| value as usize - 1);
    Some(digit(low)? + BASE * digit(high)?)
}

/// Whether any bias has two rows.
pub(super) fn has_second_rows(plan: &Plan) -> bool {
    let mut weights = plan.weights.iter();
    weights.any(|weight| weight.role == Role::Bias && weight.shape.len() == 2)
}

/// The plan with digits of the numbers of its weights, from 0 on in the order of the plan. Embeddings are left out, and what a
/// BatchNormalization multiplies by and adds is zero: a product of several weights.
pub(super) fn numbered(plan: &Plan, rows: Rows, digit: Digit) -> Result<Plan> {
    let mut probe = plan.clone();
    probe.tables = Vec::new();
    for transform in &mut probe.transforms {
        if let Transform::Scale { by: Some(by), .. } = transform {
            by.scale.fill(0.0);
            by.shift.fill(0.0);
            let constant = Array1::from_elem(by.scale.len(), CONSTANT);
            by.of.gamma = Some(constant.clone()); // what is absent is ones and zeros
            by.of.beta = Some(constant);
        }
        if let Transform::Normalize { gamma, beta, .. } = transform {
            gamma.fill(CONSTANT);
            beta.fill(CONSTANT);
        }
    }
    let mut first = 0;
    for weight in &plan.weights {
        let count: usize = weight.shape.iter().product();
        let mut values = WEIGHTS.zeros::<f32>(count)?;
        let width = weight.shape.last().copied().unwrap_or(0).max(1);
        for (place, value) in values.iter_mut().enumerate() {
            let is_second = weight.role == Role::Bias && weight.shape.len() == 2 && place >= width;
            if is_second == (rows == Rows::Second) {
                *value = digit.of(first + place);
            }
        }
        set(&mut probe, (weight.owner, weight.role), &weight.shape, values)?;
        first += count;
    }
    Ok(probe)
}

fn set(plan: &mut Plan, (owner, role): (Owner, Role), shape: &[usize], values: Vec<f32>) -> Result<()> {
    let matrix = |values| -> Result<ArcArray2<f32>> {
        let [rows, columns] = shape else {
            return Err(defect());
        };
        let array = Array2::from_shape_vec((*rows, *columns), values).map_err(|_| defect())?;
        Ok(array.into_shared())
    };
    match owner {
        Owner::Cell(cell) => {
            let weights = &mut plan.cells.get_mut(cell).ok_or_else(defect)?.weights;
            match role {
                Role::Kernel => weights.kernel = matrix(values)?,
                Role::RecurrentKernel => weights.recurrent_kernel = matrix(values)?,
                Role::Bias => {
                    // a bias of one row may be a vector by name
                    let columns = shape.last().copied().unwrap_or(0).max(1);
                    let array = Array2::from_shape_vec((values.len() / columns, columns), values);
                    weights.bias = Some(array.map_err(|_| defect())?.into_shared());
                }
                Role::Peepholes => weights.peepholes = Some(matrix(values)?),
                _ => weights.projection = Some(matrix(values)?),
            }
        }
        Owner::Dense(dense) => {
            let weights = &mut plan.denses.get_mut(dense).ok_or_else(defect)?.weights;
            match role {
                Role::Kernel => weights.kernel = matrix(values)?.into_owned(),
                _ => weights.bias = Some(Array1::from_vec(values)),
            }
        }
        Owner::Transform(transform) => match plan.transforms.get_mut(transform).ok_or_else(defect)? {
            Transform::Scale { by: Some(by), .. } => match role {
                Role::Gamma => by.of.gamma = Some(Array1::from_vec(values)),
                Role::Beta => by.of.beta = Some(Array1::from_vec(values)),
                _ => {}
            },
            Transform::Normalize { gamma, beta, .. } => match role {
                Role::Gamma => *gamma = values,
                _ => *beta = values,
            },
            Transform::Scale { by: None, .. } => return Err(defect()),
        },
        Owner::Table(_) => {}
    }
    Ok(())
}
