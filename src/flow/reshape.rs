//! The layers of a flow that read time steps for themselves: all of a sequence at once, or the last one.

use super::build::{Builder, View};
use super::{Gather, Source, Stage};
use crate::error::{Error, Result};
use crate::memory::STEPS;
use crate::schedule::check_steps;

impl Builder<'_> {
    /// The values of each sequence in other time steps, or in one row, without a mask.
    pub(super) fn reshape(
        &mut self,
        position: usize,
        ([from_steps, from], [time_steps, to]): ([usize; 2], [usize; 2]),
        flattens: bool,
        view: View,
    ) -> Result<View> {
        if (view.gather.index.len(), view.width) != (self.batch * from_steps, from) {
            return Err(Error::defect("the time steps of a batch"));
        }
        check_steps(self.batch, time_steps)?;
        self.time_steps = time_steps;
        let (sequences, mask_number) = (!flattens, position + 1);
        if from == to {
            return Ok(View {
                sequences,
                mask: None,
                mask_number,
                ..view
            });
        }
        let rows = self.batch * time_steps;
        let input = view.gather;
        let stage = self.push(Stage::Reshape { input, rows }, to);
        Ok(View {
            gather: Gather {
                source: Source::Stage(stage),
                index: STEPS.listed((0..rows).map(|row| row as u32))?,
            },
            width: to,
            sequences,
            mask: None,
            mask_number,
        })
    }

    /// The last step of each sequence, whether it counts or not, without a mask.
    pub(super) fn last_step(&mut self, view: View) -> Result<View> {
        Ok(View {
            gather: self.last_of(view.gather)?,
            sequences: false,
            mask: None,
            ..view
        })
    }
}
