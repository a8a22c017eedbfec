//! The steps of a batch, each with its output, its target and its weight: what losses and metrics add up.

use ndarray::{ArrayD, ArrayView2, ArrayView3, ArrayViewD, ArrayViewMut2, ArrayViewMut3, Axis, Ix2, IxDyn};
use rayon::prelude::*;

use super::rows::{Rows, Wanted, copy, with_time_steps};
use super::targets::Targets;
use crate::error::{Error, Result};
use crate::memory::Purpose;

/// What losses and metrics compute in, and the gradient.
pub(super) const LOSS: Purpose = Purpose {
    what: "the gradient of the loss",
    repair: "take smaller batches",
};

/// Outputs with fewer values than this are not worth waking other threads.
const SHARE: usize = 16 << 10;

/// The steps of a batch. Outputs without time steps have one.
#[derive(Debug)]
pub(crate) struct Steps<'a> {
    shape: Vec<usize>,
    outputs: ArrayView3<'a, f32>,
    targets: Rows<'a>,
    wanted: Wanted,
    mask: Option<ArrayView2<'a, bool>>,
    weights: Option<ArrayView2<'a, f32>>,
    ignored: Option<f64>,
}

/// What is added up over the steps of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Totals {
    /// The sum of the scores, each multiplied by its weight.
    pub(crate) sum: f64,
    /// The sum of the weights.
    pub(crate) weight: f64,
    /// The number of steps that count.
    pub(crate) steps: usize,
    /// The number of sequences.
    pub(crate) batch: usize,
}

/// Room for one step.
struct Room {
    output: Vec<f64>,
    target: Vec<f64>,
    gradient: Vec<f64>,
}

impl<'a> Steps<'a> {
    /// The steps of these outputs, of which those count that the mask and the ignored class leave.
    pub(crate) fn new(
        outputs: ArrayViewD<'a, f32>,
        targets: &'a Targets<'_>,
        mask: Option<ArrayView2<'a, bool>>,
        weights: Option<ArrayViewD<'a, f32>>,
        wanted: (Wanted, Option<i32>),
    ) -> Result<Self> {
        let (wanted, ignored) = wanted;
        let shape = outputs.shape().to_vec();
        let outputs = with_time_steps(outputs).ok_or_else(|| rank(&shape))?;
        let (batch, time_steps, features) = outputs.dim();
        if features == 0 {
            return Err(size(
                "outputs",
                "at least one feature",
                &shape,
                "give the last layer units",
            ));
        }
        let targets = Rows::new(targets, &shape, wanted)?;
        mask_fits(mask, (batch, time_steps))?;
        let weights = weights.map(|weights| spread(weights, batch, time_steps)).transpose()?;
        Ok(Self {
            shape,
            outputs,
            targets,
            wanted,
            mask,
            weights,
            ignored: ignored.map(f64::from),
        })
    }

    /// Whether targets and weights fit outputs of this shape, whatever these are.
    pub(crate) fn check_shapes(
        outputs: &[usize],
        targets: &Targets<'_>,
        weights: Option<ArrayViewD<'_, f32>>,
        wanted: (Wanted, Option<i32>),
    ) -> Result<()> {
        let one = ArrayD::<f32>::zeros(IxDyn(&[]));
        let outputs = of_shape(&one, outputs)?;
        Steps::new(outputs, targets, None, weights, wanted).map(|_| ())
    }

    /// The number of time steps, 1 for outputs without.
    pub(crate) fn time_steps(&self) -> usize {
        self.outputs.len_of(Axis(1))
    }

    /// Calls `visit` with the sequence, the time step and the weight of each step that counts and has one, in order.
    pub(super) fn weighted(&self, mut visit: impl FnMut(usize, usize, f64)) -> Result<()> {
        let (batch, time_steps, _) = self.outputs.dim();
        for sequence in 0..batch {
            for time_step in (0..time_steps).filter(|&step| self.counts(sequence, step)) {
                let weight = self.weight(sequence, time_step)?;
                if weight != 0.0 {
                    visit(sequence, time_step, weight);
                }
            }
        }
        Ok(())
    }

