//! How many workgroups run at the same time, and where they may wait for each other at all.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::commands::{Commands, Workgroups, record_bytes};
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;
use crate::gpu::device::mapped;
use crate::gpu::shader::{Shader, reads, writes};
use crate::gpu::strategy::launch::{CONSTANTS, Workgroup};

pub(crate) const SHADER: Shader = Shader {
    name: "residency",
    source: include_str!("../../../shaders/residency.wgsl"),
    shared: &[],
    runs_cell: false,
    params: ("Residency", size_of::<Params>()),
    bindings: &[reads("held"), writes("counts")],
    constants: CONSTANTS,
};

/// The struct `Residency` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    workgroups: u32,
    most_polls: u32,
}

/// Workgroups of a team on a GPU, at most, and those of a launch.
const MOST_MEMBERS: usize = 128;
const MOST_WORKGROUPS: usize = 256;

/// The vendors whose GPUs are known to keep a workgroup running that has started.
const NVIDIA: u32 = 0x10de;
const AMD: u32 = 0x1002;

/// How often an invocation asks before it gives up. On a GPU it should be some hundredths of a second in all, far from what
/// makes a driver reset it: an estimate, for there was none to measure it on. In software the other workgroup may have lost its
/// processor to another program, so there it is up to a second on a busy machine.
const MOST_POLLS: u32 = 1 << 16;
const MOST_POLLS_IN_SOFTWARE: u32 = 1 << 22;

/// How workgroups may wait for each other on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spin {
    /// Workgroups that may wait for each other.
    pub(crate) most_members: usize,
    pub(crate) most_polls: u32,
    pub(crate) in_software: bool,
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
                    most_polls: MOST_POLLS_IN_SOFTWARE,
                    in_software: true,
                }),
            };
        }
        // Vulkan on Apple's systems is Metal
        let native =
            matches!(info.backend, wgpu::Backend::Vulkan | wgpu::Backend::Dx12) && !cfg!(target_vendor = "apple");
        match native && [NVIDIA, AMD].contains(&info.vendor) && info.device_type != wgpu::DeviceType::Cpu {
            true => Ok(Self {
                most_members: MOST_MEMBERS,
                most_polls: MOST_POLLS,
                in_software: false,
            }),
            false => Err("its workgroups may not wait for each other"),
        }
    }
}

/// What has been found out about a GPU: for each make of a workgroup how many run at the same time.
#[derive(Debug, Default)]
pub(crate) struct Residency {
    found: Mutex<HashMap<(Workgroup, usize), usize>>,
}

impl Residency {
    fn lock(&self) -> MutexGuard<'_, HashMap<(Workgroup, usize), usize>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The workgroups that a launch may have: three quarters of those that [`probe`] has seen to run at the same time, for another
/// program may take its part of the GPU later. In software it is known, and a busy machine would only give a wrong answer.
pub(crate) fn budget(gpu: &Gpu, spin: Spin, workgroup: Workgroup, rows: usize) -> usize {
    if spin.in_software {
        return spin.most_members;
    }
    let resident = gpu.shared::<Residency>().lock().get(&(workgroup, rows)).copied();
    resident.unwrap_or(0) * 3 / 4
}

/// Finds out how many workgroups of a make run at the same time, unless that is known.
pub(crate) async fn probe(gpu: &Gpu, spin: Spin, workgroup: Workgroup, rows: usize) -> Result<()> {
    let residency = gpu.shared::<Residency>();
    if spin.in_software || residency.lock().contains_key(&(workgroup, rows)) {
        return Ok(());
    }
    if let Some(seen) = resident(gpu, workgroup, rows, (MOST_WORKGROUPS, spin.most_polls)).await? {
        // another thread may have asked meanwhile; submissions run one after the other, so neither has disturbed the other
        let mut found = residency.lock();
        let most = found.entry((workgroup, rows)).or_insert(seen);
        *most = seen.max(*most);
    }
    Ok(())
}

/// How many of so many workgroups run at the same time: as many as had come when the first of them gave up waiting for the
/// rest. `None` if the GPU does not say.
pub(crate) async fn resident(
    gpu: &Gpu,
    workgroup: Workgroup,
    rows: usize,
    (workgroups, polls): (usize, u32),
) -> Result<Option<usize>> {
    const COUNTS: u64 = 16;
    let submit = || {
        let pipeline = gpu.pipeline(&SHADER, &workgroup.constants(rows));
        let held = (workgroup.parts * workgroup.weights * 16) as u64;
        let held = gpu.make_buffer("cellstate.residency.held", held, Use::Storage);
        let counts = gpu.make_buffer("cellstate.residency", COUNTS, Use::Storage);
        let staging = gpu.make_buffer("cellstate.residency.staging", COUNTS, Use::Readback);
        let params = gpu.make_buffer("cellstate.residency.params", record_bytes(gpu), Use::Uniform);
        let group = gpu.make_bind_group("residency", &pipeline, &params, &[&held, &counts]);
        let mut commands = Commands::new(gpu);
        let told = Params {
            workgroups: workgroups as u32,
            most_polls: polls,
        };
        commands.dispatch(&pipeline, &group, told, Workgroups::Flat(workgroups as u64));
        commands.last.copy(&counts, 0..COUNTS, &staging, 0);
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor {
            label: Some("cellstate.residency"),
        });
        commands.upload(gpu, &params)?;
        commands.encode(None, &mut encoder);
        Ok((gpu.queue().submit([encoder.finish()]), staging))
    };
    let (submission, staging) = gpu.guarded("counting the workgroups that run at once", submit).await?;
    let counts = mapped::read::<u32>(gpu, &[(&staging, COUNTS)], Some(submission)).await?;
    Ok(match counts.first().map(Vec::as_slice) {
        Some([came, 0, ..]) => Some(*came as usize),
        Some([_, came, ..]) => Some(*came as usize),
        _ => None,
    })
}
