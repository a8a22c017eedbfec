//! How many workgroups run at the same time, and where they may wait for each other at all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::gpu::commands::{Commands, Workgroups, record_bytes};
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;
use crate::gpu::device::mapped;
use crate::gpu::shader::{Key, Pipeline, Shader};
use crate::gpu::strategy::launch::Params;
use crate::gpu::strategy::numbers::Numbers;

/// Workgroups of a team on a GPU, at most, and those that the probe counts.
const MOST_MEMBERS: usize = 128;
const MOST_WORKGROUPS: usize = 256;

/// The vendors whose GPUs are known to keep a workgroup running that has started.
pub(crate) const NVIDIA: u32 = 0x10de;
const AMD: u32 = 0x1002;

/// WGSL has no clock, so waiting is bounded by a count; but one question is one trip to the cache, whose seconds are known. A launch may
/// wait for this long in all: far longer than anything else that the GPU may have to finish first, and far from the two
/// seconds after which a driver resets it, even if a trip takes four times as long because everybody asks. While the GPU runs
/// another program, nobody counts.
const PATIENCE: f64 = 0.25;

/// And so often in each step besides, which is what a step asks anyway until the words are there.
const POLLS_OF_A_STEP: usize = 16;

/// How often the probe asks: some thousandths of a second. Workgroups that there is room for start within microseconds.
const PROBE_POLLS: u32 = 1 << 13;

/// In software the other workgroup may have lost its processor to another program, so there it is up to a second on a busy
/// machine.
const MOST_POLLS_IN_SOFTWARE: u32 = 1 << 22;

/// How workgroups may wait for each other on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spin {
    /// Workgroups that may wait for each other.
    pub(crate) most_members: usize,
    pub(crate) in_software: bool,
    /// Whether a load sees what another workgroup has stored.
    pub(crate) is_coherent: bool,
}

impl Spin {
    /// Why not, where they may not. Nothing in WebGPU promises that a workgroup runs while another one waits for it, and on
    /// the GPUs of Apple and ARM it is known not to, so the list names those on which it does.
    pub(crate) fn of(gpu: &Gpu) -> Result<Self, &'static str> {
        let info = gpu.info();
        if info.driver == "llvmpipe" && info.backend == wgpu::Backend::Vulkan {
            if gpu.most_passes() < usize::MAX {
                return Err("this Mesa leaves long loops, so that nobody can wait");
            }
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            return match threads {
                0 | 1 => Err("there is only one thread"),
                _ => Ok(Self {
                    most_members: 2,
                    in_software: true,
                    is_coherent: true,
                }),
            };
        }
        // Vulkan on Apple's systems is Metal
        let native =
            matches!(info.backend, wgpu::Backend::Vulkan | wgpu::Backend::Dx12) && !cfg!(target_vendor = "apple");
        match native && [NVIDIA, AMD].contains(&info.vendor) && info.device_type != wgpu::DeviceType::Cpu {
            true => Ok(Self {
                most_members: MOST_MEMBERS,
                in_software: false,
                // HLSL has no atomic load, and a plain one may find what the compute unit has cached
                is_coherent: info.backend == wgpu::Backend::Vulkan,
            }),
            false => Err("its workgroups may not wait for each other"),
        }
    }

    /// How often an invocation asks before it gives up, in a launch of so many steps.
    pub(crate) fn most_polls(self, numbers: Option<&Numbers>, steps: usize) -> u32 {
        match numbers {
            Some(numbers) if !self.in_software => {
                let patience = (PATIENCE / numbers.trip) as u32; // a count beyond u32 becomes the largest
                patience.saturating_add((POLLS_OF_A_STEP * steps) as u32)
            }
            _ => MOST_POLLS_IN_SOFTWARE,
        }
    }

    /// Whether teams are made ready unasked.
    pub(crate) fn is_default(gpu: &Gpu) -> bool {
        let is_discrete = gpu.info().device_type == wgpu::DeviceType::DiscreteGpu;
        is_discrete && Self::of(gpu).is_ok_and(|spin| !spin.in_software)
    }
}

/// What the probe binds and what the host reads of it. It is made with the first team on a GPU and kept there, so that the first run of a batch
/// size takes no more memory than it was told to.
#[derive(Debug)]
struct Probe {
    storage: Vec<wgpu::Buffer>,
    params: wgpu::Buffer,
    staging: wgpu::Buffer,
}

impl Probe {
    /// Of each buffer: nothing but the first words of `exchange` is read or written.
    const BYTES: u64 = 16;

