//! What a flow needs to run backwards: for each row those who read it, and for each row of a recurrence the row before it.
//!
//! A stage reads rows by a list, many times the same one; so backwards the gradient of a row is the sum over its readers. They are listed row
//! by row and always in the same order, so that nothing is added by chance: no atomics, and the same bits for any number of threads.

use std::sync::Arc;

use super::{Flow, Gather, NONE, Source, Stage};
use crate::error::Result;
use crate::memory::STEPS;
use crate::model::plan::Plan;
use crate::schedule::Schedule;

/// What a flow needs besides its stages to run backwards.
#[derive(Clone, Debug)]
pub(crate) struct Backward {
    /// One for each list of the flow: those of the outputs first, then those of the stages, the last stage first. In this order their
    /// gradients are added up.
    pub(crate) readings: Vec<Reading>,
    /// For each recurrent stage the order of its rows in time. Stages with the same mask share one.
    pub(crate) in_time: Vec<Option<Arc<InTime>>>,
}

/// One list of the flow, from the side of the rows that it reads.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) by: Reader,
    pub(crate) source: Source,
    pub(crate) readers: Readers,
}

/// Whose list it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// An output of the model, by its number.
    Output(usize),
    /// The first list of a stage.
    Stage(usize),
    /// The second list of a merge.
    MergedBackward(usize),
}

/// For each row of a source the entries of a list that name it: those of row r are `entries[offsets[r]..offsets[r + 1]]`, in rising order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Readers {
    /// One more than rows.
    pub(crate) offsets: Vec<u32>,
    pub(crate) entries: Vec<u32>,
    /// Whether entry r names row r, for all rows: then the gradients of the entries are those of the rows.
    pub(crate) are_in_order: bool,
}

/// How the rows of a recurrence follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InTime {
    /// For each row the row before it of the same sequence; NONE where that is the initial state. These rows come first, so that the number of
    /// such a row is the position of its sequence, and `Schedule::order` names the sequence.
    pub(crate) before: Vec<u32>,
    /// For each sequence the row that is its final state; NONE where no step counts, and the final state is the initial one.
    pub(crate) last: Vec<u32>,
}

impl Backward {
    pub(crate) fn new(flow: &Flow, plan: &Plan) -> Result<Self> {
        let rows_of = |source| match source {
            Source::Input => flow.input_steps.len(),
            Source::Table(table) => plan.tables.get(table).map_or(0, |table| table.nrows()),
            Source::Stage(stage) => flow.stages.get(stage).map_or(0, Stage::rows),
        };
        let mut readings = Vec::new();
        let mut push = |by, gather: &Gather| -> Result<()> {
            let readers = Readers::new(&gather.index, rows_of(gather.source))?;
            let source = gather.source;
            readings.push(Reading { by, source, readers });
            Ok(())
        };
        for (number, placed) in flow.outputs.iter().enumerate() {
            push(Reader::Output(number), &placed.gather)?;
        }
        for (number, stage) in flow.stages.iter().enumerate().rev() {
            push(Reader::Stage(number), stage.input())?;
            if let Stage::Merge { backward, .. } = stage {
                push(Reader::MergedBackward(number), backward)?;
            }
        }
        let mut known: Vec<(&Schedule, Arc<InTime>)> = Vec::new();
        let mut in_time = Vec::new();
        for stage in &flow.stages {
            in_time.push(
                stage
                    .schedule()
                    .map(|schedule| InTime::of(schedule, &mut known))
                    .transpose()?,
            );
        }
        Ok(Self { readings, in_time })
    }
}

impl Readers {
    /// Of a list over so many rows. An entry that is none has no row.
    pub(crate) fn new(index: &[u32], rows: usize) -> Result<Self> {
        let mut offsets = STEPS.filled(rows + 1, 0_u32)?;
        // first how many each row has, one place further on
        for &row in index {
            if let Some(count) = offsets.get_mut((row as usize).saturating_add(1)) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for offset in &mut offsets {
            sum += *offset;
            *offset = sum;
        }
        let mut next = STEPS.listed(offsets.iter().copied())?;
        let mut entries = STEPS.filled(sum as usize, 0_u32)?;
        for (entry, &row) in index.iter().enumerate() {
            let place = next.get_mut(row as usize).filter(|_| (row as usize) < rows);
            let Some(place) = place else { continue };
            if let Some(to) = entries.get_mut(*place as usize) {
                *to = entry as u32;
            }
            *place += 1;
        }
        let are_in_order = index.len() == rows && index.iter().enumerate().all(|(entry, &row)| entry == row as usize);
        Ok(Self {
            offsets,
            entries,
            are_in_order,
        })
    }

    /// The entries that name a row.
    pub(crate) fn of(&self, row: usize) -> &[u32] {
        match (self.offsets.get(row), self.offsets.get(row.saturating_add(1))) {
            (Some(&begin), Some(&end)) => self.entries.get(begin as usize..end as usize).unwrap_or_default(),
            _ => &[],
        }
    }
}

impl InTime {
    pub(crate) fn new(schedule: &Schedule) -> Result<Self> {
        let mut before = STEPS.list(schedule.rows())?;
        before.resize(schedule.active(0), NONE);
        for step in 1..schedule.steps() {
            let earlier = schedule.rows_of(step - 1).start as u32;
            before.extend(schedule.rows_of(step).zip(earlier..).map(|(_, row)| row));
        }
        let mut last = STEPS.filled(schedule.batch(), NONE)?;
        for (position, &sequence) in schedule.order().iter().enumerate() {
            if let (Some(row), Some(last)) = (schedule.last_row(position), last.get_mut(sequence as usize)) {
                *last = row as u32;
            }
        }
        Ok(Self { before, last })
    }

