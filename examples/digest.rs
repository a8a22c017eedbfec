//! A digest of everything the library computes, for a change that must not move a bit: one line for each case and each
//! way to run it, with a hash of the bits of the outputs and the states.
//!
//! ```text
//! cargo run --example digest > before.txt     # on the commit before
//! cargo run --example digest > after.txt      # on the commit after, on the same machine
//! diff before.txt after.txt
//! ```
//!
//! The bits depend on the processor and the adapter, so a digest says nothing about another machine. The devices are those
//! of the tests (`CELLSTATE_ADAPTERS`; the CPU path by each kind of instructions that the machine has).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a tool of those who work on the crate, made of parts of its tests"
)]

#[path = "../tests/support/devices.rs"]
mod devices;
#[path = "../tests/support/models.rs"]
#[allow(dead_code, reason = "a part of what the tests use")]
mod models;
#[path = "../tests/support/mod.rs"]
mod support;

use cellstate::{Device, Error, Instructions, Lstm, Precision, Sequences, Settings, Strategy};
use models::{Library, OnDevice};
use ndarray::{Array2, ArrayD, Axis};
use support::{
    golden::{self, Case, Input, Step},
    layers::{Chain, LayerSpec, Merge, RecurrentOptions, StatePair, playable},
    masks::Pattern,
    play::Subject,
    random::Random,
};

/// Units and features on both sides of every edge of a tile, as in the test of tile edges.
const UNITS_AND_FEATURES: [(usize, usize); 6] = [(1, 5), (3, 1), (63, 64), (64, 3), (65, 65), (257, 7)];
const BATCH: [usize; 3] = [1, 3, 33];
const TIME_STEPS: [usize; 3] = [1, 2, 17];

/// One way to run a model.
struct Way {
    name: String,
    device: Device,
    settings: Settings,
}

fn main() {
    let ways = ways();
    let begun = std::time::Instant::now();
    for case in golden::cases() {
        golden(&case, &ways);
    }
    for (units, features) in UNITS_AND_FEATURES {
        for (name, layers) in chains(units, features) {
            sizes(&format!("{name} {units} units {features} features"), &layers, &ways);
        }
        initial_weights(units, features);
    }
    eprintln!("{:.0} s", begun.elapsed().as_secs_f32());
}

/// The CPU path by all instructions, each adapter by all strategies and by the one that the library chooses, and each
/// device in relaxed precision.
fn ways() -> Vec<Way> {
    let mut ways = Vec::new();
    for device in devices::quiet_devices() {
        let mut add = |name: &str, settings: Settings| {
            ways.push(Way {
                name: format!("{} {name}", device.name()),
                device: device.clone(),
                settings,
            });
        };
        if device.gpu().is_none() {
            for &instructions in Instructions::ALL {
                let settings = Settings::new().instructions(instructions);
                let name = instructions.name();
                match OnDevice::with(&chains(1, 1)[0].1, &device, &settings) {
                    Ok(_) => add(name, settings),
                    Err(error) => eprintln!("left out: {name}: {error}"),
                }
            }
        } else {
            add("chosen", Settings::new());
            for &strategy in Strategy::ALL {
                add(strategy.name(), Settings::new().strategy(strategy));
            }
        }
        add("relaxed", Settings::new().precision(Precision::Relaxed));
    }
    ways
}

/// One line: a case, a way, and the hash or what was said instead.
fn line(case: &str, way: &str, result: Result<Hash, String>) {
    match result {
        Ok(Hash(hash)) => println!("{case} | {way} | {hash:016x}"),
        Err(error) => println!("{case} | {way} | {}", error.lines().next().unwrap_or_default()),
    }
}

/// A model by a way. A strategy that cannot be taken is a line of its own.
fn on(layers: &[LayerSpec], way: &Way) -> Result<OnDevice, String> {
    OnDevice::with(layers, &way.device, &way.settings).map_err(|error| match error {
        Error::Unsupported { .. } => "refused".to_owned(),
        other => panic!("{}: {other}", way.name),
    })
}

