//! A GPU: the adapter's, or the application's own.

use std::sync::{Arc, Mutex};

use super::attached::Attached;
use super::counters::Counters;
use super::life::{Failure, Life};
use super::waiters::Waiters;
use super::{matrices, turn};
use crate::error::{Error, Result};

/// A GPU to run models on: a `wgpu` device and its queue.
///
/// [`Device::named`](crate::Device::named) and [`Device::auto`](crate::Device::auto) open one of their own on each adapter,
/// once in a process: all calls give the same one, with its pipelines, its [counters](Gpu::counters) and what
/// [`Runner::tune`](crate::Runner::tune) has measured on it. It stays open to the end of the process, because some drivers
/// crash when devices are closed and opened on several threads; a lost one is replaced by the next call.
/// [`Gpu::from_wgpu`] takes the application's, and so gives a device of one's own. Cloning is cheap and shares all of it.
///
/// ```no_run
/// use cellstate::{Device, Lstm};
///
/// let device = Device::named("nvidia")?;
/// if let Some(gpu) = device.gpu() {
///     println!("{}: {:?}", gpu.name(), gpu.info().device_type);
/// }
/// let runner = Lstm::new(2, 64).on(&device)?;
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Gpu {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    limits: wgpu::Limits,
    features: wgpu::Features,
    downlevel: wgpu::DownlevelFlags,
    has_matrices: bool,
    counters: Counters,
    attached: Attached,
    life: Life,
    waiters: Waiters,
}

/// The most bytes that the parameters of a shader have.
pub(crate) const MOST_PARAMS: u32 = 80;

/// The most bytes of a binding of ours: shaders count values by u32.
pub(crate) const LARGEST_BINDING: u64 = 1 << 31;

pub(super) fn name(info: &wgpu::AdapterInfo) -> String {
    let name = if info.name.is_empty() { "GPU" } else { &info.name };
    format!("{name} ({:?})", info.backend)
}

/// Whether a device was opened with as much as all shaders take for granted.
fn check_floor(info: &wgpu::AdapterInfo, limits: &wgpu::Limits) -> Result<()> {
    let floor = [
        (
            "storage buffers of a shader, max_storage_buffers_per_shader_stage",
            limits.max_storage_buffers_per_shader_stage,
            4,
        ),
        (
            "invocations of a workgroup, max_compute_invocations_per_workgroup",
            limits.max_compute_invocations_per_workgroup,
            256,
        ),
        (
            "invocations of a workgroup along x, max_compute_workgroup_size_x",
            limits.max_compute_workgroup_size_x,
            256,
        ),
        (
            "bytes of workgroup memory, max_compute_workgroup_storage_size",
            limits.max_compute_workgroup_storage_size,
            16 << 10,
        ),
        (
            "dynamic uniform buffers, max_dynamic_uniform_buffers_per_pipeline_layout",
            limits.max_dynamic_uniform_buffers_per_pipeline_layout,
            1,
        ),
        (
            "workgroups of a dispatch along one axis, max_compute_workgroups_per_dimension",
            limits.max_compute_workgroups_per_dimension,
            65_535,
        ),
    ];
    for (what, found, needed) in floor {
        if found < needed {
            return Err(Error::TooLarge {
                what: format!("a shader of cellstate on {}", name(info)),
                needed: needed.into(),
                limit: found.into(),
                limit_name: what,
                repair: "open the device with `wgpu::Limits::default()` or more".to_owned(),
            });
        }
    }
    Ok(())
}

