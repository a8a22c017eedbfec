//! One model of every kind, small, with weights that all matter.

use cellstate::Device;
use ndarray::Array2;

use super::models::{OnDevice, Ran, assert_ran_close};
use super::support::{
    golden::Input,
    layers::{LayerSpec, Merge, RecurrentOptions, StatePair},
    random::Random,
};

/// A model and what goes into it.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) layers: Vec<LayerSpec>,
    features: usize,
    /// Not 0 for tokens.
    vocabulary: usize,
}

/// A batch with its mask and the states it begins from.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) input: Input,
    pub(crate) mask: Option<Array2<bool>>,
    pub(crate) initial: Vec<StatePair>,
}

const SEQUENCES: RecurrentOptions = RecurrentOptions {
    return_sequences: true,
    return_state: false,
    go_backwards: false,
    zero_output_for_mask: false,
};

const LAST: RecurrentOptions = RecurrentOptions {
    return_sequences: false,
    ..SEQUENCES
};

/// One model of every kind, for inputs of `features` and with layers of about `units`.
pub(crate) fn kinds(features: usize, units: usize) -> Vec<Kind> {
    let random = &mut Random::new(7);
    let lstm = |random: &mut Random, features, units, options| LayerSpec::Recurrent {
        cell: random.cell(features, units),
        options,
    };
    let both = |random: &mut Random, features, units, options, merge| LayerSpec::Bidirectional {
        forward: random.cell(features, units),
        backward: random.cell(features, units),
        options,
        merge,
    };
    let dense = |random: &mut Random, features, units, activation: &str| LayerSpec::Dense {
        kernel: random.array2((features, units), 0.7),
        bias: Some(random.array1(units, 0.5)),
        activation: activation.to_owned(),
    };
    let embedding = |random: &mut Random, mask_zero| LayerSpec::Embedding {
        embeddings: random.array2((50, features), 1.0),
        mask_zero,
    };
    let mut kinds = vec![
        kind("LSTM", features, vec![lstm(random, features, units, LAST)]),
        kind(
            "LSTM backwards",
            features,
            vec![lstm(
                random,
                features,
                units,
                RecurrentOptions {
                    go_backwards: true,
                    zero_output_for_mask: true,
                    ..SEQUENCES
                },
            )],
        ),
        kind(
            "stack and Dense",
            features,
            vec![
                lstm(random, features, units, SEQUENCES),
                lstm(random, units, units + 1, SEQUENCES),
                dense(random, units + 1, 3, "softmax"),
            ],
        ),
        kind(
            "Dense between",
            features,
            vec![
                dense(random, features, units, "tanh"),
                lstm(random, units, units, SEQUENCES),
                dense(random, units, 2, "linear"),
                lstm(random, 2, 3, LAST),
                dense(random, 3, 2, "sigmoid"),
            ],
        ),
        kind(
            "Masking",
            features,
            vec![
                LayerSpec::Masking { mask_value: 0.25 },
                lstm(random, features, units, SEQUENCES),
            ],
        ),
        kind(
            "stacked cells",
            features,
            vec![LayerSpec::StackedCells {
                cells: vec![random.cell(features, units), random.cell(units, units - 1)],
                options: SEQUENCES,
            }],
        ),
    ];
    let mut softmax = random.cell(features, units);
    softmax.recurrent_activation = "softmax".to_owned();
    kinds.push(kind(
        "LSTM with softmax",
        features,
        vec![LayerSpec::Recurrent {
            cell: softmax,
            options: SEQUENCES,
        }],
    ));
    for merge in Merge::ALL {
        for options in [SEQUENCES, LAST] {
            let name = format!("Bidirectional {merge:?}, return_sequences {}", options.return_sequences);
            kinds.push(kind(
                &name,
                features,
                vec![both(random, features, units, options, merge)],
            ));
        }
    }
    kinds.push(kind(
        "two Bidirectionals",
        features,
        vec![
            both(random, features, units, SEQUENCES, Merge::Concat),
            both(random, 2 * units, 3, SEQUENCES, Merge::Average),
        ],
    ));
    for mask_zero in [false, true] {
        kinds.push(Kind {
            vocabulary: 50,
            ..kind(
                &format!("Embedding, mask_zero {mask_zero}"),
                features,
                vec![embedding(random, mask_zero), lstm(random, features, units, SEQUENCES)],
            )
        });
    }
    kinds.push(Kind {
        vocabulary: 50,
        ..kind(
            "Embedding and Dense",
            features,
            vec![embedding(random, false), dense(random, features, 3, "softmax")],
        )
    });
    kinds.extend(without_cells(random, features, units));
    kinds.push(Kind {
        vocabulary: 50,
        ..kind("Embedding alone", features, vec![embedding(random, false)])
    });
    kinds
}

