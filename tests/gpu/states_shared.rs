//! States, workspaces and buffers that several share: models, threads, and commands that outlive what they were made of.

use std::sync::Mutex;
use std::thread;

use cellstate::{Device, GpuWorkspace, Lstm, Runner, Sequences, States};
use ndarray::ArrayD;

use super::adapters::{adapters, floor, open};
use super::encode::{ANY, buffer, devices_of, encoder, lstm, output, read, values, write};
use super::states::filled;
use super::support::golden::Input;
use super::support::judge::assert_close;

#[track_caller]
fn assert_states(name: &str, got: &States, want: &States) {
    assert_eq!(got.len(), want.len(), "{name}");
    for (got, want) in got.iter().zip(want.iter()) {
        assert_close(name, got.hidden().into_dyn(), want.hidden().into_dyn(), 1e-5, 1e-5);
        let (got, want) = (got.cell().unwrap(), want.cell().unwrap());
        assert_close(name, got.into_dyn(), want.into_dyn(), 1e-5, 1e-5);
    }
}

/// States belong to a device: models of other weights and directions, in workspaces of other lengths, take turns with the same ones in one
/// encoder, and each begins where the other has ended.
#[test]
fn models_hand_states_to_each_other_within_an_encoder() {
    let models = |device: &Device| {
        let layer = |seed| Lstm::new(3, 20).seed(seed).return_sequences(true);
        [layer(1), layer(2).go_backwards(true), layer(3)].map(|layer| layer.on(device).unwrap())
    };
    const STEPS: [usize; 3] = [5, 2, 9];
    let lengths = |steps| [steps, 0, 1, steps - 1];
    for adapter in adapters() {
        for opened in devices_of(&adapter) {
            let gpu = &opened.gpu;
            let (there, here) = (models(&opened.device), models(&Device::cpu()));
            let inputs: Vec<_> = (0..).zip(STEPS).map(|(seed, steps)| values((4, steps), seed)).collect();
            let workspaces = there.iter().zip(&inputs).map(|(runner, input)| {
                let steps = input.dim().1;
                let mut workspace = runner.workspace(4, steps).unwrap();
                workspace.set_lengths(&lengths(steps)).unwrap();
                write(gpu, &workspace.input_binding(), &Input::Values(input.clone()));
                workspace
            });
            let workspaces: Vec<GpuWorkspace> = workspaces.collect();
            let mut want = filled(&here[0], 4, 3);
            let mut states = there[1].gpu_states(&want).unwrap();
            let mut encoder = encoder(gpu);
            let mut last = ArrayD::zeros(vec![0]);
            for number in [0, 1, 0, 0, 2, 1] {
                workspaces[number].encode_from(&mut encoder, &mut states).unwrap();
                let batch = Sequences::from(&inputs[number]).with_lengths(&lengths(STEPS[number]));
                last = here[number]
                    .run_from(&batch.unwrap(), &mut want)
                    .unwrap()
                    .values()
                    .to_owned();
            }
            gpu.queue().submit([encoder.finish()]);
            assert_close("the last", output(gpu, &workspaces[1]).view(), last.view(), 1e-5, 1e-5);
            assert_states("behind all", &states.read().unwrap(), &want);
            opened.assert_quiet();
        }
    }
}

