//! `input_projection`: rows times weights plus bias, one product for many rows; with `softmax` behind it where a Dense
//! layer wants that.

use std::ops::Range;
use std::sync::Arc;

use crate::activation::Activation;
use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::rows::padded;
use crate::gpu::shader::{Pipeline, Shader, Variant, reads, writes};
use crate::gpu::stage::matrix_projection;
use crate::gpu::stage::projection_block::{Block, Blocks, SLAB_QUADS};
use crate::gpu::stage::softmax::{Params, Softmax};
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::weights::Form;

pub(crate) const SHADER: Shader = Shader {
    name: "input_projection",
    source: include_str!("../../../shaders/input_projection.wgsl"),
    shared: &[],
    runs_cell: false,
    params: ("Projection", size_of::<Params>()),
    bindings: &[reads("rows"), reads("kernel"), reads("bias"), writes("projected")],
    constants: &["ROWS", "COLUMNS", "ACTIVATION", "ALPHA", "BETA"],
};

/// Invocations of a workgroup.
const INVOCATIONS: usize = 64;

/// The variants of the shader, which runs in software: how many rows an invocation makes of its vec4 of columns. Each gives the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tile {
    OneRow,
    TwoRows,
    FourRows,
    EightRows,
}

impl Tile {
    pub(crate) const ALL: [Self; 4] = [Self::OneRow, Self::TwoRows, Self::FourRows, Self::EightRows];

    pub(crate) const fn rows(self) -> usize {
        match self {
            Self::OneRow => 1,
            Self::TwoRows => 2,
            Self::FourRows => 4,
            Self::EightRows => 8,
        }
    }

    /// The lowest tile that holds all rows, else the highest: a tile loads a weight once for all of its rows, but those
    /// past the end cost as much as the others.
    ///
    /// `docs/benchmarks.md` has what was measured.
    pub(crate) const fn of(rows: usize) -> Self {
        match rows {
            0 | 1 => Self::OneRow,
            2 => Self::TwoRows,
            3 | 4 => Self::FourRows,
            _ => Self::EightRows,
        }
    }
}

/// Weights on the GPU: `kernel` as `[k][column]` in vec4, rows up to a multiple of four, and `bias` as `[column]`.
#[derive(Debug)]
pub(crate) struct Projection {
    ways: Ways,
    /// By matrices, where a program asks for it. It binds the same.
    matrices: Option<Arc<Pipeline>>,
    softmax: Option<Softmax>,
    pub(super) kernel: Vec<KernelPart>,
    pub(super) bias: wgpu::Buffer,
    /// Whether it goes on with what the target has, instead of the bias.
    continues: bool,
    /// vec4 of a row of the source.
    row_vectors: usize,
    column_vectors: usize,
    /// Values of a projected row that count.
    width: usize,
}

/// How rows are multiplied.
#[derive(Debug)]
enum Ways {
    /// In software: a pipeline for each of [`Tile::ALL`], and the columns of a workgroup, in vec4.
    Software([Arc<Pipeline>; Tile::ALL.len()], usize),
    /// On a GPU: by the block that takes the least time. Its pipeline is made for a workspace that may need it.
    Gpu(Blocks),
}

/// As many rows of a kernel as a binding holds.
#[derive(Debug)]
pub(super) struct KernelPart {
    pub(super) buffer: wgpu::Buffer,
    /// The vec4 of a row of the source that it multiplies.
    pub(super) vectors: Range<usize>,
}

/// What a projection multiplies by.
pub(crate) struct Weights<'a> {
    /// Values of a row of the source, and which of them are multiplied; whole vec4, but at the end.
    pub(crate) row_values: usize,
    pub(crate) inputs: Range<usize>,
    pub(crate) column_vectors: usize,
    /// Values of a projected row that count.
    pub(crate) width: usize,
    /// vec4 number `column` of row `k` of the kernel.
    pub(crate) kernel: &'a dyn Fn(usize, usize) -> [f32; 4],
    /// vec4 number `column` of the bias; without it the target has what the sums begin from.
    pub(crate) bias: Option<&'a dyn Fn(usize) -> [f32; 4]>,
}