/// Models with layers that normalise, activate, or change the shape.
fn without_cells(random: &mut Random, features: usize, units: usize) -> Vec<Kind> {
    let lstm = |random: &mut Random, features, units, options| LayerSpec::Recurrent {
        cell: random.cell(features, units),
        options,
    };
    let activation = |name: &str| LayerSpec::Activation {
        activation: name.to_owned(),
    };
    vec![
        kind(
            "normalised",
            features,
            vec![
                random.batch_normalization(features),
                lstm(random, features, units, SEQUENCES),
                LayerSpec::Dropout {
                    rate: 0.5,
                    spatial: true,
                },
                random.layer_normalization(units),
                lstm(random, units, 3, SEQUENCES),
                activation("softsign"),
                random.layer_normalization(3),
                activation("softmax"),
            ],
        ),
        kind(
            "activations and the last step",
            features,
            vec![
                activation("softmax"),
                lstm(random, features, units, SEQUENCES),
                activation("gelu"),
                random.batch_normalization(units),
                activation("elu"),
                LayerSpec::LastStep,
            ],
        ),
        kind(
            "other shapes",
            features,
            vec![
                lstm(random, features, units, LAST),
                LayerSpec::RepeatVector { n: 6 },
                lstm(random, units, 4, SEQUENCES),
                LayerSpec::Reshape {
                    from: [6, 4],
                    to: Some([8, 3]),
                },
                lstm(random, 3, 5, SEQUENCES),
                LayerSpec::Reshape { from: [8, 5], to: None },
                random.layer_normalization(40),
                LayerSpec::Reshape {
                    from: [1, 40],
                    to: Some([20, 2]),
                },
                LayerSpec::LastStep,
            ],
        ),
    ]
}

fn kind(name: &str, features: usize, layers: Vec<LayerSpec>) -> Kind {
    Kind {
        name: name.to_owned(),
        layers,
        features,
        vocabulary: 0,
    }
}

impl Kind {
    /// A batch with holes in its mask (a seed of 0 has no mask), and states to begin from.
    pub(crate) fn batch(&self, batch: usize, time_steps: usize, seed: u64) -> Batch {
        let random = &mut Random::new(seed + 1);
        let input = match self.vocabulary {
            0 => Input::Values(random.array3((batch, time_steps, self.features), 1.0)),
            vocabulary => {
                let token = || random.below(vocabulary) as i32;
                Input::Tokens(Array2::from_shape_simple_fn((batch, time_steps), token))
            }
        };
        let hole = |random: &mut Random| random.below(3) > 0;
        let mask = (seed > 0).then(|| Array2::from_shape_simple_fn((batch, time_steps), || hole(random)));
        let cells = self.layers.iter().flat_map(LayerSpec::cells);
        let initial = cells.map(|cell| random.state_of(batch, cell)).collect();
        Batch { input, mask, initial }
    }

    pub(crate) fn on(&self, device: &Device) -> OnDevice {
        OnDevice::new(&self.layers, device).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

/// Runs a batch, checking the result against the CPU's.
#[track_caller]
pub(crate) fn check(name: &str, gpu: &OnDevice, cpu: &OnDevice, batch: &Batch) -> Ran {
    let [got, want] = [gpu, cpu].map(|runner| runner.ran(&batch.input, batch.mask.as_ref(), &batch.initial));
    assert_ran_close(name, &got, &want);
    assert_eq!(got.rows_run, want.rows_run, "{name}: rows run");
    got
}
