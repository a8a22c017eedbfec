//! States that stay on the GPU: handed on, reset and selected there, in the order of the commands; and what is wrong with some.

use cellstate::{Bidirectional, Device, Gpu, GpuStates, Gru, Lstm, Model, Runner, Sequences, State, States};
use ndarray::{Array2, ArrayD, s};

use super::adapters::{adapters, floor, open, open_alone};
use super::encode::{ANY, lstm};
use super::encode::{buffer, devices_of, encoder, output, read, taken, values, write};
use super::models::{pair, sequences};
use super::support::golden::Input;
use super::support::judge::{assert_close, assert_same_bits};
use super::support::random::Random;
use super::zoo::kinds;

/// Layers of every sort, whose states differ in number and width.
pub(crate) fn model() -> Model {
    let builder = Model::builder()
        .add(Bidirectional::new(Lstm::new(3, 5).return_sequences(true)))
        .add(Gru::new(10, 6).return_sequences(true))
        .add(Lstm::new(6, 7).projection(3));
    builder.build().unwrap()
}

/// States of random values, no two alike.
pub(crate) fn filled(runner: &Runner, batch: usize, seed: u64) -> States {
    let random = &mut Random::new(seed);
    let mut states = runner.zero_state(batch);
    for state in states.iter_mut() {
        let values = random.array2(state.hidden().dim(), 0.9);
        state.hidden_mut().assign(&values);
        if let Some(mut cell) = state.cell_mut() {
            let values = random.array2(cell.dim(), 0.9);
            cell.assign(&values);
        }
    }
    states
}

fn submit(gpu: &Gpu, write: impl FnOnce(&mut wgpu::CommandEncoder)) {
    let mut encoder = encoder(gpu);
    write(&mut encoder);
    gpu.queue().submit([encoder.finish()]);
}

#[track_caller]
fn assert_states(name: &str, got: &GpuStates, want: &States) {
    let got = got.read().unwrap();
    assert_eq!(got.len(), want.len(), "{name}");
    for (got, want) in got.iter().map(pair).zip(want.iter().map(pair)) {
        assert_close(name, got.0.view().into_dyn(), want.0.view().into_dyn(), 1e-5, 1e-5);
        assert_close(name, got.1.view().into_dyn(), want.1.view().into_dyn(), 1e-5, 1e-5);
    }
}

/// Made of states and read back, reset and selected, at once and within an encoder: what states of the host do.
#[test]
fn they_do_what_states_of_the_host_do() {
    for adapter in adapters() {
        for opened in devices_of(&adapter) {
            let (gpu, runner) = (&opened.gpu, model().on(&opened.device).unwrap());
            for batch in [0, 1, 4, 9] {
                let states = filled(&runner, batch, 1);
                let mut there = runner.gpu_states(&states).unwrap();
                assert_eq!((there.batch(), there.read().unwrap()), (batch, states.clone()));
                assert_eq!(
                    runner.zero_gpu_states(batch).unwrap().read().unwrap(),
                    runner.zero_state(batch)
                );
                let rows: Vec<usize> = (0..batch + 2).map(|row| (row * 5 + 1) % batch.max(1)).collect();
                let rows = if batch == 0 { Vec::new() } else { rows };
                for rows in [rows.as_slice(), &[]] {
                    let want = states.select(rows).unwrap();
                    assert_eq!(there.select(rows).unwrap().read().unwrap(), want);
                    let mut selected = None;
                    submit(gpu, |encoder| {
                        selected = Some(there.encode_select(encoder, rows).unwrap())
                    });
                    assert_eq!(selected.unwrap().read().unwrap(), want);
                }
                assert_eq!(there.read().unwrap(), states, "selecting changes nothing");
                let mut want = states.clone();
                let rows: Vec<usize> = [1, 2, 3, 8, 0].into_iter().filter(|&row| row < batch).collect();
                rows.iter().for_each(|&row| want.reset_row(row).unwrap());
                there.reset_rows(&rows).unwrap();
                assert_eq!(there.read().unwrap(), want);
                let mut other = runner.gpu_states(&states).unwrap();
                submit(gpu, |encoder| other.encode_reset_rows(encoder, &rows).unwrap());
                assert_eq!(other.read().unwrap(), want);
                there.reset().unwrap();
                submit(gpu, |encoder| other.encode_reset(encoder));
                for reset in [&there, &other] {
                    assert_eq!(reset.read().unwrap(), runner.zero_state(batch));
                }
            }
            opened.assert_quiet();
        }
    }
}

