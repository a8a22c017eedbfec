//! Where the rows of a recurrence lie while it runs backwards: those of each hand in a block, step by step.

use crate::cpu::threads::hand::Hand;
use crate::error::Result;
use crate::memory::RUN;
use crate::schedule::Schedule;

/// The rows of a schedule, hand by hand.
#[derive(Debug)]
pub(super) struct Blocks<'a> {
    schedule: &'a Schedule,
    hands: usize,
    /// For each place the row that lies there.
    pub(super) row_at: Vec<u32>,
    /// For each row its place.
    pub(super) place_of: Vec<u32>,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(schedule: &'a Schedule, hands: usize) -> Result<Self> {
        let mut row_at = RUN.list(schedule.rows())?;
        for first in 0..hands {
            let hand = Hand { schedule, first, hands };
            row_at.extend(
                (0..hand.steps())
                    .flat_map(|step| hand.rows_of(step))
                    .map(|row| row as u32),
            );
        }
        let mut place_of = RUN.filled(schedule.rows(), 0)?;
        for (place, &row) in row_at.iter().enumerate() {
            if let Some(to) = place_of.get_mut(row as usize) {
                *to = place as u32;
            }
        }
        Ok(Self {
            schedule,
            hands,
            row_at,
            place_of,
        })
    }

    /// The hands, in the order of their blocks.
    pub(super) fn hands(&self) -> impl Iterator<Item = Hand<'a>> + use<'a> {
        let (schedule, hands) = (self.schedule, self.hands);
        (0..hands).map(move |first| Hand { schedule, first, hands })
    }

    /// The place of a row.
    pub(super) fn place(&self, row: usize) -> usize {
        self.place_of.get(row).map_or(usize::MAX, |&place| place as usize)
    }

    /// The row at a place.
    pub(super) fn row(&self, place: usize) -> usize {
        self.row_at.get(place).map_or(usize::MAX, |&row| row as usize)
    }
}
