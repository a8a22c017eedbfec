//! The device is lost in the middle: an error, states and outputs as they were, and the model goes on elsewhere.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use cellstate::{Device, Error, Gpu, Lstm, Model, Output, Sequences, Settings, Strategy};

use super::adapters::{adapters, floor, open, open_alone};
use super::encode::{ANY, buffer, encoder};
use super::models::{assert_ran_close, assert_ran_same_bits, sequences};
use super::support::{judge::assert_same_bits, random::Random};
use super::zoo::kinds;

/// The longest that anything may take on a lost device.
const LIMIT: Duration = Duration::from_secs(30);

#[track_caller]
fn assert_lost<T>(answer: cellstate::Result<T>) {
    match answer.map(drop) {
        Err(Error::Gpu { message, .. }) => assert!(message.contains("rebuild"), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn states_and_outputs_stay_and_every_model_goes_on_elsewhere() {
    for adapter in adapters() {
        let fresh = open(&adapter, floor());
        for kind in kinds(3, 5) {
            let opened = open(&adapter, floor());
            let on = kind.on(&opened.device);
            let batch = kind.batch(4, 9, 1);
            let before = on.ran(&batch.input, batch.mask.as_ref(), &batch.initial);
            let mut states = on.states(4, &batch.initial);
            let batch_of = || sequences(&batch.input, batch.mask.as_ref()).unwrap();
            on.runner().run_from(&batch_of(), &mut states).unwrap();
            let mut output = on.runner().run(&batch_of()).unwrap();
            let (states_before, output_before) = (states.clone(), output.values().to_owned());
            assert!(!opened.gpu.is_lost());

            opened.wgpu.destroy();
            assert!(opened.gpu.is_lost());
            for _ in 0..2 {
                assert_lost(on.runner().run_from(&batch_of(), &mut states));
                assert_lost(on.runner().run_into(&batch_of(), &mut output));
                assert_lost(on.runner().tune(4, 9));
                assert_lost(on.runner().rebuild(&opened.device));
            }
            assert_eq!(states, states_before, "{}", kind.name);
            assert_same_bits(&kind.name, output.values(), output_before.view());
            opened.assert_quiet();

            let again = kind.on(&fresh.device);
            let cpu = on.runner().rebuild(&Device::cpu()).unwrap();
            let from_lost = on.runner().rebuild(&fresh.device).unwrap();
            let from_cpu = cpu.rebuild(&fresh.device).unwrap();
            for (name, runner) in [("from the lost one", from_lost), ("from the CPU", from_cpu)] {
                let name = format!("{}, {name}", kind.name);
                let (mut got, mut want) = (states.clone(), states.clone());
                let ran = runner.run_from(&batch_of(), &mut got).unwrap();
                let known = again.runner().run_from(&batch_of(), &mut want).unwrap();
                assert_same_bits(&name, ran.values(), known.values());
                assert_eq!(got, want, "{name}");
            }
            assert_ran_same_bits(
                &kind.name,
                &again.ran(&batch.input, batch.mask.as_ref(), &batch.initial),
                &before,
            );
            let on_cpu = kind.on(&Device::cpu());
            let by_cpu = on_cpu.ran(&batch.input, batch.mask.as_ref(), &batch.initial);
            assert_ran_close(&kind.name, &by_cpu, &before);
            let mut got = states.clone();
            let ran = cpu.run_from(&batch_of(), &mut got).unwrap();
            let want = on_cpu.runner().run_from(&batch_of(), &mut states).unwrap();
            assert_same_bits(&kind.name, ran.values(), want.values());
        }
    }
}

/// Settings go along, and those of the other kind of device are said to be that.
#[test]
fn a_rebuilt_runner_has_its_settings() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let model = Model::builder().add(Lstm::new(3, 5)).build().unwrap();
        let runner = model
            .on_with(&opened.device, &Settings::new().strategy(Strategy::Solo))
            .unwrap();
        let again = runner.rebuild(&open_alone(&adapter).device).unwrap();
        assert_eq!(again.explain(2, 3).unwrap().strategies(), [Strategy::Solo]);
        let error = runner.rebuild(&Device::cpu()).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        let cpu = runner.rebuild_with(&Device::cpu(), &Settings::new()).unwrap();
        assert_eq!(cpu.device().name(), "CPU");
    }
}

/// Another thread destroys the device while runs are in flight, at all sorts of moments, and lets the driver clean up.
#[test]
fn a_device_that_is_destroyed_while_threads_run_is_an_error_in_each() {
    for adapter in adapters() {
        for round in 0..12_u64 {
            let opened = match round % 2 {
                0 => open(&adapter, floor()),
                _ => open_alone(&adapter),
            };
            let runner = Lstm::new(3, 20).return_sequences(true).on(&opened.device).unwrap();
            let input = Random::new(round).array3((4, 40, 3), 1.0);
            let want = runner.run(&Sequences::from(&input)).unwrap();
            let (ended, ends) = mpsc::channel();
            let ran = AtomicUsize::new(0);
            let start = Instant::now();
            thread::scope(|scope| {
                for _ in 0..3 {
                    let (ended, runner, input, want, ran) = (ended.clone(), &runner, &input, &want, &ran);
                    scope.spawn(move || {
                        let mut output = Output::default();
                        let error = loop {
                            match runner.run_into(&Sequences::from(input), &mut output) {
                                Ok(()) => assert_same_bits("before the loss", output.values(), want.values()),
                                Err(error) => break error,
                            }
                            ran.fetch_add(1, Ordering::Relaxed);
                        };
                        if ran.load(Ordering::Relaxed) > 3 && !output.values().is_empty() {
                            assert_same_bits("after the loss", output.values(), want.values());
                        }
                        ended.send(error).unwrap();
                    });
                }
                thread::sleep(Duration::from_micros(700 * round * round));
                opened.wgpu.destroy();
                for _ in 0..3 {
                    let error = ends.recv_timeout(LIMIT).expect("a run that hangs");
                    assert!(matches!(error, Error::Gpu { .. }), "{error}");
                }
            });
            assert!(start.elapsed() < LIMIT);
            opened.assert_quiet();
        }
    }
}

/// While a model is made on it: an error or a runner whose runs are errors.
#[test]
fn a_device_that_is_destroyed_while_models_are_made_is_an_error() {
    for adapter in adapters() {
        for round in 0..8_u64 {
            let opened = open(&adapter, floor());
            let all = kinds(3, 5);
            thread::scope(|scope| {
                let (device, all) = (&opened.device, &all);
                let making = scope.spawn(move || {
                    for kind in all.iter().cycle() {
                        let model = super::models::model(&kind.layers).unwrap();
                        if let Err(error) = model.on(device) {
                            return error;
                        }
                    }
                    panic!("a model is made on a lost device")
                });
                thread::sleep(Duration::from_millis(3 * round));
                opened.wgpu.destroy();
                let error = making.join().unwrap();
                assert!(matches!(error, Error::Gpu { .. }), "{error}");
            });
            opened.assert_quiet();
        }
    }
}

/// The application's own encoder: an error of ours from the loss on, and no panic in what the application goes on with.
#[test]
fn workspaces_of_a_lost_device_are_errors() {
    for adapter in adapters() {
        for is_encoded in [false, true] {
            let opened = open(&adapter, floor());
            let gpu = &opened.gpu;
            let runner = super::encode::lstm(&opened.device);
            let mut workspace = runner.workspace(2, 3).unwrap();
            let own = buffer(gpu, 4096, ANY);
            let mut into = encoder(gpu);
            if is_encoded {
                workspace.encode(&mut into).unwrap();
            }
            opened.wgpu.destroy();
            for length in 1..3 {
                assert_lost(workspace.encode(&mut into));
                assert_lost(workspace.set_lengths(&[length, 0]));
                assert_lost(workspace.set_output(&own, 0));
                assert_lost(workspace.set_lengths_from(&own, 0));
                assert_lost(runner.workspace(2, 3));
            }
            gpu.queue().submit([into.finish()]);
            assert_lost(workspace.encode(&mut encoder(gpu)));
            opened.assert_quiet();
            // what was encoded there is made anew here
            let fresh = open(&adapter, floor());
            let rebuilt = runner.rebuild(&fresh.device).unwrap();
            let input = super::encode::values((2, 3), 1);
            let again = rebuilt.workspace(2, 3).unwrap();
            let got = super::encode::run(
                &fresh.gpu,
                &again,
                &super::support::golden::Input::Values(input.clone()),
            );
            let want = super::encode::ran(&rebuilt, &input, &[3, 3]);
            super::support::judge::assert_close("rebuilt", got.view(), want.view(), 1e-6, 1e-6);
        }
    }
}

/// States on the GPU are lost with it, in every call; what was read of them goes on elsewhere.
#[test]
fn states_on_a_lost_device_are_errors() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let runner = super::encode::lstm(&opened.device);
        let workspace = runner.workspace(3, 4).unwrap();
        let input = super::encode::values((3, 4), 1);
        let mut states = runner.zero_gpu_states(3).unwrap();
        runner.run_from_gpu(&Sequences::from(&input), &mut states).unwrap();
        let kept = states.read().unwrap();
        let mut into = encoder(&opened.gpu);
        opened.wgpu.destroy();
        for _ in 0..2 {
            states.encode_reset(&mut into);
            states.encode_reset_rows(&mut into, &[1]).unwrap(); // which asks nobody
            assert_lost(workspace.encode_from(&mut into, &mut states));
            assert_lost(states.encode_select(&mut into, &[1]));
            assert_lost(states.select(&[1]));
            assert_lost(states.reset());
            assert_lost(states.reset_rows(&[1]));
            assert_lost(states.read());
            assert_lost(runner.run_from_gpu(&Sequences::from(&input), &mut states));
            assert_lost(runner.zero_gpu_states(2));
            assert_lost(runner.gpu_states(&kept));
        }
        opened.gpu.queue().submit([into.finish()]);
        opened.assert_quiet();

        let fresh = open(&adapter, floor());
        let rebuilt = runner.rebuild(&fresh.device).unwrap();
        let error = rebuilt.run_from_gpu(&Sequences::from(&input), &mut states).unwrap_err();
        assert!(matches!(error, Error::Value { .. }), "{error}");
        let mut again = rebuilt.gpu_states(&kept).unwrap();
        let got = rebuilt.run_from_gpu(&Sequences::from(&input), &mut again).unwrap();
        let mut want = kept.clone();
        let host = rebuilt.run_from(&Sequences::from(&input), &mut want).unwrap();
        assert_same_bits("goes on", got.values(), host.values());
        assert_eq!(again.read().unwrap(), want);
        fresh.assert_quiet();
    }
}