/// Streams on threads of their own share a workspace. They encode at the same time, and what they encoded is submitted by another thread, in
/// another order; by then the runner, the workspace and the states may be gone.
#[test]
fn commands_of_threads_outlive_what_they_were_made_of() {
    const THREADS: usize = 4;
    for adapter in adapters() {
        for opened in devices_of(&adapter) {
            let (gpu, cpu) = (&opened.gpu, lstm(&Device::cpu()));
            let runner = lstm(&opened.device);
            let workspace = runner.workspace(3, 5).unwrap();
            let shape = workspace.output_shape().to_vec();
            let (into, from) = (workspace.input_binding(), workspace.output_binding());
            let bytes = [into.size, from.size].map(|size| u64::from(size.unwrap()));
            let made = Mutex::new(Vec::new());
            thread::scope(|scope| {
                for number in 0..THREADS {
                    let (runner, workspace, made, cpu) = (&runner, &workspace, &made, &cpu);
                    scope.spawn(move || {
                        let begin = filled(cpu, 3, number as u64);
                        let mut states = runner.gpu_states(&begin).unwrap();
                        // never submitted, so of no effect
                        workspace.encode_from(&mut encoder(gpu), &mut states).unwrap();
                        let input = values((3, 5), number as u64);
                        let (own, kept) = (buffer(gpu, bytes[0], ANY), buffer(gpu, bytes[1], ANY));
                        write(gpu, &own.as_entire_buffer_binding(), &Input::Values(input.clone()));
                        let mut encoder = encoder(gpu);
                        encoder.copy_buffer_to_buffer(&own, 0, workspace.input(), 0, bytes[0]);
                        workspace.encode_from(&mut encoder, &mut states).unwrap();
                        let mut states = states.encode_select(&mut encoder, &[2, 1, 0]).unwrap();
                        workspace.encode_from(&mut encoder, &mut states).unwrap();
                        encoder.copy_buffer_to_buffer(workspace.output(), 0, &kept, 0, bytes[1]);
                        let states = (number % 2 == 0).then_some(states);
                        made.lock()
                            .unwrap()
                            .push((encoder.finish(), begin, input, kept, states));
                    });
                }
            });
            drop((workspace, runner));
            let made = made.into_inner().unwrap();
            let (commands, rest): (Vec<_>, Vec<_>) = (made.into_iter().rev())
                .map(|(commands, begin, input, kept, states)| (commands, (begin, input, kept, states)))
                .unzip();
            gpu.queue().submit(commands);
            for (mut want, input, kept, states) in rest {
                cpu.run_from(&Sequences::from(&input), &mut want).unwrap();
                let mut want = want.select(&[2, 1, 0]).unwrap();
                let host = cpu.run_from(&Sequences::from(&input), &mut want).unwrap();
                let got = read(gpu, &kept.as_entire_buffer_binding(), &shape);
                assert_close("of a thread", got.view(), host.values(), 1e-5, 1e-5);
                if let Some(states) = states {
                    assert_states("of a thread", &states.read().unwrap(), &want);
                }
            }
            opened.assert_quiet();
        }
    }
}

/// What a network puts out is its next input: two workspaces that read where the other writes, all in one encoder.
#[test]
fn a_network_reads_what_it_has_put_out() {
    const ROUNDS: usize = 5;
    let network = |device: &Device| -> Runner { Lstm::new(3, 3).return_sequences(true).on(device).unwrap() };
    for adapter in adapters() {
        for opened in devices_of(&adapter) {
            let (gpu, runner, cpu) = (&opened.gpu, network(&opened.device), network(&Device::cpu()));
            let there = runner.workspace(4, 1).unwrap();
            let mut back = runner.workspace(4, 1).unwrap();
            back.set_input(there.output(), 0).unwrap();
            back.set_output(there.input(), 0).unwrap();
            let mut input = values((4, 1), 6);
            write(gpu, &there.input_binding(), &Input::Values(input.clone()));
            let mut want = filled(&cpu, 4, 1);
            let mut states = runner.gpu_states(&want).unwrap();
            let mut encoder = encoder(gpu);
            for round in 0..ROUNDS {
                let workspace = [&there, &back][round % 2];
                workspace.encode_from(&mut encoder, &mut states).unwrap();
                input = cpu
                    .run_from(&Sequences::from(&input), &mut want)
                    .unwrap()
                    .sequences()
                    .unwrap()
                    .to_owned();
            }
            gpu.queue().submit([encoder.finish()]);
            assert_close(
                "fed back",
                output(gpu, &there).view(),
                input.view().into_dyn(),
                1e-5,
                1e-5,
            );
            assert_states("fed back", &states.read().unwrap(), &want);
            opened.assert_quiet();
        }
    }
}

