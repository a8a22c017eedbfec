//! A model taken apart: the operations in order, and the weights they use, each by its number.

use ndarray::Array2;

use crate::activation::Activation;
use crate::error::Result;
use crate::layer::Layer;
use crate::layer::bidirectional::MergeMode;
use crate::layer::lstm::{Lstm, LstmOptions};
use crate::layer::weights::{DenseWeights, LstmWeights};

/// One LSTM: its weights, and the activations it runs with.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) weights: LstmWeights,
    pub(crate) activation: Activation,
    pub(crate) recurrent_activation: Activation,
}

impl Cell {
    pub(crate) fn features(&self) -> usize {
        self.weights.kernel.nrows()
    }

    pub(crate) fn units(&self) -> usize {
        self.weights.recurrent_kernel.nrows()
    }
}

/// One Dense layer.
#[derive(Clone, Debug)]
pub(crate) struct DensePart {
    pub(crate) weights: DenseWeights,
    pub(crate) activation: Activation,
}

/// What a layer does, with its weights by number.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Masking {
        mask_value: f32,
    },
    Embedding {
        table: usize,
        mask_zero: bool,
    },
    /// The cells run one behind the other under one schedule.
    Recurrent {
        cells: Vec<usize>,
        options: LstmOptions,
    },
    Bidirectional {
        forward: usize,
        backward: usize,
        merge: MergeMode,
        options: LstmOptions,
    },
    Dense {
        dense: usize,
    },
}

/// A model taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// The features of the input; `None` for tokens.
    pub(crate) features: Option<usize>,
    /// The layer that reads the input, as messages name it.
    pub(crate) reader: String,
    pub(crate) operations: Vec<Operation>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) denses: Vec<DensePart>,
    /// Row by row in memory.
    pub(crate) tables: Vec<Array2<f32>>,
    /// The cells whose final states `Output::states` has.
    pub(crate) returned_states: Vec<usize>,
}

impl Parts {
    /// Takes a chain of layers apart that has been checked.
    pub(crate) fn new(layers: &[Layer]) -> Result<Self> {
        let mut parts = Self {
            features: None,
            reader: String::new(),
            operations: Vec::new(),
            cells: Vec::new(),
            denses: Vec::new(),
            tables: Vec::new(),
            returned_states: Vec::new(),
        };
        for layer in layers {
            parts.push(layer)?;
        }
        let reader = layers
            .iter()
            .enumerate()
            .find(|(_, layer)| !matches!(layer, Layer::Masking(_)));
        parts.reader = reader.map_or_else(String::new, |(position, layer)| {
            format!("layer {position} ({})", layer.class())
        });
        parts.features = parts
            .operations
            .iter()
            .find_map(|operation| match operation {
                Operation::Masking { .. } => None,
                Operation::Embedding { .. } => Some(None),
                Operation::Recurrent { cells, .. } => Some(
                    cells
                        .first()
                        .and_then(|&cell| parts.cells.get(cell))
                        .map(Cell::features),
                ),
                Operation::Bidirectional { forward, .. } => Some(parts.cells.get(*forward).map(Cell::features)),
                Operation::Dense { dense } => Some(parts.denses.get(*dense).map(|part| part.weights.kernel.nrows())),
            })
            .flatten();
        Ok(parts)
    }

    fn push(&mut self, layer: &Layer) -> Result<()> {
        let operation = match layer {
            Layer::Masking(masking) => Operation::Masking {
                mask_value: masking.mask_value(),
            },
            Layer::Embedding(embedding) => {
                let place = self.place();
                let table = embedding.embeddings_at(place)?;
                self.tables.push(match table.is_standard_layout() {
                    true => table,
                    false => table.as_standard_layout().into_owned(),
                });
                Operation::Embedding {
                    table: self.tables.len() - 1,
                    mask_zero: embedding.masks_zero(),
                }
            }
            Layer::Lstm(lstm) => {
                let cells = vec![self.cell(lstm)?];
                Operation::Recurrent {
                    cells,
                    options: lstm.options(),
                }
            }
            Layer::StackedRnnCells(stack) => {
                let cells = stack
                    .cells()
                    .iter()
                    .map(|cell| self.cell(cell))
                    .collect::<Result<Vec<_>>>()?;
                Operation::Recurrent {
                    cells,
                    options: stack.options()?,
                }
            }
            Layer::Bidirectional(layer) => Operation::Bidirectional {
                forward: self.cell(layer.forward())?,
                backward: self.cell(layer.backward())?,
                merge: layer.merge(),
                options: layer.forward().options(),
            },
            Layer::Dense(dense) => {
                let place = self.place();
                let weights = dense.weights_at(place)?;
                self.denses.push(DensePart {
                    weights,
                    activation: dense.activation_kind().checked()?,
                });
                Operation::Dense {
                    dense: self.denses.len() - 1,
                }
            }
        };
        self.returned_states = match &operation {
            Operation::Recurrent { cells, options } if options.return_state => cells.clone(),
            Operation::Bidirectional {
                forward,
                backward,
                options,
                ..
            } if options.return_state => {
                vec![*forward, *backward]
            }
            _ => Vec::new(),
        };
        self.operations.push(operation);
        Ok(())
    }

    fn cell(&mut self, lstm: &Lstm) -> Result<usize> {
        let place = self.place();
        let options = lstm.options();
        self.cells.push(Cell {
            weights: lstm.weights_at(place)?,
            activation: options.activation.checked()?,
            recurrent_activation: options.recurrent_activation.checked()?,
        });
        Ok(self.cells.len() - 1)
    }

    /// How many sets of weights there are already: the place from which the next one is drawn.
    fn place(&self) -> usize {
        self.cells.len() + self.denses.len() + self.tables.len()
    }
}
