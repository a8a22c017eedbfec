//! burn's LSTM in the comparison; `benches/peers/run` asks it on its standard input, see `serve.rs`.
//!
//! `CELLSTATE_BENCH_ADAPTER` names the adapter; without it burn takes its default.

#[path = "../../rule.rs"]
mod rule;
#[path = "../../serve.rs"]
mod serve;
mod training;

use burn::module::Param;
use burn::nn::{GateController, Linear, Lstm, LstmConfig};
use burn::tensor::wgpu::{WgpuBackend, wgpu};
use burn::tensor::{Device, DeviceKind, Tensor, TensorData};

use rule::{Outcome, Problem};
use serve::{Prepared, serve};
use training::Training;

fn main() -> Outcome<()> {
    let (device, adapter) = open()?;
    let paths = ["gpu", "gpu-training"];
    serve("0.22.1", &paths, |path, problem| match (path, &problem.lengths) {
        (_, Some(_)) => Err("burn's Lstm has no mask".into()),
        ("gpu", None) => Ok(Box::new(Layer::new(&device, adapter.clone(), &problem))),
        ("gpu-training", None) => Ok(Box::new(Training::new(&device, adapter.clone(), &problem))),
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
        Self {
            lstm: lstm(problem, device, true),
            input: input(problem),
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

fn input(problem: &Problem) -> TensorData {
    let shape = problem.shape;
    TensorData::new(problem.input.clone(), [shape.batch, shape.time_steps, shape.features])
}

/// The layer of a problem. A second bias is zero, or there is none.
fn lstm(problem: &Problem, device: &Device, has_second_bias: bool) -> Lstm {
    let shape = problem.shape;
    let mut lstm = LstmConfig::new(shape.features, shape.units, true).init(device);
    let gate = |number| gate(problem, number, device, has_second_bias);
    lstm.input_gate = gate(0);
    lstm.forget_gate = Some(gate(1));
    lstm.cell_gate = gate(2);
    lstm.output_gate = gate(3);
    lstm
}

/// The weights of one gate: a quarter of the columns of both kernels and of the bias.
fn gate(problem: &Problem, gate: usize, device: &Device, has_second_bias: bool) -> GateController {
    let units = problem.shape.units;
    let columns = |matrix: &[f32]| -> Vec<f32> {
        let rows = matrix.chunks_exact(4 * units);
        rows.flat_map(|row| row[gate * units..][..units].iter().copied())
            .collect()
    };
    let linear = |weight: &[f32], inputs: usize, bias: Option<Vec<f32>>| Linear {
        weight: Param::from_data(TensorData::new(columns(weight), [inputs, units]), device),
        bias: bias.map(|bias| Param::from_data(TensorData::new(bias, [units]), device)),
    };
    let second_bias = has_second_bias.then(|| vec![0.0; units]);
    GateController {
        input_transform: linear(&problem.kernel, problem.shape.features, Some(columns(&problem.bias))),
        hidden_transform: linear(&problem.recurrent_kernel, units, second_bias),
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
