//! All ways to say some labels in some time steps, by the recurrences of Graves et al. (2006), on logarithms.

use ndarray::{ArrayView2, ArrayViewMut2};

use super::labels::Labels;
use crate::error::Result;
use crate::loss::probability::softmax;
use crate::loss::steps::LOSS;

const NEVER: f64 = f64::NEG_INFINITY;

/// The ways through one sequence. With y(t, s) the logarithm of the probability, at time step t, of the class at place s:
///
/// ```text
/// a(t, s) = y(t, s) + ln(e^a(t-1, s) + e^a(t-1, s-1) [+ e^a(t-1, s-2)])      begun in the first blank or the first label
/// b(t, s) = ln(e^(b + y)(t+1, s) + e^(b + y)(t+1, s+1) [+ e^(b + y)(t+1, s+2)])   ended in the last blank or the last label
/// ln p = ln Σ e^(a + b)(t, s) over s, the same for all t
/// ```
///
/// The third terms are there where a way may skip a blank.
#[derive(Debug)]
pub(super) struct Alignments<'a> {
    logits: ArrayView2<'a, f32>,
    /// The time steps that count.
    steps: &'a [usize],
    labels: &'a Labels,
    /// ln Σ e^logit of each of these.
    norms: Vec<f64>,
    /// a, by time step and place.
    until: Vec<f64>,
    /// ln p
    whole: f64,
}

impl<'a> Alignments<'a> {
    /// Of time steps that are enough for the labels.
    pub(super) fn new(logits: ArrayView2<'a, f32>, steps: &'a [usize], labels: &'a Labels) -> Result<Self> {
        let places = labels.places.len();
        let mut made = Self {
            logits,
            steps,
            labels,
            norms: LOSS.list(steps.len())?,
            until: LOSS.list(steps.len().saturating_mul(places))?,
            whole: NEVER,
        };
        let (mut row, mut shares) = (LOSS.zeros(logits.ncols())?, LOSS.zeros(logits.ncols())?);
        for number in 0..steps.len() {
            made.read(number, &mut row);
            made.norms.push(softmax(&row, &mut shares));
            for place in 0..places {
                let before = made.before(number, place);
                made.until.push(before + made.said(number, place));
            }
        }
        let last = |back: usize| {
            made.until
                .len()
                .checked_sub(back)
                .and_then(|place| made.until.get(place))
        };
        let ends = [last(1), last(2).filter(|_| places > 1)];
        made.whole = sum(ends.map(|end| end.copied().unwrap_or(NEVER)));
        Ok(made)
    }

    /// -ln p
    pub(super) fn loss(&self) -> f64 {
        -self.whole
    }

    /// The gradient of the loss with respect to the logits of the time steps that count, each number multiplied by `factor`: what is said with which
    /// probability at all, less what is said with which where the labels are said.
    pub(super) fn gradient(&self, factor: f64, mut to: ArrayViewMut2<'_, f32>) -> Result<()> {
        let places = self.labels.places.len();
        let (mut row, mut slopes) = (LOSS.zeros(self.logits.ncols())?, LOSS.zeros(self.logits.ncols())?);
        // b, of this time step and of the one behind it, where y is added
        let mut ahead = LOSS.filled(places, NEVER)?;
        ahead.iter_mut().rev().take(2).for_each(|end| *end = 0.0);
        let mut behind = LOSS.filled(places, NEVER)?;
        for (number, &step) in self.steps.iter().enumerate().rev() {
            if number + 1 < self.steps.len() {
                for (place, (behind, ahead)) in behind.iter_mut().zip(&ahead).enumerate() {
                    *behind = ahead + self.said(number + 1, place);
                }
                for (place, ahead) in ahead.iter_mut().enumerate() {
                    let at = |place: usize| behind.get(place).copied().unwrap_or(NEVER);
                    let skipped = if self.labels.skips_to(place + 2) {
                        at(place + 2)
                    } else {
                        NEVER
                    };
                    *ahead = sum([sum([at(place), at(place + 1)]), skipped]);
                }
            }
            self.read(number, &mut row);
            softmax(&row, &mut slopes);
            let until = self.until.iter().skip(number * places);
            for ((&class, until), ahead) in self.labels.places.iter().zip(until).zip(&ahead) {
                if let Some(slope) = slopes.get_mut(class) {
                    *slope -= libm::exp(until + ahead - self.whole);
                }
            }
            for (to, slope) in to.row_mut(step).iter_mut().zip(&slopes) {
                *to = (factor * slope) as f32;
            }
        }
        Ok(())
    }

    /// The logits of a time step, by its number among those that count.
    fn read(&self, number: usize, row: &mut [f64]) {
        let step = self.steps.get(number).copied().unwrap_or_default();
        row.iter_mut()
            .zip(self.logits.row(step))
            .for_each(|(to, &logit)| *to = logit.into());
    }

    /// y
    fn said(&self, number: usize, place: usize) -> f64 {
        let logit = self.steps.get(number).zip(self.labels.places.get(place));
        let logit = logit.and_then(|(&step, &class)| self.logits.get((step, class)));
        let norm = self.norms.get(number);
        logit.zip(norm).map_or(NEVER, |(&logit, norm)| f64::from(logit) - norm)
    }

    /// All ways to the time step before, from where one may go to a place.
    fn before(&self, number: usize, place: usize) -> f64 {
        let Some(number) = number.checked_sub(1) else {
            return if place < 2 { 0.0 } else { NEVER };
        };
        let at = |back: usize| {
            let place = place.checked_sub(back)?;
            self.until.get(number * self.labels.places.len() + place).copied()
        };
        let skipped = at(2).filter(|_| self.labels.skips_to(place));
        let near = sum([at(0).unwrap_or(NEVER), at(1).unwrap_or(NEVER)]);
        sum([near, skipped.unwrap_or(NEVER)])
    }
}

/// ln(e^a + e^b); NaN stays NaN.
fn sum([a, b]: [f64; 2]) -> f64 {
    if a == NEVER {
        return b;
    }
    if b == NEVER {
        return a;
    }
    let (larger, smaller) = if a > b { (a, b) } else { (b, a) };
    larger + libm::log1p(libm::exp(smaller - larger))
}
