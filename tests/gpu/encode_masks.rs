//! Masks that only the GPU knows: the same meaning as those of the host, whatever stands in the padding.

use cellstate::{
    Activation, BatchNormalization, Bidirectional, Dense, Device, EndMask, Error, Flatten, Gru, LastStep,
    LayerNormalization, Lstm, Model, Reshape, Runner, Sequences, Settings, SimpleRnn, Strategy,
};
use ndarray::{Array2, ArrayD};

use super::adapters::{adapters, floor, open, open_alone};
use super::encode::{ANY, buffer, devices_of, encoder, lstm, ran, read, run, spoil, taken, values, write};
use super::support::golden::Input;
use super::support::judge::assert_close;

/// A buffer with something in front of what a workspace reads.
const OFFSET: u64 = 256;

fn write_mask(gpu: &cellstate::Gpu, to: &wgpu::Buffer, mask: &Array2<bool>) {
    // any byte but 0 counts, and what is behind the last one does not
    let mut bytes: Vec<u8> = (0..)
        .zip(mask)
        .map(|(place, &counts)| u8::from(counts) << (place % 8))
        .collect();
    bytes.resize(bytes.len().next_multiple_of(4), 0xff);
    gpu.queue().write_buffer(to, OFFSET, &bytes);
}

fn write_lengths(gpu: &cellstate::Gpu, to: &wgpu::Buffer, lengths: &[u32]) {
    gpu.queue().write_buffer(to, OFFSET, bytemuck::cast_slice(lengths));
}

fn of_lengths(lengths: &[u32], time_steps: usize) -> Array2<bool> {
    Array2::from_shape_fn((lengths.len(), time_steps), |(row, step)| step < lengths[row] as usize)
}

fn spoilt(mut input: Input, mask: &Array2<bool>) -> Input {
    spoil(&mut input, Some(mask));
    if let Input::Tokens(tokens) = &mut input {
        let padding = tokens.indexed_iter_mut().filter(|(place, _)| !mask[*place]);
        padding.for_each(|(_, token)| *token = -1);
    }
    input
}

#[track_caller]
fn agree(name: &str, got: &ArrayD<f32>, want: &ArrayD<f32>) {
    assert_close(name, got.view(), want.view(), 1e-5, 1e-5);
    assert!(got.iter().all(|value| value.is_finite()), "{name}: {got}");
}

#[test]
fn a_mask_on_the_gpu_means_what_one_of_the_host_means() {
    const SIZES: [(usize, usize); 5] = [(4, 9), (1, 1), (0, 5), (2, 0), (5, 23)];
    for adapter in adapters() {
        for opened in devices_of(&adapter) {
            let gpu = &opened.gpu;
            for kind in taken() {
                let (on, cpu) = (kind.on(&opened.device), kind.on(&Device::cpu()));
                for (batch, time_steps) in SIZES {
                    let mut workspace = on.runner().workspace(batch, time_steps).unwrap();
                    let told = buffer(gpu, OFFSET + 1024, ANY);
                    workspace.set_mask_from(&told, OFFSET).unwrap();
                    let made = opened.made();
                    for seed in 1..4 {
                        let name = format!("{}: {}, {batch} × {time_steps}, seed {seed}", gpu.name(), kind.name);
                        let play = kind.batch(batch, time_steps, seed);
                        let mask = play.mask.unwrap();
                        let input = spoilt(play.input, &mask);
                        write_mask(gpu, &told, &mask);
                        let got = run(gpu, &workspace, &input);
                        let want = cpu.run(&input, Some(&mask)).unwrap();
                        agree(&name, &got, &want.values().to_owned());
                        if let (Some(got), Some(want)) = (workspace.backward_binding(), want.backward()) {
                            agree(&name, &read(gpu, &got, want.shape()), &want.to_owned());
                        }
                    }
                    // the host has set nothing since
                    assert_eq!(opened.made(), made, "{}", kind.name);
                    workspace.set_lengths_from(&told, OFFSET).unwrap();
                    for shift in 0..3 {
                        let name = format!("{}: {}, {batch} × {time_steps}, shift {shift}", gpu.name(), kind.name);
                        let length = |row: u32| (row * 5 + shift * 3) % (time_steps as u32 + 2);
                        let lengths: Vec<u32> = (0..batch as u32).map(length).collect();
                        let mask = of_lengths(&lengths, time_steps);
                        let input = spoilt(kind.batch(batch, time_steps, 9).input, &mask);
                        write_lengths(gpu, &told, &lengths);
                        let got = run(gpu, &workspace, &input);
                        agree(&name, &got, &cpu.run(&input, Some(&mask)).unwrap().values().to_owned());
                    }
                }
            }
            opened.assert_quiet();
        }
    }
}

