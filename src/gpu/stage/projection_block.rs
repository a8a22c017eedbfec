//! How a GPU projects rows: the blocks that a workgroup makes, and which of them takes the least time.
//!
//! `docs/design.md` says why there are several; in software `input_projection` has tiles of its own.

use std::sync::Arc;

use crate::gpu::commands::Workgroups;
use crate::gpu::device::Gpu;
use crate::gpu::shader::{Pipeline, Shader, Variant, reads, writes};
use crate::gpu::stage::softmax::Params;
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::weights::Form;

/// Square tiles through workgroup memory.
pub(crate) const TILE: Shader = Shader {
    name: "input_projection_tile",
    source: include_str!("../../../shaders/input_projection_tile.wgsl"),
    shared: &[include_str!("../../../shaders/shared/slab.wgsl")],
    runs_cell: false,
    params: ("Projection", size_of::<Params>()),
    bindings: &[reads("rows"), reads("kernel"), reads("bias"), writes("projected")],
    constants: &[
        "SIDE",
        "QUADS",
        "WRITTEN",
        "SINGLE",
        "DOUBLE",
        "ACTIVATES",
        "ACTIVATION",
        "ALPHA",
        "BETA",
    ],
};

/// Few rows, k split over the invocations of a workgroup. It binds what [`TILE`] binds.
pub(crate) const FEW: Shader = Shader {
    name: "input_projection_few",
    source: include_str!("../../../shaders/input_projection_few.wgsl"),
    shared: &[],
    runs_cell: false,
    params: TILE.params,
    bindings: TILE.bindings,
    constants: &[
        "COLUMNS",
        "PARTS",
        "ROUNDS",
        "HELD",
        "AHEAD",
        "TAIL",
        "SUMMED",
        "ACTIVATION",
        "ALPHA",
        "BETA",
    ],
};

/// The kernel has whole slabs of the highest tile: so many vec4 along k.
pub(crate) const SLAB_QUADS: usize = 4;

/// The bytes of workgroup memory of the largest tile with two places for a slab; half of it with one, which is the portable floor.
pub(crate) const DOUBLE_BYTES: u32 = 32 << 10;

/// Invocations of a workgroup of [`FEW`],
const INVOCATIONS: usize = 256;

/// the most workgroups along an axis that each device allows,
const MOST_ACROSS: usize = 65_535;

/// and the rows whose sums it holds in workgroup memory at a time.
const MOST_HELD: usize = 4;

/// What a workgroup makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// 128 × 128 and 64 × 64, as 8 × 8 of each invocation.
    LargeTile,
    SmallTile,
    /// Some vec4 of columns of so many rows.
    EightRows,
    FourRows,
    OneRow,
}

/// What a text is made for besides its size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MadeFor {
    /// Whether the large tile has two places for a slab.
    pub(crate) is_double: bool,
    /// Whether it runs in software, for a test: there a compiler takes seconds where much is written out.
    pub(crate) is_software: bool,
}

/// A product: rows, vec4 of columns, and vec4 of a row that are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) quads: usize,
}

impl Block {
    /// The least first: it is taken where several take the same time.
    pub(crate) const ALL: [Self; 5] = [
        Self::OneRow,
        Self::FourRows,
        Self::EightRows,
        Self::SmallTile,
        Self::LargeTile,
    ];

    /// Of a tile the invocations along a side, which are the k of a slab too; else the rows.
    const fn kind(self) -> Kind {
        match self {
            Self::LargeTile => Kind::Tile(16),
            Self::SmallTile => Kind::Tile(8),
            Self::EightRows => Kind::Rows(8),
            Self::FourRows => Kind::Rows(4),
            Self::OneRow => Kind::Rows(1),
        }
    }

    /// The rows of a workgroup, and its vec4 of columns.
    fn extent(self, size: Size) -> (usize, usize) {
        match self.kind() {
            Kind::Tile(side) => (8 * side, 2 * side),
            Kind::Rows(rows) => (rows, INVOCATIONS / parts(size)),
        }
    }