impl Gpu {
    /// Takes the application's own device and queue, with whatever limits and features they were opened with. No handler
    /// is installed on it, and nothing is submitted but by the calls that run or tune a model, and by those that try
    /// [`Settings::matrices`](crate::Settings::matrices), as the first run of a large batch may. The first run of a batch size may submit up to two short launches more for each recurrent layer, which count
    /// how many workgroups run at the same time: [`Strategy::Team`](crate::Strategy::Team) is taken unasked on discrete GPUs of NVIDIA
    /// and AMD by Vulkan and DX12; [`Settings::strategy`](crate::Settings::strategy) names another.
    ///
    /// All runs on a device without optional features and with the limits of [`Gpu::required_limits`]. Open it with [`Gpu::wanted_features`] and
    /// [`Gpu::wanted_limits`], and more is fast; for [`Settings::matrices`](crate::Settings::matrices) also with `SHADER_F16` and
    /// `EXPERIMENTAL_COOPERATIVE_MATRIX`.
    ///
    /// An application that opens or closes devices while other threads use this crate does so by [`Gpu::in_turn`].
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if the device was opened with fewer than 4 storage buffers for a shader, 256 invocations or
    /// 16 KiB of workgroup memory for a workgroup: `wgpu::Limits::default()` is enough. [`Error::Gpu`] if the device is lost or destroyed.
    ///
    /// ```no_run
    /// # async fn example(adapter: wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> cellstate::Result<()> {
    /// use cellstate::{Gpu, Lstm};
    ///
    /// let gpu = Gpu::from_wgpu(&adapter, &device, &queue)?;
    /// let runner = Lstm::new(2, 64).on(&gpu.into())?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_wgpu(adapter: &wgpu::Adapter, device: &wgpu::Device, queue: &wgpu::Queue) -> Result<Self> {
        Self::new(adapter, device.clone(), queue.clone(), Arc::default())
    }

    /// Does `work` while this crate opens and closes no device and makes no pipeline on another thread, nor another thread is in
    /// a call of this function.
    ///
    /// NVIDIA's driver crashes or hangs where one thread makes a `wgpu::Instance`, opens a device or closes one while another
    /// thread does, or makes a pipeline. This crate keeps from it by itself; an application with devices of its own and several
    /// threads makes, opens and closes them in here. `work` may call this crate, and should wait for no other thread: that one
    /// may be waiting for its turn. A run copies large inputs and outputs by the threads of rayon, so it does not belong in here where tasks of the same pool
    /// make runners.
    ///
    /// ```no_run
    /// # fn example(adapter: wgpu::Adapter) -> Result<(), Box<dyn std::error::Error>> {
    /// use cellstate::{Gpu, Lstm};
    ///
    /// let opened = Gpu::in_turn(|| pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())));
    /// let (device, queue) = opened?;
    /// let runner = Lstm::new(2, 64).on(&Gpu::from_wgpu(&adapter, &device, &queue)?.into())?;
    /// drop(runner);
    /// Gpu::in_turn(|| drop((device, queue)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_turn<T>(work: impl FnOnce() -> T) -> T {
        turn::in_turn(work)
    }

    pub(super) fn new(
        adapter: &wgpu::Adapter,
        device: wgpu::Device,
        queue: wgpu::Queue,
        failure: Arc<Mutex<Failure>>,
    ) -> Result<Self> {
        let info = adapter.get_info();
        let limits = device.limits();
        check_floor(&info, &limits)?;
        let inner = Inner {
            features: device.features(),
            downlevel: adapter.get_downlevel_capabilities().flags,
            has_matrices: device.features().contains(matrices::FEATURES) && matrices::are_offered(adapter),
            device,
            queue,
            info,
            limits,
            counters: Counters::default(),
            attached: Attached::default(),
            life: Life::new(failure),
            waiters: Waiters::default(),
        };
        let gpu = Self { inner: Arc::new(inner) };
        gpu.life().begin(gpu.make_pulse());
        gpu.check_alive("taking the device")?;
        Ok(gpu)
    }

    /// The adapter's name and the API, as `llvmpipe (LLVM 19.1.7, 256 bits) (Vulkan)`.
    ///
    /// ```no_run
    /// # use cellstate::Device;
    /// let device = Device::named("llvmpipe")?;
    /// assert!(device.gpu().is_some_and(|gpu| gpu.name().ends_with("(Vulkan)")));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> String {
        name(&self.inner.info)
    }

    /// What `wgpu` says of the adapter: its kind, its driver, its API.
    ///
    /// ```no_run
    /// # use cellstate::Device;
    /// if let Some(gpu) = Device::auto().gpu() {
    ///     println!("driver: {} {}", gpu.info().driver, gpu.info().driver_info);
    /// }
    /// ```
    #[must_use]
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.inner.info
    }

    /// The `wgpu` device: the application's own after [`Gpu::from_wgpu`], else the one opened by this crate.
    ///
    /// ```no_run
    /// # use cellstate::Device;
    /// if let Some(gpu) = Device::auto().gpu() {
    ///     println!("largest buffer: {} bytes", gpu.device().limits().max_buffer_size);
    /// }
    /// ```
    #[must_use]
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// The queue of that device, on which runs are submitted.
    ///
    /// ```no_run
    /// # use cellstate::Device;
    /// if let Some(gpu) = Device::auto().gpu() {
    ///     gpu.queue().on_submitted_work_done(|| println!("the GPU is idle"));
    /// }
    /// ```
    #[must_use]
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// How many buffers, pipelines and bind groups have been made on this device by this crate, and the bytes of the
    /// buffers; shared by all clones of this `Gpu` and the runners on them.
    ///
    /// ```no_run
    /// # use cellstate::{Device, Lstm};
    /// let runner = Lstm::new(2, 64).on(&Device::auto())?;
    /// if let Some(gpu) = runner.gpu() {
    ///     println!("{} buffers, {} bytes", gpu.counters().buffers(), gpu.counters().bytes());
    /// }
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// The value of a type that belongs to this GPU, made when it is asked for the first time: what other floors keep on a
    /// GPU. Its `default` asks for no other.
    pub(crate) fn shared<T: Default + wgpu::WasmNotSendSync + 'static>(&self) -> Arc<T> {
        self.inner.attached.of()
    }

    pub(super) fn life(&self) -> &Life {
        &self.inner.life
    }

    /// The threads that wait for this device.
    pub(super) fn waiters(&self) -> &Waiters {
        &self.inner.waiters
    }

    /// Whether anybody has this GPU besides the one who asks.
    pub(super) fn is_used(&self) -> bool {
        Arc::strong_count(&self.inner) > 1
    }

    /// The most bytes that one buffer may have and be bound as a whole. Shaders count values by u32 and some drivers offer
    /// more than that can count.
    pub(crate) fn largest_binding(&self) -> u64 {
        let limits = &self.inner.limits;
        limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size)
            .min(LARGEST_BINDING)
            & !255
    }

    /// How many passes of its loops one invocation of a shader may make, all loops added up.
    ///
    /// Mesa 22's software adapter leaves every loop after 65,535 passes without a word.
    pub(crate) fn most_passes(&self) -> usize {
        let info = &self.inner.info;
        let cuts_loops = info.driver == "llvmpipe" && info.driver_info.starts_with("Mesa 22.");
        if cuts_loops { 60_000 } else { usize::MAX }
    }

    /// Whether parameters travel within the commands. Browsers have no such thing, and there they are in a uniform.
    pub(crate) fn has_immediates(&self) -> bool {
        let offered = self.inner.features.contains(wgpu::Features::IMMEDIATES);
        offered
            && self.inner.limits.max_immediate_size >= MOST_PARAMS
            && self.inner.info.backend != wgpu::Backend::BrowserWebGpu
    }

    pub(crate) fn has_timestamps(&self) -> bool {
        self.inner.features.contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// Whether shaders can unpack half-precision numbers. All of WebGPU can, but not every software adapter.
    pub(crate) fn has_halves(&self) -> bool {
        self.inner.downlevel.contains(wgpu::DownlevelFlags::SHADER_F16_IN_F32)
    }

    /// Whether shaders may multiply matrices of 16 × 16 halves and sum up in `f32`: offered, and asked for when it was opened.
    pub(crate) fn has_matrices(&self) -> bool {
        self.inner.has_matrices
    }

    /// The lanes of a subgroup, where shaders may shuffle among them and each subgroup has as many as the others.
    pub(crate) fn lanes_of_subgroup(&self) -> Option<u32> {
        let (info, lanes) = (&self.inner.info, self.inner.info.subgroup_max_size);
        let is_fixed = info.subgroup_min_size == lanes && lanes.is_power_of_two() && (4..=32).contains(&lanes);
        // a browser would want a line in the text that asks for them
        let is_native = info.backend != wgpu::Backend::BrowserWebGpu;
        (self.inner.features.contains(wgpu::Features::SUBGROUP) && is_fixed && is_native).then_some(lanes)
    }

    /// Where a CPU runs the shaders and an invocation may tell its subgroup what it reads: for how many values at once, 4 or 8. (The texts have a
    /// line for each.)
    pub(crate) fn shared_in_software(&self) -> Option<u32> {
        let lanes = self.lanes_of_subgroup()?;
        (self.info().device_type == wgpu::DeviceType::Cpu).then(|| lanes.min(8))
    }

    pub(crate) fn limits(&self) -> &wgpu::Limits {
        &self.inner.limits
    }
}
