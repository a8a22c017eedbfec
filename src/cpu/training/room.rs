//! The memory of the way back, which the next one takes again.

use super::spare::Spare;
use crate::cpu::memory::buffer::{Lines, reserve};
use crate::cpu::memory::workspace::{Kept, Scratch, StageRows, Workspace};
use crate::cpu::stage::recurrence::{Recurrence, States};
use crate::cpu::stage::work::Work;
use crate::error::{Error, Result};

/// What a way back computes in.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// What the recurrences have kept, one for each stage.
    pub(super) kept: Vec<Kept>,
    again: Again,
    /// What becomes of what was kept, where it cannot lie in the same place.
    turned: Lines,
    pub(super) spare: Spare,
}

/// A recurrence that runs a second time, for what it keeps: after a run that was none of a training, or a second time backwards.
#[derive(Debug, Default)]
pub(super) struct Again {
    states: [Lines; 2],
    scratch: Vec<Scratch>,
    rows: StageRows,
}

/// What the way back of a recurrence computes in.
pub(super) type StageRoom<'r> = (&'r mut Kept, &'r mut Again, (&'r mut Lines, &'r mut Spare));

impl Room {
    /// Takes what a forward pass has left and needs no more: what the recurrences have kept, what threads compute in, and the rows of a piece. Or gives all
    /// back.
    pub(super) fn swap(&mut self, workspace: &mut Workspace) {
        let of_forward = &mut workspace.recurrent;
        std::mem::swap(&mut self.kept, &mut of_forward.kept);
        std::mem::swap(&mut self.again.scratch, &mut of_forward.scratch);
        std::mem::swap(&mut self.again.rows, &mut of_forward.piece);
    }

    /// Room for what becomes of something that was not kept here.
    pub(super) fn turned(&mut self) -> &mut Lines {
        &mut self.turned
    }

    /// What a stage has kept, room for it to run again, and for what becomes of it and its gradients. Where no stage `keeps` anything all have the same
    /// room.
    pub(super) fn stage(&mut self, stage: usize, keeps: bool) -> Result<StageRoom<'_>> {
        let stage = if keeps { stage } else { 0 };
        if self.kept.len() <= stage {
            reserve(&mut self.kept, stage + 1)?;
            self.kept.resize_with(stage + 1, Kept::default);
        }
        let kept = self.kept.get_mut(stage);
        let kept = kept.ok_or_else(|| Error::defect("a stage of the flow"))?;
        if !keeps {
            kept.hands = 0; // another one's
        }
        Ok((kept, &mut self.again, (&mut self.turned, &mut self.spare)))
    }
}

impl Again {
    /// From the states before the first step, (batch, …) each.
    pub(super) fn run(
        &mut self,
        cell: &Recurrence,
        work: Work<'_>,
        initial: [&[f32]; 2],
        kept: &mut Kept,
    ) -> Result<()> {
        for (to, from) in self.states.iter_mut().zip(initial) {
            to.resize(from.len())?.copy_from_slice(from);
        }
        let [hidden, cell_state] = &mut self.states;
        let states = States { hidden, cell_state };
        cell.run_keeping(work, states, (&mut self.scratch, Some(kept)), &mut self.rows)?;
        Ok(())
    }
}
