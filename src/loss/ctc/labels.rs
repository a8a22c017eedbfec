//! The labels of a sequence, with blanks between them.

use crate::error::{Error, Result};
use crate::loss::steps::LOSS;

/// What a sequence has to say: a blank, and after each label another one.
#[derive(Debug)]
pub(super) struct Labels {
    /// The class of each place.
    pub(super) places: Vec<usize>,
}

impl Labels {
    /// Of a row of targets: labels up to the first blank or negative number, behind which only such may stand.
    pub(super) fn of(
        row: impl ExactSizeIterator<Item = f64>,
        (classes, blank): (usize, usize),
        sequence: usize,
    ) -> Result<Self> {
        let mut places = LOSS.list(row.len().saturating_mul(2).saturating_add(1))?;
        places.push(blank);
        let mut is_over = false;
        for (place, number) in row.enumerate() {
            let is_padding = number < 0.0 || number == blank as f64;
            let is_class = (0.0..classes as f64).contains(&number);
            if !number.is_finite() || number.fract() != 0.0 || !(is_padding || is_class) {
                return Err(no_label(number, (classes, blank), [sequence, place]));
            }
            match (is_padding, is_over) {
                (true, _) => is_over = true,
                (false, true) => return Err(behind_padding(number, blank, [sequence, place])),
                (false, false) => places.extend([number as usize, blank]),
            }
        }
        Ok(Self { places })
    }

    /// The number of labels.
    pub(super) fn count(&self) -> usize {
        self.places.len() / 2
    }

    /// The time steps that they take at least.
    pub(super) fn needed(&self) -> usize {
        let neighbours = (3..self.places.len()).step_by(2);
        self.count() + neighbours.filter(|&place| !self.skips_to(place)).count()
    }

    /// Whether a way may go to a place from the one before the last: to a label that differs from the one before it.
    pub(super) fn skips_to(&self, place: usize) -> bool {
        let earlier = place.checked_sub(2).and_then(|earlier| self.places.get(earlier));
        place % 2 == 1 && earlier.is_some() && self.places.get(place) != earlier
    }
}

fn no_label(number: f64, (classes, blank): (usize, usize), [sequence, place]: [usize; 2]) -> Error {
    Error::Value {
        argument: "targets".to_owned(),
        expected: format!(
            "labels, which are class numbers below {classes}, and behind them {blank}, the blank, or negative numbers"
        ),
        found: format!("{number} at place {place} of sequence {sequence}"),
        repair: format!(
            "number the labels so that {blank} is free for the blank, or give the last layer more units than {classes}"
        ),
    }
}

fn behind_padding(number: f64, blank: usize, [sequence, place]: [usize; 2]) -> Error {
    Error::Value {
        argument: "targets".to_owned(),
        expected: format!("labels, and behind them nothing but {blank}, the blank, or negative numbers"),
        found: format!("the label {number} at place {place} of sequence {sequence}, behind such a number"),
        repair: "give the labels alone, without blanks between them, and pad rows at their ends".to_owned(),
    }
}
