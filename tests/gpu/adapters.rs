//! The adapters, opened as an application would: with limits of its own and its own handler of errors, once for each test,
//! and in turn, for the tests run on many threads.

use std::sync::{Arc, Mutex, OnceLock};

use cellstate::{Device, Gpu};

use super::devices;

/// A device that the test has opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) gpu: Gpu,
    pub(crate) device: Device,
    pub(crate) wgpu: wgpu::Device,
    errors: Arc<Mutex<Vec<String>>>,
    /// Dropped after all others, so that the device is closed in turn once no runner has it.
    _last: Last,
}

/// A handle of a device that is dropped in turn.
#[derive(Debug)]
pub(crate) struct Last(Option<wgpu::Device>);

impl Drop for Last {
    fn drop(&mut self) {
        Gpu::in_turn(|| drop(self.0.take()));
    }
}

impl Opened {
    /// No error has reached the handler that the test installed.
    #[track_caller]
    pub(crate) fn assert_quiet(&self) {
        let errors = self.errors.lock().unwrap();
        assert!(
            errors.is_empty(),
            "{}: reached the application's handler: {errors:?}",
            self.gpu.name()
        );
    }

    /// (buffers, bind groups, pipelines) made so far.
    pub(crate) fn made(&self) -> [u64; 3] {
        let counters = self.gpu.counters();
        [counters.buffers(), counters.bind_groups(), counters.pipelines()]
    }
}

/// Every adapter asked for: those of `devices()` besides the CPU.
pub(crate) fn adapters() -> Vec<wgpu::Adapter> {
    let names: Vec<String> = devices::devices()
        .iter()
        .filter_map(Device::gpu)
        .map(Gpu::name)
        .collect();
    let all = all();
    let mut wanted: Vec<wgpu::Adapter> = Vec::new();
    for name in names {
        let found = all.iter().find(|adapter| {
            let info = adapter.get_info();
            name == format!("{} ({:?})", info.name, info.backend)
        });
        wanted.push(found.unwrap_or_else(|| panic!("the adapter {name} is gone")).clone());
    }
    wanted
}

/// All adapters of an instance of the tests' own, which is never dropped.
fn all() -> &'static [wgpu::Adapter] {
    static FOUND: OnceLock<(wgpu::Instance, Vec<wgpu::Adapter>)> = OnceLock::new();
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let find = || {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends,
            ..wgpu::InstanceDescriptor::new_without_display_handle_from_env()
        });
        let adapters = pollster::block_on(instance.enumerate_adapters(backends));
        (instance, adapters)
    };
    // the turn first: a test that has it may be the one that comes here
    let (_, adapters) = Gpu::in_turn(|| FOUND.get_or_init(find));
    adapters
}

/// Opens an adapter as `Device::named` does, but for the caller alone: what is counted or measured on it is the caller's.
pub(crate) fn open_alone(adapter: &wgpu::Adapter) -> Opened {
    let features = wgpu::Features::IMMEDIATES | wgpu::Features::TIMESTAMP_QUERY;
    open_with(adapter, adapter.limits(), features)
}

/// Opens an adapter with these limits and no optional feature.
pub(crate) fn open(adapter: &wgpu::Adapter, limits: wgpu::Limits) -> Opened {
    open_with(adapter, limits, wgpu::Features::empty())
}

/// Opens an adapter with these limits and those of the features that it has.
pub(crate) fn open_with(adapter: &wgpu::Adapter, limits: wgpu::Limits, features: wgpu::Features) -> Opened {
    let (opened, gpu) = try_open(adapter, limits, features & adapter.features());
    let (wgpu, errors, last) = opened;
    let gpu = gpu.unwrap_or_else(|error| panic!("{error}"));
    Opened {
        device: Device::from(gpu.clone()),
        gpu,
        _last: last,
        wgpu,
        errors,
    }
}

type Handled = (wgpu::Device, Arc<Mutex<Vec<String>>>, Last);

/// As [`open`], with the features and whatever `Gpu::from_wgpu` says.
pub(crate) fn try_open(
    adapter: &wgpu::Adapter,
    limits: wgpu::Limits,
    features: wgpu::Features,
) -> (Handled, cellstate::Result<Gpu>) {
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("application"),
        required_features: features,
        required_limits: limits,
        ..Default::default()
    };
    let opened = Gpu::in_turn(|| pollster::block_on(adapter.request_device(&descriptor)));
    let (device, queue) = opened.unwrap();
    let errors = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&errors);
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        noted.lock().unwrap().push(error.to_string())
    }));
    let gpu = Gpu::from_wgpu(adapter, &device, &queue);
    let last = Last(Some(device.clone()));
    ((device, errors, last), gpu)
}

/// The portable floor: what every shader has to run with.
pub(crate) fn floor() -> wgpu::Limits {
    let limits = wgpu::Limits {
        max_storage_buffers_per_shader_stage: 8,
        max_compute_workgroup_storage_size: 16 << 10,
        max_compute_invocations_per_workgroup: 256,
        ..wgpu::Limits::default()
    };
    // WebGPU's default limits are no more than that; should wgpu raise them, this test is to notice
    assert_eq!(limits, wgpu::Limits::default());
    limits
}
