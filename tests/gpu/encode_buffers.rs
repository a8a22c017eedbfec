//! The buffers of an application in the place of a workspace's own, what is wrong with some, and what else is refused.

use cellstate::{Device, Embedding, Error, Lstm, MergeMode, Model, Sequences, Settings, Strategy};
use ndarray::{Array2, Axis, array, concatenate};

use super::adapters::{adapters, floor, open};
use super::encode::{ANY, buffer, lstm, ran, read, run, says, taken, values};
use super::support::golden::Input;
use super::support::judge::{assert_close, assert_same_bits};
use super::support::random::Random;
use super::zoo::kinds;

/// Input and output in one buffer, behind something of the application's, which stays as it is.
#[test]
fn own_buffers_with_offsets_take_the_place_of_the_workspaces() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let gpu = &opened.gpu;
        for kind in taken() {
            let on = kind.on(&opened.device);
            let batch = kind.batch(3, 8, 2);
            let mut workspace = on.runner().workspace(3, 8).unwrap();
            workspace.set_mask(batch.mask.clone().unwrap()).unwrap();
            let want = run(gpu, &workspace, &batch.input);
            let (of_input, of_output) = (512, 256 + 4096);
            let all = buffer(gpu, 1 << 14, ANY);
            gpu.queue().write_buffer(&all, 0, &vec![0x3f; 1 << 14]);
            workspace.set_input(&all, of_input).unwrap();
            workspace.set_output(&all, of_output).unwrap();
            assert_eq!(workspace.input_binding().offset, of_input);
            assert!(*workspace.input() == all && *workspace.output() == all);
            let got = run(gpu, &workspace, &batch.input);
            assert_same_bits(&kind.name, got.view(), want.view());
            let bytes = |shape: &[usize]| 4 * shape.iter().product::<usize>();
            let whole = read(gpu, &all.as_entire_buffer_binding(), &[1 << 12]);
            let input = of_input as usize / 4..(of_input as usize + bytes(workspace.input_shape())) / 4;
            let made = of_output as usize / 4..(of_output as usize + bytes(workspace.output_shape())) / 4;
            for (place, value) in whole.iter().enumerate() {
                let is_ours = input.contains(&place) || made.contains(&place);
                assert!(
                    is_ours || value.to_bits() == 0x3f3f_3f3f,
                    "{}: value {place} was written",
                    kind.name
                );
            }
        }
        opened.assert_quiet();
    }
}

#[test]
fn wrong_buffers_are_refused_and_change_nothing() {
    use wgpu::BufferUsages;
    for adapter in adapters() {
        let (opened, other) = (open(&adapter, floor()), open(&adapter, floor()));
        let (gpu, runner) = (&opened.gpu, lstm(&opened.device));
        let input = values((3, 7), 1);
        let mut workspace = runner.workspace(3, 7).unwrap();
        let want = ran(&runner, &input, &[7, 7, 7]);
        let needed = 4 * 3 * 7 * 3;
        let all = buffer(gpu, 1 << 14, ANY);
        workspace.set_input(&all, 256).unwrap();
        let before = (workspace.input_binding().offset, workspace.output().clone());

        let copied = buffer(gpu, 1 << 14, BufferUsages::COPY_DST | BufferUsages::VERTEX);
        let error = workspace.set_input(&copied, 0).unwrap_err();
        says(
            &error,
            &["buffer of the input", "STORAGE", "VERTEX", "BufferUsages::STORAGE"],
        );
        let error = workspace.set_output(&all, 4100).unwrap_err();
        says(
            &error,
            &["offset of the output", "multiple of 256", "4100", "byte 4352"],
        );
        let short = buffer(gpu, needed + 252, ANY);
        let error = workspace.set_input(&short, 256).unwrap_err();
        says(
            &error,
            &[
                "252 bytes",
                "[3, 7, 3]",
                "from byte 256",
                "buffer of 504 bytes",
                "larger",
            ],
        );
        assert!(matches!(error, Error::Size { .. }));
        for offset in [u64::MAX - 255, 1 << 14] {
            let error = workspace.set_input(&all, offset).unwrap_err();
            says(&error, &["252 bytes", &format!("from byte {offset}")]);
            assert!(matches!(error, Error::Size { .. }));
        }
        for offset in [0, 256, 512 - 256] {
            let error = workspace.set_output(&all, offset).unwrap_err();
            says(&error, &["bytes of the output", "input", "256..508", "byte 512"]);
        }
        let error = workspace.set_backward(&all, 1024).unwrap_err();
        says(&error, &["Separate", "set_output"]);
        let foreign = buffer(&other.gpu, 1 << 14, ANY);
        let error = workspace.set_output(&foreign, 0).unwrap_err();
        assert!(matches!(error, Error::Gpu { .. }), "{error}");
        let gone = buffer(gpu, 1 << 14, ANY);
        gone.destroy();
        if let Err(error) = workspace.set_output(&gone, 0) {
            assert!(matches!(error, Error::Gpu { .. }), "{error}");
        } else {
            workspace.set_output(&before.1, 0).unwrap();
        }

        assert!((workspace.input_binding().offset, workspace.output().clone()) == before);
        let got = run(gpu, &workspace, &Input::Values(input));
        assert_close("after the errors", got.view(), want.view(), 1e-5, 1e-5);
        opened.assert_quiet();
        other.assert_quiet();
    }
}

