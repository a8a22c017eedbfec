//! The shapes that teams for some cells may have on a GPU, and which of them takes the least time for a batch.

use std::collections::HashMap;
use std::sync::Arc;

use crate::gpu::device::Gpu;
use crate::gpu::shader::Pipeline;
use crate::gpu::strategy::entry::{Cells, Work};
use crate::gpu::strategy::launch::most_steps;
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::strategy::residency::Spin;
use crate::gpu::strategy::team_launches::{BINDINGS, exchange_words};
use crate::gpu::strategy::team_shape::{Cost, Limits, Shape};

/// The steps of a batch for which a shape is chosen: so many that what a launch costs hardly counts.
const STEPS: usize = 256;

/// Of each shape that was counted the workgroups of a launch, and its pipeline.
pub(crate) type Counted = HashMap<Shape, (usize, Arc<Pipeline>)>;

/// The shapes that teams for some cells may have.
#[derive(Debug)]
pub(crate) struct Candidates {
    shapes: Vec<Shape>,
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
        let exchange_words = exchange_words(gpu);
        let mut shapes = Shape::all(cells.kernel_width, lanes, limits);
        shapes.retain(|shape| shape.rows * shape.units <= exchange_words);
        match shapes.is_empty() {
            true => Err("so many units would need more workgroups than may wait for each other"),
            false => Ok(Self {
                shapes,
                lanes,
                directions: cells.directions,
                numbers,
                spin,
                exchange_words,
            }),
        }
    }

    /// The workgroups of a launch of a shape: what was counted, else as many as there are compute units.
    fn workgroups(&self, counted: &Counted, shape: Shape) -> usize {
        let workgroups = counted.get(&shape).map(|&(workgroups, _)| workgroups);
        workgroups.unwrap_or(match self.spin.in_software {
            true => self.spin.most_members,
            false => self.numbers.workgroups,
        })
    }

    /// The teams of a launch in a workspace with room for so many sequences, and its steps.
    pub(crate) fn launch(&self, shape: Shape, most_teams: usize, batch: usize) -> (usize, usize) {
        let words = (shape.rows * shape.units).max(1);
        let most_teams = most_teams.min(self.exchange_words / words).max(1);
        let teams = shape.teams(self.directions, batch).clamp(1, most_teams);
        let fitting = self.exchange_words / (teams * words);
        (teams, fitting.min(most_steps(shape.products(1))).max(1))
    }

    /// Words of `exchange` after its head in a workspace for (batch, time_steps): as many as any shape hands on in a launch, for which one it
    /// will be is only known once workgroups were counted.
    pub(crate) fn words(&self, batch: usize, time_steps: usize) -> usize {
        let positions = self.directions * batch.next_multiple_of(self.tallest(batch));
        let units = self.shapes.iter().map(|shape| shape.units).max().unwrap_or(0);
        let words = positions.saturating_mul(units).saturating_mul(time_steps);
        words.min(self.exchange_words)
    }

    /// The positions of a team for so many sequences, at most: with more it would hand on words of no sequence.
    fn tallest(&self, batch: usize) -> usize {
        let heights = || self.shapes.iter().map(|shape| shape.rows);
        let enough = heights().filter(|&rows| rows >= batch).min();
        enough.or(heights().max()).unwrap_or(1).max(1)
    }

    /// The seconds of a batch by a shape with so many teams at once.
    pub(crate) fn seconds(&self, shape: Shape, most_teams: usize, work: Work) -> f64 {
        let cost = Cost {
            numbers: &self.numbers,
            lanes: self.lanes,
            directions: self.directions,
        };
        let (_, steps) = self.launch(shape, most_teams, work.positions);
        shape.seconds(cost, work, most_teams, steps)
    }

    /// Of those wanted the shape that takes the least time for so many sequences, with its teams at once.
    pub(crate) fn best(
        &self,
        counted: &Counted,
        batch: usize,
        is_wanted: impl Fn(&Shape) -> bool,
    ) -> Option<(Shape, usize)> {
        let work = Work {
            positions: batch,
            steps: STEPS,
            rows: batch * STEPS,
        };
        let tallest = self.tallest(batch);
        let wanted = self.shapes.iter().copied().filter(|shape| shape.rows <= tallest);
        let wanted = wanted.filter(is_wanted);
        let with_teams = wanted.map(|shape| (shape, self.workgroups(counted, shape) / shape.members().max(1)));
        let running = with_teams.filter(|&(_, teams)| teams > 0);
        let timed = running.map(|(shape, teams)| (shape, teams, self.seconds(shape, teams, work)));
        let least = timed.min_by(|(_, _, one), (_, _, other)| one.total_cmp(other));
        least.map(|(shape, teams, _)| (shape, teams))
    }

    /// Puts this shape in the place of all.
    #[cfg(test)]
    pub(crate) fn only(&mut self, shape: Shape) {
        self.shapes = vec![shape];
    }
}
