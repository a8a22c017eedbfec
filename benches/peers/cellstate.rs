//! cellstate in the comparison with its peers; `benches/peers/run` asks it on its standard input, see `serve.rs`.
//!
//! The paths are `cpu`, `gpu` (a whole call) and `gpu-resident` (the GPU's work by its own time stamps), each also with
//! `-relaxed` for relaxed precision; and `cpu-training` and `gpu-training`, a training step. `CELLSTATE_BENCH_ADAPTER` names the adapter of the path `gpu`; without it the best real GPU is taken.

mod layer;
mod rule;
mod serve;
mod training;

use std::time::{Duration, Instant};

use cellstate::{Device, Precision, Settings};

use layer::Layer;
use rule::{Outcome, Problem};
use serve::{Prepared, serve};
use training::Training;

fn main() -> Outcome<()> {
    let paths: &[&str] = match device("gpu") {
        Ok(_) => &[
            "cpu",
            "cpu-relaxed",
            "cpu-training",
            "gpu",
            "gpu-relaxed",
            "gpu-training",
            "gpu-resident",
            "gpu-resident-relaxed",
        ],
        Err(error) => {
            eprintln!("cellstate: {error}");
            &["cpu", "cpu-relaxed", "cpu-training"]
        }
    };
    serve(env!("CARGO_PKG_VERSION"), paths, |path, problem| {
        Ok(match path.strip_suffix("-training") {
            Some(path) => {
                let device = device(path)?;
                let adapter = adapter(&device);
                Box::new(Training::new(&device, adapter, &problem)?)
            }
            None => Box::new(Timed::new(path, &problem)?),
        })
    })
}

/// A layer, and whose clock is read.
struct Timed {
    layer: Layer,
    resident: bool,
}

impl Timed {
    fn new(path: &str, problem: &Problem) -> Outcome<Self> {
        let (path, precision) = match path.strip_suffix("-relaxed") {
            Some(path) => (path, Precision::Relaxed),
            None => (path, Precision::Full),
        };
        let resident = path == "gpu-resident";
        let settings = Settings::new().precision(precision).timed(resident);
        let layer = Layer::new(&device(path)?, &settings, problem)?;
        Ok(Self { layer, resident })
    }
}

impl Prepared for Timed {
    fn call(&mut self) -> Outcome<()> {
        self.layer.run()?;
        Ok(())
    }

    fn time(&mut self) -> Outcome<Duration> {
        let call = Instant::now();
        let output = self.layer.run()?;
        match (self.resident, output.timing()) {
            (false, _) => Ok(call.elapsed()),
            (true, timing) => Ok(timing
                .and_then(|timing| timing.gpu)
                .ok_or("the adapter takes no time stamps")?),
        }
    }

    fn output(&mut self) -> Outcome<Vec<f32>> {
        Ok(self.layer.run()?.values().iter().copied().collect())
    }

    fn adapter(&self) -> String {
        adapter(self.layer.runner.device())
    }
}

fn adapter(device: &Device) -> String {
    match device.gpu() {
        None => "CPU".to_owned(),
        Some(gpu) => format!("{}, {}", gpu.name(), gpu.info().driver_info),
    }
}

fn device(path: &str) -> Outcome<Device> {
    match (path, std::env::var("CELLSTATE_BENCH_ADAPTER")) {
        ("cpu", _) => Ok(Device::cpu()),
        ("gpu" | "gpu-resident", Ok(name)) => Ok(Device::named(&name)?),
        ("gpu" | "gpu-resident", Err(_)) => match Device::auto() {
            Device::Cpu => Err("no real GPU; name a software adapter with --adapter".into()),
            gpu => Ok(gpu),
        },
        _ => Err(format!("cellstate has no path {path}").into()),
    }
}