    /// Both directions over one mask have the same.
    fn of<'a>(schedule: &'a Schedule, known: &mut Vec<(&'a Schedule, Arc<Self>)>) -> Result<Arc<Self>> {
        let is_same = |other: &Schedule| other.order() == schedule.order() && other.offsets() == schedule.offsets();
        if let Some((_, found)) = known.iter().find(|(other, _)| is_same(other)) {
            return Ok(Arc::clone(found));
        }
        let made = Arc::new(Self::new(schedule)?);
        known.push((schedule, Arc::clone(&made)));
        Ok(made)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use ndarray::{Array2, Array3, array};

    use super::*;
    use crate::flow::Input;
    use crate::layer::bidirectional::Bidirectional;
    use crate::layer::embedding::Embedding;
    use crate::layer::lstm::Lstm;
    use crate::model::Model;
    use crate::schedule::Direction;

    #[test]
    fn readers_stand_row_by_row_in_rising_order() {
        let readers = Readers::new(&[2, 0, NONE, 2, 7, 0], 3).unwrap();
        assert_eq!(
            [readers.of(0), readers.of(1), readers.of(2), readers.of(3)],
            [&[1, 5][..], &[], &[0, 3], &[]]
        );
        assert!(!readers.are_in_order && Readers::new(&[0, 1, 2], 3).unwrap().are_in_order);
        assert!(!Readers::new(&[0, 1], 3).unwrap().are_in_order && !Readers::new(&[0, 1, 1], 3).unwrap().are_in_order);
        let empty = Readers::new(&[], 0).unwrap();
        assert!(empty.of(0).is_empty() && empty.of(usize::MAX).is_empty());
    }

    /// Rows by sequence: 2 has 0, 2, 4; 0 has 1, 3; 1 has none.
    #[test]
    fn rows_follow_each_other_in_time() {
        let mask = array![
            [false, true, false, true],
            [false, false, false, false],
            [true, true, true, false]
        ];
        for direction in [Direction::Forward, Direction::Backward] {
            let schedule = Schedule::new(Some(mask.view()), 3, 4, direction).unwrap();
            let in_time = InTime::new(&schedule).unwrap();
            assert_eq!(in_time.before, [NONE, NONE, 0, 1, 2]);
            assert_eq!(in_time.last, [3, NONE, 4]);
        }
        let none = Schedule::new(None, 3, 0, Direction::Forward).unwrap();
        let in_time = InTime::new(&none).unwrap();
        assert_eq!((in_time.before.len(), in_time.last), (0, vec![NONE; 3]));
    }

    /// The gradients come in the order of the readings: outputs, then the last stage first.
    #[test]
    fn every_list_of_a_flow_has_its_readers() {
        let model = Model::builder()
            .add(Embedding::new(9, 2))
            .add(Bidirectional::new(Lstm::new(2, 3).return_sequences(true)))
            .build()
            .unwrap();
        let tokens = array![[1, 1, 8], [0, 1, 5]];
        let mask: Array2<bool> = array![[true, true, true], [true, false, true]];
        let flow = Flow::new(model.plan(), Input::Tokens(tokens.view()), Some(mask.view())).unwrap();
        let backward = Backward::new(&flow, model.plan()).unwrap();
        let by: Vec<Reader> = backward.readings.iter().map(|reading| reading.by).collect();
        let merged = Reader::MergedBackward(2);
        assert_eq!(
            by,
            [
                Reader::Output(0),
                Reader::Stage(2),
                merged,
                Reader::Stage(1),
                Reader::Stage(0)
            ]
        );
        let of_table: Vec<&Reading> = (backward.readings.iter())
            .filter(|reading| reading.source == Source::Table(0))
            .collect();
        // word 1 stands at three steps, of which one does not count
        let counts: Vec<usize> = of_table.iter().map(|reading| reading.readers.of(1).len()).collect();
        assert_eq!(counts, [2, 2]);
        assert!(Arc::ptr_eq(
            backward.in_time[0].as_ref().unwrap(),
            backward.in_time[1].as_ref().unwrap()
        ));
        assert!(backward.in_time[2].is_none());
        let values = Array3::zeros((0, 3, 2));
        let model = Model::builder().add(Lstm::new(2, 3)).build().unwrap();
        let flow = Flow::new(model.plan(), Input::Values(values.view()), None).unwrap();
        assert_eq!(Backward::new(&flow, model.plan()).unwrap().readings.len(), 2);
    }
}
