//! `recurrent_solo_made`: `solo` for a GPU, by texts that are made for a size class.

use std::sync::Arc;

use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::shader::{Key, Pipeline, Shader};
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::entry::{Cells, Group, Ready, Work};
use crate::gpu::strategy::later::Later;
use crate::gpu::strategy::launch::{Params, SOLO_BINDINGS};
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::strategy::solo_shape::{CONSTANTS, Limits, Load, Shape};

pub(crate) const SHADER: Shader = Shader {
    name: "recurrent_solo_made",
    source: include_str!("../../../shaders/recurrent_solo_made.wgsl"),
    shared: &[
        include_str!("../../../shaders/shared/finish.wgsl"),
        include_str!("../../../shaders/shared/kept_weights.wgsl"),
    ],
    runs_cell: true,
    params: ("Launch", size_of::<Params>()),
    bindings: SOLO_BINDINGS,
    constants: CONSTANTS,
};

/// The positions of a workgroup, the most first: of two heights that take as long, the taller one reads the weights for more positions.
pub(crate) const HEIGHTS: [usize; 4] = [8, 4, 2, 1];

/// A height, and its pipeline once a workspace needs it.
#[derive(Debug)]
struct Height {
    shape: Shape,
    pipeline: Later,
}

/// The strategy `solo` on a GPU.
#[derive(Debug)]
pub(crate) struct SoloMade {
    /// Those that find room, the tallest first.
    heights: Vec<Height>,
    /// The lowest, which every size may run by.
    lowest: (Shape, Arc<Pipeline>),
    numbers: Numbers,
    units: usize,
    directions: usize,
    most_passes: usize,
}

impl SoloMade {
    /// Why not, where it cannot run the cells.
    pub(crate) fn make(gpu: &Gpu, cells: &Cells<'_>, numbers: Numbers) -> Result<Self, &'static str> {
        if let Some(why) = cells.cell.obstacle() {
            return Err(why);
        }
        if (gpu.limits().max_storage_buffers_per_shader_stage as usize) < SHADER.bindings.len() {
            return Err("the device was opened with too few storage buffers for a shader");
        }
        let weights = (cells.kernel_width, cells.cell.lanes().len(), cells.form);
        let height = |rows| {
            let shape = Shape::of(weights, rows, Limits::of(gpu))?;
            Some(Height {
                shape,
                pipeline: Later::new(&SHADER, cells.variant(&shape.constants())),
            })
        };
        let heights: Vec<Height> = HEIGHTS.into_iter().filter_map(height).collect();
        let lowest = heights
            .last()
            .ok_or("the weights find no room in the registers, the memory and the cache of a workgroup")?;
        Ok(Self {
            lowest: (lowest.shape, lowest.pipeline.make(gpu)),
            heights,
            numbers,
            units: cells.cell.units,
            directions: cells.directions,
            most_passes: gpu.most_passes(),
        })
    }

    fn load(&self, shape: Shape, positions: usize) -> Load {
        Load {
            workgroups: self.directions * positions.div_ceil(shape.rows),
            share: 1.0,
        }
    }

    fn step_seconds(&self, shape: Shape, positions: usize) -> f64 {
        shape.step_seconds(&self.numbers, self.load(shape, positions))
    }

    /// The height whose steps of so many positions take the least time.
    fn best(&self, positions: usize) -> Option<&Height> {
        let seconds = |height: &&Height| self.step_seconds(height.shape, positions);
        let heights = self.heights.iter();
        heights.min_by(|one, other| seconds(one).total_cmp(&seconds(other)))
    }

    /// What runs steps of so many positions in a workspace for so many sequences: the best height for all of these, which is made by
    /// then, or the lowest.
    fn height(&self, sequences: usize, positions: usize) -> (Shape, Arc<Pipeline>) {
        let (lowest, pipeline) = &self.lowest;
        let tall = self
            .best(sequences)
            .and_then(|height| Some((height.shape, height.pipeline.get()?)));
        let lowest = (*lowest, Arc::clone(pipeline));
        match tall {
            Some(tall) if self.step_seconds(tall.0, positions) <= self.step_seconds(lowest.0, positions) => tall,
            _ => lowest,
        }
    }

    /// The steps of one launch.
    fn launch_steps(&self, shape: Shape) -> usize {
        shape.launch_steps(self.most_passes)
    }
}

impl Ready for SoloMade {
    fn binds(&self) -> (&'static Shader, &Pipeline) {
        (&SHADER, &self.lowest.1)
    }

    fn suits(&self, _gpu: &Gpu, _positions: usize) -> Option<&'static str> {
        Some("a workgroup keeps the weights, so they are read once and no step is dispatched")
    }

    fn seconds(&self, work: Work) -> Option<f64> {
        let best = self.best(work.positions)?.shape;
        let load = Load {
            share: work.rows as f64 / (work.positions * work.steps).max(1) as f64,
            ..self.load(best, work.positions)
        };
        let launches = work.steps.div_ceil(self.launch_steps(best));
        let of_steps = work.steps as f64 * best.step_seconds(&self.numbers, load);
        Some(launches as f64 * best.launch_seconds(&self.numbers, load) + of_steps)
    }

    fn make_for(&self, gpu: &Gpu, sequences: usize) {
        if let Some(height) = self.best(sequences) {
            height.pipeline.make(gpu);
        }
    }

    fn forget(&self, known: &[Key]) {
        self.heights.iter().for_each(|height| height.pipeline.forget(known));
    }

    fn dispatches(&self, positions: usize, steps: usize) -> usize {
        let Some(tall) = self.best(positions).filter(|_| positions > 0) else {
            return 0;
        };
        let shortest = self.launch_steps(tall.shape).min(self.launch_steps(self.lowest.0));
        steps.div_ceil(shortest)
    }

    /// One dispatch for as many steps as a launch may have.
    fn record(&self, commands: &mut Commands, group: &Group, chunk: &Chunk<'_>) {
        let mut first = chunk.steps.start;
        while first < chunk.steps.end {
            let active = chunk.active(first);
            if active == 0 {
                return;
            }
            let (shape, pipeline) = self.height(chunk.batch, active);
            let last = (first + self.launch_steps(shape)).min(chunk.steps.end);
            let params = Params::new(chunk, &(first..last), self.units, shape.width);
            let workgroups = Workgroups::Across(self.directions as u32, active.div_ceil(shape.rows) as u64);
            let rows_run = self.directions * params.rows_run(chunk, 0..active.div_ceil(shape.rows) * shape.rows);
            commands.dispatch_rows(rows_run, &pipeline, &group.group, params, workgroups);
            first = last;
        }
    }
}

#[cfg(test)]
#[path = "solo_tests.rs"]
mod tests;
