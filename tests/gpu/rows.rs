//! Only valid steps are run, whatever is in the others; a NaN in a valid step stays in its sequence; long loops.

use cellstate::{Device, Error, Settings, Strategy};
use ndarray::{Array2, Array3, Axis, array, s};

use super::devices::devices;
use super::models::{OnDevice, Ran, assert_ran_close};
use super::support::{
    cells::CellSpec,
    golden::Input,
    judge::{assert_close, assert_same_bits},
    layers::{LayerSpec, Merge, RecurrentOptions},
    random::Random,
};
use super::zoo::kinds;

const OPTIONS: RecurrentOptions = RecurrentOptions {
    return_sequences: true,
    return_state: false,
    go_backwards: false,
    zero_output_for_mask: false,
};

fn ran(runner: &OnDevice, input: &Array3<f32>, mask: Option<&Array2<bool>>) -> Ran {
    runner.ran(&Input::Values(input.clone()), mask, &[])
}

#[test]
fn rows_run_counts_the_valid_steps_of_every_direction() {
    let random = &mut Random::new(1);
    let mask = Array2::from_shape_fn((3, 10), |(row, step)| step < [10, 4, 0][row]);
    let input = random.array3((3, 10, 3), 1.0);
    let lstm = LayerSpec::Recurrent {
        cell: random.cell(3, 5),
        options: OPTIONS,
    };
    let next = LayerSpec::Recurrent {
        cell: random.cell(5, 4),
        options: OPTIONS,
    };
    let both = LayerSpec::Bidirectional {
        forward: random.cell(3, 5),
        backward: random.cell(3, 5),
        options: OPTIONS,
        merge: Merge::Sum,
    };
    let named = Strategy::ALL.iter().map(|&strategy| Settings::new().strategy(strategy));
    let all: Vec<Settings> = [Settings::new()].into_iter().chain(named).collect();
    for device in devices() {
        let settings = if device.gpu().is_some() { &all[..] } else { &all[..1] };
        for settings in settings {
            for (layers, times) in [
                (vec![lstm.clone()], 1),
                (vec![lstm.clone(), next.clone()], 2),
                (vec![both.clone()], 2),
            ] {
                let runner = match OnDevice::with(&layers, &device, settings) {
                    Err(Error::Unsupported { .. }) if settings.wanted_strategy() == Some(Strategy::Team) => continue,
                    runner => runner.unwrap(),
                };
                let name = format!("{}, {:?}", device.name(), settings.wanted_strategy());
                assert_eq!(ran(&runner, &input, Some(&mask)).rows_run, 14 * times, "{name}");
                assert_eq!(ran(&runner, &input, None).rows_run, 30 * times, "{name}");
            }
        }
    }
}

/// On a GPU `rows_run` says what the parameters of the dispatches let the shaders run, not what the shaders did. What they did
/// is shown here: a shader that ran a masked step would carry what stands in it into the state, whatever the strategy.
#[test]
fn padding_reaches_nothing() {
    for device in devices() {
        let named = Strategy::ALL.iter().map(|&strategy| Settings::new().strategy(strategy));
        let gpu = device.gpu().is_some();
        for settings in [Settings::new()].into_iter().chain(named.filter(|_| gpu)) {
            padding_reaches_nothing_by(&device, &settings);
        }
    }
}

fn padding_reaches_nothing_by(device: &Device, settings: &Settings) {
    for kind in kinds(3, 5) {
        let batch = kind.batch(4, 9, 3);
        let (Input::Values(input), Some(mask)) = (&batch.input, &batch.mask) else {
            continue;
        };
        if kind.name == "Masking" {
            continue; // it makes a mask of its own
        }
        let runner = match OnDevice::with(&kind.layers, device, settings) {
            Err(Error::Unsupported { .. }) if ![None, Some(Strategy::Step)].contains(&settings.wanted_strategy()) => {
                continue;
            }
            runner => runner.unwrap(),
        };
        let clean = runner.ran(&batch.input, Some(mask), &batch.initial);
        for content in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut dirty = input.clone();
            for ((row, step, _), value) in dirty.indexed_iter_mut() {
                *value = if mask[[row, step]] { *value } else { content };
            }
            let got = runner.ran(&Input::Values(dirty), Some(mask), &batch.initial);
            let strategy = settings.wanted_strategy();
            let name = format!("{}, {strategy:?}, {}, {content}", device.name(), kind.name);
            // a Dense that is the first layer is asked for every step, masked or not, as in Keras
            assert_same_bits(&name, got.values.view(), clean.values.view());
            for (got, clean) in got.states.iter().zip(&clean.states) {
                assert_same_bits(&name, got.0.view().into_dyn(), clean.0.view().into_dyn());
                assert_same_bits(&name, got.1.view().into_dyn(), clean.1.view().into_dyn());
            }
        }
    }
}