    fn make(gpu: &Gpu, shader: &Shader) -> Self {
        let buffer = |name: &str| gpu.make_buffer(&format!("residency.{name}"), Self::BYTES, Use::Storage);
        Self {
            storage: shader.bindings.iter().map(|binding| buffer(binding.name)).collect(),
            params: gpu.make_buffer("residency.params", record_bytes(gpu), Use::Uniform),
            staging: gpu.make_buffer("residency.staging", Self::BYTES, Use::Readback),
        }
    }
}

/// What has been found out about a GPU: for each pipeline how many of its workgroups run at the same time.
#[derive(Debug, Default)]
pub(crate) struct Residency {
    found: Mutex<HashMap<Key, usize>>,
    /// `None` while somebody counts, who puts it back.
    probe: Mutex<Option<Probe>>,
}

impl Residency {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, usize>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn probe(&self) -> MutexGuard<'_, Option<Probe>> {
        self.probe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes what [`budget`] needs for a shader, where it asks the GPU.
pub(crate) fn make_ready(gpu: &Gpu, spin: Spin, shader: &Shader) {
    if !spin.in_software {
        let residency = gpu.shared::<Residency>();
        let mut probe = residency.probe();
        probe.get_or_insert_with(|| Probe::make(gpu, shader));
    }
}

/// The workgroups that a launch of a pipeline may have: all that were seen to run at the same time. Less would be safer where another program
/// takes its part of the GPU later, but a quarter less made two rounds of one on an H200 (32 sequences of 256 units: 0.91 ms and not
/// 0.52), and what guards against that program is needed anyway: who waits too long gives up, and the run is made again.
/// In software it is known, and a busy machine would only give a wrong answer.
pub(crate) async fn budget(
    gpu: &Gpu,
    spin: Spin,
    shader: &'static Shader,
    pipeline: (&Key, &Arc<Pipeline>),
) -> Result<usize> {
    if spin.in_software {
        return Ok(spin.most_members);
    }
    let (key, pipeline) = pipeline;
    let residency = gpu.shared::<Residency>();
    let known = residency.lock().get(key).copied();
    match known {
        Some(seen) => Ok(seen),
        None => {
            let seen = resident(gpu, shader, pipeline, (MOST_WORKGROUPS, PROBE_POLLS)).await?;
            // another thread may have asked meanwhile; submissions run one after the other, so neither has disturbed the other
            let mut found = residency.lock();
            let most = found.entry(key.clone()).or_default();
            *most = seen.max(*most);
            Ok(*most)
        }
    }
}

/// How many of so many workgroups of a pipeline run at the same time: as many as had come when the first of them gave up
/// waiting for the rest; none if the GPU does not say. A launch without steps counts them (words.wgsl).
pub(crate) async fn resident(
    gpu: &Gpu,
    shader: &'static Shader,
    pipeline: &Arc<Pipeline>,
    (workgroups, polls): (usize, u32),
) -> Result<usize> {
    let residency = gpu.shared::<Residency>();
    let kept = residency.probe().take();
    let submit = || {
        let fits = |probe: &Probe| probe.storage.len() == shader.bindings.len();
        let probe = kept.filter(fits).unwrap_or_else(|| Probe::make(gpu, shader));
        let storage: Vec<&wgpu::Buffer> = probe.storage.iter().collect();
        let group = gpu.make_bind_group("residency", pipeline, &probe.params, &storage);
        let mut commands = Commands::new(gpu);
        let told = Params {
            teams: workgroups as u32,
            most_polls: polls,
            ..Params::default()
        };
        commands.dispatch(pipeline, &group, told, Workgroups::Flat(workgroups as u64));
        let mut bindings = shader.bindings.iter().zip(&probe.storage);
        if let Some((_, exchange)) = bindings.find(|(binding, _)| binding.name == "exchange") {
            commands.first.clear(exchange, 0..Probe::BYTES);
            commands.last.copy(exchange, 0..Probe::BYTES, &probe.staging, 0);
        }
        let mut encoder = gpu.encoder("residency");
        commands.upload(gpu, &probe.params)?;
        commands.encode(None, &mut encoder);
        Ok((gpu.queue().submit([encoder.finish()]), probe))
    };
    let (submission, probe) = gpu.guarded("counting the workgroups that run at once", submit).await?;
    let counts = mapped::read::<u32>(gpu, &[(&probe.staging, Probe::BYTES)], Some(submission)).await?;
    *residency.probe() = Some(probe);
    Ok(match counts.first().map(Vec::as_slice) {
        Some([came, 0, ..]) => *came as usize,
        Some([_, came, ..]) => *came as usize,
        _ => 0,
    })
}
