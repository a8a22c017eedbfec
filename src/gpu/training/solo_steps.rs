//! The steps of a recurrence backwards by `solo_back`, a part of `recurrence`.

use crate::error::Result;
use crate::gpu::strategy::solo_shape::Shape;
use crate::gpu::training::recorder::{Recorder, for_values};
use crate::gpu::training::recurrence::{OfRows, RecurrenceBack, Shared};
use crate::gpu::training::solo_back::{SoloBack, SoloParams, TURN, TurnParams, solo_constants, solo_of, stride};

impl RecurrenceBack<'_> {
    /// The steps from the last to the first, in as few launches as there may be.
    pub(super) fn steps_solo(
        &self,
        recorder: &mut Recorder<'_>,
        (of_rows, shared): (&OfRows, &Shared),
        (solo, shape): (&SoloBack, Shape),
    ) -> Result<()> {
        let turned = self.turned_kernel(recorder, (solo, &shared.recurrent_kernel))?;
        let (cell, states) = (self.cell, self.states(of_rows));
        let [nothing_written, _] = recorder.nothing_written();
        let storage = [
            &turned,
            &shared.unit_weights,
            states.buffer,
            &self.upstream.buffer,
            &self.starts,
            &of_rows.lanes.buffer,
            of_rows.own.as_ref().map_or(&nothing_written, |own| &own.buffer),
            &self.carry,
        ];
        let directions = self.place.directions;
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
                rows: self.schedule.rows() as u32,
                states_pitch: self.states_pitch(of_rows),
                directions: directions as u32,
            };
            let of_direction = self.schedule.active(first).div_ceil(shape.rows);
            (params, (directions * of_direction) as u64)
        });
        let shader = solo_of(cell);
        recorder.dispatches((shader, &solo_constants(shader, cell, shape)), &storage, launches);
        Ok(())
    }

    /// The recurrent kernels of all directions.
    fn turned_kernel(
        &self,
        recorder: &mut Recorder<'_>,
        (solo, kernels): (&SoloBack, &wgpu::Buffer),
    ) -> Result<wgpu::Buffer> {
        let (values @ [width, ..], directions) = (solo.kernel_values(), self.place.directions);
        let values = directions * values.iter().product::<usize>();
        let turned = recorder.buffer(("turned kernel", 0), values)?;
        let params = TurnParams {
            units: self.cell.units as u32,
            width: width as u32,
            directions: directions as u32,
        };
        let constants = [self.cell.gates() as u32, stride(self.cell) as u32];
        let workgroups = for_values(directions * width * width);
        recorder.dispatch((&TURN, &constants), &[kernels, &turned], params, workgroups);
        Ok(turned)
    }
}