    /// The numbers that a step is wanted to be.
    pub(super) fn numbers(&self, sequence: usize, time_step: usize, to: &mut [f32]) -> Result<()> {
        self.targets.copy_single(sequence, time_step, to);
        match to.iter().fold(true, |all, number| all & number.is_finite()) {
            true => Ok(()),
            false => {
                let wide: Vec<f64> = to.iter().map(|&number| number.into()).collect();
                self.check(sequence, time_step, &wide)
            }
        }
    }

    /// The number of the class that a step is wanted to be of.
    pub(super) fn class(&self, sequence: usize, time_step: usize) -> Result<u32> {
        let class = self.targets.first(sequence, time_step).unwrap_or(f64::NAN);
        self.check(sequence, time_step, &[class])?;
        Ok(class as u32)
    }

    /// How many steps count.
    pub(super) fn count(&self) -> usize {
        let (batch, time_steps, _) = self.outputs.dim();
        if self.mask.is_none() && self.ignored.is_none() {
            return batch.saturating_mul(time_steps);
        }
        let of_sequence = |sequence| (0..time_steps).filter(|&step| self.counts(sequence, step)).count();
        (0..batch).map(of_sequence).sum()
    }

    fn counts(&self, sequence: usize, time_step: usize) -> bool {
        let valid = |mask: &ArrayView2<'_, bool>| mask.get([sequence, time_step]) == Some(&true);
        self.mask.as_ref().is_none_or(valid)
            && (self.ignored.is_none() || self.ignored != self.targets.first(sequence, time_step))
    }