/// The bind groups of a projection from each of several sources into one target.
#[derive(Debug)]
pub(crate) struct ProjectionGroups {
    /// The pipelines for as many rows as there may be; in software none.
    blocks: Vec<(Block, Arc<Pipeline>)>,
    /// For each source one for each part of the kernel.
    sources: Vec<Vec<wgpu::BindGroup>>,
    softmax: Option<wgpu::BindGroup>,
}

/// How many rows of a kernel a binding holds: whole fours.
pub(crate) fn rows_of_a_binding(gpu: &Gpu, form: Form, column_vectors: usize) -> usize {
    let four_rows = form.bytes(16 * column_vectors).max(1);
    (gpu.largest_binding() / four_rows) as usize * 4
}

/// The most passes of its loops that an invocation makes, which the highest tile does.
pub(crate) fn passes(features: usize) -> usize {
    let rows = Tile::EightRows.rows();
    padded(features) / 4 * (1 + rows) + 2 * rows
}

/// Rows to project.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) source_row: usize,
    pub(crate) target_row: usize,
    pub(crate) rows: usize,
}

impl Projection {
    /// Packs weights in a form that loses nothing of them, as many rows in a buffer as a binding holds.
    /// With the numbers of a GPU it runs by the forms of a GPU.
    pub(crate) fn make(
        gpu: &Gpu,
        label: &str,
        (form, numbers): (Form, Option<Numbers>),
        weights: &Weights<'_>,
        activation: Activation,
    ) -> Self {
        let rows_of_a_part = rows_of_a_binding(gpu, form, weights.column_vectors);
        Self::cut(gpu, label, (form, numbers), weights, (activation, rows_of_a_part))
    }

    /// The same with so many rows of the kernel in a buffer.
    fn cut(
        gpu: &Gpu,
        label: &str,
        (form, numbers): (Form, Option<Numbers>),
        weights: &Weights<'_>,
        (activation, rows_of_a_part): (Activation, usize),
    ) -> Self {
        let column_vectors = weights.column_vectors;
        let has_slabs = numbers.is_some() && rows_of_a_part / 4 >= SLAB_QUADS;
        let slab = if has_slabs { SLAB_QUADS } else { 1 };
        let upload = |name: &str, form: Form, values: &[[f32; 4]]| {
            gpu.upload_weights(&format!("{label}.{name}"), form, values.as_flattened())
        };
        let row = |k: usize, column: usize| match weights.inputs.contains(&k) {
            true => (weights.kernel)(k, column),
            false => [0.0; 4],
        };
        let part = |vectors: Range<usize>| {
            let rows = vectors.start * 4..(vectors.start + vectors.len().next_multiple_of(slab)) * 4;
            let packed: Vec<[f32; 4]> = rows
                .flat_map(|k| (0..column_vectors).map(move |column| (k, column)))
                .map(|(k, column)| row(k, column))
                .collect();
            KernelPart {
                buffer: upload("kernel", form, &packed),
                vectors,
            }
        };
        let end = padded(weights.inputs.end) / 4;
        let step = (rows_of_a_part / 4 / slab * slab).max(1);
        let starts = (weights.inputs.start / 4..end.max(1)).step_by(step);
        let kernel = starts.map(|first| part(first..(first + step).min(end))).collect();
        let of_bias = |column| weights.bias.map_or([0.0; 4], |bias| bias(column));
        let bias: Vec<[f32; 4]> = (0..column_vectors).map(of_bias).collect();
        let (elementwise, softmax) = match activation.is_rowwise() {
            true => (Activation::Linear, Softmax::make(gpu, activation)),
            false => (activation, None),
        };
        let quads = end.saturating_sub(weights.inputs.start / 4);
        let blocks = |numbers| Blocks {
            numbers,
            form,
            activation: elementwise.constants(),
            quads,
            columns: column_vectors,
            has_tiles: has_slabs,
        };
        let ways = numbers.map(blocks).map(Ways::Gpu);
        Self {
            ways: ways.unwrap_or_else(|| software(gpu, form, column_vectors, elementwise)),
            matrices: None,
            softmax,
            kernel,
            bias: upload("bias", Form::Full, &bias),
            continues: weights.bias.is_none(),
            row_vectors: padded(weights.row_values) / 4,
            column_vectors,
            width: weights.width,
        }
    }

