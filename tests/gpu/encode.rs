//! Models within the application's own commands: they give what `run` gives, whatever is encoded when, and make nothing.

use std::thread;

use cellstate::{Device, Error, Gpu, GpuWorkspace, Lstm, Runner, Settings, Strategy};
use ndarray::{Array2, Array3, ArrayD, ArrayViewD, IxDyn, s};

use super::adapters::{Opened, adapters, floor, open, open_alone};
use super::models::{OnDevice, sequences};
use super::support::golden::Input;
use super::support::judge::{assert_close, assert_same_bits};
use super::support::random::Random;
use super::zoo::{Kind, kinds};

pub(crate) fn encoder(gpu: &Gpu) -> wgpu::CommandEncoder {
    gpu.device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
}

/// A buffer of the application.
pub(crate) fn buffer(gpu: &Gpu, bytes: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("application"),
        size: bytes.max(4),
        usage,
        mapped_at_creation: false,
    })
}

pub(crate) const ANY: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
    .union(wgpu::BufferUsages::COPY_SRC)
    .union(wgpu::BufferUsages::COPY_DST);

/// Writes a batch to where a workspace reads it.
pub(crate) fn write(gpu: &Gpu, to: &wgpu::BufferBinding<'_>, input: &Input) {
    let bytes: Vec<u8> = match input {
        Input::Values(values) => values.iter().flat_map(|value| value.to_ne_bytes()).collect(),
        Input::Tokens(tokens) => tokens.iter().flat_map(|token| token.to_ne_bytes()).collect(),
    };
    gpu.queue().write_buffer(to.buffer, to.offset, &bytes);
}