    /// Adds up what `score` gives for the output and the target of each step; it also makes the gradient of the score. That of
    /// the sum, divided by the number of steps that count, becomes `gradient`.
    ///
    /// Each sequence is added up by one thread, and then the sequences in their order: the threads change no bit.
    pub(crate) fn sum(
        &self,
        score: impl Fn(&[f64], &[f64], &mut [f64]) -> f64 + Sync,
        gradient: Option<&mut ArrayD<f32>>,
    ) -> Result<Totals> {
        let features = self.outputs.len_of(Axis(2));
        let steps = self.count();
        let share = 1.0 / steps.max(1) as f64;
        let width = if self.wanted == Wanted::Class { 1 } else { features };
        let room = || Room::new(features, width);
        let run = |room: &mut Result<Room>, (sequence, gradient): Job<'_>| {
            let room = room.as_mut().map_err(|error| error.clone())?;
            self.sequence(sequence, room, share, gradient, &score)
        };
        add_up((&self.shape, steps), gradient, room, run)
    }

    /// The sums of scores and weights over one sequence.
    fn sequence(
        &self,
        sequence: usize,
        room: &mut Room,
        share: f64,
        mut gradient: Option<ArrayViewMut2<'_, f32>>,
        score: impl Fn(&[f64], &[f64], &mut [f64]) -> f64,
    ) -> Result<(f64, f64)> {
        let (mut sum, mut whole) = (0.0, 0.0);
        for time_step in 0..self.time_steps() {
            let mut row = (gradient.as_mut()).map(|gradient| gradient.index_axis_mut(Axis(0), time_step));
            let weight = match self.counts(sequence, time_step) {
                true => self.weight(sequence, time_step)?,
                false => 0.0,
            };
            if weight == 0.0 {
                row.iter_mut().for_each(|row| row.fill(0.0));
                continue;
            }
            copy(&self.outputs, sequence, time_step, &mut room.output, f64::from);
            self.targets.copy(sequence, time_step, &mut room.target);
            self.check(sequence, time_step, &room.target)?;
            sum += weight * score(&room.output, &room.target, &mut room.gradient);
            whole += weight;
            let Some(row) = &mut row else { continue };
            let slopes = room.gradient.iter().map(|slope| (weight * share * slope) as f32);
            match row.as_slice_mut() {
                Some(row) => row.iter_mut().zip(slopes).for_each(|(to, slope)| *to = slope),
                None => row.iter_mut().zip(slopes).for_each(|(to, slope)| *to = slope),
            }
        }
        Ok((sum, whole))
    }

    /// The weight of a step, 1 where none was given.
    fn weight(&self, sequence: usize, time_step: usize) -> Result<f64> {
        let weight_of = |weights: &ArrayView2<'_, f32>| {
            let of_sequence = weights.len_of(Axis(1)) == 1;
            weights
                .get([sequence, if of_sequence { 0 } else { time_step }])
                .copied()
        };
        let given = self.weights.as_ref().and_then(weight_of);
        checked_weight(given, || self.place(sequence, time_step))
    }

    /// Whether the target of a step is one.
    fn check(&self, sequence: usize, time_step: usize, target: &[f64]) -> Result<()> {
        let are_finite = target.iter().fold(true, |all, number| all & number.is_finite());
        let bad = (!are_finite).then(|| target.iter().position(|number| !number.is_finite()));
        if let Some(feature) = bad.flatten() {
            let index = match self.shape.len() {
                2 => vec![sequence, feature],
                _ => vec![sequence, time_step, feature],
            };
            return Err(Error::NotFinite {
                tensor: "targets".to_owned(),
                index,
                value: target.get(feature).copied().unwrap_or(f64::NAN).to_string(),
                repair: "mask the steps that have no target, or give them a weight of 0".to_owned(),
            });
        }
        let classes = self.outputs.len_of(Axis(2));
        let is_class = |class: &f64| (0.0..classes as f64).contains(class) && class.fract() == 0.0;
        match target
            .first()
            .filter(|class| self.wanted == Wanted::Class && !is_class(class))
        {
            Some(&class) => Err(self.no_class(class, sequence, time_step)),
            None => Ok(()),
        }
    }

    fn no_class(&self, class: f64, sequence: usize, time_step: usize) -> Error {
        let classes = self.outputs.len_of(Axis(2));
        Error::Value {
            argument: "targets".to_owned(),
            expected: format!("class numbers from 0 to {}", classes.saturating_sub(1)),
            found: format!("{class} for {}", self.place(sequence, time_step)),
            repair: format!(
                "number the classes from 0, or give the last layer more units than {classes}; steps without a class are \
                 masked, have a weight of 0, or a class number that `ignore_class` names"
            ),
        }
    }

    fn place(&self, sequence: usize, time_step: usize) -> String {
        match self.shape.len() {
            2 => format!("sequence {sequence}"),
            _ => format!("sequence {sequence} at time step {time_step}"),
        }
    }
}

/// A sequence, and where its gradient goes if that is wanted.
pub(super) type Job<'g> = (usize, Option<ArrayViewMut2<'g, f32>>);

/// Adds up what `run` gives for each sequence of outputs of this shape: its sum, and the weight of it. Each sequence is one thread's, which makes its room once,
/// and then they are added in their order: the threads change no bit.
pub(super) fn add_up<R>(
    (shape, steps): (&[usize], usize),
    gradient: Option<&mut ArrayD<f32>>,
    room: impl Fn() -> R + Sync + Send,
    run: impl Fn(&mut R, Job<'_>) -> Result<(f64, f64)> + Sync + Send,
) -> Result<Totals> {
    let batch = shape.first().copied().unwrap_or(0);
    let mut rows = gradient.map(|gradient| gradient_of(shape, gradient)).transpose()?;
    let mut jobs = LOSS.list(batch)?;
    match &mut rows {
        Some(rows) => jobs.extend(rows.outer_iter_mut().map(Some)),
        None => jobs.resize_with(batch, || None),
    }
    let mut sums: Vec<Result<(f64, f64)>> = LOSS.list(batch)?;
    if shape.iter().product::<usize>() < SHARE {
        let mut room = room();
        sums.extend(jobs.into_iter().enumerate().map(|job| run(&mut room, job)));
    } else {
        sums.par_extend(jobs.into_par_iter().enumerate().map_init(room, run));
    }
    let mut totals = Totals {
        sum: 0.0,
        weight: 0.0,
        steps,
        batch,
    };
    for sums in sums {
        let (sum, weight) = sums?;
        totals.sum += sum;
        totals.weight += weight;
    }
    Ok(totals)
}

/// The gradient with the shape of the outputs, as (batch, time_steps, features).
fn gradient_of<'g>(shape: &[usize], gradient: &'g mut ArrayD<f32>) -> Result<ArrayViewMut3<'g, f32>> {
    if gradient.shape() != shape {
        *gradient = LOSS.array(IxDyn(shape))?;
    }
    with_time_steps(gradient.view_mut()).ok_or_else(|| rank(shape))
}

