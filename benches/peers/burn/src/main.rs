//! burn's LSTM in the comparison; `benches/peers/run` asks it on its standard input, see `serve.rs`.
//!
//! `CELLSTATE_BENCH_ADAPTER` names the adapter; without it burn takes its default.

#[path = "../../rule.rs"]
mod rule;
#[path = "../../serve.rs"]
mod serve;

use burn::module::Param;
use burn::nn::{GateController, Linear, Lstm, LstmConfig};
use burn::tensor::wgpu::{WgpuBackend, wgpu};
use burn::tensor::{Device, DeviceKind, Tensor, TensorData};

use rule::Problem;
use serve::{Outcome, Prepared, serve};

fn main() -> Outcome<()> {
    let (device, adapter) = open()?;
    serve("0.22.1", &["gpu"], |path, problem| match (path, &problem.lengths) {
        ("gpu", None) => Ok(Box::new(Layer::new(&device, adapter.clone(), &problem))),
        ("gpu", Some(_)) => Err("burn's Lstm has no mask".into()),
        _ => Err(format!("burn is compared on wgpu alone, not on path {path}").into()),
    })
}

struct Layer {
    lstm: Lstm,
    input: TensorData,
    device: Device,
    adapter: String,
}

impl Layer {
    fn new(device: &Device, adapter: String, problem: &Problem) -> Self {
        let shape = problem.shape;
        let mut lstm = LstmConfig::new(shape.features, shape.units, true).init(device);
        lstm.input_gate = gate(problem, 0, device);
        lstm.forget_gate = Some(gate(problem, 1, device));
        lstm.cell_gate = gate(problem, 2, device);
        lstm.output_gate = gate(problem, 3, device);
        let input = TensorData::new(problem.input.clone(), [shape.batch, shape.time_steps, shape.features]);
        Self {
            lstm,
            input,
            device: device.clone(),
            adapter,
        }
    }

    /// From the host to the host, as cellstate's `run`.
    fn run(&self) -> TensorData {
        let input = Tensor::<3>::from_data(self.input.clone(), &self.device);
        self.lstm.forward(input, None).0.into_data()
    }
}

impl Prepared for Layer {
    fn call(&mut self) -> Outcome<()> {
        self.run();
        Ok(())
    }

    fn output(&mut self) -> Outcome<Vec<f32>> {
        self.run().try_to_vec().map_err(|error| format!("{error:?}").into())
    }

    fn adapter(&self) -> String {
        self.adapter.clone()
    }
}

/// The weights of one gate: a quarter of the columns of both kernels and of the bias.
fn gate(problem: &Problem, gate: usize, device: &Device) -> GateController {
    let units = problem.shape.units;
    let columns = |matrix: &[f32]| -> Vec<f32> {
        let rows = matrix.chunks_exact(4 * units);
        rows.flat_map(|row| row[gate * units..][..units].iter().copied())
            .collect()
    };
    let linear = |weight: &[f32], inputs: usize, bias: Vec<f32>| Linear {
        weight: Param::from_data(TensorData::new(columns(weight), [inputs, units]), device),
        bias: Some(Param::from_data(TensorData::new(bias, [units]), device)),
    };
    GateController {
        input_transform: linear(&problem.kernel, problem.shape.features, columns(&problem.bias)),
        hidden_transform: linear(&problem.recurrent_kernel, units, vec![0.0; units]),
    }
}

/// burn chooses an adapter by its kind and number; this finds those of the name.
fn open() -> Outcome<(Device, String)> {
    let wanted = std::env::var("CELLSTATE_BENCH_ADAPTER")
        .unwrap_or_default()
        .to_lowercase();
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let mut counts = [0; 3];
    let mut software = None;
    for adapter in pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY)) {
        let info = adapter.get_info();
        let mut next = |kind: usize| {
            counts[kind] += 1;
            counts[kind] - 1
        };
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu(next(0)),
            wgpu::DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu(next(1)),
            wgpu::DeviceType::VirtualGpu => DeviceKind::VirtualGpu(next(2)),
            _ => DeviceKind::Cpu,
        };
        let name = format!("{} ({:?}), {}", info.name, info.backend, info.driver_info);
        if wanted.is_empty() && kind == DeviceKind::Cpu {
            software = Some(name);
        } else if info.name.to_lowercase().contains(&wanted) {
            let options = Device::wgpu_options().graphics_api(WgpuBackend::Auto).device_kind(kind);
            return Ok((options.init().map_err(|error| format!("{error:?}"))?, name));
        }
    }
    let found = software.unwrap_or_else(|| "nothing".to_owned());
    Err(format!("no adapter whose name contains {wanted:?}; of software there is {found}").into())
}
