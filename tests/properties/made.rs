//! Cases made from a few sizes and a seed.

use ndarray::{Array2, Array3, Axis};
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use super::models::{OnDevice, Ran};
use super::support::{
    cell_kinds::CellKind,
    cells::{CellSpec, Rule},
    golden::Input,
    layers::{LayerSpec, Merge, RecurrentOptions, StatePair},
    masks::Pattern,
    random::Random,
};

/// Everything about a case: from the seed come the layers, the values and the mask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    batch: usize,
    time_steps: usize,
    features: usize,
    units: usize,
    pattern: Pattern,
    seed: u64,
}

/// A case made from its sizes.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) layers: Vec<LayerSpec>,
    pub(crate) input: Array3<f32>,
    pub(crate) mask: Option<Array2<bool>>,
    pub(crate) initial: Vec<StatePair>,
}

/// Which layers a property holds for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Layers {
    /// Whatever there is.
    Any,
    /// Those whose outputs stay where they are when padding is added: none that turns time round and gives its outputs in
    /// that order, none that gives 0 where the last step is masked.
    Padded,
    /// Those that run forward in time and give every output.
    Causal,
}

/// Which cells the layers have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cells {
    /// LSTMs as Keras has them.
    Lstm,
    /// All kinds, also in one layer.
    Every,
}

impl Cells {
    /// A cell with an output of `units`.
    fn cell(self, random: &mut Random, features: usize, units: usize) -> CellSpec {
        let kind = match self {
            Self::Lstm => CellKind::Lstm,
            Self::Every => CellKind::ALL[random.below(CellKind::ALL.len())],
        };
        let mut cell = kind.cell(random, features, units);
        // Half of the cells with the activations of their kind, the others with anything.
        if random.below(2) == 0 {
            cell.activation = ACTIVATIONS[random.below(ACTIVATIONS.len())].to_owned();
            if cell.rule != Rule::SimpleRnn {
                cell.recurrent_activation = RECURRENT_ACTIVATIONS[random.below(RECURRENT_ACTIVATIONS.len())].to_owned();
            }
        }
        if random.below(4) == 0 {
            cell.bias = None;
        }
        cell
    }
}

const ACTIVATIONS: [&str; 5] = ["tanh", "softsign", "hard_tanh", "sigmoid", "softmax"];
const RECURRENT_ACTIVATIONS: [&str; 4] = ["sigmoid", "hard_sigmoid", "sparse_sigmoid", "softmax"];

impl Sizes {
    /// Picks about one case in so many, always the same ones.
    pub(crate) fn is_one_in(&self, cases: u64) -> bool {
        self.seed.is_multiple_of(cases)
    }
}

pub(crate) fn sizes() -> impl Strategy<Value = Sizes> {
    let pattern = prop_oneof![
        Just(Pattern::None),
        Just(Pattern::Right),
        Just(Pattern::Left),
        Just(Pattern::Holes),
        Just(Pattern::WholeRow),
        Just(Pattern::Mixed),
    ];
    let numbers = (1..=4usize, 1..=7usize, 1..=4usize, 1..=6usize);
    (numbers, pattern, any::<u64>()).prop_map(|((batch, time_steps, features, units), pattern, seed)| Sizes {
        batch,
        time_steps,
        features,
        units,
        pattern,
        seed,
    })
}

pub(crate) fn make(sizes: Sizes, kind: Layers, cells: Cells) -> Made {
    let Sizes {
        batch,
        time_steps,
        features,
        units,
        pattern,
        seed,
    } = sizes;
    let mut random = Random::new(seed);
    let layers = random_layers(&mut random, features, units, kind, cells);
    let cells = layers.iter().flat_map(LayerSpec::cells);
    let initial = cells.map(|cell| random.state_of(batch, cell)).collect();
    let input = random.array3((batch, time_steps, features), 1.0);
    let mask = pattern.mask(batch, time_steps, &mut random);
    Made {
        layers,
        input,
        mask,
        initial,
    }
}