/// As in Keras: from that step on its sequence is NaN, and no other is touched.
#[test]
fn nan_in_a_valid_step_stays_in_its_sequence() {
    const STEP: usize = 4;
    let random = &mut Random::new(5);
    let first = random.cell(3, 5);
    let second = random.cell(5, 4);
    let layers = [
        vec![LayerSpec::Recurrent {
            cell: first.clone(),
            options: OPTIONS,
        }],
        vec![
            LayerSpec::Recurrent {
                cell: first.clone(),
                options: OPTIONS,
            },
            LayerSpec::Recurrent {
                cell: second.clone(),
                options: OPTIONS,
            },
            LayerSpec::Dense {
                kernel: random.array2((4, 6), 1.0),
                bias: None,
                activation: "softmax".to_owned(),
            },
        ],
        vec![LayerSpec::StackedCells {
            cells: vec![first, second],
            options: OPTIONS,
        }],
    ];
    let input = random.array3((6, 9, 3), 1.0);
    let mut dirty = input.clone();
    dirty[[1, STEP, 2]] = f32::NAN;
    let mut mask = Array2::from_elem((6, 9), true);
    mask.slice_mut(s![1, 6..8]).fill(false);
    mask.slice_mut(s![3, 2..]).fill(false);
    for device in devices() {
        for layers in &layers {
            for mask in [None, Some(&mask)] {
                let runner = OnDevice::new(layers, &device).unwrap();
                let [clean, dirty] = [&input, &dirty].map(|input| ran(&runner, input, mask));
                let name = device.name();
                assert!(clean.values.iter().all(|value| value.is_finite()), "{name}");
                for row in 0..6 {
                    let [clean, dirty] = [&clean, &dirty].map(|ran| ran.values.index_axis(Axis(0), row).to_owned());
                    let same = if row == 1 { STEP } else { 9 };
                    let [before, expected] = [&dirty, &clean].map(|values| values.slice_axis(Axis(0), (..same).into()));
                    assert_same_bits(&format!("{name}, row {row}"), before, expected);
                    let after = dirty.slice_axis(Axis(0), (same..).into());
                    assert!(after.iter().all(|value| value.is_nan()), "{name}, row {row}: {after}");
                }
                for (clean, dirty) in clean.states.iter().zip(&dirty.states) {
                    for (clean, dirty) in [(&clean.0, &dirty.0), (&clean.1, &dirty.1)] {
                        for row in 0..6 {
                            let (clean, dirty) = (clean.row(row), dirty.row(row));
                            match row {
                                1 => assert!(dirty.iter().all(|value| value.is_nan()), "{name}: {dirty}"),
                                _ => assert_same_bits(&name, dirty.into_dyn(), clean.into_dyn()),
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Every activation lets NaN through, on every device alike, but for the two that give 0 there, as in Keras.
#[test]
fn every_activation_passes_nan() {
    let names = [
        "linear",
        "tanh",
        "sigmoid",
        "elu",
        "celu",
        "selu",
        "gelu",
        "silu",
        "mish",
        "softplus",
        "softsign",
        "squareplus",
        "exponential",
        "log_sigmoid",
        "tanh_shrink",
        "softmax",
        "log_softmax",
        "relu",
        "relu6",
        "leaky_relu",
        "hard_shrink",
        "soft_shrink",
        "hard_sigmoid",
        "hard_silu",
        "hard_tanh",
        "sparse_plus",
        "sparse_sigmoid",
    ];
    for device in devices() {
        for name in names {
            let layers = [LayerSpec::Dense {
                kernel: Array2::eye(3),
                bias: None,
                activation: name.to_owned(),
            }];
            let runner = OnDevice::new(&layers, &device).unwrap();
            let mut input = Array3::from_elem((2, 2, 3), 0.5);
            input.slice_mut(s![1, 0, ..]).fill(f32::NAN);
            let got = ran(&runner, &input, None).values;
            for ((row, step), values) in [(0, 0), (0, 1), (1, 0), (1, 1)].map(|place| {
                let values = got.index_axis(Axis(0), place.0).index_axis(Axis(0), place.1).to_owned();
                (place, values)
            }) {
                let nan = (row, step) == (1, 0) && !["hard_shrink", "soft_shrink"].contains(&name);
                assert!(
                    values.iter().all(|value| value.is_nan() == nan),
                    "{}: {name}: {values}",
                    device.name()
                );
            }
        }
    }
}

/// An infinite input saturates the gates, and no number is lost: what the CPU gives, every strategy gives.
#[test]
fn infinity_in_a_valid_step_saturates_the_gates() {
    let random = &mut Random::new(6);
    let other = |cell: CellSpec| CellSpec {
        recurrent_activation: "hard_sigmoid".to_owned(),
        ..cell
    };
    let cells = [
        random.cell(1, 5),
        random.gru(1, 5, true),
        other(random.gru(1, 5, true)),
        random.gru(1, 5, false),
        random.simple_rnn(1, 5),
    ];
    for cell in cells {
        let rule = cell.rule.clone();
        let layers = [LayerSpec::Recurrent { cell, options: OPTIONS }];
        let cpu = OnDevice::new(&layers, &Device::cpu()).unwrap();
        for content in [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN] {
            let mut input = random.array3((3, 7, 1), 1.0);
            input[[1, 3, 0]] = content;
            let want = ran(&cpu, &input, None);
            assert!(want.values.iter().all(|value| value.is_finite()), "{rule:?}, {content}");
            for_each_strategy(&layers, |name, runner| {
                assert_ran_close(
                    &format!("{name}, {rule:?}, {content}"),
                    &ran(runner, &input, None),
                    &want,
                );
            });
        }
    }
}

/// A runner by each strategy that can run the layers, on each device.
fn for_each_strategy(layers: &[LayerSpec], check: impl Fn(&str, &OnDevice)) {
    for device in devices() {
        let strategies: &[Strategy] = if device.gpu().is_some() { Strategy::ALL } else { &[] };
        let named = strategies.iter().map(|&strategy| Settings::new().strategy(strategy));
        for settings in [Settings::new()].into_iter().chain(named) {
            match OnDevice::with(layers, &device, &settings) {
                Err(Error::Unsupported { .. }) => println!("skipped: {settings:?}"),
                runner => check(&format!("{}, {settings:?}", device.name()), &runner.unwrap()),
            }
        }
    }
}

/// The numbers of Keras 3.15.1 (TensorFlow, CPU): what h gives to n is kept apart there, where 0 * inf does not reach it.
#[test]
fn a_gru_takes_infinity_as_keras_does() {
    let numbers = |from: f32, count: usize| move |at: usize| from + at as f32 * (0.2 - from) / (count - 1) as f32;
    let recurrent = Array2::from_shape_fn((2, 6), |(row, column)| -0.5 + 0.1 * (row * 6 + column) as f32);
    let kernel = array![[0.5, -0.25, 0.3, 0.2, 0.7, -0.6]];
    let after = [
        (
            f32::INFINITY,
            [[0.190346, -0.0796098], [0.190346, -1.0], [0.1053747, -0.5828179]],
        ),
        (
            f32::NEG_INFINITY,
            [[0.190346, -0.0796098], [-1.0, -0.0796098], [-0.5286013, -0.0566902]],
        ),
    ];
    let before = [
        (
            f32::INFINITY,
            [[0.210107, -0.053936], [0.210107, -1.0], [0.147006, -0.5241202]],
        ),
        (
            f32::NEG_INFINITY,
            [[0.210107, -0.053936], [-1.0, -0.053936], [-0.4987006, -0.0173718]],
        ),
    ];
    for (reset_after, cases) in [(true, after), (false, before)] {
        let rows = 1 + usize::from(reset_after);
        let bias = numbers(-0.1, 6 * rows);
        let cell = CellSpec {
            kernel: kernel.clone(),
            recurrent_kernel: recurrent.clone(),
            bias: Some(Array2::from_shape_fn((rows, 6), |(row, column)| bias(row * 6 + column))),
            ..Random::new(7).gru(1, 2, reset_after)
        };
        let layers = [LayerSpec::Recurrent { cell, options: OPTIONS }];
        for (content, want) in cases {
            let input = array![[[0.5], [content], [0.25]]];
            for_each_strategy(&layers, |name, runner| {
                let got = ran(runner, &input, None).values;
                for (got, want) in got.iter().zip(want.as_flattened()) {
                    assert!(
                        (got - want).abs() < 2e-6,
                        "{name}, {reset_after}, {content}: {got}, {want}"
                    );
                }
            });
        }
    }
}

/// Some drivers leave every loop of a shader after 65,535 passes without a word, so nothing may need so many.
#[test]
fn more_than_65536_passes_of_units_and_time_steps() {
    let random = &mut Random::new(8);
    let layers = [LayerSpec::Recurrent {
        cell: random.cell(2, 300),
        options: OPTIONS,
    }];
    let input = random.array3((3, 400, 2), 1.0);
    let mask = Array2::from_shape_fn((3, 400), |(row, step)| step < [400, 250, 1][row]);
    let want = ran(&OnDevice::new(&layers, &Device::cpu()).unwrap(), &input, Some(&mask));
    for device in devices() {
        let got = ran(&OnDevice::new(&layers, &device).unwrap(), &input, Some(&mask));
        assert_close(&device.name(), got.values.view(), want.values.view(), 1e-5, 1e-5);
        assert_eq!(got.rows_run, 651, "{}", device.name());
    }
}