/// Reads values from where a workspace has left them, once all that was submitted has run.
pub(crate) fn read(gpu: &Gpu, from: &wgpu::BufferBinding<'_>, shape: &[usize]) -> ArrayD<f32> {
    let count: usize = shape.iter().product();
    let bytes = 4 * count as u64;
    let staging = buffer(gpu, bytes, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
    let mut encoder = encoder(gpu);
    if bytes > 0 {
        encoder.copy_buffer_to_buffer(from.buffer, from.offset, &staging, 0, bytes);
    }
    gpu.queue().submit([encoder.finish()]);
    staging
        .slice(..)
        .map_async(wgpu::MapMode::Read, |mapped| mapped.unwrap());
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let view = staging.slice(..).get_mapped_range().unwrap();
    let values: &[f32] = bytemuck::cast_slice(&view);
    ArrayD::from_shape_vec(IxDyn(shape), values[..count].to_vec()).unwrap()
}

pub(crate) fn output(gpu: &Gpu, workspace: &GpuWorkspace) -> ArrayD<f32> {
    read(gpu, &workspace.output_binding(), workspace.output_shape())
}

/// What a run of a workspace gives for a batch that is written to its input.
pub(crate) fn run(gpu: &Gpu, workspace: &GpuWorkspace, input: &Input) -> ArrayD<f32> {
    write(gpu, &workspace.input_binding(), input);
    let mut encoder = encoder(gpu);
    workspace.encode(&mut encoder).unwrap();
    gpu.queue().submit([encoder.finish()]);
    output(gpu, workspace)
}

/// The models of the zoo that a workspace takes: those whose masks the host need not read off the values.
pub(crate) fn taken() -> Vec<Kind> {
    let all = kinds(3, 5).into_iter();
    all.filter(|kind| !["Masking", "Embedding, mask_zero true"].contains(&kind.name.as_str()))
        .collect()
}

/// The same where `run` took the same way; a team sums in another order.
#[track_caller]
fn assert_same(name: &str, runner: &Runner, size: (usize, usize), got: ArrayViewD<'_, f32>, want: ArrayViewD<'_, f32>) {
    let explained = runner.explain(size.0, size.1).unwrap();
    match explained.strategies().contains(&Strategy::Team) {
        true => drop(assert_close(name, got.view(), want, 1e-5, 1e-5)),
        false => assert_same_bits(name, got.view(), want),
    }
    assert!(got.iter().all(|value| value.is_finite()), "{name}: {got}");
}

/// Spoils the steps that do not count.
pub(crate) fn spoil(input: &mut Input, mask: Option<&Array2<bool>>) {
    if let (Input::Values(values), Some(mask)) = (input, mask) {
        for ((sequence, time_step), _) in mask.indexed_iter().filter(|(_, counts)| !**counts) {
            values.slice_mut(s![sequence, time_step, ..]).fill(f32::NAN);
        }
    }
}

/// Devices with limits and features of every sort: parameters in a uniform, parameters within the commands, small bindings.
pub(crate) fn devices_of(adapter: &wgpu::Adapter) -> Vec<Opened> {
    let small = wgpu::Limits {
        max_storage_buffer_binding_size: 2 << 10,
        ..floor()
    };
    vec![open(adapter, floor()), open_alone(adapter), open(adapter, small)]
}

/// Whether an error has all of these texts.
#[track_caller]
pub(crate) fn says(error: &Error, parts: &[&str]) {
    let text = error.to_string();
    parts
        .iter()
        .for_each(|part| assert!(text.contains(part), "{part:?} is not in {text}"));
}

#[test]
fn a_workspace_gives_what_run_gives() {
    const SIZES: [(usize, usize); 5] = [(4, 9), (1, 1), (0, 5), (2, 0), (7, 40)];
    for adapter in adapters() {
        for opened in devices_of(&adapter) {
            for kind in taken() {
                let on = kind.on(&opened.device);
                for size in SIZES {
                    let mut workspace = on.runner().workspace(size.0, size.1).unwrap();
                    for seed in 0..3 {
                        let name = format!("{}: {}, {size:?}, seed {seed}", opened.gpu.name(), kind.name);
                        let mut batch = kind.batch(size.0, size.1, seed);
                        spoil(&mut batch.input, batch.mask.as_ref());
                        if let Some(mask) = &batch.mask {
                            workspace.set_mask(mask.clone()).unwrap();
                        }
                        let got = run(&opened.gpu, &workspace, &batch.input);
                        let want = on.run(&batch.input, batch.mask.as_ref()).unwrap();
                        assert_eq!(workspace.rows_run(), want.rows_run(), "{name}");
                        assert_eq!(workspace.output_shape(), want.values().shape(), "{name}");
                        assert_same(&name, on.runner(), size, got.view(), want.values());
                        assert_eq!(workspace.backward().is_some(), want.backward().is_some(), "{name}");
                        if let (Some(binding), Some(want)) = (workspace.backward_binding(), want.backward()) {
                            let got = read(&opened.gpu, &binding, want.shape());
                            assert_same(&name, on.runner(), size, got.view(), want);
                        }
                    }
                }
            }
            opened.assert_quiet();
        }
    }
}

#[test]
fn the_cpu_agrees() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        for kind in taken() {
            let (gpu, cpu) = (kind.on(&opened.device), kind.on(&Device::cpu()));
            let batch = kind.batch(5, 11, 2);
            let mut workspace = gpu.runner().workspace(5, 11).unwrap();
            workspace.set_mask(batch.mask.clone().unwrap()).unwrap();
            let got = run(&opened.gpu, &workspace, &batch.input);
            let want = cpu.run(&batch.input, batch.mask.as_ref()).unwrap();
            assert_close(&kind.name, got.view(), want.values(), 1e-5, 1e-5);
        }
    }
}

pub(crate) fn lstm(device: &Device) -> Runner {
    Lstm::new(3, 20).return_sequences(true).on(device).unwrap()
}

pub(crate) fn values(size: (usize, usize), seed: u64) -> Array3<f32> {
    Random::new(seed).array3((size.0, size.1, 3), 1.0)
}

pub(crate) fn ran(runner: &Runner, input: &Array3<f32>, lengths: &[usize]) -> ArrayD<f32> {
    let batch = cellstate::Sequences::from(input).with_lengths(lengths).unwrap();
    runner.run(&batch).unwrap().values().to_owned()
}

