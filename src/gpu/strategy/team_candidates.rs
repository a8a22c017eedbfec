//! The makes of teams that some cells may have on a GPU, and which of them takes the least time for a batch.

use std::collections::HashMap;
use std::sync::Arc;

use crate::gpu::device::Gpu;
use crate::gpu::shader::Pipeline;
use crate::gpu::strategy::entry::{Cells, Work};
use crate::gpu::strategy::launch::most_steps;
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::strategy::residency::{NVIDIA, Spin};
use crate::gpu::strategy::team_launches::{BINDINGS, EXCHANGE_OF_GPU, exchange_words};
use crate::gpu::strategy::team_make::Make;
use crate::gpu::strategy::team_shape::{Cost, Limits};

/// The steps of a batch for which a make is chosen: so many that what a launch costs hardly counts.
const STEPS: usize = 256;

/// Of each make that was counted the workgroups of a launch, and its pipeline.
pub(crate) type Counted = HashMap<Make, (usize, Arc<Pipeline>)>;

/// The makes of teams that some cells may have.
#[derive(Debug)]
pub(crate) struct Candidates {
    pub(super) makes: Vec<Make>,
    lanes: usize,
    directions: usize,
    pub(crate) numbers: Numbers,
    pub(crate) spin: Spin,
    /// Words of `exchange` after its head, at most.
    exchange_words: usize,
}

