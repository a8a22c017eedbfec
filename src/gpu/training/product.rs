//! Products of matrices, with rows named by lists, and sums over all rows of a batch in parts.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::shader::{Shader, reads, writes};
use crate::gpu::training::recorder::{Matrix, Recorder};
use crate::gpu::training::sums::add_parts;
use crate::gpu::training::texts::TYPES;

const VALUES: &str = include_str!("../../../shaders/backward/product_values.wgsl");
const ONES: &str = include_str!("../../../shaders/backward/product_ones.wgsl");
const OWN: &str = include_str!("../../../shaders/backward/product_own.wgsl");
const WHOLE: &str = include_str!("../../../shaders/backward/kept_whole.wgsl");

pub(crate) const SHADER: Shader = Shader {
    name: "product",
    source: include_str!("../../../shaders/backward/product.wgsl"),
    shared: &[TYPES, VALUES, ONES, WHOLE],
    runs_cell: false,
    params: ("Product", size_of::<Params>()),
    bindings: &[reads("index"), reads("a"), reads("b"), reads("bias"), writes("c")],
    constants: &["TURNS_A", "TURNS_B", "HAS_INDEX", "HAS_BIAS"],
};

/// The same where a gate leaves something out, on every adapter.
pub(crate) const MASKED: Shader = Shader {
    name: "product_masked",
    shared: &[
        TYPES,
        VALUES,
        ONES,
        include_str!("../../../shaders/backward/kept_masked.wgsl"),
    ],
    bindings: &[
        reads("index"),
        reads("a"),
        reads("b"),
        reads("bias"),
        writes("c"),
        reads("positions"),
        reads("factors"),
    ],
    constants: &["TURNS_A", "TURNS_B", "HAS_INDEX", "HAS_BIAS", "MASKS_C"],
    ..SHADER
};

/// The same where each invocation makes what is its own by itself.
pub(crate) const ALONE: Shader = Shader {
    name: "product_alone",
    source: include_str!("../../../shaders/backward/product_alone.wgsl"),
    shared: &[
        TYPES,
        VALUES,
        ONES,
        WHOLE,
        OWN,
        include_str!("../../../shaders/backward/product_twos.wgsl"),
    ],
    constants: &["TURNS_A", "TURNS_B", "HAS_INDEX", "HAS_BIAS", "BLOCK"],
    ..SHADER
};

/// The same where the columns of B and C are whole numbers of fours.
pub(crate) const ALONE_IN_FOURS: Shader = Shader {
    name: "product_alone_fours",
    shared: &[
        TYPES,
        VALUES,
        OWN,
        include_str!("../../../shaders/backward/product_fours.wgsl"),
    ],
    ..ALONE
};

/// The rows and columns of a tile.
const SIDE: usize = 64;

/// The rows of a workgroup whose invocations make what is their own by themselves.
const ROWS_ALONE: usize = 8;

/// The depth of a slab of k.
const DEPTH: usize = 16;

/// A sum is cut into parts until there are so many tiles,
const TILES: usize = 256;

/// but into none of fewer values.
const SMALLEST_PART: usize = 256;

/// The struct `Product` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    rows: u32,
    columns: u32,
    inner: u32,
    part: u32,
    part_stride: u32,
    index_first: u32,
    a_first: u32,
    a_stride: u32,
    b_first: u32,
    b_stride: u32,
    bias_first: u32,
    c_first: u32,
    c_stride: u32,
    adds: u32,
    factors_first: u32,
    factors_stride: u32,
}

/// What a gate leaves out of a product.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factors<'a> {
    /// The position of each row. Those of the first step come first, so that the list serves the rows of one step as well.
    pub(super) positions: &'a wgpu::Buffer,
    /// By position, as many as a row of what they are for.
    pub(super) factors: Matrix<'a>,
    /// Of what C gets of the product, else of A as it lies.
    pub(super) of_c: bool,
}

/// How a product is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product<'a> {
    /// The rows and columns of C, and what the sum runs over.
    pub(super) size: [usize; 3],
    pub(super) a: Matrix<'a>,
    /// The rows of A, as they lie, by a list.
    pub(super) index: Option<&'a wgpu::Buffer>,
    pub(super) b: Matrix<'a>,
    /// Whether A, and whether B, lies as its transpose.
    pub(super) turns: (bool, bool),
    /// A row that is added, from a value of a buffer on.
    pub(super) bias: Option<(&'a wgpu::Buffer, usize)>,
    pub(super) c: Matrix<'a>,
    /// Whether C is added to what is there.
    pub(super) adds: bool,
    /// What is left out, if anything is.
    pub(super) factors: Option<Factors<'a>>,
}

impl<'a> Product<'a> {
    /// C = A·B.
    pub(super) fn new(size: [usize; 3], a: Matrix<'a>, b: Matrix<'a>, c: Matrix<'a>) -> Self {
        Self {
            size,
            a,
            index: None,
            b,
            turns: (false, false),
            bias: None,
            c,
            adds: false,
            factors: None,
        }
    }

    /// The same with the rows of A, as they lie, by a list.
    pub(super) fn by(self, index: &'a wgpu::Buffer) -> Self {
        Self {
            index: Some(index),
            ..self
        }
    }

    /// The same added to what C has.
    pub(super) fn added(self) -> Self {
        Self { adds: true, ..self }
    }

    /// The same where A, or B, lies as its transpose.
    pub(super) fn turned(self, a: bool, b: bool) -> Self {
        Self { turns: (a, b), ..self }
    }