/// One workspace, several times in one encoder and several encoders, by schedules of its own each time; and encoders that are
/// submitted in another order than they were filled.
#[test]
fn what_was_encoded_keeps_its_schedule_and_its_buffers() {
    const LENGTHS: [[usize; 4]; 5] = [[9, 9, 9, 9], [9, 1, 0, 3], [2, 2, 2, 2], [0, 0, 0, 0], [1, 9, 9, 4]];
    for adapter in adapters() {
        for opened in devices_of(&adapter) {
            let (gpu, runner) = (&opened.gpu, lstm(&opened.device));
            let input = values((4, 9), 1);
            let mut workspace = runner.workspace(4, 9).unwrap();
            write(gpu, &workspace.input_binding(), &Input::Values(input.clone()));
            let shape = workspace.output_shape().to_vec();
            let bytes = (4 * shape.iter().product::<usize>()).next_multiple_of(256) as u64;
            let all = buffer(gpu, bytes * LENGTHS.len() as u64, ANY);
            for order in [[0, 0, 0, 0, 0], [0, 0, 1, 1, 1], [4, 3, 2, 1, 0]] {
                let mut encoders: Vec<_> = (0..LENGTHS.len()).map(|_| encoder(gpu)).collect();
                for (number, lengths) in LENGTHS.iter().enumerate() {
                    workspace.set_output(&all, bytes * number as u64).unwrap();
                    workspace.set_lengths(lengths).unwrap();
                    workspace.encode(&mut encoders[order[number]]).unwrap();
                }
                gpu.queue()
                    .submit(encoders.into_iter().map(wgpu::CommandEncoder::finish));
                for (number, lengths) in LENGTHS.iter().enumerate() {
                    let got = wgpu::BufferBinding {
                        buffer: &all,
                        offset: bytes * number as u64,
                        size: None,
                    };
                    let got = read(gpu, &got, &shape);
                    let name = format!("{}: {lengths:?} in order {order:?}", gpu.name());
                    assert_same(&name, &runner, (4, 9), got.view(), ran(&runner, &input, lengths).view());
                }
                gpu.queue().write_buffer(&all, 0, &vec![0xff; all.size() as usize]);
            }
            opened.assert_quiet();
        }
    }
}

/// A network behind a network in one encoder: the output of the first is the input of the second.
#[test]
fn several_workspaces_share_an_encoder() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let gpu = &opened.gpu;
        let first = lstm(&opened.device);
        let second = Lstm::new(20, 6).seed(5).on(&opened.device).unwrap();
        let sizes = [(4, 9), (1, 30), (4, 9)];
        let mut encoder = encoder(gpu);
        let mut pairs = Vec::new();
        for (seed, (batch, time_steps)) in (0..).zip(sizes) {
            let before = first.workspace(batch, time_steps).unwrap();
            let mut behind = second.workspace(batch, time_steps).unwrap();
            behind.set_input(before.output(), 0).unwrap();
            let input = values((batch, time_steps), seed);
            write(gpu, &before.input_binding(), &Input::Values(input.clone()));
            before.encode(&mut encoder).unwrap();
            behind.encode(&mut encoder).unwrap();
            pairs.push((input, before, behind));
        }
        gpu.queue().submit([encoder.finish()]);
        for (input, before, behind) in pairs {
            let (batch, time_steps, _) = input.dim();
            let between = first.run(&cellstate::Sequences::from(&input)).unwrap();
            assert_same(
                "first",
                &first,
                (batch, time_steps),
                output(gpu, &before).view(),
                between.values(),
            );
            let between = between.sequences().unwrap();
            let want = second.run(&cellstate::Sequences::from(between)).unwrap();
            assert_same(
                "second",
                &second,
                (batch, time_steps),
                output(gpu, &behind).view(),
                want.values(),
            );
        }
        opened.assert_quiet();
    }
}

