//! The gradients of what changes each row by itself: activations, softmax, normalisations, products of two directions.

use bytemuck::{Pod, Zeroable};

use crate::activation::Activation;
use crate::gpu::shader::{Shader, reads, writes};
use crate::gpu::training::recorder::{Matrix, Recorder, for_values};
use crate::gpu::training::texts::{DERIVATIVES, REDUCE, TYPES};

pub(crate) const ACTIVATION: Shader = Shader {
    name: "activation_back",
    source: include_str!("../../../shaders/backward/activation_back.wgsl"),
    shared: &[TYPES, DERIVATIVES],
    runs_cell: false,
    params: ("RowsBack", size_of::<Params>()),
    bindings: &[
        reads("index"),
        reads("arguments"),
        reads("upstream"),
        writes("gradient"),
    ],
    constants: &["HAS_INDEX", "ACTIVATION", "ALPHA", "BETA"],
};

pub(crate) const SOFTMAX: Shader = Shader {
    name: "softmax_back",
    source: include_str!("../../../shaders/backward/softmax_back.wgsl"),
    shared: &[TYPES, REDUCE],
    runs_cell: false,
    params: ("RowsBack", size_of::<Params>()),
    bindings: &[reads("given"), reads("upstream"), writes("gradient")],
    constants: &["ACTIVATION"],
};

pub(crate) const NORMALIZE: Shader = Shader {
    name: "normalize_back",
    source: include_str!("../../../shaders/backward/normalize_back.wgsl"),
    shared: &[TYPES, DERIVATIVES, REDUCE],
    runs_cell: false,
    params: ("RowsBack", size_of::<Params>()),
    bindings: &[
        reads("index"),
        reads("rows"),
        reads("gamma"),
        reads("beta"),
        reads("upstream"),
        writes("gradient"),
        writes("gradient_of_gamma"),
        writes("gradient_of_beta"),
    ],
    constants: &["ACTIVATION", "ALPHA", "BETA"],
};

pub(crate) const MULTIPLY: Shader = Shader {
    name: "multiply_back",
    source: include_str!("../../../shaders/backward/multiply_back.wgsl"),
    shared: &[TYPES],
    runs_cell: false,
    params: ("RowsBack", size_of::<Params>()),
    bindings: &[reads("index"), reads("other"), reads("upstream"), writes("gradient")],
    constants: &[],
};

/// Of a BatchNormalization the gradients of gamma and beta row by row,
pub(crate) const BATCH: Shader = Shader {
    name: "batch_back",
    source: include_str!("../../../shaders/backward/batch_back.wgsl"),
    shared: &[TYPES, DERIVATIVES],
    runs_cell: false,
    params: ("RowsBack", size_of::<Params>()),
    bindings: &[
        reads("index"),
        reads("rows"),
        reads("moments"),
        reads("scale"),
        reads("shift"),
        reads("upstream"),
        writes("gradient_of_gamma"),
        writes("gradient_of_beta"),
    ],
    constants: &["ACTIVATION", "ALPHA", "BETA"],
};

/// and those of the rows.
pub(crate) const BATCH_ROWS: Shader = Shader {
    name: "batch_rows_back",
    source: include_str!("../../../shaders/backward/batch_rows_back.wgsl"),
    shared: &[TYPES],
    runs_cell: false,
    params: ("RowsBack", size_of::<Params>()),
    bindings: &[
        reads("index"),
        reads("rows"),
        reads("moments"),
        reads("scale"),
        reads("counts"),
        reads("gradient_of_gamma"),
        reads("gradient_of_beta"),
        writes("gradient"),
    ],
    constants: &["OF_BATCH"],
};

/// The struct `RowsBack` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    count: u32,
    width: u32,
    index_first: u32,
    first: u32,
    stride: u32,
    upstream_first: u32,
    upstream_stride: u32,
    epsilon: u32,
    share: u32,
}

/// Rows that a gradient is made for: how many, and their values.
pub(super) type Size = [usize; 2];

/// Rows that are read, and the list that names them where there is one.
pub(super) type Listed<'a> = (Matrix<'a>, Option<&'a wgpu::Buffer>);

pub(super) fn params([count, width]: Size, read: Matrix<'_>, upstream: Matrix<'_>) -> Params {
    Params {
        count: count as u32,
        width: width as u32,
        index_first: 0,
        first: read.first as u32,
        stride: read.stride as u32,
        upstream_first: upstream.first as u32,
        upstream_stride: upstream.stride as u32,
        epsilon: 0,
        share: 0,
    }
}