    /// The same, large products by matrices if there is a pipeline. That knows no activation.
    pub(crate) fn with_matrices(self, matrices: Option<&Arc<Pipeline>>) -> Self {
        Self {
            matrices: matrices.cloned(),
            ..self
        }
    }

    /// The pipeline by matrices and its workgroups, if there is one and so many rows suit it.
    fn by_matrices(&self, rows: usize) -> Option<(&Arc<Pipeline>, Workgroups)> {
        let pipeline = self.matrices.as_ref()?;
        let suits = matrix_projection::suits(rows, self.column_vectors, self.row_vectors);
        suits.then(|| (pipeline, matrix_projection::workgroups(rows, self.column_vectors)))
    }

    /// Whether large products are made by matrices.
    pub(crate) fn has_matrices(&self) -> bool {
        self.matrices.is_some()
    }

    /// The buffers of its weights, always in the same order.
    pub(crate) fn buffers(&self) -> impl Iterator<Item = &wgpu::Buffer> {
        let kernel = self.kernel.iter().map(|part| &part.buffer);
        kernel.chain(std::iter::once(&self.bias))
    }

    /// The bind groups for a workspace, and the pipelines for as many rows as its buffers hold.
    pub(crate) fn groups<'a>(
        &self,
        gpu: &Gpu,
        label: &str,
        params: &wgpu::Buffer,
        sources: impl IntoIterator<Item = &'a wgpu::Buffer>,
        target: &wgpu::Buffer,
    ) -> ProjectionGroups {
        let sources: Vec<&wgpu::Buffer> = sources.into_iter().collect();
        let blocks = self.blocks(gpu, &sources, target);
        // the pipelines have layouts of the same entries, so one bind group serves all
        let pipeline = match &self.ways {
            Ways::Software([pipeline, ..], _) => Some(pipeline),
            Ways::Gpu(_) => blocks.first().map(|(_, pipeline)| pipeline),
        };
        let of_parts = |&rows: &&wgpu::Buffer| {
            let parts = self.kernel.iter().zip(pipeline.into_iter().cycle());
            parts
                .map(|(part, pipeline)| {
                    gpu.make_bind_group(label, pipeline, params, &[rows, &part.buffer, &self.bias, target])
                })
                .collect()
        };
        ProjectionGroups {
            sources: sources.iter().map(of_parts).collect(),
            softmax: self
                .softmax
                .as_ref()
                .map(|softmax| softmax.group(gpu, label, params, target)),
            blocks,
        }
    }

    /// The pipelines for as many rows as lie in a source and find room in the target.
    fn blocks(&self, gpu: &Gpu, sources: &[&wgpu::Buffer], target: &wgpu::Buffer) -> Vec<(Block, Arc<Pipeline>)> {
        let Ways::Gpu(blocks) = &self.ways else {
            return Vec::new();
        };
        let rows = |buffer: &wgpu::Buffer, vectors: usize| (buffer.size() / (16 * vectors.max(1) as u64)) as usize;
        let of_sources = sources.iter().map(|source| rows(source, self.row_vectors)).max();
        let most_rows = rows(target, self.column_vectors).min(of_sources.unwrap_or(0));
        let needed = blocks.needed(most_rows).into_iter();
        needed.map(|block| (block, blocks.pipeline(gpu, block))).collect()
    }

    /// The dispatches for a span of rows.
    pub(crate) fn parts(&self) -> usize {
        self.kernel.len()
    }

    /// Projects a span of rows of source number `source`: by matrices, if there are such and the rows can be rounded to half precision.
    pub(crate) fn record(
        &self,
        commands: &mut Commands,
        groups: &ProjectionGroups,
        source: usize,
        (span, fits): (Span, bool),
    ) {
        let as_usual = || match &self.ways {
            Ways::Software(..) => self.by_tile(Tile::of(span.rows), span.rows),
            Ways::Gpu(blocks) => {
                let block = blocks.block(span.rows);
                let made = groups.blocks.iter().find(|(made, _)| *made == block);
                // every block makes the same product
                let made = made.or(groups.blocks.first());
                made.map(|(block, pipeline)| (pipeline, block.workgroups(blocks.size(span.rows))))
            }
        };
        let by_matrices = self.by_matrices(span.rows).filter(|_| fits);
        if let Some(way) = by_matrices.or_else(as_usual) {
            self.record_by(way, commands, groups, (source, span));
        }
    }

    /// The pipeline of a tile, and its workgroups for so many rows.
    fn by_tile(&self, tile: Tile, rows: usize) -> Option<(&Arc<Pipeline>, Workgroups)> {
        let Ways::Software([one, two, four, eight], columns) = &self.ways else {
            return None;
        };
        let across = self.column_vectors.div_ceil(*columns) as u32;
        let rows_of_workgroup = tile.rows() * (INVOCATIONS / columns);
        let pipeline = match tile {
            Tile::OneRow => one,
            Tile::TwoRows => two,
            Tile::FourRows => four,
            Tile::EightRows => eight,
        };
        Some((
            pipeline,
            Workgroups::Across(across, rows.div_ceil(rows_of_workgroup) as u64),
        ))
    }

    /// The same by a pipeline of the caller's choice.
    fn record_by(
        &self,
        (pipeline, workgroups): (&Arc<Pipeline>, Workgroups),
        commands: &mut Commands,
        groups: &ProjectionGroups,
        (source, span): (usize, Span),
    ) {
        let Some(parts) = groups.sources.get(source).filter(|_| span.rows > 0) else {
            return;
        };
        let mut params = Params {
            source_row: span.source_row as u32,
            target_row: span.target_row as u32,
            count: span.rows as u32,
            row_vectors: self.row_vectors as u32,
            column_vectors: self.column_vectors as u32,
            width: self.width as u32,
            ..Params::default()
        };
        for (number, (part, group)) in self.kernel.iter().zip(parts).enumerate() {
            params.first_vector = part.vectors.start as u32;
            params.input_vectors = part.vectors.len() as u32;
            params.continues = u32::from(self.continues || number > 0);
            params.finishes = u32::from(number + 1 == self.kernel.len());
            commands.dispatch(pipeline, group, params, workgroups);
        }
        if let (Some(softmax), Some(group)) = (&self.softmax, &groups.softmax) {
            softmax.record(commands, group, params);
        }
    }
}

/// The ways of a software adapter.
fn software(gpu: &Gpu, form: Form, column_vectors: usize, activation: Activation) -> Ways {
    let columns = column_vectors.next_power_of_two().clamp(1, INVOCATIONS);
    let [kind, alpha, beta] = activation.constants();
    let pipeline = |tile: Tile| {
        let variant = Variant {
            form,
            constants: vec![tile.rows() as u32, columns as u32, kind, alpha, beta],
            cell: None,
        };
        gpu.pipeline_for(&SHADER, variant)
    };
    Ways::Software(Tile::ALL.map(pipeline), columns)
}

#[cfg(test)]
#[path = "input_projection_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "input_projection_block_tests.rs"]
mod block_tests;