/// Each thread with a workspace of its own, and all of them with one that they share.
#[test]
fn threads_encode_at_the_same_time() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let (gpu, runner) = (&opened.gpu, lstm(&opened.device));
        let shared = runner.workspace(2, 6).unwrap();
        let of_shared = values((2, 6), 77);
        write(gpu, &shared.input_binding(), &Input::Values(of_shared.clone()));
        let want_shared = ran(&runner, &of_shared, &[6, 6]);
        thread::scope(|scope| {
            for number in 0..4_usize {
                let (runner, shared, want_shared) = (&runner, &shared, &want_shared);
                scope.spawn(move || {
                    let size = [(3, 7), (1, 12)][number % 2];
                    let input = values(size, number as u64);
                    let mut own = runner.workspace(size.0, size.1).unwrap();
                    let kept = buffer(gpu, shared.output().size(), ANY);
                    for round in 0..6 {
                        let lengths = vec![size.1 - (number + round) % size.1; size.0];
                        own.set_lengths(&lengths).unwrap();
                        write(gpu, &own.input_binding(), &Input::Values(input.clone()));
                        let mut encoder = encoder(gpu);
                        own.encode(&mut encoder).unwrap();
                        shared.encode(&mut encoder).unwrap();
                        encoder.copy_buffer_to_buffer(shared.output(), 0, &kept, 0, None);
                        own.encode(&mut encoder).unwrap();
                        gpu.queue().submit([encoder.finish()]);
                        let want = ran(runner, &input, &lengths);
                        assert_same("own", runner, size, output(gpu, &own).view(), want.view());
                        let got = read(gpu, &kept.as_entire_buffer_binding(), shared.output_shape());
                        assert_same("shared", runner, (2, 6), got.view(), want_shared.view());
                    }
                });
            }
        });
        opened.assert_quiet();
    }
}

/// Encoding makes nothing and sends nothing to the queue; another schedule takes one buffer at most.
#[test]
fn encoding_makes_and_submits_nothing() {
    for adapter in adapters() {
        for opened in devices_of(&adapter) {
            let gpu = &opened.gpu;
            for kind in taken() {
                let on = kind.on(&opened.device);
                let mut workspace = on.runner().workspace(4, 9).unwrap();
                let batch = kind.batch(4, 9, 1);
                write(gpu, &workspace.input_binding(), &batch.input);
                let size = workspace.output().size();
                gpu.queue()
                    .write_buffer(workspace.output(), 0, &vec![0x3f; size as usize]);
                let made = opened.made();
                for _ in 0..3 {
                    let mut encoder = encoder(gpu);
                    workspace.encode(&mut encoder).unwrap();
                    drop(encoder); // never submitted
                }
                assert_eq!(opened.made(), made, "{}", kind.name);
                let untouched = output(gpu, &workspace);
                assert!(
                    untouched.iter().all(|value| value.to_bits() == 0x3f3f_3f3f),
                    "{}",
                    kind.name
                );
                for round in 0..4 {
                    let [buffers, groups, pipelines] = opened.made();
                    let lengths: Vec<usize> = (0..4).map(|row| (row + round) % 10).collect();
                    workspace.set_lengths(&lengths).unwrap();
                    let [then, groups_then, pipelines_then] = opened.made();
                    assert!(then <= buffers + 1, "{}: {} buffers", kind.name, then - buffers);
                    assert_eq!((groups_then, pipelines_then), (groups, pipelines), "{}", kind.name);
                    // nothing was encoded meanwhile, so the memory of the last schedule is free
                    workspace.set_lengths(&[3, 1, 2, 0]).unwrap();
                    workspace.set_lengths(&[3, 1, 2, 0]).unwrap();
                    assert_eq!(opened.made()[0], then, "{}", kind.name);
                    workspace.encode(&mut encoder(gpu)).unwrap();
                }
            }
            opened.assert_quiet();
        }
    }
}

#[test]
fn relaxed_precision_and_named_strategies_run_in_here_too() {
    use cellstate::Precision::{Full, Relaxed};
    for adapter in adapters() {
        let opened = open_alone(&adapter);
        for kind in taken() {
            for precision in [Full, Relaxed] {
                let settings = Settings::new().strategy(Strategy::Step).precision(precision);
                let on = OnDevice::with(&kind.layers, &opened.device, &settings).unwrap();
                let batch = kind.batch(3, 8, 1);
                let mut workspace = on.runner().workspace(3, 8).unwrap();
                workspace.set_mask(batch.mask.clone().unwrap()).unwrap();
                let got = run(&opened.gpu, &workspace, &batch.input);
                let want = on.runner().run(&sequences(&batch.input, batch.mask.as_ref()).unwrap());
                assert_same_bits(&kind.name, got.view(), want.unwrap().values());
            }
        }
    }
}