/// Chunks, a reset, a selection and chunks of the selected streams in one encoder: what the host's states give, step by step.
#[test]
fn an_encoder_has_them_in_the_order_of_its_commands() {
    for adapter in adapters() {
        for opened in devices_of(&adapter) {
            let (gpu, runner) = (&opened.gpu, model().on(&opened.device).unwrap());
            let cpu = model().on(&Device::cpu()).unwrap();
            let mut of_four = runner.workspace(4, 5).unwrap();
            of_four.set_lengths(&[3, 0, 5, 1]).unwrap();
            let mut of_two = runner.workspace(2, 5).unwrap();
            let (four, two) = (values((4, 5), 3), values((2, 5), 4));
            write(gpu, &of_four.input_binding(), &Input::Values(four.clone()));
            write(gpu, &of_two.input_binding(), &Input::Values(two.clone()));
            let mut want = filled(&cpu, 4, 7);
            let mut states = runner.gpu_states(&want).unwrap();
            let bytes = of_four.output().size();
            let kept = buffer(gpu, bytes, ANY);

            let mut encoder = encoder(gpu);
            of_four.encode_from(&mut encoder, &mut states).unwrap();
            encoder.copy_buffer_to_buffer(of_four.output(), 0, &kept, 0, bytes);
            states.encode_reset_rows(&mut encoder, &[2]).unwrap();
            of_four.encode_from(&mut encoder, &mut states).unwrap();
            let mut selected = states.encode_select(&mut encoder, &[2, 1]).unwrap();
            of_two.set_lengths(&[5, 4]).unwrap();
            of_two.encode_from(&mut encoder, &mut selected).unwrap();
            of_two.encode_from(&mut encoder, &mut selected).unwrap();
            states.encode_reset(&mut encoder);
            gpu.queue().submit([encoder.finish()]);

            let batch = Sequences::from(&four).with_lengths(&[3, 0, 5, 1]).unwrap();
            let first = cpu.run_from(&batch, &mut want).unwrap();
            let got = read(gpu, &kept.as_entire_buffer_binding(), of_four.output_shape());
            assert_close("first", got.view(), first.values(), 1e-5, 1e-5);
            want.reset_row(2).unwrap();
            let second = cpu.run_from(&batch, &mut want).unwrap();
            assert_close("second", output(gpu, &of_four).view(), second.values(), 1e-5, 1e-5);
            let mut want = want.select(&[2, 1]).unwrap();
            let batch = Sequences::from(&two).with_lengths(&[5, 4]).unwrap();
            cpu.run_from(&batch, &mut want).unwrap();
            let last = cpu.run_from(&batch, &mut want).unwrap();
            assert_close("last", output(gpu, &of_two).view(), last.values(), 1e-5, 1e-5);
            assert_states("selected", &selected, &want);
            assert_eq!(states.read().unwrap(), runner.zero_state(4));
            opened.assert_quiet();
        }
    }
}

/// Runs and encodes take turns with one state, and give the bits that runs from states of the host give.
#[test]
fn runs_and_encodes_go_on_from_each_other() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let gpu = &opened.gpu;
        for kind in taken() {
            let on = kind.on(&opened.device);
            let runner = on.runner();
            let play = kind.batch(4, 9, 3);
            let mut workspace = runner.workspace(4, 9).unwrap();
            workspace.set_mask(play.mask.clone().unwrap()).unwrap();
            write(gpu, &workspace.input_binding(), &play.input);
            let mut want = on.states(4, &play.initial);
            let mut states = runner.gpu_states(&want).unwrap();
            for round in 0..4 {
                let name = format!("{}, round {round}", kind.name);
                let host = on.run_from(&play.input, play.mask.as_ref(), &mut want).unwrap();
                let got = match round % 2 {
                    0 => {
                        let batch = sequences(&play.input, play.mask.as_ref()).unwrap();
                        let output = runner.run_from_gpu(&batch, &mut states).unwrap();
                        assert_eq!((output.states(), output.rows_run()), (host.states(), host.rows_run()));
                        output.values().to_owned()
                    }
                    _ => {
                        submit(gpu, |encoder| workspace.encode_from(encoder, &mut states).unwrap());
                        output(gpu, &workspace)
                    }
                };
                assert_same_bits(&name, got.view(), host.values());
                assert_eq!(states.read().unwrap(), want, "{name}");
            }
            // without states the workspace begins with zeros as ever, and states are no matter of it
            submit(gpu, |encoder| workspace.encode(encoder).unwrap());
            let zeros = on.run(&play.input, play.mask.as_ref()).unwrap();
            assert_same_bits(&kind.name, output(gpu, &workspace).view(), zeros.values());
            assert_eq!(states.read().unwrap(), want, "{}", kind.name);
        }
        opened.assert_quiet();
    }
}

