//! cellstate in the comparison with its peers; `benches/peers/run` asks it on its standard input, see `serve.rs`.
//!
//! The paths are `cpu`, `gpu` (a whole call) and `gpu-resident` (the GPU's work by its own time stamps), each also with
//! `-relaxed` for relaxed precision. `CELLSTATE_BENCH_ADAPTER` names the adapter of the path `gpu`; without it the best real GPU is taken.

mod rule;
mod serve;

use std::time::{Duration, Instant};

use cellstate::{Device, Lstm, Model, Precision, Runner, Sequences, Settings};
use ndarray::{Array1, Array2, Array3};

use rule::Problem;
use serve::{Outcome, Prepared, serve};

fn main() -> Outcome<()> {
    let paths: &[&str] = match device("gpu") {
        Ok(_) => &[
            "cpu",
            "cpu-relaxed",
            "gpu",
            "gpu-relaxed",
            "gpu-resident",
            "gpu-resident-relaxed",
        ],
        Err(error) => {
            eprintln!("cellstate: {error}");
            &["cpu", "cpu-relaxed"]
        }
    };
    serve(env!("CARGO_PKG_VERSION"), paths, |path, problem| {
        Ok(Box::new(Layer::new(path, problem)?))
    })
}

struct Layer {
    runner: Runner,
    input: Array3<f32>,
    lengths: Option<Vec<usize>>,
    resident: bool,
}

impl Layer {
    fn new(path: &str, problem: Problem) -> Outcome<Self> {
        let (path, precision) = match path.strip_suffix("-relaxed") {
            Some(path) => (path, Precision::Relaxed),
            None => (path, Precision::Full),
        };
        let resident = path == "gpu-resident";
        let settings = Settings::new().precision(precision).timed(resident);
        let shape = problem.shape;
        let columns = 4 * shape.units;
        let lstm = Lstm::new(shape.features, shape.units)
            .with_weights(
                Array2::from_shape_vec((shape.features, columns), problem.kernel)?,
                Array2::from_shape_vec((shape.units, columns), problem.recurrent_kernel)?,
                Some(Array1::from(problem.bias)),
            )?
            .return_sequences(true)
            .zero_output_for_mask(true); // as the peers do
        let runner = Model::builder().add(lstm).build()?.on_with(&device(path)?, &settings)?;
        let input = Array3::from_shape_vec((shape.batch, shape.time_steps, shape.features), problem.input)?;
        Ok(Self {
            runner,
            input,
            lengths: problem.lengths,
            resident,
        })
    }

    fn run(&self) -> cellstate::Result<cellstate::Output> {
        let sequences = Sequences::from(&self.input);
        match &self.lengths {
            Some(lengths) => self.runner.run(&sequences.with_lengths(lengths)?),
            None => self.runner.run(&sequences),
        }
    }
}

impl Prepared for Layer {
    fn call(&mut self) -> Outcome<()> {
        self.run()?;
        Ok(())
    }

    fn time(&mut self) -> Outcome<Duration> {
        let call = Instant::now();
        let output = self.run()?;
        match (self.resident, output.timing()) {
            (false, _) => Ok(call.elapsed()),
            (true, timing) => Ok(timing
                .and_then(|timing| timing.gpu)
                .ok_or("the adapter takes no time stamps")?),
        }
    }

    fn output(&mut self) -> Outcome<Vec<f32>> {
        Ok(self.run()?.values().iter().copied().collect())
    }

    fn adapter(&self) -> String {
        match self.runner.device().gpu() {
            None => "CPU".to_owned(),
            Some(gpu) => format!("{}, {}", gpu.name(), gpu.info().driver_info),
        }
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
