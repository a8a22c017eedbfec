//! Work that keeps a GPU busy: one that idles between two runs falls to a low clock, at which nothing is worth timing.

use std::time::{Duration, Instant};

use cellstate::Gpu;
use wgpu::util::{BufferInitDescriptor, DeviceExt};

use crate::rule::Outcome;

/// A loop over its own registers.
const SHADER: &str = "
@group(0) @binding(0) var<storage, read_write> sums: array<f32>;
@group(0) @binding(1) var<uniform> passes: vec4<u32>;

@compute @workgroup_size(64)
fn busy(@builtin(global_invocation_id) id: vec3<u32>) {
    var a = f32(id.x & 255u) * 1e-3;
    var b = 1.0 - a;
    for (var pass_number = 0u; pass_number < passes.x; pass_number++) {
        a = fma(a, 0.4, b); b = fma(b, 0.5, -a);
        a = fma(a, 0.4, b); b = fma(b, 0.5, -a);
        a = fma(a, 0.4, b); b = fma(b, 0.5, -a);
        a = fma(a, 0.4, b); b = fma(b, 0.5, -a);
    }
    sums[id.x] = a + b;
}
";

/// As many invocations as fill the largest GPUs.
const WORKGROUPS: u32 = 4096;
const INVOCATIONS: u32 = 64;

/// How long a dispatch is to take at least, by the host's clock.
const DISPATCH: Duration = Duration::from_millis(2);
const MOST_PASSES: u32 = 1 << 20;

pub(crate) struct Busy {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
}

impl Busy {
    /// Makes the shader, and finds the number of passes that takes some milliseconds.
    pub(crate) fn new(gpu: &Gpu) -> Outcome<Self> {
        let mut passes = 64;
        loop {
            let busy = Gpu::in_turn(|| Self::with_passes(gpu, passes));
            busy.once()?; // the first one compiles
            let began = Instant::now();
            busy.once()?;
            if began.elapsed() >= DISPATCH || passes >= MOST_PASSES {
                return Ok(busy);
            }
            passes *= 4;
        }
    }

    fn with_passes(gpu: &Gpu, passes: u32) -> Self {
        let (device, queue) = (gpu.device().clone(), gpu.queue().clone());
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("busy"),
            source: wgpu::ShaderSource::Wgsl(SHADER.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("busy"),
            layout: None,
            module: &module,
            entry_point: Some("busy"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let sums = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("busy.sums"),
            size: u64::from(WORKGROUPS * INVOCATIONS) * 4,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        let uniform: Vec<u8> = [passes, 0, 0, 0].into_iter().flat_map(u32::to_le_bytes).collect();
        let uniform = device.create_buffer_init(&BufferInitDescriptor {
            label: Some("busy.passes"),
            contents: &uniform,
            usage: wgpu::BufferUsages::UNIFORM,
        });
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("busy"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[entry(0, &sums), entry(1, &uniform)],
        });
        Self {
            device,
            queue,
            pipeline,
            bind_group,
        }
    }

    /// One dispatch, waited for.
    pub(crate) fn once(&self) -> Outcome<()> {
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &self.bind_group, &[]);
            pass.dispatch_workgroups(WORKGROUPS, 1, 1);
        }
        self.queue.submit([encoder.finish()]);
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        Ok(())
    }

    pub(crate) fn keep(&self, limit: Duration) -> Outcome<()> {
        let began = Instant::now();
        while began.elapsed() < limit {
            self.once()?;
        }
        Ok(())
    }
}

fn entry(binding: u32, buffer: &wgpu::Buffer) -> wgpu::BindGroupEntry<'_> {
    wgpu::BindGroupEntry {
        binding,
        resource: buffer.as_entire_binding(),
    }
}