/// Outputs of a shape, each of which is the same number.
pub(super) fn of_shape<'a>(one: &'a ArrayD<f32>, shape: &[usize]) -> Result<ArrayViewD<'a, f32>> {
    one.broadcast(IxDyn(shape))
        .ok_or_else(|| Error::defect("the shape of an output"))
}

/// Whether a mask is that of outputs with so many sequences and time steps.
pub(super) fn mask_fits(mask: Option<ArrayView2<'_, bool>>, (batch, time_steps): (usize, usize)) -> Result<()> {
    match mask.filter(|mask| mask.dim() != (batch, time_steps)) {
        Some(mask) => {
            let repair = "give the mask of the outputs; outputs without time steps have none";
            Err(size("mask", &format!("[{batch}, {time_steps}]"), mask.shape(), repair))
        }
        None => Ok(()),
    }
}

impl Room {
    fn new(features: usize, width: usize) -> Result<Self> {
        Ok(Self {
            output: LOSS.zeros(features)?,
            target: LOSS.zeros(width)?,
            gradient: LOSS.zeros(features)?,
        })
    }
}

/// A weight as it counts, 1 where none was given.
pub(super) fn checked_weight(given: Option<f32>, place: impl FnOnce() -> String) -> Result<f64> {
    match given {
        Some(weight) if !(weight >= 0.0 && weight.is_finite()) => Err(Error::Value {
            argument: "sample weights".to_owned(),
            expected: "finite numbers from 0".to_owned(),
            found: format!("{weight} for {}", place()),
            repair: "give a weight of 0 to what should not count".to_owned(),
        }),
        Some(weight) => Ok(weight.into()),
        None => Ok(1.0),
    }
}

/// Weights of sequences, (batch) or (batch, 1), as (batch, 1); or those of steps, (batch, time_steps).
pub(super) fn spread(weights: ArrayViewD<'_, f32>, batch: usize, time_steps: usize) -> Result<ArrayView2<'_, f32>> {
    let shape = weights.shape().to_vec();
    let unfit = || {
        let expected = format!("[{batch}] or [{batch}, {time_steps}]");
        let repair = "give a weight for each sequence, or one for each of the outputs' steps";
        size("sample weights", &expected, &shape, repair)
    };
    let weights = if weights.ndim() == 1 {
        weights.insert_axis(Axis(1))
    } else {
        weights
    };
    let weights = weights.into_dimensionality::<Ix2>().map_err(|_| unfit())?;
    match weights.dim() {
        (sequences, steps) if sequences == batch && (steps == time_steps || steps == 1) => Ok(weights),
        _ => Err(unfit()),
    }
}

pub(super) fn size(argument: &str, expected: &str, shape: &[usize], repair: &str) -> Error {
    Error::Size {
        argument: argument.to_owned(),
        expected: expected.to_owned(),
        found: format!("{shape:?}"),
        repair: repair.to_owned(),
    }
}

fn rank(shape: &[usize]) -> Error {
    Error::Rank {
        argument: "outputs".to_owned(),
        axes: "(batch, features) or (batch, time_steps, features)",
        shape: shape.to_vec(),
        repair:
            "give the values that a run of the model gave; for a single feature call insert_axis with the last axis"
                .to_owned(),
    }
}
