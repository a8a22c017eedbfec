//! Relaxed precision: exactly the run of a model whose weights were rounded beforehand, in half the bytes.

use cellstate::{
    Activation, Bidirectional, Device, Error, Layer, Lstm, LstmWeights, Model, Precision, Runner, Sequences, Settings,
    Strategy,
};
use half::f16;
use ndarray::{Array2, Array3, ArrayD};

use super::adapters::{adapters, floor, open, open_alone};
use super::devices;
use super::support::{
    judge::{assert_close, assert_same_bits},
    masks::Pattern,
    random::Random,
};

const STRATEGIES: [Strategy; 2] = [Strategy::Step, Strategy::Solo];

/// Features go with units, so that their own edges are met too.
const UNITS_AND_FEATURES: [(usize, usize); 6] = [(1, 5), (3, 1), (63, 64), (64, 3), (65, 65), (257, 7)];
const TIME_STEPS: usize = 7;

fn gpus() -> Vec<Device> {
    devices::devices()
        .into_iter()
        .filter(|device| device.gpu().is_some())
        .collect()
}

fn weights(random: &mut Random, features: usize, units: usize) -> LstmWeights {
    let spec = random.cell(features, units);
    let bias = spec.bias.map(|bias| bias.row(0).to_owned());
    LstmWeights::new(spec.kernel, spec.recurrent_kernel, bias)
}

fn rounded(weights: &LstmWeights) -> LstmWeights {
    let round = |weights: &Array2<f32>| weights.mapv(|weight| f16::from_f32(weight).to_f32());
    LstmWeights::new(
        round(&weights.kernel),
        round(&weights.recurrent_kernel),
        weights.bias.clone(),
    )
}

/// What the weights of one direction or two are put into.
type Wrap = dyn Fn(&[LstmWeights]) -> Layer;

fn lstm(weights: &LstmWeights) -> Lstm {
    Lstm::new(weights.kernel.nrows(), weights.recurrent_kernel.nrows())
        .return_sequences(true)
        .return_state(true)
        .with(weights.clone())
        .unwrap()
}

fn layer(weights: &[LstmWeights]) -> Layer {
    match weights {
        [one] => lstm(one).into(),
        [forward, backward] => Bidirectional::new(lstm(forward)).backward_layer(lstm(backward)).into(),
        _ => panic!("{} directions", weights.len()),
    }
}

fn on(device: &Device, layer: Layer, settings: &Settings) -> cellstate::Result<Runner> {
    Model::builder().add(layer).build()?.on_with(device, settings)
}

/// What is run, from which states.
struct Case {
    sequences: Sequences<'static>,
    initial: Vec<(Array2<f32>, Array2<f32>)>,
}

impl Case {
    fn new(random: &mut Random, batch: usize, pattern: Pattern, weights: &[LstmWeights]) -> Self {
        let (features, units) = (weights[0].kernel.nrows(), weights[0].recurrent_kernel.nrows());
        let sequences = Sequences::from(random.array3((batch, TIME_STEPS, features), 1.0));
        Self {
            sequences: match pattern.mask(batch, TIME_STEPS, random) {
                Some(mask) => sequences.with_mask(mask).unwrap(),
                None => sequences,
            },
            initial: weights.iter().map(|_| random.state(batch, units)).collect(),
        }
    }

    /// The output, then hidden and cell state of each direction.
    fn run(&self, runner: &Runner) -> Vec<ArrayD<f32>> {
        let mut states = runner.zero_state(self.sequences.batch());
        for (place, (hidden, cell)) in self.initial.iter().enumerate() {
            states[place].hidden_mut().assign(hidden);
            states[place].cell_mut().unwrap().assign(cell);
        }
        let output = runner.run_from(&self.sequences, &mut states).unwrap();
        let mut all = vec![output.values().to_owned()];
        for place in 0..self.initial.len() {
            all.push(states[place].hidden().to_owned().into_dyn());
            all.push(states[place].cell().unwrap().to_owned().into_dyn());
        }
        all
    }

    fn assert_same(&self, name: &str, [one, other]: [&Runner; 2]) {
        for (got, want) in self.run(one).iter().zip(self.run(other)) {
            assert_same_bits(name, got.view(), want.view());
        }
    }
}

/// The runs in relaxed precision with `weights` and in full precision with `same` have the same bits, by every strategy that
/// both can be run by.
fn assert_relaxed_is(name: &str, weights: &[LstmWeights], same: &[LstmWeights], wrap: &Wrap, random: &mut Random) {
    for device in gpus() {
        let mut ran = 0;
        for strategy in STRATEGIES {
            let full = Settings::new().strategy(strategy);
            let relaxed = full.clone().precision(Precision::Relaxed);
            let pair = [(wrap(weights), &relaxed), (wrap(same), &full)];
            let pair = match pair.map(|(layer, settings)| on(&device, layer, settings)) {
                [Ok(relaxed), Ok(full)] => [relaxed, full],
                [Err(error @ Error::Unsupported { .. }), Err(_)] => {
                    println!("skipped: {name} on {}: {error}", device.name());
                    continue;
                }
                [relaxed, full] => panic!("{name}, {strategy}: {relaxed:?}, {full:?}"),
            };
            ran += 1;
            for batch in [1, 9] {
                for pattern in [Pattern::None, Pattern::Mixed] {
                    let case = Case::new(random, batch, pattern, weights);
                    let name = format!("{}, {name}, {strategy}, batch {batch}, {pattern:?}", device.name());
                    case.assert_same(&name, [&pair[0], &pair[1]]);
                }
            }
        }
        assert!(ran > 0, "{name}: nothing ran");
    }
}