/// One or two recurrent layers, perhaps with a layer without weights between them, and perhaps a Dense.
fn random_layers(random: &mut Random, features: usize, units: usize, kind: Layers, cells: Cells) -> Vec<LayerSpec> {
    let cell = |random: &mut Random, features, units| cells.cell(random, features, units);
    let mut layers = Vec::new();
    let mut width = features;
    let count = 1 + random.below(2);
    for place in 0..count {
        let last = place + 1 == count;
        let anything = kind == Layers::Any;
        let between = match random.below(4) {
            0 if anything && cells == Cells::Every => Some(LayerSpec::Masking { mask_value: 0.0 }),
            1 if anything && cells == Cells::Every => Some(LayerSpec::RepeatVector { n: 1 + random.below(4) }),
            _ => None,
        };
        // a RepeatVector follows a last output, and no layer follows two outputs apart
        let repeats = !last && matches!(between, Some(LayerSpec::RepeatVector { .. }));
        let mut options = RecurrentOptions {
            return_sequences: match last {
                true => kind == Layers::Causal || random.below(2) == 0,
                false => !repeats,
            },
            return_state: last,
            go_backwards: anything && random.below(3) == 0,
            zero_output_for_mask: anything && random.below(3) == 0,
        };
        let units = units + place;
        let bidirectional = kind != Layers::Causal;
        layers.push(match random.below(4) {
            0 if bidirectional => {
                options.go_backwards = false;
                let merge = match Merge::ALL[random.below(5)] {
                    Merge::Separate if !last => Merge::Concat,
                    merge => merge,
                };
                let (forward, backward) = (cell(random, width, units), cell(random, width, units));
                width = if merge == Merge::Concat { 2 * units } else { units };
                LayerSpec::Bidirectional {
                    forward,
                    backward,
                    options,
                    merge,
                }
            }
            1 => {
                let cells = vec![cell(random, width, units + 1), cell(random, units + 1, units)];
                width = units;
                LayerSpec::StackedCells { cells, options }
            }
            _ => {
                let cell = cell(random, width, units);
                width = units;
                LayerSpec::Recurrent { cell, options }
            }
        });
        layers.extend(between.filter(|_| !last));
    }
    // A Dense behind hides the states of the last layer from the output, and two outputs cannot go into it.
    let separate = matches!(
        layers.last(),
        Some(LayerSpec::Bidirectional {
            merge: Merge::Separate,
            ..
        })
    );
    if !separate && kind != Layers::Padded && random.below(3) == 0 {
        match layers.last_mut() {
            Some(
                LayerSpec::Recurrent { options, .. }
                | LayerSpec::StackedCells { options, .. }
                | LayerSpec::Bidirectional { options, .. },
            ) => options.return_state = false,
            _ => panic!("the last layer is a recurrent one"),
        }
        layers.push(LayerSpec::Dense {
            kernel: random.array2((width, 3), 0.7),
            bias: Some(random.array1(3, 0.5)),
            activation: ["linear", "tanh", "softmax"][random.below(3)].to_owned(),
        });
    }
    layers
}

impl Made {
    pub(crate) fn input(&self) -> Input {
        Input::Values(self.input.clone())
    }

    pub(crate) fn ran(&self, runner: &OnDevice) -> Ran {
        runner.ran(&self.input(), self.mask.as_ref(), &self.initial)
    }

    /// The mask as it is, or one that says that every step counts.
    pub(crate) fn full_mask(&self) -> Array2<bool> {
        let (batch, time_steps, _) = self.input.dim();
        self.mask
            .clone()
            .unwrap_or_else(|| Array2::from_elem((batch, time_steps), true))
    }

    /// The same case with the rows of the batch picked.
    pub(crate) fn rows(&self, rows: &[usize]) -> Self {
        Self {
            layers: self.layers.clone(),
            input: self.input.select(Axis(0), rows),
            mask: self.mask.as_ref().map(|mask| mask.select(Axis(0), rows)),
            initial: select_states(&self.initial, rows),
        }
    }

    /// The same case with the time steps picked.
    pub(crate) fn steps(&self, steps: &[usize]) -> Self {
        Self {
            layers: self.layers.clone(),
            input: self.input.select(Axis(1), steps),
            mask: self.mask.as_ref().map(|mask| mask.select(Axis(1), steps)),
            initial: self.initial.clone(),
        }
    }
}

pub(crate) fn select_states(states: &[StatePair], rows: &[usize]) -> Vec<StatePair> {
    states
        .iter()
        .map(|(hidden, cell)| (hidden.select(Axis(0), rows), cell.select(Axis(0), rows)))
        .collect()
}