#[test]
fn wrong_lengths_and_masks_are_refused_and_change_nothing() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let (gpu, runner) = (&opened.gpu, lstm(&opened.device));
        let input = values((3, 7), 1);
        let mut workspace = runner.workspace(3, 7).unwrap();
        workspace.set_lengths(&[7, 0, 2]).unwrap();
        says(
            &workspace.set_lengths(&[7, 0]).unwrap_err(),
            &["lengths", "3 lengths", "got 2"],
        );
        says(
            &workspace.set_lengths(&[7, 8, 0]).unwrap_err(),
            &["lengths[1]", "at most 7", "8"],
        );
        let swapped = Array2::from_elem((7, 3), true);
        says(
            &workspace.set_mask(swapped).unwrap_err(),
            &["[3, 7]", "[7, 3]", "reversed_axes"],
        );
        assert_eq!(workspace.rows_run(), 9);
        let want = ran(&runner, &input, &[7, 0, 2]);
        let got = run(gpu, &workspace, &Input::Values(input));
        assert_close("after the errors", got.view(), want.view(), 1e-5, 1e-5);
        opened.assert_quiet();
    }
}

/// By a mask on the GPU every step has more parameters, and the largest buffer does not hold these and the lists.
#[test]
fn a_schedule_that_fits_no_buffer_is_refused_and_changes_nothing() {
    let lengths: Vec<usize> = (0..64).map(|sequence| sequence % 10).collect();
    let limits = wgpu::Limits {
        max_buffer_size: 64 << 10,
        max_storage_buffer_binding_size: 64 << 10,
        ..floor()
    };
    for adapter in adapters() {
        let opened = open(&adapter, limits.clone());
        let runner = Lstm::new(3, 1).return_sequences(true).on(&opened.device).unwrap();
        let gpu = &opened.gpu;
        // the most time steps that fit where all steps count
        let fitting = |steps: &usize| !matches!(runner.workspace(64, *steps), Err(Error::TooLarge { .. }));
        let steps = (9..140).rev().find(fitting).unwrap();
        let mut workspace = runner.workspace(64, steps).unwrap();
        workspace.set_lengths(&lengths).unwrap();
        let told = buffer(gpu, 256, ANY);
        let error = workspace.set_lengths_from(&told, 0).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        says(&error, &["schedule", "65536", "max_buffer_size"]);
        assert_eq!(workspace.rows_run(), lengths.iter().sum::<usize>());
        let input = values((64, steps), 1);
        let want = ran(&runner, &input, &lengths);
        let got = run(gpu, &workspace, &Input::Values(input));
        assert_close("after the error", got.view(), want.view(), 1e-5, 1e-5);
        opened.assert_quiet();
    }
}

