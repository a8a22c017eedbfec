//! The states that a recurrence of a training with little memory saves before each piece of its steps.

use std::ops::Range;

use super::buffer::Lines;
use crate::error::Result;

/// The pieces by their steps, and the states before each: h and the cell state, (batch, …).
#[derive(Debug, Default)]
pub(crate) struct SavedStates {
    pieces: Vec<Range<usize>>,
    states: [Lines; 2],
}

impl SavedStates {
    /// Makes room for pieces with so many numbers of each state.
    pub(crate) fn begin(&mut self, pieces: Vec<Range<usize>>, lengths: [usize; 2]) -> Result<()> {
        for (states, length) in self.states.iter_mut().zip(lengths) {
            states.resize(pieces.len() * length)?;
        }
        self.pieces = pieces;
        Ok(())
    }

    pub(crate) fn save(&mut self, piece: usize, states: [&[f32]; 2]) {
        for (saved, from) in self.states.iter_mut().zip(states) {
            if let Some(to) = saved.get_mut(piece * from.len()..(piece + 1) * from.len()) {
                to.copy_from_slice(from);
            }
        }
    }

    /// The steps of each piece, and the states before it.
    pub(crate) fn pieces(&self) -> impl DoubleEndedIterator<Item = (Range<usize>, [&[f32]; 2])> {
        let count = self.pieces.len().max(1);
        self.pieces.iter().enumerate().map(move |(piece, steps)| {
            let of_piece = |states: &Lines| {
                let length = states.len() / count;
                piece * length..(piece + 1) * length
            };
            let states = self
                .states
                .each_ref()
                .map(|states| states.get(of_piece(states)).unwrap_or_default());
            (steps.clone(), states)
        })
    }
}