    fn params(&self, part: usize) -> Params {
        let [rows, columns, inner] = self.size.map(|size| size as u32);
        let factors = self.factors;
        Params {
            rows,
            columns,
            inner,
            part: part as u32,
            part_stride: 0,
            index_first: 0,
            a_first: self.a.first as u32,
            a_stride: self.a.stride as u32,
            b_first: self.b.first as u32,
            b_stride: self.b.stride as u32,
            bias_first: self.bias.map_or(0, |(_, first)| first as u32),
            c_first: self.c.first as u32,
            c_stride: self.c.stride as u32,
            adds: self.adds.into(),
            factors_first: factors.map_or(0, |factors| factors.factors.first as u32),
            factors_stride: factors.map_or(0, |factors| factors.factors.stride as u32),
        }
    }

    /// Whether each row of B and C that it takes is a whole number of vec4.
    fn is_in_fours(&self, params: &Params) -> bool {
        let of_b = [params.b_first, params.b_stride];
        let of_c = [params.columns, params.c_first, params.c_stride, params.part_stride];
        !self.turns.1 && of_b.into_iter().chain(of_c).all(|values| values % 4 == 0)
    }

    fn tiles(&self) -> usize {
        tiles_of(self.size)
    }

    fn record_to(&self, recorder: &mut Recorder<'_>, c: &wgpu::Buffer, params: Params, parts: usize) {
        let (turns_a, turns_b) = self.turns;
        let mut constants = [turns_a, turns_b, self.index.is_some(), self.bias.is_some()]
            .map(u32::from)
            .to_vec();
        let nothing = recorder.nothing();
        let bias = self.bias.map_or(&nothing, |(bias, _)| bias);
        let index = self.index.unwrap_or(&nothing);
        let mut storage = vec![index, self.a.buffer, self.b.buffer, bias, c];
        let passes = params.part as usize;
        let alone = recorder.software().filter(|_| passes <= recorder.gpu.most_passes());
        let (mut shader, mut tiles) = (&SHADER, self.tiles());
        if let (Some(software), None) = (alone, self.factors) {
            let in_fours = self.is_in_fours(&params);
            shader = if in_fours { &ALONE_IN_FOURS } else { &ALONE };
            tiles = tiles_with(ROWS_ALONE, self.size);
            constants.push(software.block as u32);
        }
        if let Some(Factors {
            positions,
            factors,
            of_c,
        }) = self.factors
        {
            (shader, tiles) = (&MASKED, self.tiles());
            storage.extend([positions, factors.buffer]);
            constants.push(of_c.into());
        }
        recorder.dispatch((shader, &constants), &storage, params, (tiles * parts) as u64);
    }

    /// Records it.
    pub(super) fn record(&self, recorder: &mut Recorder<'_>) {
        let [_, _, inner] = self.size;
        self.record_to(recorder, self.c.buffer, self.params(inner.max(1)), 1);
    }

    /// Records it in parts of the sum, whose number follows from the sizes alone.
    pub(super) fn record_in_parts(&self, recorder: &mut Recorder<'_>) -> Result<()> {
        let [rows, columns, inner] = self.size;
        let (parts, part) = parts_of(self.tiles(), inner);
        if parts == 1 {
            self.record(recorder);
            return Ok(());
        }
        let count = rows * columns;
        let sums = recorder.buffer(("parts", 0), parts * count)?;
        let params = Params {
            part_stride: count as u32,
            c_first: 0,
            c_stride: columns as u32,
            adds: 0,
            ..self.params(part)
        };
        self.record_to(recorder, &sums, params, parts);
        add_parts(recorder, (&sums, parts, [rows, columns]), self.c, self.adds);
        Ok(())
    }
}

/// How many parts a sum over so many values has in so many tiles, and the values of each.
fn parts_of(tiles: usize, inner: usize) -> (usize, usize) {
    let parts = most_parts(tiles, inner);
    let part = inner.div_ceil(parts).next_multiple_of(DEPTH).max(DEPTH);
    (inner.div_ceil(part).max(1), part)
}

/// The most parts into which a sum of so many rows or fewer is cut.
fn most_parts(tiles: usize, inner: usize) -> usize {
    let wanted = TILES / tiles.max(1);
    wanted.min(inner / SMALLEST_PART).max(1)
}

fn tiles_of(size: [usize; 3]) -> usize {
    tiles_with(SIDE, size)
}

/// The same with so many rows in a tile.
fn tiles_with(height: usize, [rows, columns, _]: [usize; 3]) -> usize {
    rows.div_ceil(height) * columns.div_ceil(SIDE)
}

/// The most values of all parts of a product whose sums are cut, or are of fewer rows; none where there is only one part.
pub(super) fn most_sums_of(size @ [rows, columns, inner]: [usize; 3]) -> u64 {
    match most_parts(tiles_of(size), inner) {
        1 => 0,
        parts => (parts as u64)
            .saturating_mul(rows as u64)
            .saturating_mul(columns as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_sum_and_follow_from_sizes_alone() {
        for tiles in [1, 3, 100, 256, 5_000] {
            for inner in [0, 1, 15, 255, 256, 513, 4_096, 100_003] {
                let (parts, part) = parts_of(tiles, inner);
                assert!(
                    parts * part >= inner && (parts - 1) * part < inner.max(1),
                    "{tiles} {inner}"
                );
                assert!(part % DEPTH == 0 && parts * tiles <= TILES.max(tiles));
            }
        }
    }
}
