//! What a recurrence runs over, and where its rows lie.

use super::gather::Gathered;
use crate::cpu::memory::buffer::reserve;
use crate::cpu::threads::hand::Hand;
use crate::error::Result;
use crate::schedule::Schedule;

/// What a recurrence runs over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work<'a> {
    pub(crate) schedule: &'a Schedule,
    pub(crate) gathered: Gathered<'a>,
}

/// h and the cell state, (batch, units) each: the second one is changed.
pub(super) type Before<'a> = (&'a [f32], &'a mut [f32]);

/// Where the rows of a schedule lie if each hand has a block: h before the first step, a row for each position, then its rows.
pub(super) fn place_rows(schedule: &Schedule, hands: usize, places: &mut Vec<u32>) -> Result<()> {
    places.clear();
    reserve(places, schedule.rows())?;
    places.resize(schedule.rows(), 0);
    let mut next = 0;
    for first in 0..hands {
        let hand = Hand { schedule, first, hands };
        next += hand.active(0) as u32;
        for row in (0..hand.steps()).flat_map(|step| hand.rows_of(step)) {
            if let Some(place) = places.get_mut(row) {
                *place = next;
            }
            next += 1;
        }
    }
    Ok(())
}