/// Without a step or without a sequence nothing is run, and states stay as they are.
#[test]
fn no_steps_leave_the_states() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let (gpu, runner) = (&opened.gpu, lstm(&opened.device));
        for (batch, time_steps) in [(3, 0), (0, 5), (0, 0)] {
            let begin = filled(&runner, batch, 2);
            let mut states = runner.gpu_states(&begin).unwrap();
            let mut workspace = runner.workspace(batch, time_steps).unwrap();
            let lengths = buffer(gpu, 256, ANY);
            for by_gpu in [false, true] {
                if by_gpu {
                    workspace.set_lengths_from(&lengths, 0).unwrap();
                }
                let mut encoder = encoder(gpu);
                workspace.encode_from(&mut encoder, &mut states).unwrap();
                gpu.queue().submit([encoder.finish()]);
                let input = values((batch, time_steps), 1);
                runner.run_from_gpu(&Sequences::from(&input), &mut states).unwrap();
                assert_eq!(states.read().unwrap(), begin, "{batch} x {time_steps}");
            }
        }
        opened.assert_quiet();
    }
}

/// Mistakes of the application show where `wgpu` tells them, at the end of the encoder or at the submission, and the workspace and the states
/// are good for the next frame.
#[test]
fn mistakes_of_the_application_end_with_their_frame() {
    for adapter in adapters() {
        let (opened, other) = (open(&adapter, floor()), open(&adapter, floor()));
        let (gpu, runner) = (&opened.gpu, lstm(&opened.device));
        let mut workspace = runner.workspace(3, 4).unwrap();
        let input = values((3, 4), 8);
        let begin = filled(&runner, 3, 5);
        let mut states = runner.gpu_states(&begin).unwrap();
        let wrong = |what: &str, on: &cellstate::Gpu, frame: &mut dyn FnMut(&mut wgpu::CommandEncoder)| {
            let scope = on.device().push_error_scope(wgpu::ErrorFilter::Validation);
            let mut encoder = encoder(on);
            frame(&mut encoder);
            on.queue().submit([encoder.finish()]);
            assert!(pollster::block_on(scope.pop()).is_some(), "{what}: no error");
        };
        wrong("an encoder of another device", &other.gpu, &mut |encoder| {
            workspace.encode_from(encoder, &mut states).unwrap();
        });
        wrong("a pass that is open", gpu, &mut |encoder| {
            let pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            let pass = pass.forget_lifetime();
            workspace.encode_from(encoder, &mut states).unwrap();
            drop(pass);
        });
        let gone = buffer(gpu, 4096, ANY);
        workspace.set_input(&gone, 0).unwrap();
        gone.destroy();
        wrong("an input that is destroyed", gpu, &mut |encoder| {
            workspace.encode_from(encoder, &mut states).unwrap();
        });
        assert_eq!(states.read().unwrap(), begin);

        let own = buffer(gpu, 4096, ANY);
        workspace.set_input(&own, 256).unwrap();
        write(gpu, &workspace.input_binding(), &Input::Values(input.clone()));
        let mut encoder = encoder(gpu);
        workspace.encode_from(&mut encoder, &mut states).unwrap();
        gpu.queue().submit([encoder.finish()]);
        let mut want = begin;
        let host = runner.run_from(&Sequences::from(&input), &mut want).unwrap();
        let got = output(gpu, &workspace);
        assert_close("the next frame", got.view(), host.values(), 1e-5, 1e-5);
        assert!(got.iter().any(|&value| value != 0.0));
        assert_states("the next frame", &states.read().unwrap(), &want);
        opened.assert_quiet();
        other.assert_quiet();
    }
}
