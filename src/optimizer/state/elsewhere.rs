//! The step, where a device makes it: the host says what it does to each parameter, by the sizes of the gradients.

use super::{LARGEST, OptimizerState, SLOTS};
use crate::error::{Error, Result};
use crate::optimizer::common::{At, Clip};
use crate::optimizer::update::Update;

/// Whether gradients are scaled and cut by numbers that are numbers to a GPU too: it may take a subnormal one for 0.
fn is_normal(update: &Update) -> bool {
    [update.scale, update.limit]
        .iter()
        .all(|&number| number >= f32::MIN_POSITIVE)
}

/// How large the numbers of a gradient are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct GradientSize {
    /// The largest absolute value; NaN or infinity if any number is.
    pub(crate) largest: f32,
    /// The sum of the squares.
    pub(crate) squares: f64,
}

/// A step that a device makes.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    at: At,
    /// What it does to each trained parameter, in their order.
    updates: Vec<Update>,
}

impl Step {
    /// What it does to a trained parameter, by its number.
    pub(crate) fn update(&self, number: usize) -> Option<&Update> {
        self.updates.get(number)
    }
}

impl OptimizerState {
    /// The next step, by the sizes of the gradients of the trained parameters, with the numbers of these. `None` where a gradient is NaN, infinite
    /// or too large for the slots, or is clipped to next to nothing: then [`step`](Self::step) makes the step or says which.
    pub(crate) fn next_step(&self, sizes: &[(usize, GradientSize)]) -> Result<Option<Step>> {
        let at = self.next()?;
        let sizes = self.in_order(sizes.iter().copied())?;
        let squares: Vec<f64> = sizes.iter().map(|size| size.squares).collect();
        let updates = self.updates(&at, &squares);
        let fits = |(size, update): (&GradientSize, &Update)| {
            let largest = (size.largest * update.scale).min(update.limit);
            size.largest.is_finite() && is_normal(update) && largest < LARGEST
        };
        let fit = sizes.iter().zip(&updates).all(fits);
        Ok(fit.then_some(Step { at, updates }))
    }

    /// What there is of each trained parameter, in their order, from what came with their numbers.
    fn in_order<T>(&self, numbered: impl IntoIterator<Item = (usize, T)>) -> Result<Vec<T>> {
        let missing = || Error::defect("a parameter that a device has left out");
        let mut found: Vec<Option<T>> = self.trained.iter().map(|_| None).collect();
        for (number, of) in numbered {
            *found.get_mut(number).ok_or_else(missing)? = Some(of);
        }
        found.into_iter().collect::<Option<_>>().ok_or_else(missing)
    }

    /// The next step, if it does not depend on the sizes of the gradients: where no norm is clipped. The device says where a gradient is NaN, infinite
    /// or too large for the slots.
    pub(crate) fn blind_step(&self) -> Result<Option<Step>> {
        match self.optimizer.method().common().clip() {
            None | Some(Clip::Value(_)) => {
                let at = self.next()?;
                let updates = self.updates(&at, &vec![0.0; self.trained.len()]);
                let fits = updates.iter().all(is_normal);
                Ok(fits.then_some(Step { at, updates }))
            }
            Some(Clip::Norm(_) | Clip::GlobalNorm(_) | Clip::GradNorm(_)) => Ok(None),
        }
    }

    /// A device has made the step.
    pub(crate) fn accept(&mut self, step: &Step) {
        self.earlier = None; // what it was before no device knows
        self.go_on(&step.at);
    }

    /// How many numbers the optimiser remembers of each weight.
    pub(crate) fn slots_per_weight(&self) -> usize {
        self.optimizer.method().slots().len()
    }

    /// The number of a parameter among the trained ones, if it is one.
    pub(crate) fn number_of(&self, path: &str) -> Option<usize> {
        self.trained().position(|trained| trained == path)
    }

    /// What it remembers of a trained parameter.
    pub(crate) fn slots_of(&self, number: usize) -> Option<&[Vec<f32>]> {
        self.trained.get(number).map(|trained| &*trained.slots)
    }

    /// Takes over what a device remembers: for each trained parameter, with its number, all its slots, one behind the other.
    pub(crate) fn take_slots(&mut self, slots: Vec<(usize, Vec<f32>)>) -> Result<()> {
        let slots = self.in_order(slots)?;
        let mut taken = Vec::with_capacity(self.trained.len());
        for (trained, values) in self.trained.iter().zip(slots) {
            let length = trained.shape.iter().product::<usize>();
            if values.len() != length * trained.slots.len() {
                return Err(Error::defect("the slots of a parameter"));
            }
            let slots = values
                .chunks(length.max(1))
                .map(|slot| SLOTS.listed(slot.iter().copied()));
            taken.push(slots.collect::<Result<Vec<_>>>()?);
        }
        let own = self.trained.iter_mut().zip(taken);
        own.filter(|(_, slots)| !slots.is_empty())
            .for_each(|(trained, slots)| trained.slots = slots);
        self.earlier = None;
        Ok(())
    }
}