/// Cells of every sort, by whole rows too, both directions and stacks, with outputs that are zero where they do not count.
#[test]
fn every_cell_is_carried() {
    let models = |device: &Device| -> Vec<(&'static str, Runner)> {
        let sequences = true;
        let model = |name, builder: cellstate::ModelBuilder| (name, builder.build().unwrap().on(device).unwrap());
        vec![
            model("GRU", Model::builder().add(Gru::new(3, 6).return_sequences(sequences))),
            model(
                "GRU, reset before",
                Model::builder().add(Gru::new(3, 6).reset_after(false).return_sequences(sequences)),
            ),
            model(
                "SimpleRNN backwards",
                Model::builder().add(SimpleRnn::new(3, 5).go_backwards(true).return_sequences(sequences)),
            ),
            model(
                "LSTM with a projection",
                Model::builder().add(
                    Lstm::new(3, 8)
                        .projection(3)
                        .peepholes(true)
                        .return_sequences(sequences),
                ),
            ),
            model(
                "zeros, then Dense",
                Model::builder()
                    .add(Lstm::new(3, 7).zero_output_for_mask(true).return_sequences(sequences))
                    .add(Dense::new(7, 2)),
            ),
            model(
                "the last, zero",
                Model::builder().add(Lstm::new(3, 7).zero_output_for_mask(true)),
            ),
            model(
                "both directions, then backwards",
                Model::builder()
                    .add(Bidirectional::new(Gru::new(3, 5).return_sequences(sequences)))
                    .add(Lstm::new(10, 4).go_backwards(true).return_sequences(sequences))
                    .add(SimpleRnn::new(4, 3)),
            ),
            model(
                "repeated, where all steps count",
                Model::builder()
                    .add(Lstm::new(3, 4))
                    .add(cellstate::RepeatVector::new(6))
                    .add(Gru::new(4, 5).return_sequences(sequences)),
            ),
            model(
                "normalised, then the last step, zero",
                Model::builder()
                    .add(BatchNormalization::new(3))
                    .add(Lstm::new(3, 7).zero_output_for_mask(true).return_sequences(sequences))
                    .add(LayerNormalization::new(7).epsilon(0.1))
                    .add(Activation::Softmax)
                    .add(LastStep::new()),
            ),
            model(
                "the mask ends",
                Model::builder()
                    .add(Lstm::new(3, 7).return_sequences(true))
                    .add(EndMask::new())
                    .add(Gru::new(7, 5).return_sequences(sequences)),
            ),
            model(
                "flattened, and steps that all count",
                Model::builder()
                    .add(Bidirectional::new(Gru::new(3, 2).return_sequences(sequences)))
                    .add(Reshape::new([11, 4], [4, 11]))
                    .add(Lstm::new(11, 3).return_sequences(sequences))
                    .add(Flatten::new(4, 3))
                    .add(Dense::new(12, 5)),
            ),
        ]
    };
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let gpu = &opened.gpu;
        for ((name, on), (_, cpu)) in models(&opened.device).into_iter().zip(models(&Device::cpu())) {
            let mut workspace = on.workspace(4, 11).unwrap();
            let told = buffer(gpu, OFFSET + 1024, ANY);
            workspace.set_mask_from(&told, OFFSET).unwrap();
            for seed in 0..3 {
                let hole = |(row, step): (usize, usize)| (row * 3 + step * 5 + seed) % 7 > 2 && row != seed;
                let mask = Array2::from_shape_fn((4, 11), hole);
                let input = spoilt(Input::Values(values((4, 11), seed as u64)), &mask);
                write_mask(gpu, &told, &mask);
                let got = run(gpu, &workspace, &input);
                let Input::Values(input) = &input else { continue };
                let want = cpu.run(&Sequences::from(input).with_mask(mask).unwrap()).unwrap();
                agree(name, &got, &want.values().to_owned());
            }
        }
        opened.assert_quiet();
    }
}

