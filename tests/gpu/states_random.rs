//! Random models and masks, in chunks from states on the GPU: what the whole gives, by each strategy that an encoder takes.

use cellstate::{Device, Error, Gpu, GpuStates, Settings, States, Strategy};
use ndarray::{Array2, Axis, concatenate};
use proptest::test_runner::{Config, TestRunner};

use super::adapters::{adapters, open_alone};
use super::encode::{ANY, buffer, encoder, read, write};
use super::made::{Cells, Layers, Made, make, sizes};
use super::models::{OnDevice, Ran, assert_ran_close, pair, sequences};

/// How a chunk is run.
#[derive(Clone, Copy, Debug)]
enum Way {
    Run,
    Encode,
    EncodeByMaskOfGpu,
    EncodeByLengthsOfGpu,
}

const WAYS: [Way; 4] = [Way::Run, Way::Encode, Way::EncodeByMaskOfGpu, Way::EncodeByLengthsOfGpu];

/// The lengths, if the mask is padding at the end alone.
fn lengths(mask: &Array2<bool>) -> Option<Vec<u32>> {
    let length = |row: ndarray::ArrayView1<'_, bool>| {
        let length = row.iter().take_while(|&&counts| counts).count();
        row.iter().skip(length).all(|&counts| !counts).then_some(length as u32)
    };
    mask.outer_iter().map(length).collect()
}

/// Runs a chunk; `None` where this way does not take it.
fn run(gpu: &Gpu, on: &OnDevice, chunk: &Made, states: &mut GpuStates, way: Way) -> Option<Ran> {
    let (batch, time_steps, _) = chunk.input.dim();
    let ran = |values, backward, rows_run, states: &GpuStates| Ran {
        values,
        backward,
        states: states.read().unwrap().iter().map(pair).collect(),
        rows_run,
    };
    let input = chunk.input();
    if let Way::Run = way {
        let batch = sequences(&input, chunk.mask.as_ref()).unwrap();
        let output = on.runner().run_from_gpu(&batch, states).unwrap();
        let backward = output.backward().map(|values| values.to_owned());
        return Some(ran(output.values().to_owned(), backward, output.rows_run(), states));
    }
    let mut workspace = match on.runner().workspace(batch, time_steps) {
        Err(Error::Unsupported { .. }) => return None, // no teams in here
        workspace => workspace.unwrap(),
    };
    let told = buffer(gpu, 256, ANY);
    let is_set = match way {
        Way::EncodeByMaskOfGpu => {
            let mut bytes: Vec<u8> = chunk.full_mask().iter().map(|&counts| u8::from(counts)).collect();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            gpu.queue().write_buffer(&told, 0, &bytes);
            workspace.set_mask_from(&told, 0)
        }
        Way::EncodeByLengthsOfGpu => {
            let lengths = lengths(&chunk.full_mask())?;
            gpu.queue().write_buffer(&told, 0, bytemuck::cast_slice(&lengths));
            workspace.set_lengths_from(&told, 0)
        }
        _ => workspace.set_mask(chunk.full_mask()),
    };
    match is_set {
        Err(Error::Unsupported { .. }) => return None, // a strategy by name that cannot
        set => set.unwrap(),
    }
    write(gpu, &workspace.input_binding(), &input);
    let mut encoder = encoder(gpu);
    workspace.encode_from(&mut encoder, states).unwrap();
    gpu.queue().submit([encoder.finish()]);
    let shape = workspace.output_shape().to_vec();
    let backward = workspace.backward_binding();
    Some(ran(
        read(gpu, &workspace.output_binding(), &shape),
        backward.map(|binding| read(gpu, &binding, &shape)),
        workspace.rows_run(),
        states,
    ))
}

/// States on the GPU; `None` for a model in sections, which is refused.
fn on_gpu(on: &OnDevice, states: &States) -> Option<GpuStates> {
    match on.runner().gpu_states(states) {
        Err(Error::Unsupported { .. }) => None,
        states => Some(states.unwrap()),
    }
}

