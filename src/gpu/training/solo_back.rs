//! `solo_back`: the steps of a recurrence backwards, many in one dispatch by workgroups that keep the recurrent kernel, as `solo` runs them
//! forward.

use bytemuck::{Pod, Zeroable};

use crate::cell::{Cell, Rule};
use crate::error::Result;
use crate::gpu::device::Gpu;
use crate::gpu::shader::{Shader, reads, writes};
use crate::gpu::strategy::choice::Asked;
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::strategy::solo_made::HEIGHTS;
use crate::gpu::strategy::solo_shape::{self, Limits, Load, Shape};
use crate::gpu::strategy::step_forms::Cost;
use crate::gpu::strategy::step_layer::Layer;
use crate::gpu::training::rule::{GRU, LSTM, OF_GRU, OF_LSTM, OF_SIMPLE_RNN, SIMPLE_RNN, constants_with, joined};
use crate::gpu::training::step_back::{SLAB, TILE};
use crate::gpu::training::texts::{RULE, UNIT_LANES};
use crate::gpu::weights::class_of;
use crate::schedule::Schedule;
use crate::settings::{Settings, Strategy};

const VALUES: &str = include_str!("../../../shaders/backward/solo_values.wgsl");

/// The steps of each cell.
pub(crate) const SOLO_OF_LSTM: Shader = Shader {
    name: "solo_back_lstm",
    source: include_str!("../../../shaders/backward/solo_back.wgsl"),
    shared: &[RULE, UNIT_LANES, VALUES, LSTM],
    runs_cell: false,
    params: ("SoloBack", size_of::<SoloParams>()),
    bindings: &[
        reads("turned_kernel"),
        reads("unit_weights"),
        reads("states"),
        reads("upstream"),
        reads("starts"),
        writes("lanes"),
        writes("recurrent_lanes"),
        writes("carry"),
    ],
    constants: &joined::<{ SHAPE.len() + OF_LSTM.len() }>(&SHAPE, OF_LSTM),
};

pub(crate) const SOLO_OF_GRU: Shader = Shader {
    name: "solo_back_gru",
    shared: &[RULE, UNIT_LANES, VALUES, GRU],
    constants: &joined::<{ SHAPE.len() + OF_GRU.len() }>(&SHAPE, OF_GRU),
    ..SOLO_OF_LSTM
};

pub(crate) const SOLO_OF_SIMPLE_RNN: Shader = Shader {
    name: "solo_back_simple_rnn",
    shared: &[RULE, UNIT_LANES, VALUES, SIMPLE_RNN],
    constants: &joined::<{ SHAPE.len() + OF_SIMPLE_RNN.len() }>(&SHAPE, OF_SIMPLE_RNN),
    ..SOLO_OF_LSTM
};

/// The recurrent kernel in the order in which they read it.
pub(crate) const TURN: Shader = Shader {
    name: "turn_kernel",
    source: include_str!("../../../shaders/backward/turn_kernel.wgsl"),
    shared: &[],
    runs_cell: false,
    params: ("TurnKernel", size_of::<TurnParams>()),
    bindings: &[reads("recurrent_kernel"), writes("turned_kernel")],
    constants: &["GATES", "STRIDE"],
};

/// The constants of a workgroup.
const SHAPE: [&str; 7] = ["WIDTH", "PARTS", "REGISTERS", "SHARED", "CACHED", "OUTS", "ACROSS"];

/// The struct `SoloBack` of `solo_values.wgsl`.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct SoloParams {
    pub(super) first_step: u32,
    pub(super) last_step: u32,
    pub(super) steps: u32,
    pub(super) units: u32,
    pub(super) lanes_stride: u32,
    pub(super) room: u32,
    pub(super) states_first: u32,
    pub(super) states_stride: u32,
    pub(super) cell_first: u32,
    pub(super) rows: u32,
    pub(super) states_pitch: u32,
    pub(super) directions: u32,
}

/// The struct `TurnKernel` of `turn_kernel.wgsl`.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct TurnParams {
    pub(super) units: u32,
    pub(super) width: u32,
    pub(super) directions: u32,
}

/// How the steps of a cell go backwards where a workgroup finds room for its recurrent kernel.
#[derive(Debug)]
pub(super) struct SoloBack {
    /// The tallest first.
    shapes: Vec<Shape>,
    layer: Layer,
    /// Of the GPU, where it has any.
    numbers: Option<Numbers>,
    /// Whether somebody has named the strategy, so that steps go so even if they take less one by one.
    is_named: bool,
    most_passes: usize,
}

impl SoloBack {
    /// For a cell without an obstacle whose gates leave out no values of their own, of which so many go back together in batches that fit. `None`
    /// where a workgroup finds no room, and where steps go one by one: on a software adapter, and for who has chosen another strategy.
    pub(super) fn of(gpu: &Gpu, (cell, directions): (&Cell, usize), settings: &Settings) -> Result<Option<Self>> {
        let (numbers, named) = (Numbers::of(gpu)?, Asked::new(settings)?.named());
        if named.is_some_and(|named| named != Strategy::Solo) || (named.is_none() && numbers.is_none()) {
            return Ok(None);
        }
        let bound = gpu.limits().max_storage_buffers_per_shader_stage as usize;
        let can = cell.obstacle().is_none() && bound >= SOLO_OF_LSTM.bindings.len();
        Ok(can
            .then(|| {
                Self::within(
                    (cell, directions),
                    (numbers, named.is_some()),
                    Limits::of(gpu),
                    gpu.most_passes(),
                )
            })
            .flatten())
    }

