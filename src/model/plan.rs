//! A model as a plan: its operations in order, and the cells and weights they use, each by its number.

use ndarray::ArcArray2;

use crate::activation::Activation;
use crate::cell::{Cell, CellWeights};
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::layer::bidirectional::MergeMode;
use crate::layer::dense::Dense;
use crate::layer::dropout::Dropout;
use crate::layer::embedding::Embedding;
use crate::layer::recurrent::{Recurrent, RecurrentOptions};
use crate::layer::shape::Shape;
use crate::layer::weights::DenseWeights;
use crate::model::named::{cell_weights, matrix, optional, row};
use crate::model::paths::{direction_paths, inner_paths};
use crate::model::planned_dropout::{CellDropout, PlannedDropout};
use crate::model::planned_weight::{Owner, PlannedWeight};
use crate::model::transform::Transform;
use crate::parameters::{Parameters, Role};

/// A cell with its weights.
#[derive(Clone, Debug)]
pub(crate) struct PlannedCell {
    pub(crate) cell: Cell,
    pub(crate) weights: CellWeights,
}

impl PlannedCell {
    pub(crate) fn features(&self) -> usize {
        self.cell.features
    }

    pub(crate) fn units(&self) -> usize {
        self.cell.units
    }

    /// The width of the hidden state.
    pub(crate) fn output(&self) -> usize {
        self.cell.output
    }
}

/// A Dense layer with its weights.
#[derive(Clone, Debug)]
pub(crate) struct PlannedDense {
    pub(crate) weights: DenseWeights,
    pub(crate) activation: Activation,
}

/// What a layer does, with its cells and weights by number.
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
        options: RecurrentOptions,
    },
    Bidirectional {
        forward: usize,
        backward: usize,
        merge: MergeMode,
        options: RecurrentOptions,
    },
    Dense {
        dense: usize,
    },
    /// The one value of each sequence at every one of so many time steps.
    RepeatVector {
        time_steps: usize,
    },
    /// Each row becomes another of the same width.
    Transform {
        transform: usize,
    },
    /// All values of a sequence in other time steps: [time steps, width] before and behind; or in one row, which is no time step.
    Reshape {
        from: [usize; 2],
        to: [usize; 2],
        flattens: bool,
    },
    /// The last time step of each sequence.
    LastStep,
    /// No mask behind it.
    EndMask,
    /// Leaves values out in training; nothing, in inference.
    Dropout {
        dropout: usize,
    },
    /// Nothing.
    Nothing,
}

/// A model as a plan, or one of its sections.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Where its first layer stands in the model, and how many cells stand before it.
    pub(crate) begins_at: (usize, usize),
    /// Whether it runs over the sequences within the time steps of the others.
    pub(crate) is_inner: bool,
    /// The features of the input; `None` for tokens, and where any number will do.
    pub(crate) features: Option<usize>,
    pub(crate) takes_tokens: bool,
    /// What stands before a section; for the first one the input.
    pub(super) before: Shape,
    /// The time steps that the input of the model has to have, and the layer that wants them, as messages name it.
    pub(crate) wanted_steps: Option<(usize, String)>,
    /// The layer that reads the input, as messages name it.
    pub(crate) reader: String,
    pub(crate) operations: Vec<Operation>,
    pub(crate) cells: Vec<PlannedCell>,
    /// One for each cell.
    pub(crate) cell_dropouts: Vec<CellDropout>,
    pub(crate) denses: Vec<PlannedDense>,
    pub(crate) transforms: Vec<Transform>,
    pub(crate) dropouts: Vec<PlannedDropout>,
    /// Row by row in memory.
    pub(crate) tables: Vec<ArcArray2<f32>>,
    /// The cells whose final states `Output::states` has.
    pub(crate) returned_states: Vec<usize>,
    /// All weights by name, in the order of the model's parameters.
    pub(crate) weights: Vec<PlannedWeight>,
}

