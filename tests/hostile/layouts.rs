//! Arrays that do not lie in memory row by row give what their copies give.

use cellstate::{Dense, Embedding, Lstm, Model, Runner, Sequences, State, States};
use ndarray::{Array, Array1, Array2, Array3, Dimension, ShapeBuilder, Slice};

use super::devices::devices;
use super::support::{judge::assert_close, random::Random};

/// The same array in another layout.
type Layout = (&'static str, fn(usize) -> isize, bool);

/// Step along each axis, and whether the first axis is the fastest.
const LAYOUTS: [Layout; 6] = [
    ("row by row", |_| 1, false),
    ("column by column", |_| 1, true),
    ("every axis backwards", |_| -1, false),
    ("backwards and column by column", |_| -1, true),
    ("every third value", |_| 3, false),
    ("mixed", |axis| [-2, 3, -1][axis], true),
];

/// A copy of `array` that lies in memory as `layout` says.
fn laid_out<A: Copy + Default, D: Dimension>(array: &Array<A, D>, (_, step, first_fastest): Layout) -> Array<A, D> {
    let mut shape = array.raw_dim();
    for axis in 0..shape.ndim() {
        shape[axis] = (shape[axis] * step(axis).unsigned_abs()).max(1);
    }
    let mut memory = Array::default(shape.set_f(first_fastest));
    for axis in 0..memory.ndim() {
        memory.slice_axis_inplace(ndarray::Axis(axis), Slice::new(0, None, step(axis)));
    }
    memory.assign(array);
    memory
}

/// What the layouts must not change: the outputs and the final states.
fn ran(runner: &Runner, sequences: &Sequences<'_>, mut states: States) -> Vec<ndarray::ArrayD<f32>> {
    let output = runner.run_from(sequences, &mut states).unwrap();
    let states = states.iter().flat_map(|state| {
        [
            state.hidden().to_owned().into_dyn(),
            state.cell().unwrap().to_owned().into_dyn(),
        ]
    });
    std::iter::once(output.values().to_owned()).chain(states).collect()
}

#[track_caller]
fn assert_alike(name: &str, got: &[ndarray::ArrayD<f32>], want: &[ndarray::ArrayD<f32>]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert_close(name, got.view(), want.view(), 1e-6, 1e-6);
    }
}

struct Weights {
    kernel: Array2<f32>,
    recurrent_kernel: Array2<f32>,
    bias: Array1<f32>,
    dense: Array2<f32>,
    dense_bias: Array1<f32>,
    table: Array2<f32>,
}

fn model(weights: &Weights, layout: Layout, tokens: bool) -> Model {
    let two = |array: &Array2<f32>| laid_out(array, layout);
    let one = |array: &Array1<f32>| Some(laid_out(array, layout));
    let lstm = Lstm::new(3, 5).return_sequences(true).with_weights(
        two(&weights.kernel),
        two(&weights.recurrent_kernel),
        one(&weights.bias),
    );
    let dense = Dense::new(5, 2).with_weights(two(&weights.dense), one(&weights.dense_bias));
    let builder = Model::builder();
    let builder = match tokens {
        true => builder.add(Embedding::new(7, 3).with_embeddings(two(&weights.table)).unwrap()),
        false => builder,
    };
    builder.add(lstm.unwrap()).add(dense.unwrap()).build().unwrap()
}

#[test]
fn the_layout_of_inputs_weights_masks_and_states_changes_nothing() {
    let random = &mut Random::new(3);
    let weights = Weights {
        kernel: random.array2((3, 20), 1.0),
        recurrent_kernel: random.array2((5, 20), 0.6),
        bias: random.array1(20, 0.5),
        dense: random.array2((5, 2), 1.0),
        dense_bias: random.array1(2, 0.5),
        table: random.array2((7, 3), 1.0),
    };
    let input: Array3<f32> = random.array3((6, 9, 3), 1.0);
    let tokens = Array2::from_shape_simple_fn((6, 9), || random.below(7) as i32);
    let mask = Array2::from_shape_simple_fn((6, 9), || random.below(3) > 0);
    let state = random.state(6, 5);
    let states = |runner: &Runner, layout: Layout| {
        let mut states = runner.zero_state(6);
        states[0] = State::with_cell(laid_out(&state.0, layout), laid_out(&state.1, layout)).unwrap();
        states
    };
    for device in devices() {
        for with_tokens in [false, true] {
            let plain = model(&weights, LAYOUTS[0], with_tokens).on(&device).unwrap();
            let batch = |layout: Layout| -> Sequences<'static> {
                let batch = match with_tokens {
                    true => Sequences::from(laid_out(&tokens, layout)),
                    false => Sequences::from(laid_out(&input, layout)),
                };
                batch.with_mask(laid_out(&mask, layout)).unwrap()
            };
            let want = ran(&plain, &batch(LAYOUTS[0]), states(&plain, LAYOUTS[0]));
            for layout in LAYOUTS {
                let name = format!("{}, tokens {with_tokens}, {}", device.name(), layout.0);
                let got = ran(&plain, &batch(layout), states(&plain, LAYOUTS[0]));
                assert_alike(&format!("{name}: input and mask"), &got, &want);
                let got = ran(&plain, &batch(LAYOUTS[0]), states(&plain, layout));
                assert_alike(&format!("{name}: states"), &got, &want);
                let other = model(&weights, layout, with_tokens).on(&device).unwrap();
                let got = ran(&other, &batch(layout), states(&other, layout));
                assert_alike(&format!("{name}: everything"), &got, &want);
            }
        }
    }
}
