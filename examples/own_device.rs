//! A network in the middle of an application's own commands: a compute shader of the application makes the input, the network
//! reads it where it lies, and another compute shader uses the output. One encoder, one submission, nothing in between on the host.
//!
//! ```sh
//! cargo run --release --example own_device
//! ```
//!
//! At the end the result is read back and compared with what the CPU path gives for the same input.

use std::error::Error;

use cellstate::{Dense, Device, Gpu, Lstm, Model, Sequences};
use ndarray::Array3;

/// The voices that are played at once, and the time steps of a block.
const BATCH: usize = 8;
const TIME_STEPS: usize = 100;

/// Before: a wave for each voice, shape (batch, time_steps, 1).
const WAVES: &str = "
@group(0) @binding(0) var<storage, read_write> waves: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&waves)) { return; }
    let voice = id.x / TIME_STEPS;
    let time = f32(id.x % TIME_STEPS) / f32(TIME_STEPS);
    waves[id.x] = sin(6.2831853 * time * f32(voice + 1u)) * (1.0 - time);
}";

/// Behind: how loud each voice becomes, from the outputs (batch, time_steps, 1).
const LOUDNESS: &str = "
@group(0) @binding(0) var<storage, read> heard: array<f32>;
@group(0) @binding(1) var<storage, read_write> loudness: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&loudness)) { return; }
    var loudest = 0.0;
    for (var step = 0u; step < TIME_STEPS; step++) { loudest = max(loudest, abs(heard[id.x * TIME_STEPS + step])); }
    loudness[id.x] = loudest;
}";

/// A compute pass of the application: a pipeline and what it binds.
struct Pass {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    workgroups: u32,
}

impl Pass {
    fn new(device: &wgpu::Device, text: &str, bound: Vec<wgpu::BufferBinding<'_>>, items: usize) -> Self {
        let text = format!("const TIME_STEPS = {TIME_STEPS}u;{text}");
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("application"),
            source: wgpu::ShaderSource::Wgsl(text.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("application"),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let entries = bound.into_iter().zip(0..).map(|(part, binding)| wgpu::BindGroupEntry {
            binding,
            resource: wgpu::BindingResource::Buffer(part),
        });
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("application"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries.collect::<Vec<_>>(),
        });
        Self {
            pipeline,
            group,
            workgroups: items.div_ceil(64) as u32,
        }
    }

    fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(self.workgroups, 1, 1);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // the application's own instance, adapter, device and queue
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let wanted = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..Default::default()
    };
    let Ok(adapter) = pollster::block_on(instance.request_adapter(&wanted)) else {
        println!("There is no GPU here, not even one in software, so there is no encoder to run the network in.");
        println!("On the CPU a model runs by `runner.run`: see the example forecast.");
        return Ok(());
    };

    // the network says what it needs of a device, and what makes it fast
    let model = Model::builder()
        .add(Lstm::new(1, 32).return_sequences(true))
        .add(Dense::new(32, 1))
        .build()?;
    let needed = Gpu::required_limits(&model, BATCH, TIME_STEPS)?;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_features: Gpu::wanted_features(&adapter),
        required_limits: Gpu::wanted_limits(&adapter, needed),
        ..Default::default()
    }))?;

    // the network on that device, and a workspace of it: all that is slow is done here
    let gpu = Gpu::from_wgpu(&adapter, &device, &queue)?;
    println!("{} voices of {TIME_STEPS} steps on {}", BATCH, gpu.name());
    let workspace = model.on(&gpu.into())?.workspace(BATCH, TIME_STEPS)?;

    // the application's passes read and write where the workspace does
    let make = |size, usage| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("application"),
            size,
            usage,
            mapped_at_creation: false,
        })
    };
    let bytes = (BATCH * size_of::<f32>()) as u64;
    let loudness = make(bytes, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
    let before = Pass::new(&device, WAVES, vec![workspace.input_binding()], BATCH * TIME_STEPS);
    let bound = vec![workspace.output_binding(), loudness.as_entire_buffer_binding()];
    let behind = Pass::new(&device, LOUDNESS, bound, BATCH);

    // a frame: one encoder, one submission
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    before.encode(&mut encoder);
    workspace.encode(&mut encoder)?;
    behind.encode(&mut encoder);
    // only to show that it is right: a real application would go on from `loudness` on the GPU
    // the buffer may be longer than the tensor in it
    let input = workspace.input_binding();
    let input_bytes = input.size.map_or(0, u64::from);
    let to_host = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let (seen, heard) = (make(input_bytes, to_host), make(bytes, to_host));
    encoder.copy_buffer_to_buffer(input.buffer, input.offset, &seen, 0, input_bytes);
    encoder.copy_buffer_to_buffer(&loudness, 0, &heard, 0, bytes);
    queue.submit([encoder.finish()]);

    for buffer in [&seen, &heard] {
        buffer.slice(..).map_async(wgpu::MapMode::Read, |_| ());
    }
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let waves: Vec<f32> = bytemuck::cast_slice(&seen.slice(..).get_mapped_range()?).to_vec();
    let got: Vec<f32> = bytemuck::cast_slice(&heard.slice(..).get_mapped_range()?).to_vec();

    // the CPU path over the same waves
    let waves = Array3::from_shape_vec((BATCH, TIME_STEPS, 1), waves)?;
    let output = model.on(&Device::cpu())?.run(&Sequences::from(waves))?;
    for ((voice, got), steps) in got.iter().enumerate().zip(output.sequences()?.outer_iter()) {
        let want = steps.iter().fold(0.0_f32, |loudest, value| loudest.max(value.abs()));
        println!("voice {voice}: {got:.6}, on the CPU {want:.6}");
        if (got - want).abs() > 1e-5 {
            return Err(format!("voice {voice}: expected {want}, got {got}").into());
        }
    }
    Ok(())
}
