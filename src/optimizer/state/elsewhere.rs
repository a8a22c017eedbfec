//! The step, where a device makes it: the host says what it does to each parameter, by the sizes of the gradients.

use super::step::LARGEST;
use super::{OptimizerState, SLOTS};
use crate::error::{Error, Result};
use crate::optimizer::common::{At, Clip};
use crate::optimizer::update::Update;

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
    /// What it does to each parameter, in the order of the trained ones.
    updates: Vec<(String, Update)>,
}

impl Step {
    /// What it does to a parameter, if that is trained.
    pub(crate) fn update(&self, path: &str) -> Option<&Update> {
        let mut updates = self.updates.iter();
        updates.find(|(known, _)| known == path).map(|(_, update)| update)
    }
}

impl OptimizerState {
    /// The next step, by the sizes of the gradients of some parameters, with their paths. `None` where a gradient is NaN, infinite or too large for
    /// the slots, or is clipped to next to nothing: then [`step`](Self::step) makes the step or says which.
    pub(crate) fn next_step(&self, sizes: &[(String, GradientSize)]) -> Result<Option<Step>> {
        let at = self.next()?;
        let mut squares = Vec::with_capacity(self.trained.len());
        let mut largest = Vec::with_capacity(self.trained.len());
        for trained in &self.trained {
            let found = sizes.iter().find(|(path, _)| *path == trained.path);
            let (_, size) = found.ok_or_else(|| Error::defect("a gradient without its size"))?;
            squares.push(size.squares);
            largest.push(size.largest);
        }
        let updates = self.updates(&at, &squares);
        let fits = |(largest, update): (&f32, &Update)| {
            // a GPU may take a subnormal scale for 0
            let is_normal = update.scale >= f32::MIN_POSITIVE;
            is_normal && largest.is_finite() && (largest * update.scale).min(update.limit) < LARGEST
        };
        if !largest.iter().zip(&updates).all(fits) {
            return Ok(None);
        }
        Ok(Some(self.step_of(at, updates)))
    }

    /// The next step, if it does not depend on the sizes of the gradients: where no norm is clipped.
    pub(crate) fn blind_step(&self) -> Result<Option<Step>> {
        match self.optimizer.method().common().clip() {
            None | Some(Clip::Value(_)) => {
                let at = self.next()?;
                let updates = self.updates(&at, &vec![0.0; self.trained.len()]);
                Ok(Some(self.step_of(at, updates)))
            }
            Some(Clip::Norm(_) | Clip::GlobalNorm(_) | Clip::GradNorm(_)) => Ok(None),
        }
    }

    fn step_of(&self, at: At, updates: Vec<Update>) -> Step {
        let paths = self.trained.iter().map(|trained| trained.path.clone());
        let updates = paths.zip(updates).collect();
        Step { at, updates }
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

    /// What it remembers of a parameter, if that is trained.
    pub(crate) fn slots_of(&self, path: &str) -> Option<&[Vec<f32>]> {
        let mut trained = self.trained.iter();
        trained
            .find(|trained| trained.path == path)
            .map(|trained| &*trained.slots)
    }

    /// Takes over what a device remembers: for each trained parameter all its slots, one behind the other.
    pub(crate) fn take_slots(&mut self, slots: &[(String, Vec<f32>)]) -> Result<()> {
        let mut taken = Vec::with_capacity(self.trained.len());
        for trained in &self.trained {
            let found = slots.iter().find(|(path, _)| *path == trained.path);
            let (_, values) = found.ok_or_else(|| Error::defect("a parameter without its slots"))?;
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
