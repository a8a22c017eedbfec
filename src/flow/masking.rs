//! The layers of a flow that compute nothing: masks that are read off values, and values that are repeated.

use ndarray::{ArrayView1, s};

use super::build::{Builder, View, masked};
use super::{Gather, Input, NONE, Source};
use crate::error::{Error, Result};
use crate::memory::STEPS;
use crate::schedule::check_steps;

impl Builder<'_> {
    /// Masks the steps whose values all equal `mask_value`, and sets them to zero, as Keras's Masking does. The values are those of
    /// the input or of an embedding: behind a layer that computes a section of its own begins, where they are an input.
    pub(super) fn masking(&self, position: usize, mask_value: f32, mut view: View, input: Input<'_>) -> Result<View> {
        let time_steps = self.time_steps.max(1);
        let equals = |values: ArrayView1<'_, f32>| values.iter().all(|&value| value == mask_value);
        let is_masked = |row: u32| match (view.gather.source, input) {
            _ if row == NONE => Some(mask_value == 0.0), // it reads as zeros
            (Source::Input, Input::Values(values)) => {
                let (sequence, time_step) = (row as usize / time_steps, row as usize % time_steps);
                let inside = sequence < values.dim().0 && time_step < values.dim().1;
                inside.then(|| equals(values.slice(s![sequence, time_step, ..])))
            }
            (Source::Table(table), _) => {
                let table = self.plan.tables.get(table)?;
                ((row as usize) < table.nrows()).then(|| equals(table.row(row as usize)))
            }
            _ => None,
        };
        if self.trains && matches!(view.gather.source, Source::Stage(_)) {
            return Err(Error::Unsupported {
                layer: "Masking".to_owned(),
                option: "a Masking layer behind a Dropout, in training".to_owned(),
                instead: "put the Masking layer before the Dropout: left-out values would look like padding".to_owned(),
            });
        }
        let mut counts = STEPS.filled(view.gather.index.len(), true)?;
        for (entry, counts) in view.gather.index.iter_mut().zip(&mut counts) {
            *counts = !is_masked(*entry).ok_or_else(|| Error::defect("what a Masking layer reads"))?;
            if !*counts {
                *entry = NONE;
            }
        }
        view.mask = Some(masked((self.batch, self.time_steps), counts)?);
        view.mask_number = position + 1;
        Ok(view)
    }

    /// The one value of each sequence at every one of `time_steps`, without a mask.
    pub(super) fn repeat(&mut self, position: usize, time_steps: usize, view: &View) -> Result<View> {
        check_steps(self.batch, time_steps)?;
        self.time_steps = time_steps;
        let mut index = STEPS.list(self.batch * time_steps)?;
        for &row in &view.gather.index {
            index.extend(std::iter::repeat_n(row, time_steps));
        }
        Ok(View {
            gather: Gather {
                source: view.gather.source,
                index,
            },
            width: view.width,
            sequences: true,
            mask: None,
            mask_number: position + 1,
        })
    }
}
