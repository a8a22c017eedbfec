//! cellstate in the comparison with its peers; `benches/peers/run` asks it on its standard input, see `serve.rs`.
//!
//! `CELLSTATE_BENCH_ADAPTER` names the adapter of the path `gpu`; without it the best real GPU is taken.

mod rule;
mod serve;

use cellstate::{Device, Lstm, Runner, Sequences};
use ndarray::{Array1, Array2, Array3};

use rule::Problem;
use serve::{Outcome, Prepared, serve};

fn main() -> Outcome<()> {
    let paths: &[&str] = match device("gpu") {
        Ok(_) => &["cpu", "gpu"],
        Err(error) => {
            eprintln!("cellstate: {error}");
            &["cpu"]
        }
    };
    serve(env!("CARGO_PKG_VERSION"), paths, |path, problem| {
        Ok(Box::new(Layer::new(&device(path)?, problem)?))
    })
}

struct Layer {
    runner: Runner,
    input: Array3<f32>,
    lengths: Option<Vec<usize>>,
}

impl Layer {
    fn new(device: &Device, problem: Problem) -> Outcome<Self> {
        let shape = problem.shape;
        let columns = 4 * shape.units;
        let runner = Lstm::new(shape.features, shape.units)
            .with_weights(
                Array2::from_shape_vec((shape.features, columns), problem.kernel)?,
                Array2::from_shape_vec((shape.units, columns), problem.recurrent_kernel)?,
                Some(Array1::from(problem.bias)),
            )?
            .return_sequences(true)
            .zero_output_for_mask(true) // as the peers do
            .on(device)?;
        let input = Array3::from_shape_vec((shape.batch, shape.time_steps, shape.features), problem.input)?;
        Ok(Self {
            runner,
            input,
            lengths: problem.lengths,
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
        ("gpu", Ok(name)) => Ok(Device::named(&name)?),
        ("gpu", Err(_)) => match Device::auto() {
            Device::Cpu => Err("no real GPU; name a software adapter with --adapter".into()),
            gpu => Ok(gpu),
        },
        _ => Err(format!("cellstate has no path {path}").into()),
    }
}
