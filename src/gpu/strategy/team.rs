//! `team`: several workgroups share the units of some positions for many time steps, in one dispatch.
//!
//! On a GPU by the text that is made for a size class ([`MadeTeam`]), on a software adapter by `recurrent_team` ([`KeptTeam`]).

use crate::gpu::device::Gpu;
use crate::gpu::strategy::entry::{Cells, Entry, Prepared};
use crate::gpu::strategy::residency::Spin;
use crate::gpu::strategy::team_kept::KeptTeam;
use crate::gpu::strategy::team_made::MadeTeam;
use crate::settings::Strategy;

pub(crate) const ENTRY: Entry = Entry {
    name: Strategy::Team,
    waits: true,
    prepare,
};

/// Why not, where teams cannot run the cells.
fn prepare(gpu: &Gpu, cells: &Cells<'_>) -> Prepared {
    if let Some(why) = cells.cell.obstacle() {
        return Err(why);
    }
    let spin = Spin::of(gpu)?;
    let made = match cells.numbers {
        Some(numbers) => MadeTeam::make(gpu, cells, spin, numbers),
        None => Err("there are no numbers of the GPU"),
    };
    match made {
        Ok(made) => Ok(Box::new(made)),
        Err(_) if spin.in_software => Ok(Box::new(KeptTeam::make(gpu, cells, spin)?)),
        Err(why) => Err(why),
    }
}
