//! `input_projection`: rows times weights plus bias, one product for many rows; with `softmax` behind it where a Dense
//! layer wants that.

use std::sync::Arc;

use crate::activation::Activation;
use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::rows::padded;
use crate::gpu::shader::{Pipeline, Shader, Variant, reads, writes};
use crate::gpu::stage::softmax::{Params, Softmax};
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

/// The variants of the shader: how many rows an invocation makes of its vec4 of columns. Each gives the same bits.
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
    /// Measured on llvmpipe (Mesa 25.0), the only adapter so far, as time of the eight-row tile over time of the others.
    /// 64 inputs to 512 columns: one row 1.8, two rows 1.6, three and four rows 1.3; 256 inputs to 2048 columns: 2.4, 1.9
    /// and 1.2. From five rows on lower tiles lose (five rows as two times four: 0.8; 1000 rows and more: 0.7 to 0.8 by
    /// fours, 0.3 by ones). Inputs and columns did not change the order: not for heads of 1 to 64 columns either.
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
    /// One for each of [`Tile::ALL`].
    pipelines: [Arc<Pipeline>; Tile::ALL.len()],
    softmax: Option<Softmax>,
    kernel: wgpu::Buffer,
    bias: wgpu::Buffer,
    input_vectors: usize,
    column_vectors: usize,
    /// Columns of a workgroup, in vec4.
    columns: usize,
    /// Values of a projected row that count.
    width: usize,
}

/// The bind groups of a projection from each of several sources into one target.
#[derive(Debug)]
pub(crate) struct ProjectionGroups {
    sources: Vec<wgpu::BindGroup>,
    softmax: Option<wgpu::BindGroup>,
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
    /// Packs weights whose vec4 number `column` of row `k` is `weights(k, column)` in a form that loses nothing of them.
    pub(crate) fn make(
        gpu: &Gpu,
        label: &str,
        form: Form,
        (inputs, column_vectors, width): (usize, usize, usize),
        weights: impl Fn(usize, usize) -> [f32; 4],
        bias: impl Fn(usize) -> [f32; 4],
        activation: Activation,
    ) -> Self {
        let rows = padded(inputs);
        let packed: Vec<[f32; 4]> = (0..rows)
            .flat_map(|k| (0..column_vectors).map(move |column| (k, column)))
            .map(|(k, column)| if k < inputs { weights(k, column) } else { [0.0; 4] })
            .collect();
        let packed_bias: Vec<[f32; 4]> = (0..column_vectors).map(bias).collect();
        let upload = |name: &str, form: Form, values: &[[f32; 4]]| {
            gpu.upload_weights(&format!("cellstate.{label}.{name}"), form, values.as_flattened())
        };
        let columns = column_vectors.next_power_of_two().clamp(1, INVOCATIONS);
        let (elementwise, softmax) = match activation.is_rowwise() {
            true => (Activation::Linear, Softmax::make(gpu, activation)),
            false => (activation, None),
        };
        let [kind, alpha, beta] = elementwise.constants();
        let pipeline = |tile: Tile| {
            let variant = Variant {
                form,
                constants: vec![tile.rows() as u32, columns as u32, kind, alpha, beta],
                cell: None,
            };
            gpu.pipeline_for(&SHADER, variant)
        };
        Self {
            pipelines: Tile::ALL.map(pipeline),
            columns,
            softmax,
            kernel: upload("kernel", form, &packed),
            bias: upload("bias", Form::Full, &packed_bias),
            input_vectors: rows / 4,
            column_vectors,
            width,
        }
    }

    pub(crate) fn groups<'a>(
        &self,
        gpu: &Gpu,
        label: &str,
        params: &wgpu::Buffer,
        sources: impl IntoIterator<Item = &'a wgpu::Buffer>,
        target: &wgpu::Buffer,
    ) -> ProjectionGroups {
        let group =
            |pipeline: &Pipeline, storage: &[&wgpu::Buffer]| gpu.make_bind_group(label, pipeline, params, storage);
        // the tiles have layouts of the same entries, so one bind group serves all
        let [pipeline, ..] = &self.pipelines;
        let sources = sources
            .into_iter()
            .map(|rows| group(pipeline, &[rows, &self.kernel, &self.bias, target]));
        let sources = sources.collect();
        ProjectionGroups {
            sources,
            softmax: self
                .softmax
                .as_ref()
                .map(|softmax| softmax.group(gpu, label, params, target)),
        }
    }

    /// Projects a span of rows of source number `source`.
    pub(crate) fn record(&self, commands: &mut Commands, groups: &ProjectionGroups, source: usize, span: Span) {
        self.record_by(Tile::of(span.rows), commands, groups, source, span);
    }

    /// The same by a tile of the caller's choice.
    fn record_by(&self, tile: Tile, commands: &mut Commands, groups: &ProjectionGroups, source: usize, span: Span) {
        let Some(group) = groups.sources.get(source).filter(|_| span.rows > 0) else {
            return;
        };
        let params = Params {
            source_row: span.source_row as u32,
            target_row: span.target_row as u32,
            count: span.rows as u32,
            input_vectors: self.input_vectors as u32,
            column_vectors: self.column_vectors as u32,
            width: self.width as u32,
        };
        let across = self.column_vectors.div_ceil(self.columns) as u32;
        let rows = tile.rows() * (INVOCATIONS / self.columns);
        let workgroups = Workgroups::Across(across, span.rows.div_ceil(rows) as u64);
        let [one, two, four, eight] = &self.pipelines;
        let pipeline = match tile {
            Tile::OneRow => one,
            Tile::TwoRows => two,
            Tile::FourRows => four,
            Tile::EightRows => eight,
        };
        commands.dispatch(pipeline, group, params, workgroups);
        if let (Some(softmax), Some(group)) = (&self.softmax, &groups.softmax) {
            softmax.record(commands, group, params);
        }
    }
}

#[cfg(test)]
#[path = "input_projection_tests.rs"]
mod tests;