impl Candidates {
    /// Why not, where there is none.
    pub(crate) fn new(gpu: &Gpu, cells: &Cells<'_>, spin: Spin, numbers: Numbers) -> Result<Self, &'static str> {
        let limits = gpu.limits();
        if (limits.max_storage_buffers_per_shader_stage as usize) < BINDINGS.len() {
            return Err("the device was opened with too few storage buffers for a shader");
        }
        let most = limits.max_compute_invocations_per_workgroup;
        let lanes = cells.cell.lanes().len();
        let limits = Limits {
            bytes: limits.max_compute_workgroup_storage_size as usize,
            invocations: most.min(limits.max_compute_workgroup_size_x) as usize,
            members: spin.most_members,
        };
        let exchange_words = exchange_words(gpu, EXCHANGE_OF_GPU);
        let mut makes = Make::all((cells.kernel_width, lanes), lanes_of_subgroup(gpu, spin), limits);
        makes.retain(|make| make.words() <= exchange_words);
        match makes.is_empty() {
            true => Err("so many units would need more workgroups than may wait for each other"),
            false => Ok(Self {
                makes,
                lanes,
                directions: cells.directions,
                numbers,
                spin,
                exchange_words,
            }),
        }
    }

    /// The workgroups of a launch of a make: what was counted, else as many as there are compute units.
    fn workgroups(&self, counted: &Counted, make: Make) -> usize {
        let workgroups = counted.get(&make).map(|&(workgroups, _)| workgroups);
        workgroups.unwrap_or(match self.spin.in_software {
            true => self.spin.most_members,
            false => self.numbers.workgroups,
        })
    }

    /// The teams of a launch in a workspace with room for so many sequences, and its steps.
    pub(crate) fn launch(&self, make: Make, most_teams: usize, batch: usize) -> (usize, usize) {
        let words = make.words().max(1);
        let most_teams = most_teams.min(self.exchange_words / words).max(1);
        let teams = make.teams(self.directions, batch).clamp(1, most_teams);
        let fitting = self.exchange_words / (teams * words);
        (teams, fitting.min(most_steps(make.products())).max(1))
    }

    /// Words of `exchange` after its head in a workspace for (batch, time_steps): as many as any make hands on in a launch, for which one it
    /// will be is only known once workgroups were counted.
    pub(crate) fn words(&self, batch: usize, time_steps: usize) -> usize {
        let wanted = self.makes.iter().filter(|make| make.rows() <= self.tallest(batch));
        let words = wanted.map(|make| make.teams(self.directions, batch).saturating_mul(make.words()));
        let most = words.max().unwrap_or(0).saturating_mul(time_steps);
        most.min(self.exchange_words)
    }

    /// The positions of a team for so many sequences, at most: with more it would hand on words of no sequence.
    fn tallest(&self, batch: usize) -> usize {
        let heights = || self.makes.iter().map(|make| make.rows());
        let enough = heights().filter(|&rows| rows >= batch).min();
        enough.or(heights().max()).unwrap_or(1).max(1)
    }

    /// The seconds of a batch by a make with so many teams at once.
    pub(crate) fn seconds(&self, make: Make, most_teams: usize, work: Work) -> f64 {
        let cost = Cost {
            numbers: &self.numbers,
            lanes: self.lanes,
            directions: self.directions,
        };
        let (_, steps) = self.launch(make, most_teams, work.positions);
        make.seconds(cost, work, most_teams, steps)
    }

    /// Of those wanted the make that takes the least time for so many sequences, with its teams at once.
    pub(crate) fn best(
        &self,
        counted: &Counted,
        batch: usize,
        is_wanted: impl Fn(&Make) -> bool,
    ) -> Option<(Make, usize)> {
        let work = Work {
            positions: batch,
            steps: STEPS,
            rows: batch * STEPS,
        };
        let tallest = self.tallest(batch);
        let wanted = self.makes.iter().copied().filter(|make| make.rows() <= tallest);
        let wanted = wanted.filter(is_wanted);
        let with_teams = wanted.map(|make| (make, self.workgroups(counted, make) / make.members().max(1)));
        let running = with_teams.filter(|&(_, teams)| teams > 0);
        let timed = running.map(|(make, teams)| (make, teams, self.seconds(make, teams, work)));
        let least = timed.min_by(|(_, _, one), (_, _, other)| one.total_cmp(other));
        least.map(|(make, teams, _)| (make, teams))
    }

    /// Puts this make in the place of all.
    #[cfg(test)]
    pub(crate) fn only(&mut self, make: Make) {
        self.makes = vec![make];
    }
}

/// The lanes of a subgroup, where sums may be added up within one: where it was measured, on NVIDIA's GPUs by Vulkan, and in software, which
/// is how tests reach it.
fn lanes_of_subgroup(gpu: &Gpu, spin: Spin) -> Option<usize> {
    let is_known = gpu.info().vendor == NVIDIA && gpu.info().backend == wgpu::Backend::Vulkan;
    let lanes = gpu.lanes_of_subgroup().filter(|_| is_known || spin.in_software);
    lanes.map(|lanes| lanes as usize)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::gpu::strategy::numbers::H200;
    use crate::gpu::strategy::team_shape::Shape;
    use crate::gpu::strategy::team_wide_shape;

    /// The teams that were the fastest on an H200 are taken there.
    #[test]
    fn the_fastest_teams_are_chosen() {
        let limits = Limits {
            bytes: 48 << 10,
            invocations: 1024,
            members: 128,
        };
        let parts = |rows, units, slice, parts| {
            Make::Parts(Shape {
                rows,
                units,
                slice,
                parts,
            })
        };
        let wide = |rows, units, slice, group| {
            Make::Wide(team_wide_shape::Shape {
                rows,
                units,
                slice,
                lanes_of_subgroup: 32,
                group,
            })
        };
        for (batch, fastest) in [
            (1, parts(1, 128, 32, 8)),
            (1, wide(1, 512, 16, 1)),
            (32, parts(2, 256, 32, 16)),
            (64, wide(16, 512, 16, 4)),
            (32, wide(8, 512, 16, 4)),
        ] {
            let candidates = Candidates {
                makes: Make::all((fastest.units(), 4), Some(32), limits),
                lanes: 4,
                directions: 1,
                numbers: H200,
                spin: Spin {
                    most_members: 128,
                    in_software: false,
                    is_coherent: true,
                },
                exchange_words: EXCHANGE_OF_GPU,
            };
            let (make, _) = candidates.best(&Counted::new(), batch, |_| true).unwrap();
            assert_eq!(make, fastest, "{batch} sequences");
        }
    }
}