    /// The workgroups for a product, along its columns and its rows.
    pub(crate) fn workgroups(self, size: Size) -> Workgroups {
        let (rows, columns) = self.extent(size);
        Workgroups::Across(size.columns.div_ceil(columns) as u32, size.rows.div_ceil(rows) as u64)
    }

    /// Its shader with the constants of the text.
    pub(crate) fn text(self, size: Size, made_for: MadeFor, activation: [u32; 3]) -> (&'static Shader, Vec<u32>) {
        let [kind, _, _] = activation;
        match self.kind() {
            Kind::Tile(side) => {
                // two places of the small tile are half of the portable floor
                let is_double = u32::from(made_for.is_double || side < 16);
                let (side, quads) = (side as u32, side as u32 / 4);
                let written = if made_for.is_software { 1 } else { quads };
                let own = [side, quads, written, 1 - is_double, is_double, kind.min(1)];
                (&TILE, [&own[..], &activation].concat())
            }
            Kind::Rows(rows) => {
                let parts = parts(size);
                let held = rows.min(MOST_HELD).min(parts);
                let (ahead, summed) = match made_for.is_software {
                    true => (1, 1),
                    false => (ahead(rows), parts.min(8)),
                };
                let columns = INVOCATIONS / parts;
                let own = [columns, parts, rows / held, held, ahead, ahead.min(2) - 1, summed].map(|own| own as u32);
                (&FEW, [&own[..], &activation].concat())
            }
        }
    }

    /// The seconds that a product takes by it: what takes longest of arithmetic, loads from the cache, memory and waiting.
    fn seconds(self, size: Size, numbers: &Numbers) -> f64 {
        let (rows, columns) = self.extent(size);
        let workgroups = size.rows.div_ceil(rows) * size.columns.div_ceil(columns);
        let (work, vectors) = match self.kind() {
            Kind::Tile(side) => tile_seconds(side, size, workgroups, numbers),
            Kind::Rows(rows) => few_rows_seconds(rows, size, workgroups, numbers),
        };
        let cache = (workgroups * vectors) as f64 * 16.0 / numbers.cache_bytes;
        let Size { rows, columns, quads } = size;
        let memory = (rows * (columns + quads) + 4 * quads * columns) as f64 * 16.0 / numbers.memory_bytes;
        numbers.dispatch + numbers.trip + work.max(cache).max(memory)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Tile(usize),
    Rows(usize),
}

/// Over how many invocations k is split where rows are few: no more than there are quads of it, and so that the columns find workgroups.
fn parts(size: Size) -> usize {
    let most = size.columns.div_ceil(MOST_ACROSS).next_power_of_two();
    let parts = size.quads.next_power_of_two().clamp(8, 32);
    parts.min((INVOCATIONS / most).max(1))
}

/// How many quads of k an invocation asks for before it uses the first: as registers allow.
const fn ahead(rows: usize) -> usize {
    if rows == 1 { 4 } else { 2 }
}

/// The arithmetic and the waiting of tiles, and the vec4 that one loads.
///
/// The numbers are those of compute units that are full: of 256 invocations with 64 sums each. A small tile has a quarter of them, and one
/// alone keeps half of the lanes busy at most. Measured on an H200: the small one reaches 0.95 of the large one.
fn tile_seconds(side: usize, size: Size, workgroups: usize, numbers: &Numbers) -> (f64, usize) {
    let (at_once, efficiency) = if side < 16 { (4, 0.95) } else { (1, 1.0) };
    let slabs = size.quads.div_ceil(side / 4);
    let units = numbers.workgroups.max(1);
    let rounds = workgroups.div_ceil(at_once * units).max(1);
    let last = workgroups.saturating_sub((rounds - 1) * at_once * units);
    let tiles = (rounds - 1) * at_once + last.div_ceil(units).max(at_once / 2);
    let products = (tiles * 64 * side * side * slabs * side) as f64;
    let arithmetic = products * units as f64 / numbers.products / efficiency;
    // the next slab is on its way while one is summed up, so that only what takes longer counts
    let waiting = (rounds * slabs) as f64 * (numbers.trip + numbers.barrier);
    (arithmetic.max(waiting), 4 * side * slabs * side)
}

/// The same for few rows. It is an estimate: two workgroups find room in a compute unit, and loads take half of what it can issue.
fn few_rows_seconds(rows: usize, size: Size, workgroups: usize, numbers: &Numbers) -> (f64, usize) {
    let parts = parts(size);
    let columns = INVOCATIONS / parts;
    let quads = size.quads.next_multiple_of(parts);
    let products = (workgroups * rows * columns * 16 * quads) as f64;
    let arithmetic = products / (0.5 * numbers.products);
    let rounds = workgroups.div_ceil(2 * numbers.workgroups.max(1)) as f64;
    let passes = (quads / parts).div_ceil(ahead(rows)) as f64;
    let sums = 2.0 * numbers.barrier * rows.div_ceil(MOST_HELD) as f64;
    let waiting = rounds * (passes * numbers.trip + sums + numbers.trip);
    (arithmetic.max(waiting), (4 * columns + rows) * size.quads)
}

/// Of the blocks that can be made the one that takes the least time.
fn best(size: Size, has_tiles: bool, numbers: &Numbers) -> Block {
    let is_admitted = |block: &Block| match block.kind() {
        Kind::Tile(side) => has_tiles && size.columns.div_ceil(2 * side) <= MOST_ACROSS,
        Kind::Rows(_) => true,
    };
    let admitted = Block::ALL.into_iter().filter(is_admitted);
    let timed = admitted.map(|block| (block, block.seconds(size, numbers)));
    let best = timed.min_by(|(_, one), (_, other)| one.total_cmp(other));
    best.map_or(Block::OneRow, |(block, _)| block)
}

/// Row counts that differ by less than an eighth are taken for one, so that there are few to be looked at.
fn rounded(rows: usize) -> usize {
    rows.next_multiple_of((rows.next_power_of_two() / 16).max(1))
}

/// The blocks of one projection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocks {
    pub(crate) numbers: Numbers,
    pub(crate) form: Form,
    /// The constants of an activation.
    pub(crate) activation: [u32; 3],
    /// vec4 of a row that are multiplied, and vec4 of columns.
    pub(crate) quads: usize,
    pub(crate) columns: usize,
    /// Whether the kernel has whole slabs.
    pub(crate) has_tiles: bool,
}