/// FNV-1a over the bits, with the shapes.
struct Hash(u64);

impl Hash {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x100_0000_01b3);
    }

    fn add_all(&mut self, values: &ArrayD<f32>) {
        values.shape().iter().for_each(|&length| self.add(length as u64));
        values.iter().for_each(|value| self.add(u64::from(value.to_bits())));
    }

    fn add_outputs(&mut self, values: &ArrayD<f32>, backward: Option<&ArrayD<f32>>, states: &[StatePair]) {
        self.add_all(values);
        backward.into_iter().for_each(|backward| self.add_all(backward));
        for (hidden, cell) in states {
            self.add_all(&hidden.clone().into_dyn());
            self.add_all(&cell.clone().into_dyn());
        }
    }
}

// Golden cases --------------------------------------------------------------------------------------------------------

/// A golden case, if the library can run its kind.
fn golden(case: &Case, ways: &[Way]) {
    let name = format!("golden {}", case.name);
    match case.kind.as_str() {
        "forward" | "stateful" | "gradient" => {
            let (case, chain) = playable(case).unwrap();
            for way in ways {
                line(&name, &way.name, played(&case, &chain, way));
            }
        }
        "activations" => {
            for activation in case.header["names"].as_array().unwrap() {
                let activation = activation.as_str().unwrap();
                let x = case.f32_2("x").unwrap();
                let layers = [LayerSpec::Dense {
                    kernel: Array2::eye(x.ncols()),
                    bias: None,
                    activation: activation.to_owned(),
                }];
                let input = Input::Values(x.insert_axis(Axis(0)));
                for way in ways {
                    let hash = on(&layers, way).map(|runner| {
                        let mut hash = Hash::new();
                        hash.add_all(&runner.ran(&input, None, &[]).values);
                        hash
                    });
                    line(&format!("{name} {activation}"), &way.name, hash);
                }
            }
        }
        _ => {}
    }
}

fn played(case: &Case, chain: &Chain, way: &Way) -> Result<Hash, String> {
    let mut library = Library::of(on(&chain.layers, way)?, case, chain)?;
    let mut hash = Hash::new();
    for step in case.steps()? {
        match step {
            Step::ResetState => library.reset_state()?,
            Step::Call(call) => {
                let outputs = pollster::block_on(library.call(&call))?;
                hash.add_outputs(&outputs.values, outputs.backward.as_ref(), &outputs.states);
            }
        }
    }
    Ok(hash)
}

// Sizes ---------------------------------------------------------------------------------------------------------------

/// Chains of layers of this size, each from a seed of its own, so that a further one leaves the others as they are.
fn chains(units: usize, features: usize) -> Vec<(&'static str, Vec<LayerSpec>)> {
    let sequences = RecurrentOptions {
        return_sequences: true,
        return_state: true,
        ..Default::default()
    };
    let backwards = RecurrentOptions {
        go_backwards: true,
        zero_output_for_mask: true,
        ..sequences
    };
    let inside = RecurrentOptions {
        return_state: false,
        ..sequences
    };
    let random = |seed: usize| Random::new((seed * 1_000_000 + units * 1000 + features) as u64);
    let lstm = |random: &mut Random, features, units, options| LayerSpec::Recurrent {
        cell: random.cell(features, units),
        options,
    };
    let both = |random: &mut Random, merge| LayerSpec::Bidirectional {
        forward: random.cell(features, units),
        backward: random.cell(features, units),
        options: sequences,
        merge,
    };
    let dense = |random: &mut Random, features, units, activation: &str| LayerSpec::Dense {
        kernel: random.array2((features, units), 0.7),
        bias: Some(random.array1(units, 0.5)),
        activation: activation.to_owned(),
    };
    let mut softmax = random(9).cell(features, units);
    softmax.recurrent_activation = "softmax".to_owned();
    let mut others = random(10).cell(features, units);
    others.activation = "softsign".to_owned();
    others.recurrent_activation = "hard_sigmoid".to_owned();
    let alone = |cell| LayerSpec::Recurrent {
        cell,
        options: sequences,
    };
    vec![
        ("LSTM", vec![lstm(&mut random(1), features, units, sequences)]),
        ("LSTM backwards", vec![lstm(&mut random(2), features, units, backwards)]),
        ("LSTM softmax", vec![alone(softmax)]),
        ("LSTM softsign hard_sigmoid", vec![alone(others)]),
        ("Bidirectional concat", vec![both(&mut random(3), Merge::Concat)]),
        ("Bidirectional apart", vec![both(&mut random(4), Merge::Separate)]),
        ("stacked cells", {
            let random = &mut random(5);
            let cells = vec![random.cell(features, units), random.cell(units, units + 1)];
            let options = sequences;
            vec![LayerSpec::StackedCells { cells, options }]
        }),
        ("chain", {
            let random = &mut random(6);
            vec![
                dense(random, features, units, "relu"),
                lstm(random, units, units, inside),
                dense(random, units, 2, "tanh"),
                lstm(random, 2, units, RecurrentOptions::default()),
                dense(random, units, 3, "softmax"),
            ]
        }),
        ("embedding", {
            let random = &mut random(7);
            let embeddings = random.array2((50, features), 1.0);
            let lstm = lstm(random, features, units, sequences);
            let mask_zero = true;
            vec![LayerSpec::Embedding { embeddings, mask_zero }, lstm]
        }),
    ]
}

