//! Weights that depend on the class.

use std::collections::BTreeMap;

use ndarray::{ArrayD, IxDyn};

use super::rows::{Rows, Wanted};
use super::targets::Targets;
use crate::error::{Error, Result};
use crate::memory::Purpose;

const WEIGHTS: Purpose = Purpose {
    what: "the weights of the targets' classes",
    repair: "take smaller batches",
};

impl Targets<'_> {
    /// The weight of each step by the class of its target, to be given as sample weights: (batch) for outputs of the shape (batch, features),
    /// (batch, time_steps) for (batch, time_steps, features). A class that `weights` does not name has weight 1.
    ///
    /// It is `class_weight` of Keras 3.15's `fit`: the class is the number of the target (rounded, for `f32`), or the place of the largest
    /// number where the target is as wide as the outputs. Keras has such weights for whole sequences only; here each step has its own.
    ///
    /// # Errors
    ///
    /// [`Error::Size`] for targets that do not fit the outputs, [`Error::Value`] for a weight that is negative or not finite.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use cellstate::Targets;
    /// use ndarray::array;
    ///
    /// let targets = Targets::from(array![2, 0, 1]);
    /// let weights = targets.class_weights(&[3, 4], &BTreeMap::from([(0, 5.0), (2, 0.5)]))?; // outputs: 3 sequences, 4 classes
    /// assert_eq!(weights, array![0.5, 5.0, 1.0].into_dyn());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn class_weights(&self, outputs: &[usize], weights: &BTreeMap<i32, f32>) -> Result<ArrayD<f32>> {
        if let Some((class, weight)) = weights
            .iter()
            .find(|(_, weight)| !(**weight >= 0.0 && weight.is_finite()))
        {
            return Err(Error::Value {
                argument: "class weights".to_owned(),
                expected: "finite numbers from 0".to_owned(),
                found: format!("{weight} for class {class}"),
                repair: "give a weight of 0 to a class that should not count".to_owned(),
            });
        }
        let (&features, steps) = outputs.split_last().unwrap_or((&0, &[]));
        let (rows, width) = match Rows::new(self, outputs, Wanted::Class) {
            Ok(rows) => (rows, 1),
            Err(_) => (Rows::new(self, outputs, Wanted::Numbers)?, features),
        };
        let mut given = WEIGHTS.array(IxDyn(steps))?;
        let mut target = WEIGHTS.zeros(width)?;
        let time_steps = steps.get(1).copied().unwrap_or(1);
        for (place, given) in given.iter_mut().enumerate() {
            rows.copy(place / time_steps, place % time_steps, &mut target);
            let class = match target[..] {
                [class] => class.round_ties_even() as i32,
                _ => largest(&target)
                    .and_then(|class| i32::try_from(class).ok())
                    .unwrap_or(-1),
            };
            *given = weights.get(&class).copied().unwrap_or(1.0);
        }
        Ok(given)
    }
}

/// The place of the largest number, the first of equal ones, as Keras's `argmax`: -0 is less than 0, and NaN never the largest.
/// The first place where all are NaN.
pub(crate) fn largest(numbers: &[f64]) -> Option<usize> {
    let mut found: Option<(usize, f64)> = None;
    for (place, &number) in numbers.iter().enumerate() {
        let is_larger = found.is_none_or(|(_, largest)| largest.is_nan() || number.total_cmp(&largest).is_gt());
        if is_larger && (!number.is_nan() || found.is_none()) {
            found = Some((place, number));
        }
    }
    found.map(|(place, _)| place)
}
