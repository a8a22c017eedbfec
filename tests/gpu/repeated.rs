//! A run that is like the one before finds its commands encoded. Whatever is repeated, and whatever changes then, a run gives what
//! it gives alone, bit for bit.

use cellstate::{Bidirectional, Lstm, Model, Output, Sequences, Settings};
use ndarray::Array3;

use super::devices::devices;

const SEQUENCES: usize = 4;
const STEPS: usize = 9;

/// What is run: values by their seed, the steps of the sequences, and whether states are handed from run to run.
type Played = (usize, [usize; SEQUENCES], bool);

const WHOLE: [usize; SEQUENCES] = [STEPS; SEQUENCES];
const SHORT: [usize; SEQUENCES] = [5, 9, 0, 2];

const PLAYED: [Played; 20] = [
    (0, WHOLE, false),
    (0, WHOLE, false),
    (0, WHOLE, false),
    (1, WHOLE, false),
    (2, WHOLE, false),
    (2, SHORT, false),
    (3, SHORT, false),
    (4, SHORT, false),
    (4, WHOLE, false),
    (5, SHORT, false),
    (6, WHOLE, true),
    (7, WHOLE, true),
    (8, WHOLE, true),
    (9, WHOLE, true),
    (9, SHORT, true),
    (8, SHORT, true),
    (7, SHORT, true),
    (6, WHOLE, false),
    (5, WHOLE, false),
    (4, WHOLE, false),
];

fn values(seed: usize) -> Array3<f32> {
    let value = |place: usize| ((place * 7 + seed * 31) % 23) as f32 / 11.5 - 1.0;
    Array3::from_shape_fn((SEQUENCES, STEPS, 3), |(b, t, f)| value(b * 100 + t * 3 + f))
}

#[test]
fn a_run_gives_what_it_gives_alone_whatever_was_repeated() {
    let both = Bidirectional::new(Lstm::new(3, 6).return_sequences(true));
    let model = Model::builder().add(both).add(Lstm::new(12, 5).return_sequences(true));
    let model = model.build().unwrap();
    for device in devices() {
        let is_cpu = device.gpu().is_none();
        let timed = || match is_cpu {
            true => Settings::new(),
            false => Settings::new().timed(true),
        };
        for settings in [Settings::new(), timed()] {
            let on = || model.on_with(&device, &settings).unwrap();
            let runner = on();
            let (mut output, mut states) = (Output::default(), runner.zero_state(SEQUENCES));
            for (number, (seed, lengths, from_states)) in PLAYED.into_iter().enumerate() {
                let values = values(seed);
                let batch = Sequences::from(&values).with_lengths(&lengths).unwrap();
                let mut states_alone = states.clone();
                let (got, want) = match from_states {
                    false => {
                        runner.run_into(&batch, &mut output).unwrap();
                        (output.clone(), on().run(&batch).unwrap())
                    }
                    true => (
                        runner.run_from(&batch, &mut states).unwrap(),
                        on().run_from(&batch, &mut states_alone).unwrap(),
                    ),
                };
                let name = device.name();
                assert_eq!(got.values(), want.values(), "{name}: run {number}");
                assert_eq!(states, states_alone, "{name}: run {number}");
                assert_eq!(got.rows_run(), want.rows_run(), "{name}: run {number}");
            }
        }
    }
}
