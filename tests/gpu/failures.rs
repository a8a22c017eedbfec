//! A run that fails gives an error, and the runner goes on.

use cellstate::{Dense, Device, Error, Lstm, Model, Sequences};
use ndarray::{Array2, Array3, ArrayView3};

use super::adapters::{adapters, floor, open};
use super::support::{judge::assert_same_bits, random::Random};
use super::zoo::kinds;

/// A batch that claims many sequences and holds one: every sequence is the same memory.
fn claimed(one: &Array3<f32>, batch: usize) -> ArrayView3<'_, f32> {
    let (_, time_steps, features) = one.dim();
    one.broadcast((batch, time_steps, features)).unwrap()
}

#[test]
fn a_batch_that_does_not_fit_leaves_runner_and_states_as_they_were() {
    for adapter in adapters() {
        let limits = wgpu::Limits {
            max_storage_buffer_binding_size: 4 << 10,
            ..floor()
        };
        let opened = open(&adapter, limits);
        for kind in kinds(3, 5) {
            let gpu = kind.on(&opened.device);
            let small = kind.batch(3, 4, 1);
            let before = gpu.ran(&small.input, small.mask.as_ref(), &small.initial);
            let huge = kind.batch(2000, 4, 1);
            let mut states = gpu.states(2000, &huge.initial);
            let untouched = states.clone();
            let error = gpu.run_from(&huge.input, huge.mask.as_ref(), &mut states).unwrap_err();
            assert!(error.contains("sequences at once would fit"), "{}: {error}", kind.name);
            assert_eq!(states, untouched, "{}", kind.name);
            let after = gpu.ran(&small.input, small.mask.as_ref(), &small.initial);
            assert_same_bits(&kind.name, after.values.view(), before.values.view());
        }
        opened.assert_quiet();
    }
}

/// With the default limits, the batch being no larger than what it claims.
#[test]
fn a_huge_batch_is_an_error() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let runner = Lstm::new(64, 64).on(&opened.device).unwrap();
        let one = Random::new(1).array3((1, 1, 64), 1.0);
        let first = runner.run(&Sequences::from(&one)).unwrap();
        // 128 MiB of bindings hold 131,072 sequences of 1 KiB of gates
        let error = runner.run(&Sequences::from(claimed(&one, 200_000))).unwrap_err();
        let Error::TooLarge { repair, .. } = &error else {
            panic!("{error}");
        };
        assert!(repair.contains("131072 sequences at once would fit"), "{error}");
        let again = runner.run(&Sequences::from(&one)).unwrap();
        assert_same_bits("after the error", again.values(), first.values());
        opened.assert_quiet();
    }
}

/// The application destroys its device while runners live.
#[test]
fn a_lost_device_is_an_error_and_no_hang() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let runner = Lstm::new(3, 5).on(&opened.device).unwrap();
        let input = Random::new(1).array3((2, 6, 3), 1.0);
        // what is kept for the next run is lost as well: commands that are encoded, and how long to wait
        (0..4).for_each(|_| drop(runner.run(&Sequences::from(&input)).unwrap()));
        opened.wgpu.destroy();
        for _ in 0..2 {
            let error = runner.run(&Sequences::from(&input)).unwrap_err();
            assert!(matches!(error, Error::Gpu { .. }), "{error}");
            let another = Random::new(1).array3((3, 2, 3), 1.0);
            let error = runner.run(&Sequences::from(&another)).unwrap_err();
            assert!(matches!(error, Error::Gpu { .. }), "{error}");
        }
        assert!(Lstm::new(3, 5).on(&opened.device).is_err());
        opened.assert_quiet();
        // another device of the same adapter is not concerned
        let fresh = open(&adapter, floor());
        Lstm::new(3, 5)
            .on(&fresh.device)
            .unwrap()
            .run(&Sequences::from(&input))
            .unwrap();
    }
}

/// One row more than the table has: padding that names no row is a row of its own.
#[test]
fn tokens_out_of_range_in_padding_need_no_more_room() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let random = &mut Random::new(2);
        let embedding = cellstate::Embedding::new(2, 3)
            .with_embeddings(random.array2((2, 3), 1.0))
            .unwrap();
        let dense = Dense::new(3, 4)
            .with_weights(random.array2((3, 4), 1.0), Some(random.array1(4, 1.0)))
            .unwrap();
        let model = Model::builder().add(embedding).add(dense).build().unwrap();
        let tokens = Array2::from_shape_vec((2, 3), vec![0, 1, -7, 1, 99, 0]).unwrap();
        let mask = Array2::from_shape_vec((2, 3), vec![true, true, false, true, false, true]).unwrap();
        let batch = Sequences::from(&tokens).with_mask(mask).unwrap();
        let [got, want] = [&opened.device, &Device::cpu()].map(|device| model.on(device).unwrap().run(&batch).unwrap());
        super::support::judge::assert_close("Embedding and Dense", got.values(), want.values(), 1e-6, 1e-6);
        opened.assert_quiet();
    }
}