/// Tries a property on random models, by every way and strategy.
fn every_case(
    layers: Layers,
    property: impl Fn(&str, &Made, &OnDevice, &dyn Fn(&Made, &mut GpuStates) -> Option<Ran>),
) {
    for adapter in adapters() {
        let opened = open_alone(&adapter);
        for (cells, cases) in [(Cells::Lstm, 6), (Cells::Every, 4)] {
            let config = Config {
                cases,
                failure_persistence: None,
                ..Config::default()
            };
            let result = TestRunner::new(config).run(&sizes(), |sizes| {
                let made = make(sizes, layers, cells);
                for strategy in [Strategy::Step, Strategy::Solo, Strategy::Team] {
                    let settings = Settings::new().strategy(strategy);
                    let on = match OnDevice::with(&made.layers, &opened.device, &settings) {
                        Err(Error::Unsupported { .. }) => continue,
                        on => on.unwrap(),
                    };
                    for way in WAYS {
                        let name = format!("{}, {strategy}, {way:?}", opened.gpu.name());
                        let run = |chunk: &Made, states: &mut GpuStates| run(&opened.gpu, &on, chunk, states, way);
                        property(&name, &made, &on, &run);
                    }
                }
                Ok(())
            });
            if let Err(error) = result {
                panic!("{cells:?}: {error}");
            }
        }
        opened.assert_quiet();
    }
}

/// The two chunks before and from a time step on.
fn cut(made: &Made, at: usize) -> [Made; 2] {
    let time_steps = made.input.len_of(Axis(1));
    [0..at, at..time_steps].map(|steps| made.steps(&steps.collect::<Vec<_>>()))
}

/// Chunk by chunk the outputs and states of the CPU, masked steps before the first one that counts included.
#[test]
fn each_chunk_is_that_of_the_host() {
    every_case(Layers::Any, |name, made, on, run| {
        let cpu = OnDevice::new(&made.layers, &Device::cpu()).unwrap();
        let (batch, time_steps, _) = made.input.dim();
        let mut states = cpu.states(batch, &made.initial);
        let Some(mut on_gpu) = on_gpu(on, &states) else { return };
        for chunk in cut(made, time_steps / 2) {
            let Some(got) = run(&chunk, &mut on_gpu) else { return };
            let want = cpu.run_from(&chunk.input(), chunk.mask.as_ref(), &mut states).unwrap();
            let want = Ran {
                values: want.values().to_owned(),
                backward: want.backward().map(|values| values.to_owned()),
                states: states.iter().map(pair).collect(),
                rows_run: want.rows_run(),
            };
            assert_ran_close(name, &got, &want);
        }
    });
}

#[test]
fn chunks_are_the_whole() {
    every_case(Layers::Causal, |name, made, on, run| {
        let cpu = OnDevice::new(&made.layers, &Device::cpu()).unwrap();
        let (batch, time_steps, _) = made.input.dim();
        let whole = made.ran(&cpu);
        let states = on.states(batch, &made.initial);
        for at in [1, time_steps / 2] {
            let Some(mut on_gpu) = on_gpu(on, &states) else { return };
            let [first, second] = cut(made, at.min(time_steps));
            let (Some(one), Some(two)) = (run(&first, &mut on_gpu), run(&second, &mut on_gpu)) else {
                return;
            };
            let mut values = concatenate(Axis(1), &[one.values.view(), two.values.view()]).unwrap();
            // a masked step repeats the output before it, which the second chunk does not know at its beginning
            let mask = made.full_mask();
            for (index, value) in values.indexed_iter_mut() {
                if !mask[[index[0], index[1]]] {
                    *value = whole.values[index];
                }
            }
            assert_ran_close(name, &Ran { values, ..two }, &whole);
        }
    });
}