impl Blocks {
    pub(crate) fn size(&self, rows: usize) -> Size {
        Size {
            rows,
            columns: self.columns,
            quads: self.quads,
        }
    }

    /// The block for so many rows.
    pub(crate) fn block(&self, rows: usize) -> Block {
        best(self.size(rounded(rows)), self.has_tiles, &self.numbers)
    }

    /// The blocks for any number of rows up to this one.
    pub(crate) fn needed(&self, most_rows: usize) -> Vec<Block> {
        let mut needed = Vec::new();
        let mut rows = 1;
        loop {
            let block = self.block(rows);
            if !needed.contains(&block) {
                needed.push(block);
            }
            if rows >= most_rows {
                return needed;
            }
            rows = rounded(rows + 1);
        }
    }

    /// The pipeline of a block, with as much workgroup memory as the device allows.
    pub(crate) fn pipeline(&self, gpu: &Gpu, block: Block) -> Arc<Pipeline> {
        let made_for = MadeFor {
            is_double: gpu.limits().max_compute_workgroup_storage_size >= DOUBLE_BYTES,
            is_software: gpu.info().device_type == wgpu::DeviceType::Cpu,
        };
        self.pipeline_made_for(gpu, block, made_for)
    }

    /// The same, made for any device.
    pub(super) fn pipeline_made_for(&self, gpu: &Gpu, block: Block, made_for: MadeFor) -> Arc<Pipeline> {
        let (shader, constants) = block.text(self.size(1), made_for, self.activation);
        let variant = Variant {
            form: self.form,
            constants,
            cell: None,
        };
        gpu.pipeline_for(shader, variant)
    }
}

#[cfg(test)]
#[path = "projection_block_tests.rs"]
mod tests;
