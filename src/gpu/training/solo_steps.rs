//! The steps of a recurrence backwards by `solo_back`, a part of `recurrence`.

use crate::error::Result;
use crate::gpu::strategy::solo_shape::Shape;
use crate::gpu::training::recorder::{Recorder, for_values};
use crate::gpu::training::recurrence::{OfRows, RecurrenceBack};
use crate::gpu::training::solo_back::{SoloBack, SoloParams, TURN, TurnParams, solo_constants, solo_of, stride};

impl RecurrenceBack<'_> {
    /// The steps from the last to the first, in as few launches as there may be.
    pub(super) fn steps_solo(
        &self,
        recorder: &mut Recorder<'_>,
        of_rows: &OfRows,
        (solo, shape): (&SoloBack, Shape),
    ) -> Result<()> {
        let turned = self.turned_kernel(recorder, solo)?;
        let (cell, states) = (self.cell, self.states(of_rows));
        let (nothing, [nothing_written, _]) = (recorder.nothing(), recorder.nothing_written());
        let storage = [
            &turned,
            self.tensors.peepholes.map_or(&nothing, |tensor| &tensor.values),
            states.buffer,
            self.upstream,
            self.starts,
            &of_rows.lanes,
            of_rows.own.as_ref().unwrap_or(&nothing_written),
            self.carry,
        ];
        let (steps, most) = (self.schedule.steps(), solo.launch_steps(shape));
        let launches = (0..steps.div_ceil(most)).rev().map(|launch| {
            let first = launch * most;
            let params = SoloParams {
                first_step: first as u32,
                last_step: (first + most).min(steps) as u32,
                steps: steps as u32,
                units: cell.units as u32,
                lanes_stride: self.columns() as u32,
                room: self.room as u32,
                states_first: states.first as u32,
                states_stride: states.stride as u32,
                cell_first: self.part_of_carry(1),
            };
            (params, self.schedule.active(first).div_ceil(shape.rows) as u64)
        });
        let shader = solo_of(cell);
        recorder.dispatches((shader, &solo_constants(shader, cell, shape)), &storage, launches);
        Ok(())
    }

    fn turned_kernel(&self, recorder: &mut Recorder<'_>, solo: &SoloBack) -> Result<wgpu::Buffer> {
        let values @ [width, _, _] = solo.kernel_values();
        let turned = recorder.buffer(("turned kernel", 0), values.iter().product())?;
        let params = TurnParams {
            units: self.cell.units as u32,
            width: width as u32,
        };
        let constants = [self.cell.gates() as u32, stride(self.cell) as u32];
        let storage = [&self.tensors.recurrent_kernel.values, &turned];
        recorder.dispatch((&TURN, &constants), &storage, params, for_values(width * width));
        Ok(turned)
    }
}
