//! `lookup`: the tokens of an application become the numbers of the rows of a table, for `gather`.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::device::writes::Writes;
use crate::gpu::shader::{Pipeline, Shader, reads, writes};
use crate::gpu::stage::lists::{make_list, upload_list};
use crate::gpu::tensor::Tensor;

pub(crate) const SHADER: Shader = Shader {
    name: "lookup",
    source: include_str!("../../../shaders/lookup.wgsl"),
    shared: &[],
    runs_cell: false,
    params: ("Lookup", size_of::<Params>()),
    bindings: &[reads("steps"), reads("tokens"), writes("row_numbers")],
    constants: &[],
};

const INVOCATIONS: u64 = 256;

/// The struct `Lookup` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    count: u32,
    first_step: u32,
    last_step: u32,
    table_rows: u32,
}

/// A list of steps, whose tokens are looked up.
#[derive(Debug)]
pub(crate) struct Lookup {
    pipeline: Arc<Pipeline>,
    steps: wgpu::Buffer,
    /// What is made of it: a list of rows.
    row_numbers: wgpu::Buffer,
    /// For each part of the tokens.
    groups: Vec<wgpu::BindGroup>,
    table_rows: usize,
}

impl Lookup {
    pub(crate) fn make(
        (gpu, params): (&Gpu, &wgpu::Buffer),
        entries: usize,
        tokens: &Tensor,
        row_numbers: &wgpu::Buffer,
        table_rows: usize,
    ) -> Self {
        let mut made = Self {
            pipeline: gpu.pipeline(&SHADER, &[]),
            steps: make_list(gpu, "lookup", entries),
            row_numbers: row_numbers.clone(),
            groups: Vec::new(),
            table_rows,
        };
        made.bind((gpu, params), tokens);
        made
    }

    /// Reads other tokens.
    pub(crate) fn bind(&mut self, (gpu, params): (&Gpu, &wgpu::Buffer), tokens: &Tensor) {
        let group = |part| {
            let storage = [
                self.steps.as_entire_buffer_binding(),
                part,
                self.row_numbers.as_entire_buffer_binding(),
            ];
            gpu.make_bind_group_of_parts("lookup", &self.pipeline, params, storage)
        };
        self.groups = tokens.parts().map(group).collect();
    }

    pub(crate) fn upload(&self, to: &mut dyn Writes, steps: &[u32]) {
        upload_list(to, &self.steps, steps);
    }

    /// Looks up the first `count` steps of the list.
    pub(crate) fn record(&self, commands: &mut Commands, tokens: &Tensor, count: usize) {
        if count == 0 {
            return;
        }
        for (group, held) in self.groups.iter().zip(tokens.size.held(tokens.rows)) {
            let params = Params {
                count: count as u32,
                first_step: held.start as u32,
                last_step: held.end as u32,
                table_rows: self.table_rows as u32,
            };
            let workgroups = Workgroups::Flat((count as u64).div_ceil(INVOCATIONS));
            commands.dispatch(&self.pipeline, group, params, workgroups);
        }
    }
}
