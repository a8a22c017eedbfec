//! The buffers of one (batch, time_steps), kept for the next run of that size.

use super::buffer::{Lines, reserve};
use super::saved::SavedStates;
use crate::error::Result;

/// The memory of one run. Each part keeps its size, so that the second run of a batch allocates nothing here.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// The input row by row, where the caller's does not lie so.
    pub(crate) input: Lines,
    /// What a row reads that is none.
    pub(crate) zeros: Lines,
    /// The states of all cells: hidden, and the cell state, which is empty where there is none.
    pub(crate) states: Vec<Lines>,
    /// The rows of each stage.
    pub(crate) stages: Vec<StageRows>,
    pub(crate) recurrent: Recurrent,
}

/// What recurrences take besides their rows.
#[derive(Debug, Default)]
pub(crate) struct Recurrent {
    /// What they keep in a training, one for each stage,
    pub(crate) kept: Vec<Kept>,
    /// or with little memory,
    pub(crate) saved: Vec<SavedStates>,
    /// and the rows of a piece then.
    pub(crate) piece: StageRows,
    /// What the threads need during one stage: the next stage takes it again.
    pub(crate) scratch: Vec<Scratch>,
}

impl Recurrent {
    /// Makes room for so many stages, of which none has kept anything.
    pub(crate) fn begin(&mut self, stages: usize) -> Result<()> {
        if self.kept.len() < stages {
            reserve(&mut self.kept, stages)?;
            self.kept.resize_with(stages, Kept::default);
            reserve(&mut self.saved, stages)?;
            self.saved.resize_with(stages, SavedStates::default);
        }
        self.kept.iter_mut().for_each(|kept| kept.hands = 0);
        Ok(())
    }

    /// What one stage may take.
    pub(crate) fn of_stage(&mut self, stage: usize) -> Keeping<'_> {
        Keeping {
            scratch: &mut self.scratch,
            kept: self.kept.get_mut(stage),
            saved: self.saved.get_mut(stage),
            piece: &mut self.piece,
        }
    }
}

/// The rows that a stage has made.
#[derive(Debug, Default)]
pub(crate) struct StageRows {
    pub(crate) values: Lines,
    /// Row r is row `places[r]` of `values`; without places it is row r.
    pub(crate) places: Vec<u32>,
    /// Of a recurrence in training whose gates leave something out.
    pub(crate) masked: Option<Box<MaskedRows>>,
}

/// What the way back of a recurrence needs whose gates leave something out, in the order of its schedule.
#[derive(Debug, Default)]
pub(crate) struct MaskedRows {
    /// What x is multiplied by, `[position][gate][feature]`,
    pub(crate) input_factors: Lines,
    /// and h, `[position][gate][…]`.
    pub(crate) factors: Lines,
    /// (rows, lanes·units)
    pub(crate) lanes: Lines,
    /// h before the first step, a row for each position, then h of each row;
    pub(crate) hidden: Lines,
    /// the cell states likewise, or nothing.
    pub(crate) cell_states: Lines,
    /// r * h of each row, where a lane multiplies that.
    pub(crate) products: Lines,
}

impl StageRows {
    /// Room for rows that lie in order.
    pub(crate) fn in_order(&mut self, length: usize) -> Result<&mut [f32]> {
        self.places.clear();
        self.values.resize(length)
    }
}

/// What a recurrence keeps for its way back, in blocks: hand by hand, the rows of each step by step.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Over how many hands the rows are dealt out; 0 where nothing is kept.
    pub(crate) hands: usize,
    /// Over how many members the units of each hand may be split.
    pub(crate) members: usize,
    /// (rows, lanes·units), as `Rule::leaves` says
    pub(crate) lanes: Lines,
    /// In each block the states before the first step, then those of its rows, (…, units); empty for a cell without one.
    pub(crate) cell_states: Lines,
}

/// What one recurrence may take besides its rows.
#[derive(Debug)]
pub(crate) struct Keeping<'w> {
    pub(crate) scratch: &'w mut Vec<Scratch>,
    pub(crate) kept: Option<&'w mut Kept>,
    pub(crate) saved: Option<&'w mut SavedStates>,
    pub(crate) piece: &'w mut StageRows,
}

/// What one thread needs during one stage.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The cell state of its sequences.
    pub(crate) cell_state: Lines,
    pub(crate) projected: Lines,
    /// The sums of some rows and one panel.
    pub(crate) sums: Lines,
    /// The rows of the input that are read together.
    pub(crate) inputs: Vec<u32>,
    /// h of all units, where others make a part of it.
    pub(crate) hidden: Lines,
    /// h of its own units after each step, where others make a part of it.
    pub(crate) outputs: Lines,
    /// What is kept of its own units, where others make a part of it.
    pub(crate) kept_lanes: Lines,
    pub(crate) kept_cell_states: Lines,
}
