//! Buffers, bind groups and command encoders: the only file that makes them. All but encoders are counted.

use crate::gpu::device::Gpu;

/// What a buffer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Read and written by shaders, written and read by copies.
    Storage,
    /// The parameters of dispatches.
    Uniform,
    /// Read by the host.
    Readback,
    /// Time stamps.
    Stamps,
}

/// The bytes that a buffer of `bytes` takes: never none, and a multiple of four.
pub(crate) fn buffer_bytes(bytes: u64) -> u64 {
    bytes.next_multiple_of(4).max(16)
}

impl Gpu {
    pub(crate) fn make_buffer(&self, label: &str, bytes: u64, purpose: Use) -> wgpu::Buffer {
        let size = buffer_bytes(bytes);
        let usage = match purpose {
            Use::Storage => wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            Use::Uniform => wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            Use::Readback => wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            Use::Stamps => {
                wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST
            }
        };
        self.counters().count_buffer(size);
        self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some(&self.label(label)),
            size,
            usage,
            mapped_at_creation: false,
        })
    }

    /// The buffer by which a device is asked whether it lives; none where the driver has no memory for it.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn make_pulse(&self) -> Option<wgpu::Buffer> {
        let filters = [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::OutOfMemory];
        let [validation, memory] = filters.map(|filter| self.device().push_error_scope(filter));
        let buffer = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some(&self.label("pulse")),
            size: buffer_bytes(0),
            usage: wgpu::BufferUsages::STORAGE, // and not COPY_DST
            mapped_at_creation: false,
        });
        let memory = pollster::block_on(memory.pop());
        let errors = [memory, pollster::block_on(validation.pop())];
        errors.iter().all(Option::is_none).then_some(buffer)
    }

    #[cfg(target_arch = "wasm32")]
    pub(super) fn make_pulse(&self) -> Option<wgpu::Buffer> {
        None
    }

    /// An encoder of our own commands.
    pub(crate) fn encoder(&self, label: &str) -> wgpu::CommandEncoder {
        self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor {
            label: Some(&self.label(label)),
        })
    }

    /// A bind group of a layout.
    pub(crate) fn bind(
        &self,
        label: &str,
        layout: &wgpu::BindGroupLayout,
        entries: &[wgpu::BindGroupEntry<'_>],
    ) -> wgpu::BindGroup {
        self.counters().count_bind_group();
        self.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&self.label(label)),
            layout,
            entries,
        })
    }
}