impl Plan {
    /// The plan of some layers of a chain that has been checked, each with its position, its path and what comes out of it.
    pub(super) fn of_section(
        section: &[(usize, &Layer, String, Shape)],
        (before, cells_before): (Shape, usize),
        is_inner: bool,
        parameters: &Parameters,
    ) -> Result<Self> {
        let mut plan = Self {
            begins_at: (section.first().map_or(0, |(position, ..)| *position), cells_before),
            is_inner,
            features: None,
            takes_tokens: false,
            before,
            reader: String::new(),
            operations: Vec::new(),
            cells: Vec::new(),
            cell_dropouts: Vec::new(),
            denses: Vec::new(),
            transforms: Vec::new(),
            dropouts: Vec::new(),
            wanted_steps: None,
            tables: Vec::new(),
            returned_states: Vec::new(),
            weights: Vec::new(),
        };
        let mut shape = before;
        for (position, layer, path, behind) in section {
            plan.push(layer, (*position, path), parameters)?;
            if let (Some(time_steps), Shape::Input | Shape::Sequences { time_steps: None, .. }) =
                (layer.time_steps(), shape)
            {
                plan.wanted_steps = Some((time_steps, plan.name_of(*position, layer)));
            }
            shape = *behind;
        }
        // the others read what there is, and leave as many features
        let reads = |layer: &Layer| matches!(layer, Layer::Embedding(_)) || layer.features().is_some();
        let reader = section.iter().find(|(_, layer, ..)| reads(layer)).or(section.first());
        if let Some((position, layer, ..)) = reader {
            plan.reader = plan.name_of(*position, layer);
            plan.takes_tokens = matches!(layer, Layer::Embedding(_));
            plan.features = layer.features();
        }
        if let Shape::Last { width } | Shape::Sequences { width, .. } = before {
            plan.features = Some(width);
        }
        Ok(plan)
    }

    /// A layer as messages name it.
    fn name_of(&self, position: usize, layer: &Layer) -> String {
        format!("{} {position} ({})", self.noun(), layer.class())
    }

