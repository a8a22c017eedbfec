//! `gather`: the rows that a stage reads, wherever they lie.

use ndarray::Dim;
use rayon::prelude::*;

use crate::cpu::memory::workspace::StageRows;
use crate::cpu::threads::hand::Hand;
use crate::error::Result;
use crate::flow::NONE;
use crate::memory::{self, OUTPUT};

/// Numbers that the allocator gets from the system for this one call: what costs time is that each page is touched
/// for the first time, and the threads share that. Below, memory that was used before is not filled twice.
const FRESH: usize = 4 << 20;

/// Rows of one width, one after another, read by their numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    values: &'a [f32],
    width: usize,
    /// Where the rows lie in `values`, if not in order: row r is row `places[r]`.
    places: Option<&'a [u32]>,
    /// At least one row of zeros.
    zeros: &'a [f32],
}

impl<'a> Source<'a> {
    /// `zeros` has to be as long as a row.
    pub(crate) fn new(values: &'a [f32], width: usize, zeros: &'a [f32]) -> Self {
        Self {
            values,
            width,
            places: None,
            zeros: zeros.get(..width).unwrap_or(zeros),
        }
    }

    /// Row r is row `places[r]`.
    pub(crate) fn placed(self, places: &'a [u32]) -> Self {
        Self {
            places: Some(places),
            ..self
        }
    }

    /// The same from a row on, of rows that lie in order.
    pub(crate) fn from(self, first: usize) -> Self {
        Self {
            values: self.values.get(first * self.width..).unwrap_or_default(),
            ..self
        }
    }

    /// The rows that a stage has made.
    pub(crate) fn of_stage(rows: &'a StageRows, width: usize, zeros: &'a [f32]) -> Self {
        let source = Self::new(&rows.values, width, zeros);
        match rows.places.is_empty() {
            true => source,
            false => source.placed(&rows.places),
        }
    }

    /// The numbers of a row.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Where row `number` lies, for [`Source::at`].
    pub(crate) fn place(&self, number: u32) -> u32 {
        match self.places {
            Some(places) => places.get(number as usize).copied().unwrap_or(NONE),
            None => number,
        }
    }

    /// The row at a place; zeros for a place that is none.
    #[inline(always)]
    pub(crate) fn at(&self, place: u32) -> &'a [f32] {
        let begin = (place as usize).saturating_mul(self.width);
        self.values
            .get(begin..begin.saturating_add(self.width))
            .unwrap_or(self.zeros)
    }

    /// One row; zeros for a number that is none.
    pub(crate) fn row(&self, number: u32) -> &'a [f32] {
        self.at(self.place(number))
    }

    /// The rows `index`, one after another.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`](crate::Error::Memory) if there is no room for them.
    pub(crate) fn gather(&self, index: &[u32]) -> Result<Vec<f32>> {
        let length = index.len().saturating_mul(self.width);
        if length < FRESH {
            let mut rows = OUTPUT.list(length)?;
            index
                .iter()
                .for_each(|&number| rows.extend_from_slice(self.row(number)));
            return Ok(rows);
        }
        let (mut rows, _) = memory::zeros(OUTPUT.what, Dim([length]), OUTPUT.repair)?.into_raw_vec_and_offset();
        self.gather_into(index, &mut rows);
        Ok(rows)
    }

    /// The same, into memory that is there and has room for all of them.
    pub(crate) fn gather_into(&self, index: &[u32], rows: &mut [f32]) {
        const ROWS_PER_TASK: usize = 1024;
        let width = self.width.max(1);
        let copy = |(rows, index): (&mut [f32], &[u32])| {
            let rows = rows.chunks_exact_mut(width);
            rows.zip(index)
                .for_each(|(row, &number)| row.copy_from_slice(self.row(number)));
        };
        match rows.len() < FRESH {
            true => copy((rows, index)),
            false => rows
                .par_chunks_mut(ROWS_PER_TASK * width)
                .zip(index.par_chunks(ROWS_PER_TASK))
                .for_each(copy),
        }
    }
}

/// The rows that a stage reads: row r is row `index[r]` of `source`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gathered<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) index: &'a [u32],
}

impl<'a> Gathered<'a> {
    /// The row of an entry.
    pub(crate) fn row(&self, entry: usize) -> &'a [f32] {
        self.source.row(self.index.get(entry).copied().unwrap_or(NONE))
    }

    /// The places of the rows that a hand reads at `step`.
    pub(crate) fn places(&self, hand: &Hand<'_>, step: usize) -> impl Iterator<Item = u32> {
        let Self { source, index } = *self;
        let rows = hand.rows_of(step);
        rows.map(move |row| index.get(row).map_or(NONE, |&number| source.place(number)))
    }
}
