//! On the application's own device: no handler of ours, several runners, several threads.

use std::thread;

use cellstate::{Device, Embedding, Gru, Lstm, Model, Sequences};

use super::adapters::{adapters, floor, open};
use super::support::{judge::assert_same_bits, random::Random};
use super::zoo::{check, kinds};

#[test]
fn several_runners_share_a_device() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let all = kinds(3, 5);
        let runners: Vec<_> = all
            .iter()
            .map(|kind| (kind, kind.on(&opened.device), kind.on(&Device::cpu())))
            .collect();
        for seed in 0..3 {
            for (kind, gpu, cpu) in &runners {
                check(&kind.name, gpu, cpu, &kind.batch(3, 8, seed));
            }
        }
        opened.assert_quiet();
    }
}

#[test]
fn four_threads_get_the_same_bits_from_one_runner() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let lstm = Lstm::new(3, 20).return_sequences(true);
        let runner = lstm.on(&opened.device).unwrap();
        let inputs: Vec<_> = [(2, 9), (5, 4), (2, 9)]
            .into_iter()
            .zip(0..)
            .map(|((batch, time_steps), seed)| Random::new(seed).array3((batch, time_steps, 3), 1.0))
            .collect();
        let alone: Vec<_> = inputs
            .iter()
            .map(|input| runner.run(&Sequences::from(input)).unwrap())
            .collect();
        thread::scope(|scope| {
            for thread in 0..4 {
                let (runner, inputs, alone) = (&runner, &inputs, &alone);
                scope.spawn(move || {
                    for turn in 0..12 {
                        let number = (thread + turn) % inputs.len();
                        let mut states = runner.zero_state(inputs[number].len_of(ndarray::Axis(0)));
                        let got = runner.run_from(&Sequences::from(&inputs[number]), &mut states).unwrap();
                        assert_same_bits("by a thread", got.values(), alone[number].values());
                    }
                });
            }
        });
        opened.assert_quiet();
    }
}

/// What is too large is found before wgpu is asked.
#[test]
fn weights_that_do_not_fit_are_an_error_and_the_device_goes_on() {
    for adapter in adapters() {
        let limits = wgpu::Limits {
            max_storage_buffer_binding_size: 4 << 10,
            ..floor()
        };
        let opened = open(&adapter, limits);
        let fits = Lstm::new(3, 5).on(&opened.device).unwrap();
        let input = Random::new(1).array3((2, 6, 3), 1.0);
        let first = fits.run(&Sequences::from(&input)).unwrap();
        let models = [
            // kernels are cut into fours of rows, but for a cell that is run by whole rows
            (
                "four rows of the kernel",
                Model::builder().add(Lstm::new(3, 65)).build().unwrap(),
            ),
            (
                "recurrent_kernel",
                Model::builder()
                    .add(Gru::new(3, 50).reset_after(false))
                    .build()
                    .unwrap(),
            ),
            (
                "four rows of the kernel of the Dense layer",
                Model::builder().add(cellstate::Dense::new(60, 300)).build().unwrap(),
            ),
            (
                "row of the embeddings",
                Model::builder().add(Embedding::new(3, 2000)).build().unwrap(),
            ),
        ];
        for (what, model) in models {
            let error = model.on(&opened.device).unwrap_err();
            assert!(matches!(error, cellstate::Error::TooLarge { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(what) && text.contains("Device::cpu()"), "{text}");
        }
        let again = fits.run(&Sequences::from(&input)).unwrap();
        assert_same_bits("after the errors", again.values(), first.values());
        opened.assert_quiet();
    }
}

/// What only wgpu finds wrong comes back as an error too.
#[test]
fn what_wgpu_refuses_never_reaches_the_applications_handler() {
    for adapter in adapters() {
        let limits = wgpu::Limits {
            max_uniform_buffers_per_shader_stage: 0, // every shader of ours has one
            ..floor()
        };
        let opened = open(&adapter, limits);
        for kind in kinds(3, 5) {
            for _ in 0..2 {
                let model = super::models::model(&kind.layers).unwrap();
                let error = model.on(&opened.device).unwrap_err();
                assert!(matches!(error, cellstate::Error::Gpu { .. }), "{}: {error}", kind.name);
                assert!(error.to_string().contains(&opened.gpu.name()), "{error}");
            }
        }
        opened.assert_quiet();
        // the handler works: what the application does wrong itself reaches it
        let own = opened.wgpu.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: u64::MAX / 2,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        drop(own);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| opened.assert_quiet()));
        assert!(
            caught.is_err(),
            "the application's own error should have come to its handler"
        );
    }
}