/// Masks of the host and of the GPU take turns, and lengths that a frame writes are those that the frame runs by.
#[test]
fn masks_take_turns_within_an_encoder() {
    for adapter in adapters() {
        let opened = open_alone(&adapter);
        let (gpu, runner) = (&opened.gpu, lstm(&opened.device));
        let input = values((3, 7), 2);
        let mut workspace = runner.workspace(3, 7).unwrap();
        write(gpu, &workspace.input_binding(), &Input::Values(input.clone()));
        let bytes = (workspace.output().size()).next_multiple_of(256);
        let all = buffer(gpu, 4 * bytes, ANY);
        let (first, second) = (buffer(gpu, 12, ANY), buffer(gpu, 12, ANY));
        gpu.queue()
            .write_buffer(&first, 0, bytemuck::cast_slice(&[7_u32, 0, 3]));
        gpu.queue()
            .write_buffer(&second, 0, bytemuck::cast_slice(&[1_u32, 2, u32::MAX]));
        let told = buffer(gpu, 12, ANY);
        let mut encoder = encoder(gpu);
        let encode = |workspace: &mut cellstate::GpuWorkspace, number: u64, encoder: &mut wgpu::CommandEncoder| {
            workspace.set_output(&all, number * bytes).unwrap();
            workspace.encode(encoder).unwrap();
        };
        workspace.set_lengths_from(&told, 0).unwrap();
        encoder.copy_buffer_to_buffer(&first, 0, &told, 0, 12);
        encode(&mut workspace, 0, &mut encoder);
        encoder.copy_buffer_to_buffer(&second, 0, &told, 0, 12);
        encode(&mut workspace, 1, &mut encoder);
        workspace.set_lengths(&[2, 2, 5]).unwrap();
        assert_eq!(workspace.rows_run(), 9);
        encode(&mut workspace, 2, &mut encoder);
        workspace.set_lengths_from(&first, 0).unwrap();
        assert_eq!(workspace.rows_run(), 21);
        encode(&mut workspace, 3, &mut encoder);
        gpu.queue().submit([encoder.finish()]);
        let shape = workspace.output_shape();
        for (number, lengths) in (0..).zip([[7, 0, 3], [1, 2, 7], [2, 2, 5], [7, 0, 3]]) {
            let got = wgpu::BufferBinding {
                buffer: &all,
                offset: number * bytes,
                size: None,
            };
            agree("in turn", &read(gpu, &got, shape), &ran(&runner, &input, &lengths));
        }
        opened.assert_quiet();
    }
}

#[test]
fn wrong_masks_are_refused_and_change_nothing() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let (gpu, runner) = (&opened.gpu, lstm(&opened.device));
        let mut workspace = runner.workspace(3, 7).unwrap();
        workspace.set_lengths(&[1, 2, 3]).unwrap();
        let all = buffer(gpu, 4096, ANY);
        workspace.set_output(&all, 1024).unwrap();
        let refused = |error: Error, parts: &[&str]| {
            let text = error.to_string();
            parts
                .iter()
                .for_each(|part| assert!(text.contains(part), "{part:?} is not in {text}"));
        };
        let error = workspace.set_mask_from(&all, 1024 + 256).unwrap_err();
        refused(error, &["bytes of the mask", "output", "1024..2704", "1280..1304"]);
        let error = workspace.set_lengths_from(&all, 4).unwrap_err();
        refused(error, &["offset of the lengths", "multiple of 256"]);
        let short = buffer(gpu, 20, ANY);
        refused(
            workspace.set_mask_from(&short, 0).unwrap_err(),
            &["24 bytes", "[3, 7]", "20 bytes"],
        );
        let copied = buffer(gpu, 4096, wgpu::BufferUsages::COPY_DST);
        refused(workspace.set_lengths_from(&copied, 0).unwrap_err(), &["STORAGE"]);
        assert_eq!(workspace.rows_run(), 6);
        let solo = Settings::new().strategy(Strategy::Solo);
        let model = Model::builder().add(Lstm::new(3, 8)).build().unwrap();
        let solo = model.on_with(&opened.device, &solo).unwrap();
        let error = solo.workspace(3, 7).unwrap().set_lengths_from(&all, 0).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }));
        refused(error, &["solo", "settings"]);
        workspace.set_mask_from(&all, 256).unwrap();
        refused(
            workspace.set_output(&all, 256).unwrap_err(),
            &["bytes of the output", "mask", "256..280"],
        );
        opened.assert_quiet();
    }
}