#[test]
fn relaxed_is_full_with_rounded_weights() {
    for (units, features) in UNITS_AND_FEATURES {
        for directions in [1, 2] {
            let mut random = Random::new((units * 1000 + features) as u64);
            let all: Vec<_> = (0..directions).map(|_| weights(&mut random, features, units)).collect();
            let same: Vec<_> = all.iter().map(rounded).collect();
            let name = format!("{units} units, {directions} directions");
            assert_relaxed_is(&name, &all, &same, &layer, &mut random);
        }
    }
}

#[test]
fn relaxed_is_close_to_the_cpu_with_rounded_weights() {
    for (units, features) in UNITS_AND_FEATURES {
        let mut random = Random::new((units * 1000 + features) as u64);
        let weights = [weights(&mut random, features, units)];
        let cpu = on(&Device::cpu(), layer(&[rounded(&weights[0])]), &Settings::new()).unwrap();
        let cases = [1, 9].map(|batch| Case::new(&mut random, batch, Pattern::Mixed, &weights));
        for device in gpus() {
            let settings = Settings::new().precision(Precision::Relaxed);
            let gpu = on(&device, layer(&weights), &settings).unwrap();
            for case in &cases {
                for (got, want) in case.run(&gpu).iter().zip(case.run(&cpu)) {
                    let name = format!("{}, {units} units", device.name());
                    assert_close(&name, got.view(), want.view(), 1e-5, 1e-5);
                }
            }
        }
    }
}

/// The smallest halves, what rounds to them and what rounds to zero; the largest weight that is stored as a half, the next one,
/// and the ends of the range.
#[test]
fn weights_at_the_ends_of_half_precision() {
    let small = [1e-6, -6e-8, 2.9e-8, -3.1e-8, -0.0, 6.2e-5];
    for (largest, rounds_to, halves) in [
        (63.98, 63.968_75, true),
        (-64.0, -64.0, false),
        (65_504.0, 65_504.0, false),
        (-65_519.9, -65_504.0, false),
    ] {
        let mut special = weights(&mut Random::new(5), 8, 65);
        let ends: Vec<f32> = small.into_iter().chain([largest]).collect();
        for (mut row, &end) in special.kernel.rows_mut().into_iter().zip(&ends) {
            row.iter_mut().step_by(3).for_each(|weight| *weight = end);
        }
        special.recurrent_kernel[(64, 1)] = 1e-6;
        let same = rounded(&special);
        assert_eq!(same.kernel.row(6)[0], rounds_to);
        assert!(same.kernel.row(3)[0] < 0.0 && same.kernel.row(2)[0] == 0.0);
        let [special, same] = [[special], [same]];
        // one feature after the other, so that none hides behind another
        let cases = (0..ends.len()).map(|feature| {
            let mut input = Array3::zeros((3, TIME_STEPS, 8));
            let scale = (0.5 / same[0].kernel.row(feature)[0].abs()).min(1e7);
            input.slice_mut(ndarray::s![.., .., feature]).fill(scale);
            Case {
                sequences: Sequences::from(input),
                initial: vec![Random::new(6).state(3, 65)],
            }
        });
        let cases: Vec<Case> = cases.collect();
        for adapter in adapters() {
            let opened = open_alone(&adapter);
            let device = &opened.device;
            for strategy in STRATEGIES {
                let bytes = || opened.gpu.counters().bytes();
                let settings = Settings::new().strategy(strategy);
                let before = bytes();
                let full = on(device, layer(&same), &settings).unwrap();
                let between = bytes();
                let relaxed = on(device, layer(&special), &settings.precision(Precision::Relaxed)).unwrap();
                let smaller = bytes() - between < between - before;
                assert!(halves || !smaller, "{largest} in halves");
                for (case, end) in cases.iter().zip(&ends) {
                    let name = format!("{}, {strategy}, weight {end}", device.name());
                    case.assert_same(&name, [&relaxed, &full]);
                }
            }
        }
    }
}

#[test]
fn a_cell_with_a_weight_beyond_the_range_is_kept_in_full() {
    for beyond in [1e5, 65_520.0, -1e30] {
        let mut random = Random::new(9);
        let mut out = weights(&mut random, 5, 65);
        out.kernel[(4, 259)] = beyond;
        let out = [out];
        assert_relaxed_is(&format!("{beyond}"), &out, &out, &layer, &mut random);
        // each direction is a cell of its own
        let [out] = out;
        let fits = weights(&mut random, 5, 65);
        let (both, same) = ([fits.clone(), out.clone()], [rounded(&fits), out]);
        assert_relaxed_is(&format!("{beyond} backwards"), &both, &same, &layer, &mut random);
    }
}