/// What the application handles stays the application's: its handlers are called, its scopes catch what it does wrong.
#[test]
fn handlers_and_scopes_of_the_application_stay_its_own() {
    for adapter in adapters() {
        let opened = Gpu::in_turn(|| pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())));
        let (device, queue) = opened.unwrap();
        let lost = Arc::new(AtomicUsize::new(0));
        let noted = Arc::clone(&lost);
        device.set_device_lost_callback(move |reason, _| {
            assert_eq!(reason, wgpu::DeviceLostReason::Destroyed);
            noted.fetch_add(1, Ordering::Relaxed);
        });
        let errors = Arc::new(AtomicUsize::new(0));
        let noted = Arc::clone(&errors);
        device.on_uncaptured_error(Arc::new(move |_| {
            noted.fetch_add(1, Ordering::Relaxed);
        }));
        let gpu = Gpu::from_wgpu(&adapter, &device, &queue).unwrap();
        let runner = Lstm::new(3, 5).on(&gpu.clone().into()).unwrap();
        let input = Random::new(1).array3((2, 6, 3), 1.0);
        let wrong = || {
            drop(device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: u64::MAX / 2,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            }));
        };
        // the application's own mistake is no failure of a run, neither before it nor in a scope around it
        wrong();
        assert_eq!(errors.load(Ordering::Relaxed), 1);
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        wrong();
        runner.run(&Sequences::from(&input)).unwrap();
        assert!(pollster::block_on(scope.pop()).is_some());
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        runner.run(&Sequences::from(&input)).unwrap();
        assert!(pollster::block_on(scope.pop()).is_none());
        assert_eq!(errors.load(Ordering::Relaxed), 1);
        assert_eq!(lost.load(Ordering::Relaxed), 0);
        device.destroy();
        assert_lost(runner.run(&Sequences::from(&input)));
        assert_lost(Gpu::from_wgpu(&adapter, &device, &queue));
        device.poll(wgpu::PollType::Poll).unwrap();
        assert_eq!(lost.load(Ordering::Relaxed), 1, "the application's own callback");
        assert_eq!(errors.load(Ordering::Relaxed), 1);
        drop((runner, gpu, queue));
        Gpu::in_turn(|| drop(device));
    }
}