/// Before the first step that counts Keras shows zeros, and not the h of the beginning; afterwards what came before.
#[test]
fn a_mask_of_the_gpu_shows_zeros_before_its_first_step() {
    let mask = Array2::from_shape_fn((3, 6), |(row, step)| [step >= 2, false, step % 3 == 1][row]);
    for adapter in adapters() {
        for opened in devices_of(&adapter) {
            let (gpu, runner) = (&opened.gpu, lstm(&opened.device));
            let cpu = lstm(&Device::cpu());
            let input = values((3, 6), 5);
            let mut workspace = runner.workspace(3, 6).unwrap();
            write(gpu, &workspace.input_binding(), &Input::Values(input.clone()));
            let mut bytes: Vec<u8> = mask.iter().map(|&counts| u8::from(counts)).collect();
            bytes.resize(20, 0);
            let told = buffer(gpu, 20, ANY);
            gpu.queue().write_buffer(&told, 0, &bytes);
            workspace.set_mask_from(&told, 0).unwrap();
            let begin = filled(&cpu, 3, 2);
            let mut states = runner.gpu_states(&begin).unwrap();
            submit(gpu, |encoder| workspace.encode_from(encoder, &mut states).unwrap());
            let got = output(gpu, &workspace);
            let zeros = |values: ndarray::ArrayViewD<'_, f32>| values.iter().all(|&value| value == 0.0);
            assert!(zeros(got.slice(s![0, ..2, ..]).into_dyn()), "{got}");
            assert!(zeros(got.slice(s![1, .., ..]).into_dyn()), "{got}");
            assert_eq!(got.slice(s![2, 1, ..]), got.slice(s![2, 2, ..]));
            let mut want = begin.clone();
            let batch = Sequences::from(&input).with_mask(mask.clone()).unwrap();
            let host = cpu.run_from(&batch, &mut want).unwrap();
            assert_close("masked", got.view(), host.values(), 1e-5, 1e-5);
            assert_states("masked", &states, &want);
            let row = |states: &States, row: usize| states.select(&[row]).unwrap();
            assert_eq!(row(&states.read().unwrap(), 1), row(&begin, 1), "it has run no step");
            opened.assert_quiet();
        }
    }
}

/// Encoding from states makes nothing, like encoding; nor does a second run from states, whatever its mask.
#[test]
fn going_on_makes_nothing() {
    for adapter in adapters() {
        let opened = open_alone(&adapter);
        let gpu = &opened.gpu;
        for kind in kinds(3, 5) {
            let on = kind.on(&opened.device);
            let mut states = on.runner().zero_gpu_states(4).unwrap();
            let mut run = |seed| {
                let play = kind.batch(4, 9, seed);
                let batch = sequences(&play.input, play.mask.as_ref()).unwrap();
                on.runner().run_from_gpu(&batch, &mut states).unwrap();
            };
            run(0);
            let made = opened.made();
            (1..4).for_each(&mut run);
            assert_eq!(opened.made(), made, "{}", kind.name);
        }
        for kind in taken() {
            let on = kind.on(&opened.device);
            let workspace = on.runner().workspace(4, 9).unwrap();
            let mut states = on.runner().zero_gpu_states(4).unwrap();
            let made = opened.made();
            submit(gpu, |encoder| {
                for _ in 0..3 {
                    workspace.encode_from(encoder, &mut states).unwrap();
                }
            });
            assert_eq!(opened.made(), made, "{}", kind.name);
        }
        opened.assert_quiet();
    }
}

/// Values that are no numbers are states like others, and stay in their row.
#[test]
fn a_row_without_numbers_spoils_no_other() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let (gpu, runner) = (&opened.gpu, lstm(&opened.device));
        let begin = filled(&runner, 3, 4);
        let mut spoilt = begin.clone();
        let spoil = |state: &mut State| {
            state.hidden_mut().row_mut(1).fill(f32::NAN);
            if let Some(mut cell) = state.cell_mut() {
                cell.row_mut(1).fill(f32::NAN);
            }
        };
        spoilt.iter_mut().for_each(spoil);
        let workspace = runner.workspace(3, 4).unwrap();
        write(gpu, &workspace.input_binding(), &Input::Values(values((3, 4), 8)));
        let outputs: Vec<ArrayD<f32>> = [&begin, &spoilt]
            .into_iter()
            .map(|begin| {
                let mut states = runner.gpu_states(begin).unwrap();
                submit(gpu, |encoder| workspace.encode_from(encoder, &mut states).unwrap());
                states.reset_rows(&[1]).unwrap();
                let left = states.read().unwrap();
                assert!(
                    left.iter()
                        .all(|state| state.hidden().iter().all(|value| value.is_finite()))
                );
                output(gpu, &workspace)
            })
            .collect();
        for row in [0, 2] {
            let [one, other] = [0, 1].map(|number: usize| outputs[number].slice(s![row, .., ..]));
            assert_same_bits("another row", one.into_dyn(), other.into_dyn());
        }
        assert!(outputs[1].slice(s![1, .., ..]).iter().all(|value| value.is_nan()));
        opened.assert_quiet();
    }
}