    pub(super) fn within(
        (cell, directions): (&Cell, usize),
        (numbers, is_named): (Option<Numbers>, bool),
        limits: Limits,
        most_passes: usize,
    ) -> Option<Self> {
        let (width, gates) = (class_of(cell), cell.gates());
        let shape = |rows| Shape::of_back((width, stride(cell)), rows, limits);
        let made = Self {
            shapes: HEIGHTS.into_iter().filter_map(shape).collect(),
            layer: Layer {
                directions,
                units: cell.units,
                width,
                lanes: gates,
                weight_bytes: 4 * gates,
            },
            numbers,
            is_named,
            most_passes,
        };
        Some(made).filter(|made| !made.shapes.is_empty())
    }

    /// By workgroups of so many positions, in launches of few steps.
    #[cfg(test)]
    pub(super) fn by(self, rows: usize) -> Self {
        let shapes: Vec<Shape> = self.shapes.into_iter().filter(|shape| shape.rows == rows).collect();
        assert!(!shapes.is_empty(), "no workgroup has {rows} positions");
        Self {
            shapes,
            numbers: None,
            is_named: true,
            most_passes: 32,
            ..self
        }
    }

    /// The values of the turned kernel of a direction.
    pub(super) fn kernel_values(&self) -> [usize; 3] {
        let stride = self.shapes.first().map_or(0, |shape| shape.lanes);
        [self.layer.width, self.layer.width, stride]
    }

    /// The workgroups whose steps take the least time; `None` where steps one by one take less.
    pub(super) fn shape(&self, schedule: &Schedule) -> Option<Shape> {
        let (positions, steps) = (schedule.active(0), schedule.steps());
        let Some(numbers) = &self.numbers else {
            return self.shapes.iter().copied().find(|shape| shape.rows <= positions.max(1));
        };
        let (shape, least) = self.best(numbers, (positions, steps), schedule.rows())?;
        let wins = self.is_named || least < self.seconds_one_by_one(numbers, steps, schedule.rows());
        wins.then_some(shape)
    }

    /// Those, and the seconds of all steps of a batch with so many rows.
    fn best(&self, numbers: &Numbers, (positions, steps): (usize, usize), rows: usize) -> Option<(Shape, f64)> {
        let seconds = |shape: Shape| {
            let load = Load {
                workgroups: self.layer.directions * positions.div_ceil(shape.rows),
                share: rows as f64 / (positions * steps).max(1) as f64,
            };
            let launches = steps.div_ceil(self.launch_steps(shape)) as f64;
            launches * shape.launch_seconds(numbers, load) + steps as f64 * shape.step_seconds(numbers, load)
        };
        let timed = self.shapes.iter().map(|&shape| (shape, seconds(shape)));
        timed.min_by(|(_, one), (_, other)| one.total_cmp(other))
    }

    /// The seconds of all steps, each of which is a dispatch.
    fn seconds_one_by_one(&self, numbers: &Numbers, steps: usize, rows: usize) -> f64 {
        let cost = Cost {
            rows: TILE,
            tile: TILE,
            invocations: TILE * TILE,
            barriers: 2 * (self.layer.lanes * self.layer.units).div_ceil(SLAB),
        };
        steps as f64 * cost.seconds(numbers, self.layer, rows.div_ceil(steps.max(1)))
    }

    /// The steps of one launch.
    pub(super) fn launch_steps(&self, shape: Shape) -> usize {
        shape.launch_steps(self.most_passes)
    }
}

/// The values of a column of the turned kernel: three take the room of four.
pub(crate) fn stride(cell: &Cell) -> usize {
    match cell.gates() {
        1 => 1,
        _ => 4,
    }
}

/// The shader of a cell.
pub(crate) fn solo_of(cell: &Cell) -> &'static Shader {
    match cell.rule {
        Rule::Lstm(_) => &SOLO_OF_LSTM,
        Rule::Gru(_) => &SOLO_OF_GRU,
        Rule::SimpleRnn(_) => &SOLO_OF_SIMPLE_RNN,
    }
}

/// Its constants.
pub(crate) fn solo_constants(shader: &Shader, cell: &Cell, shape: Shape) -> Vec<u32> {
    let of_shape: Vec<(&str, u32)> = solo_shape::CONSTANTS.iter().copied().zip(shape.constants()).collect();
    constants_with(shader, cell, &of_shape)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::gpu::strategy::numbers::H200;
    use crate::layer::lstm::Lstm;
    use crate::model::Model;

    /// What the driver of an H200 lets a workgroup have.
    const OF_H200: Limits = Limits {
        invocations: 1024,
        size: [1024, 1024],
        bytes: 48 << 10,
    };

    /// Batch, time steps and units; and whether a workgroup has room, and takes less time.
    #[test]
    fn the_numbers_of_a_gpu_choose() {
        let cases = [
            ((1, 1000, 16), Some(true)),
            ((1, 1000, 128), Some(true)),
            ((512, 64, 64), Some(true)),
            ((8, 16, 128), Some(true)),
            ((1, 1000, 512), None),
        ];
        for ((batch, steps, units), wins) in cases {
            let model = Model::builder().add(Lstm::new(8, units)).build().unwrap();
            let solo = SoloBack::within(
                (&model.plan().cells[0].cell, 1),
                (Some(H200), false),
                OF_H200,
                usize::MAX,
            );
            let seconds = solo.map(|solo| {
                let (shape, least) = solo.best(&H200, (batch, steps), batch * steps).unwrap();
                let one_by_one = solo.seconds_one_by_one(&H200, steps, batch * steps);
                println!(
                    "{batch} x {steps} x {units}: {:.0} and {:.0} µs, {shape:?}",
                    1e6 * least,
                    1e6 * one_by_one
                );
                least < one_by_one
            });
            assert_eq!(seconds, wins, "{batch} x {steps} x {units}");
        }
    }
}