/// The gradient of an activation's arguments. It is no activation over the row.
pub(super) fn activation_back(
    recorder: &mut Recorder<'_>,
    activation: Activation,
    size: Size,
    (arguments, index): Listed<'_>,
    (upstream, gradient): (Matrix<'_>, &wgpu::Buffer),
) {
    let [kind, alpha, beta] = activation.constants();
    let constants = [index.is_some().into(), kind, alpha, beta];
    let nothing = recorder.nothing();
    let storage = [index.unwrap_or(&nothing), arguments.buffer, upstream.buffer, gradient];
    let params = params(size, arguments, upstream);
    recorder.dispatch(
        (&ACTIVATION, &constants),
        &storage,
        params,
        for_values(size[0] * size[1]),
    );
}

/// The gradient of the arguments of softmax or log_softmax, from what it has given.
pub(super) fn softmax_back(
    recorder: &mut Recorder<'_>,
    activation: Activation,
    size: Size,
    given: Matrix<'_>,
    (upstream, gradient): (Matrix<'_>, &wgpu::Buffer),
) {
    let storage = [given.buffer, upstream.buffer, gradient];
    let params = params(size, given, upstream);
    recorder.dispatch((&SOFTMAX, &[activation.code()]), &storage, params, size[0] as u64);
}

/// The gradients of a normalisation: of the rows, and of gamma and beta row by row.
pub(super) fn normalize_back(
    recorder: &mut Recorder<'_>,
    (activation, epsilon, [gamma, beta]): (Activation, f32, &[wgpu::Buffer; 2]),
    size: Size,
    (rows, index): (Matrix<'_>, &wgpu::Buffer),
    (upstream, gradients): (Matrix<'_>, [&wgpu::Buffer; 3]),
) {
    let [gradient, of_gamma, of_beta] = gradients;
    let storage = [
        index,
        rows.buffer,
        gamma,
        beta,
        upstream.buffer,
        gradient,
        of_gamma,
        of_beta,
    ];
    let params = Params {
        epsilon: epsilon.to_bits(),
        ..params(size, rows, upstream)
    };
    recorder.dispatch((&NORMALIZE, &activation.constants()), &storage, params, size[0] as u64);
}

/// The gradient of one side of a product of two, from the other side's rows.
pub(super) fn multiply_back(
    recorder: &mut Recorder<'_>,
    size: Size,
    (other, index): (Matrix<'_>, &wgpu::Buffer),
    (upstream, gradient): (Matrix<'_>, &wgpu::Buffer),
) {
    let storage = [index, other.buffer, upstream.buffer, gradient];
    let params = params(size, other, upstream);
    recorder.dispatch((&MULTIPLY, &[]), &storage, params, for_values(size[0] * size[1]));
}

/// A BatchNormalization on its way back.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchBack<'a> {
    pub(super) activation: Activation,
    pub(super) epsilon: f32,
    pub(super) size: Size,
    pub(super) rows: Matrix<'a>,
    pub(super) index: &'a wgpu::Buffer,
    /// The means, then the variances, and what they make.
    pub(super) moments: &'a wgpu::Buffer,
    pub(super) scale: &'a wgpu::Buffer,
    pub(super) shift: &'a wgpu::Buffer,
}

impl BatchBack<'_> {
    fn params(&self, upstream: Matrix<'_>) -> Params {
        Params {
            epsilon: self.epsilon.to_bits(),
            ..params(self.size, self.rows, upstream)
        }
    }

    /// The gradients of gamma and beta row by row.
    pub(super) fn by_row(&self, recorder: &mut Recorder<'_>, upstream: Matrix<'_>, [gamma, beta]: [&wgpu::Buffer; 2]) {
        let storage = [
            self.index,
            self.rows.buffer,
            self.moments,
            self.scale,
            self.shift,
            upstream.buffer,
            gamma,
            beta,
        ];
        let workgroups = for_values(self.size[0] * self.size[1]);
        let constants = self.activation.constants();
        recorder.dispatch((&BATCH, &constants), &storage, self.params(upstream), workgroups);
    }

    /// The gradients of the rows in the place of those of beta row by row, from the sums for gamma and beta. Where the moments are those of
    /// the batch: how often each row counts, and all of them.
    pub(super) fn rows(
        &self,
        recorder: &mut Recorder<'_>,
        of_batch: Option<(&wgpu::Buffer, f64)>,
        ([gamma, beta], rows): ([&wgpu::Buffer; 2], &wgpu::Buffer),
    ) {
        let nothing = recorder.nothing();
        let counts = of_batch.map_or(&nothing, |(counts, _)| counts);
        let storage = [
            self.index,
            self.rows.buffer,
            self.moments,
            self.scale,
            counts,
            gamma,
            beta,
            rows,
        ];
        let params = Params {
            share: of_batch.map_or(0.0, |(_, count)| 1.0 / count as f32).to_bits(),
            ..self.params(Matrix::tight(rows, self.size[1]))
        };
        let workgroups = for_values(self.size[0] * self.size[1]);
        recorder.dispatch(
            (&BATCH_ROWS, &[of_batch.is_some().into()]),
            &storage,
            params,
            workgroups,
        );
    }
}