/// Softmax needs all units of a row at once and goes another way.
#[test]
fn other_activations_see_the_rounded_weights_too() {
    let mut random = Random::new(8);
    let weights = [weights(&mut random, 5, 65)];
    let same = [rounded(&weights[0])];
    let relu = |weights: &[LstmWeights]| lstm(&weights[0]).activation(Activation::Relu).into();
    assert_relaxed_is("relu", &weights, &same, &relu, &mut random);
    let case = Case::new(&mut random, 3, Pattern::Mixed, &weights);
    for device in gpus() {
        let of = |weights: &[LstmWeights], precision| {
            let layer = lstm(&weights[0]).activation(Activation::Softmax).into();
            on(&device, layer, &Settings::new().precision(precision)).unwrap()
        };
        let runners = [of(&weights, Precision::Relaxed), of(&same, Precision::Full)];
        case.assert_same("softmax", [&runners[0], &runners[1]]);
    }
}

/// `kernel` and `recurrent_kernel` take half the bytes, and what is too large for a binding in full may fit in halves.
#[test]
fn weights_take_half_the_bytes() {
    // the kernel has whole slabs of 16 rows where it is read by them
    let (features, units) = (16, 64);
    let model = layer(&[weights(&mut Random::new(3), features, units)]);
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let relaxed = Settings::new().precision(Precision::Relaxed);
        on(&opened.device, model.clone(), &relaxed).unwrap(); // the first model brings what the GPU keeps for all
        let bytes = [Precision::Full, Precision::Relaxed].map(|precision| {
            let before = opened.gpu.counters().bytes();
            on(&opened.device, model.clone(), &Settings::new().precision(precision)).unwrap();
            (opened.gpu.counters().bytes() - before) as usize
        });
        let values = 4 * units * (features + units);
        let flags = adapter.get_downlevel_capabilities().flags;
        if !flags.contains(wgpu::DownlevelFlags::SHADER_F16_IN_F32) {
            println!("skipped: {} unpacks no halves", opened.gpu.name());
            assert_eq!(bytes, [4 * (values + 4 * units); 2]);
            continue;
        }
        assert_eq!(bytes, [4 * (values + 4 * units), 2 * values + 16 * units]);
        opened.assert_quiet();

        let limits = wgpu::Limits {
            max_storage_buffer_binding_size: 48 << 10,
            ..floor()
        };
        let opened = open(&adapter, limits);
        on(&opened.device, model.clone(), &relaxed).unwrap();
        let [full, relaxed] = [Precision::Full, Precision::Relaxed].map(|precision| {
            let before = opened.gpu.counters().buffers();
            on(&opened.device, model.clone(), &Settings::new().precision(precision)).unwrap();
            opened.gpu.counters().buffers() - before
        });
        assert!(full > relaxed, "64 KiB in 48 KiB are cut, half of it is not");
    }
}

/// How far relaxed precision is from full precision, with weights uniform in ±1/√units as in the benches. The roundings of a
/// sum partly cancel, and what a step adds to the error the forget gate halves with the state: so h, below 1, is off by less
/// than a single weight may be, 2⁻¹¹, and the last steps by no more than the first.
#[test]
fn the_error_of_relaxed_precision() {
    let time_steps = 160;
    for device in gpus() {
        for units in [64, 128, 256, 512] {
            let mut random = Random::new(units as u64);
            let (features, limit) = (units / 2, 1.0 / (units as f32).sqrt());
            let weights = LstmWeights::new(
                random.array2((features, 4 * units), limit),
                random.array2((units, 4 * units), limit),
                Some(random.array1(4 * units, limit)),
            );
            let sequences = Sequences::from(random.array3((2, time_steps, features), 1.0));
            let [full, relaxed] = [Precision::Full, Precision::Relaxed].map(|precision| {
                let runner = on(
                    &device,
                    layer(std::slice::from_ref(&weights)),
                    &Settings::new().precision(precision),
                )
                .unwrap();
                let output = runner.run(&sequences).unwrap();
                output.sequences().unwrap().to_owned()
            });
            let largest = |values: &[f32]| values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            let difference = &relaxed - &full;
            let by_step: Vec<f32> = difference
                .axis_iter(ndarray::Axis(1))
                .map(|step| step.iter().fold(0.0, |largest: f32, value| largest.max(value.abs())))
                .collect();
            let (error, value) = (largest(&by_step), largest(full.as_slice().unwrap()));
            let (early, late) = by_step.split_at(time_steps / 2);
            println!(
                "{}: {units} units, {time_steps} steps: largest error {error:.1e} of values to {value:.2}; first half {:.1e}, \
                 second half {:.1e}",
                device.name(),
                largest(early),
                largest(late)
            );
            assert!(0.0 < error && error < 1.0 / 2048.0, "{units} units: {error}");
            assert!(largest(late) < 2.0 * largest(early), "{units} units: it grows");
        }
    }
}