    /// What messages call a layer.
    pub(crate) fn noun(&self) -> &'static str {
        match self.is_inner {
            true => "inner layer",
            false => "layer",
        }
    }

    /// Whether no layer computes anything: steps are set to zero or repeated, which is the host's.
    pub(crate) fn computes_nothing(&self) -> bool {
        let moves = |operation: &Operation| {
            matches!(
                operation,
                Operation::Masking { .. }
                    | Operation::RepeatVector { .. }
                    | Operation::EndMask
                    | Operation::Dropout { .. }
                    | Operation::Nothing
            )
        };
        self.operations.iter().all(moves)
    }

    /// The plan of layers whose weights are drawn.
    #[cfg(test)]
    pub(crate) fn drawn(layers: &[Layer]) -> Result<Self> {
        let shapes = crate::model::check::check_chain(layers)?;
        let numbered = layers
            .iter()
            .zip(crate::model::paths::paths(layers))
            .zip(shapes)
            .enumerate();
        let section: Vec<_> = numbered
            .map(|(position, ((layer, path), shape))| (position, layer, path, shape))
            .collect();
        Self::of_section(
            &section,
            (Shape::Input, 0),
            false,
            &crate::model::named::parameters_of(layers)?,
        )
    }

    fn push(&mut self, layer: &Layer, (position, path): (usize, &str), parameters: &Parameters) -> Result<()> {
        let operation = match layer {
            Layer::Masking(masking) => Operation::Masking {
                mask_value: masking.mask_value(),
            },
            Layer::Embedding(embedding) => self.embedding(embedding, path, parameters)?,
            Layer::Recurrent(layer) => Operation::Recurrent {
                cells: vec![self.cell(layer, path, parameters)?],
                options: layer.options(),
            },
            Layer::StackedRnnCells(stack) => {
                let cells = stack.cells().iter().zip(inner_paths(path));
                let cells = cells.map(|(cell, path)| self.cell(cell, &path, parameters));
                let (cells, options) = (cells.collect::<Result<_>>()?, stack.options());
                Operation::Recurrent { cells, options }
            }
            Layer::Bidirectional(layer) => {
                let [forward, backward] = direction_paths(path);
                Operation::Bidirectional {
                    forward: self.cell(layer.forward(), &forward, parameters)?,
                    backward: self.cell(layer.backward(), &backward, parameters)?,
                    merge: layer.merge(),
                    options: layer.forward().options(),
                }
            }
            Layer::Dense(dense) => self.dense(dense, path, parameters)?,
            Layer::RepeatVector(repeat) => Operation::RepeatVector { time_steps: repeat.n() },
            Layer::Activation(activation) => self.activation(activation.checked()?),
            Layer::Dropout(layer) => self.dropout(layer, position),
            Layer::BatchNormalization(layer) => {
                self.normalization(Transform::batch(layer, path, parameters)?, path, parameters)
            }
            Layer::LayerNormalization(layer) => {
                self.normalization(Transform::rows(layer, path, parameters)?, path, parameters)
            }
            Layer::Flatten(flatten) => Operation::Reshape {
                from: [flatten.time_steps(), flatten.features()],
                to: [1, flatten.width()],
                flattens: true,
            },
            Layer::Reshape(reshape) => Operation::Reshape {
                from: reshape.from_shape(),
                to: reshape.to_shape(),
                flattens: false,
            },
            Layer::LastStep(_) => Operation::LastStep,
            Layer::EndMask(_) => Operation::EndMask,
            Layer::TimeDistributed(_) => return Err(Error::defect("a layer that is sections of its own")),
        };
        self.returned_states = returned_states(&operation);
        self.operations.push(operation);
        Ok(())
    }

    fn transform(&mut self, transform: Transform) -> Operation {
        self.transforms.push(transform);
        Operation::Transform {
            transform: self.transforms.len() - 1,
        }
    }

    fn normalization(&mut self, transform: Transform, path: &str, parameters: &Parameters) -> Operation {
        self.name(path, Owner::Transform(self.transforms.len()), parameters);
        self.transform(transform)
    }

    fn dropout(&mut self, layer: &Dropout, position: usize) -> Operation {
        self.dropouts.push(PlannedDropout {
            rate: layer.rate(),
            spatial: layer.is_spatial(),
            layer: position as u32 | u32::from(self.is_inner) << 15,
            cell: None,
        });
        Operation::Dropout {
            dropout: self.dropouts.len() - 1,
        }
    }

    fn name(&mut self, path: &str, owner: Owner, parameters: &Parameters) {
        self.weights.extend(PlannedWeight::all(path, owner, parameters));
    }

    /// An activation right behind a stage that ends with one, and has none yet, is taken there: the bits are the same.
    fn activation(&mut self, activation: Activation) -> Operation {
        // a layer that does nothing is in nobody's way
        let does = |operation: &&Operation| !matches!(operation, Operation::Nothing);
        let before = match self.operations.iter().rev().find(does) {
            Some(Operation::Dense { dense }) => self.denses.get_mut(*dense).map(|dense| &mut dense.activation),
            Some(Operation::Transform { transform }) => {
                self.transforms.get_mut(*transform).map(Transform::activation_mut)
            }
            _ => None,
        };
        match before {
            _ if activation == Activation::Linear => Operation::Nothing,
            Some(before) if *before == Activation::Linear => {
                *before = activation;
                Operation::Nothing
            }
            _ => self.transform(Transform::Scale { by: None, activation }),
        }
    }

    fn embedding(&mut self, layer: &Embedding, path: &str, parameters: &Parameters) -> Result<Operation> {
        let table = matrix(parameters, path, Role::Embeddings)?;
        self.name(path, Owner::Table(self.tables.len()), parameters);
        self.tables.push(match table.is_standard_layout() {
            true => table,
            false => table.as_standard_layout().into_owned().into_shared(),
        });
        Ok(Operation::Embedding {
            table: self.tables.len() - 1,
            mask_zero: layer.masks_zero(),
        })
    }

    fn dense(&mut self, layer: &Dense, path: &str, parameters: &Parameters) -> Result<Operation> {
        self.name(path, Owner::Dense(self.denses.len()), parameters);
        self.denses.push(PlannedDense {
            weights: DenseWeights {
                kernel: matrix(parameters, path, Role::Kernel)?.into_owned(),
                bias: optional(parameters, path, Role::Bias)?.map(|bias| row(&bias)),
            },
            activation: layer.activation_kind().checked()?,
        });
        Ok(Operation::Dense {
            dense: self.denses.len() - 1,
        })
    }

    fn cell(&mut self, layer: &Recurrent, path: &str, parameters: &Parameters) -> Result<usize> {
        let weights = cell_weights(parameters, path)?;
        weights.check_shapes(&layer.cell)?;
        self.name(path, Owner::Cell(self.cells.len()), parameters);
        let number = (self.is_inner, self.begins_at.1, self.cells.len());
        let dropout = CellDropout::planned(layer.dropout, number, &mut self.dropouts);
        self.cell_dropouts.push(dropout);
        self.cells.push(PlannedCell {
            cell: layer.cell.clone(),
            weights,
        });
        Ok(self.cells.len() - 1)
    }
}

/// The cells whose final states an output has, if this is the last operation.
fn returned_states(operation: &Operation) -> Vec<usize> {
    match operation {
        Operation::Recurrent { cells, options } if options.return_state => cells.clone(),
        Operation::Bidirectional {
            forward,
            backward,
            options,
            ..
        } if options.return_state => vec![*forward, *backward],
        _ => Vec::new(),
    }
}
