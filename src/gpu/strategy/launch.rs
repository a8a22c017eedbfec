//! A launch: many time steps in one dispatch. What the strategies share that keep weights in a workgroup.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use crate::gpu::device::Gpu;
use crate::gpu::rows::padded;
use crate::gpu::shader::{Binding, reads, writes};
use crate::gpu::strategy::chunk::Chunk;

/// What both texts of `solo` bind.
pub(crate) const SOLO_BINDINGS: &[Binding] = &[
    reads("recurrent_kernel"),
    reads("projected"),
    writes("hidden"),
    writes("cell_state"),
    reads("starts"),
];

/// The texts that their shaders share.
pub(crate) const SHARED: &[&str] = &[
    include_str!("../../../shaders/shared/finish.wgsl"),
    include_str!("../../../shaders/shared/inner_product.wgsl"),
];

/// The constants of `inner_product.wgsl`.
pub(crate) const CONSTANTS: &[&str] = &["ROWS", "WIDTH", "PARTS", "WEIGHTS"];

/// Products of a workgroup in a launch, at most: no driver should take it for one that hangs.
const LAUNCH: usize = 1 << 27;

/// How a workgroup is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Workgroup {
    /// Invocations of a part.
    pub(crate) width: usize,
    pub(crate) parts: usize,
    /// Rows of the recurrent kernel of a part.
    pub(crate) weights: usize,
}

impl Workgroup {
    /// The values of [`CONSTANTS`] for so many positions.
    pub(crate) fn constants(self, rows: usize) -> [u32; 4] {
        [rows, self.width, self.parts, self.weights].map(|size| size as u32)
    }

    /// The bytes of workgroup memory for h of so many positions, in so many tiles, and for the sums of several parts.
    pub(crate) fn bytes(self, rows: usize, tiles: usize, lanes: usize) -> usize {
        let tile = 4 * tiles * rows * self.parts * self.weights;
        let sums = if self.parts == 1 {
            0
        } else {
            self.parts * rows * self.width
        };
        // WebGPU counts every variable up to 16 bytes
        tile.next_multiple_of(16) + (4 * lanes * (sums + 1)).next_multiple_of(16)
    }

    /// The heights of which one workgroup finds room on a GPU, of a shader that binds so many storage buffers; or why none
    /// does.
    pub(crate) fn heights(
        self,
        gpu: &Gpu,
        bindings: usize,
        (heights, bytes): (&[usize], impl Fn(usize) -> usize),
    ) -> Result<Vec<usize>, &'static str> {
        let limits = gpu.limits();
        if (limits.max_storage_buffers_per_shader_stage as usize) < bindings {
            return Err("the device was opened with too few storage buffers for a shader");
        }
        if self.width > limits.max_compute_workgroup_size_x as usize
            || self.parts > limits.max_compute_workgroup_size_y as usize
        {
            return Err("its workgroups would be too wide for the device");
        }
        let most = limits.max_compute_workgroup_storage_size as usize;
        let fitting: Vec<usize> = heights.iter().copied().filter(|&rows| bytes(rows) <= most).collect();
        match fitting.is_empty() {
            true => Err("a state does not fit the memory of a workgroup"),
            false => Ok(fitting),
        }
    }
}

/// The steps of a launch in which a workgroup makes so many products a step.
pub(crate) fn most_steps(products: usize) -> usize {
    LAUNCH / products.max(1)
}

/// The struct `Launch` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    pub(crate) previous_row: u32,
    pub(crate) hidden_base: u32,
    pub(crate) projected_base: u32,
    pub(crate) first_step: u32,
    pub(crate) last_step: u32,
    pub(crate) units: u32,
    pub(crate) stride: u32,
    pub(crate) hidden_pitch: u32,
    pub(crate) projected_pitch: u32,
    pub(crate) cell_pitch: u32,
    pub(crate) slice: u32,
    pub(crate) members: u32,
    pub(crate) teams: u32,
    pub(crate) first_team: u32,
    pub(crate) directions: u32,
    pub(crate) most_polls: u32,
    pub(crate) kernel_width: u32,
    pub(crate) first_position: u32,
    pub(crate) pace: u32,
}

impl Params {
    /// For some steps of a chunk.
    pub(crate) fn new(chunk: &Chunk<'_>, steps: &Range<usize>, units: usize, kernel_width: usize) -> Self {
        let start = chunk.start(steps.start) as u32;
        Self {
            previous_row: chunk.previous_row(steps.start) as u32,
            hidden_base: start.wrapping_sub(chunk.current_row(steps.start) as u32),
            projected_base: start.wrapping_sub(chunk.projected_row(steps.start) as u32),
            first_step: steps.start as u32,
            last_step: steps.end as u32,
            units: units as u32,
            stride: padded(units) as u32,
            hidden_pitch: chunk.hidden_pitch as u32,
            projected_pitch: chunk.projected_pitch as u32,
            cell_pitch: chunk.batch as u32,
            kernel_width: kernel_width as u32,
            ..Self::default()
        }
    }

    /// The rows of one direction that a launch with these parameters runs, if it is one of so many positions.
    pub(crate) fn rows_run(&self, chunk: &Chunk<'_>, positions: Range<usize>) -> usize {
        chunk.rows_within(positions, self.first_step as usize..self.last_step as usize)
    }

    /// The rows that a launch of teams of so many positions each runs.
    pub(crate) fn rows_run_by_teams(&self, chunk: &Chunk<'_>, rows: usize) -> usize {
        let teams = self.first_team..self.first_team + self.teams;
        let first = |team: u32| (team / self.directions.max(1)) as usize * rows;
        teams
            .map(|team| self.rows_run(chunk, first(team)..first(team) + rows))
            .sum()
    }
}