/// One line for each way, batch and number of steps: the runs without a mask and with one.
fn sizes(name: &str, layers: &[LayerSpec], ways: &[Way]) {
    for way in ways {
        let runner = match on(layers, way) {
            Ok(runner) => runner,
            Err(refused) => {
                line(name, &way.name, Err(refused));
                continue;
            }
        };
        for (batch, time_steps) in BATCH.iter().flat_map(|&batch| TIME_STEPS.map(|steps| (batch, steps))) {
            let mut random = Random::new((batch * 100 + time_steps) as u64);
            let mut hash = Hash::new();
            // a single row would hardly ever have a hole among the mixed ones
            let masked = if batch == 1 { Pattern::Holes } else { Pattern::Mixed };
            for pattern in [Pattern::None, masked] {
                let cells = layers.iter().flat_map(LayerSpec::cells);
                let initial: Vec<StatePair> = cells.map(|cell| random.state_of(batch, cell)).collect();
                let input = match layers[0] {
                    LayerSpec::Embedding { .. } => {
                        let token = || random.below(50) as i32;
                        Input::Tokens(Array2::from_shape_simple_fn((batch, time_steps), token))
                    }
                    _ => Input::Values(random.array3((batch, time_steps, features_of(&layers[0])), 1.0)),
                };
                let mask = pattern.mask(batch, time_steps, &mut random);
                let ran = runner.ran(&input, mask.as_ref(), &initial);
                hash.add_outputs(&ran.values, ran.backward.as_ref(), &ran.states);
                hash.add(ran.rows_run as u64);
            }
            line(&format!("{name} batch {batch} steps {time_steps}"), &way.name, Ok(hash));
        }
    }
}

fn features_of(layer: &LayerSpec) -> usize {
    match layer {
        LayerSpec::Dense { kernel, .. } => kernel.nrows(),
        other => other.cells()[0].features(),
    }
}

/// What a fresh layer gives: the weights that it draws.
fn initial_weights(units: usize, features: usize) {
    let input = Random::new(1).array3((2, 3, features), 1.0);
    for seed in [None, Some(7)] {
        let lstm = Lstm::new(features, units);
        let lstm = seed.into_iter().fold(lstm, Lstm::seed);
        let settings = Settings::new().instructions(Instructions::Plain);
        let model = cellstate::Model::builder().add(lstm).build().unwrap();
        let runner = model.on_with(&Device::cpu(), &settings).unwrap();
        let output = runner.run(&Sequences::from(&input)).unwrap();
        let mut hash = Hash::new();
        hash.add_all(&output.values().to_owned());
        let name = format!("fresh LSTM {units} units {features} features seed {seed:?}");
        line(&name, "CPU plain", Ok(hash));
    }
}
