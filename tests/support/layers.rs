//! The layers of a case as plain data: what both the reference and the library are built from.

use ndarray::{Array1, Array2};

use super::{golden::Case, keras, onnx, torch};

pub(crate) use super::cells::{CellSpec, StatePair};

/// Why a case is not run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// Something that the library cannot do yet: it has to be in `golden/not_yet.txt`.
    NotYet(String),
    /// Something that nobody expected: a failure, with the option's name.
    Cannot(String),
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self::Cannot(message)
    }
}

/// The options that say what comes out of a recurrent layer, and in which order it runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecurrentOptions {
    pub(crate) return_sequences: bool,
    pub(crate) return_state: bool,
    pub(crate) go_backwards: bool,
    pub(crate) zero_output_for_mask: bool,
}

/// How the outputs of both directions are put together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Merge {
    Concat,
    Sum,
    Multiply,
    Average,
    Separate,
}

impl Merge {
    pub(crate) const ALL: [Self; 5] = [Self::Concat, Self::Sum, Self::Multiply, Self::Average, Self::Separate];
}

/// One layer.
#[allow(
    clippy::large_enum_variant,
    reason = "a handful of them, and no box in the way of a pattern"
)]
#[derive(Clone, Debug)]
pub(crate) enum LayerSpec {
    /// One cell of any kind.
    Recurrent {
        cell: CellSpec,
        options: RecurrentOptions,
    },
    StackedCells {
        cells: Vec<CellSpec>,
        options: RecurrentOptions,
    },
    /// `options` are those of the forward layer; the backward layer, which may have another cell, goes the other way.
    Bidirectional {
        forward: CellSpec,
        backward: CellSpec,
        options: RecurrentOptions,
        merge: Merge,
    },
    Masking {
        mask_value: f32,
    },
    Embedding {
        embeddings: Array2<f32>,
        mask_zero: bool,
    },
    RepeatVector {
        n: usize,
    },
    Dense {
        kernel: Array2<f32>,
        bias: Option<Array1<f32>>,
        activation: String,
    },
    Activation {
        activation: String,
    },
    Dropout {
        rate: f32,
        spatial: bool,
    },
    BatchNormalization {
        gamma: Option<Array1<f32>>,
        beta: Option<Array1<f32>>,
        mean: Array1<f32>,
        variance: Array1<f32>,
        epsilon: f32,
        /// Of the mean and the variance that training follows.
        momentum: f32,
    },
    LayerNormalization {
        features: usize,
        gamma: Option<Array1<f32>>,
        beta: Option<Array1<f32>>,
        epsilon: f32,
    },
    /// From [time steps, features] to the same, or to one row.
    Reshape {
        from: [usize; 2],
        to: Option<[usize; 2]>,
    },
    LastStep,
}

impl LayerSpec {
    /// What stands before `h_n`, `c_n`, `initial_h` and `initial_c` for each state of the layer, in order.
    pub(crate) fn state_prefixes(&self) -> Vec<String> {
        match self {
            Self::Recurrent { .. } => vec![String::new()],
            Self::StackedCells { cells, .. } => (0..cells.len()).map(|i| format!("cells{i}.")).collect(),
            Self::Bidirectional { .. } => vec!["forward.".to_owned(), "backward.".to_owned()],
            _ => Vec::new(),
        }
    }

    /// The cells of the layer, one for each state.
    pub(crate) fn cells(&self) -> Vec<&CellSpec> {
        match self {
            Self::Recurrent { cell, .. } => vec![cell],
            Self::StackedCells { cells, .. } => cells.iter().collect(),
            Self::Bidirectional { forward, backward, .. } => vec![forward, backward],
            _ => Vec::new(),
        }
    }
}

/// A chain of layers, each with the prefix of its tensors.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) layers: Vec<LayerSpec>,
    pub(crate) prefixes: Vec<String>,
}

impl Chain {
    /// All cells of all layers, one for each state, each with what stands before the names of its states.
    pub(crate) fn cells(&self) -> Vec<(String, &CellSpec)> {
        let of_layer = |(layer, prefix): (&'_ LayerSpec, &String)| {
            let inner = layer.state_prefixes().into_iter();
            inner.map(|inner| format!("{prefix}{inner}")).collect::<Vec<_>>()
        };
        let names = self.layers.iter().zip(&self.prefixes).flat_map(of_layer);
        names.zip(self.layers.iter().flat_map(LayerSpec::cells)).collect()
    }

    /// The initial states of the case, one (hidden, cell) for each of the first cells; none if the case has none.
    pub(crate) fn initial_states(&self, case: &Case) -> Result<Vec<StatePair>, String> {
        let mut states = Vec::new();
        let mut used = 0;
        for (prefix, cell) in self.cells() {
            let (hidden, cell_state) = (format!("{prefix}initial_h"), format!("{prefix}initial_c"));
            if !case.has(&hidden) && !case.has(&cell_state) {
                break;
            }
            let hidden = case.f32_2(&hidden)?;
            let cell_state = match cell.cell_state() {
                0 => Array2::zeros((hidden.nrows(), 0)),
                _ => case.f32_2(&cell_state)?,
            };
            used += 1 + usize::from(cell.cell_state() > 0);
            states.push((hidden, cell_state));
        }
        let given = case.roles.values().filter(|role| *role == "initial_state").count();
        match given == used {
            true => Ok(states),
            false => Err(format!(
                "{given} initial state tensors, of which {used} are of the first cells"
            )),
        }
    }
}

/// A case as the chain of layers it is for, its tensors named and laid out as those of a Keras case.
pub(crate) fn playable(case: &Case) -> Result<(Case, Chain), Refusal> {
    match case.framework.as_str() {
        "keras" => Ok((case.clone(), keras::chain(case)?)),
        "torch" => torch::playable(case),
        "onnx" | "onnxruntime" => onnx::playable(case),
        other => Err(Refusal::Cannot(format!("framework {other}"))),
    }
}