/// The two outputs of a `Bidirectional` go to two places.
#[test]
fn separate_outputs_have_buffers_of_their_own() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let gpu = &opened.gpu;
        let both =
            cellstate::Bidirectional::new(Lstm::new(3, 5).return_sequences(true)).merge_mode(MergeMode::Separate);
        let runner = both.on(&opened.device).unwrap();
        let input = values((2, 6), 3);
        let mut workspace = runner.workspace(2, 6).unwrap();
        let all = buffer(gpu, 4096, ANY);
        workspace.set_backward(&all, 1024).unwrap();
        let error = workspace.set_output(&all, 1024).unwrap_err();
        says(&error, &["bytes of the output", "backward output", "1024..1264"]);
        workspace.set_output(&all, 2048).unwrap();
        workspace.set_lengths(&[6, 2]).unwrap();
        let got = run(gpu, &workspace, &Input::Values(input.clone()));
        let want = runner
            .run(&Sequences::from(&input).with_lengths(&[6, 2]).unwrap())
            .unwrap();
        assert_close("forward", got.view(), want.values(), 1e-5, 1e-5);
        let backward = read(gpu, &workspace.backward_binding().unwrap(), &[2, 6, 5]);
        assert_close("backward", backward.view(), want.backward().unwrap(), 1e-5, 1e-5);
        opened.assert_quiet();
    }
}

/// The GPU cannot refuse a token; what TensorFlow does on a GPU is done here: it reads as zeros.
#[test]
fn tokens_without_a_row_read_as_zeros() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let gpu = &opened.gpu;
        let table = Random::new(4).array2((9, 4), 1.0);
        let model = |table: &Array2<f32>| {
            let embedding = Embedding::new(table.nrows(), 4).with_embeddings(table.clone()).unwrap();
            let lstm = Lstm::new(4, 5).return_sequences(true);
            let model = Model::builder().add(embedding).add(lstm).build();
            model.unwrap().on(&opened.device).unwrap()
        };
        let tokens = array![[8, 0, 9, 3], [-1, i32::MAX, i32::MIN, 1]];
        let got = run(
            gpu,
            &model(&table).workspace(2, 4).unwrap(),
            &Input::Tokens(tokens.clone()),
        );
        // a table with one row more, of zeros
        let longer = concatenate![Axis(0), table, Array2::zeros((1, 4))];
        let known = tokens.mapv(|token| if (0..9).contains(&token) { token } else { 9 });
        let want = model(&longer).run(&Sequences::from(known)).unwrap();
        assert_close("tokens", got.view(), want.values(), 1e-5, 1e-5);
        opened.assert_quiet();
    }
}

#[test]
fn what_only_the_host_can_do_is_refused() {
    let refused = |error: Error, parts: &[&str]| {
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        let text = error.to_string();
        parts
            .iter()
            .for_each(|part| assert!(text.contains(part), "{part:?} is not in {text}"));
    };
    let on_cpu = lstm(&Device::cpu());
    refused(on_cpu.workspace(1, 1).unwrap_err(), &["CPU", "`run`", "Gpu::from_wgpu"]);
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        for kind in kinds(3, 5) {
            let error = kind.on(&opened.device).runner().workspace(2, 3).err();
            match (kind.name.as_str(), error) {
                ("Masking", Some(error)) => refused(error, &["Masking", "set_mask"]),
                ("Embedding, mask_zero true", Some(error)) => refused(error, &["mask_zero(false)", "set_lengths"]),
                (name, error) => assert!(error.is_none(), "{name}: {error:?}"),
            }
        }
        let model = cellstate::Model::builder()
            .add(Lstm::new(3, 4).return_sequences(true))
            .add(cellstate::Masking::new(0.0))
            .add(Lstm::new(4, 2));
        let two_sections = model.build().unwrap().on(&opened.device).unwrap();
        refused(two_sections.workspace(2, 3).unwrap_err(), &["Masking", "`run`"]);
        let masking = cellstate::Model::builder()
            .add(cellstate::Masking::new(0.0))
            .build()
            .unwrap();
        refused(
            masking.on(&opened.device).unwrap().workspace(2, 3).unwrap_err(),
            &["nothing", "`run`"],
        );
        let team = Settings::new().strategy(Strategy::Team);
        let model = cellstate::Model::builder().add(Lstm::new(3, 8)).build().unwrap();
        if let Ok(runner) = model.on_with(&opened.device, &team) {
            refused(runner.workspace(2, 3).unwrap_err(), &["team", "settings"]);
        }
        let runner = lstm(&opened.device);
        for (batch, time_steps) in [(1 << 31, 100), (usize::MAX, usize::MAX), (1 << 30, 1)] {
            let error = runner.workspace(batch, time_steps).unwrap_err();
            assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        }
        opened.assert_quiet();
    }
}
