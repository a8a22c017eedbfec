//! A model as a plan: its operations in order, and the cells and weights they use, each by its number.

use std::sync::Arc;

use ndarray::ArcArray2;

use crate::activation::Activation;
use crate::cell::{Cell, CellWeights};
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::layer::bidirectional::MergeMode;
use crate::layer::dense::Dense;
use crate::layer::embedding::Embedding;
use crate::layer::recurrent::{Recurrent, RecurrentOptions};
use crate::layer::shape::Shape;
use crate::layer::weights::DenseWeights;
use crate::model::named::{cell_weights, matrix, optional, row};
use crate::model::paths::{direction_paths, inner_paths, paths};
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
    /// Nothing, in inference.
    Nothing,
}

/// A model as a plan, or one of its sections.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Where its first layer stands in the model, and how many cells stand before it.
    pub(crate) begins_at: (usize, usize),
    /// The features of the input; `None` for tokens, and where any number will do.
    pub(crate) features: Option<usize>,
    pub(crate) takes_tokens: bool,
    /// What stands before a section; for the first one the input.
    before: Shape,
    /// The time steps that the input of the model has to have, and the layer that wants them, as messages name it.
    pub(crate) wanted_steps: Option<(usize, String)>,
    /// The layer that reads the input, as messages name it.
    pub(crate) reader: String,
    pub(crate) operations: Vec<Operation>,
    pub(crate) cells: Vec<PlannedCell>,
    pub(crate) denses: Vec<PlannedDense>,
    pub(crate) transforms: Vec<Transform>,
    /// Row by row in memory.
    pub(crate) tables: Vec<ArcArray2<f32>>,
    /// The cells whose final states `Output::states` has.
    pub(crate) returned_states: Vec<usize>,
}

impl Plan {
    /// The plan of some layers of a chain that has been checked, each with its position, its path and what comes out of it.
    fn of_section(
        section: &[(usize, &Layer, String, Shape)],
        (before, cells_before): (Shape, usize),
        parameters: &Parameters,
    ) -> Result<Self> {
        let mut plan = Self {
            begins_at: (section.first().map_or(0, |(position, ..)| *position), cells_before),
            features: None,
            takes_tokens: false,
            before,
            reader: String::new(),
            operations: Vec::new(),
            cells: Vec::new(),
            denses: Vec::new(),
            transforms: Vec::new(),
            wanted_steps: None,
            tables: Vec::new(),
            returned_states: Vec::new(),
        };
        let mut shape = before;
        for (position, layer, path, behind) in section {
            plan.push(layer, path, parameters)?;
            if let (Some(time_steps), Shape::Input | Shape::Sequences { time_steps: None, .. }) =
                (layer.time_steps(), shape)
            {
                plan.wanted_steps = Some((time_steps, format!("layer {position} ({})", layer.class())));
            }
            shape = *behind;
        }
        // the others read what there is, and leave as many features
        let reads = |layer: &Layer| matches!(layer, Layer::Embedding(_)) || layer.features().is_some();
        let reader = section.iter().find(|(_, layer, ..)| reads(layer)).or(section.first());
        if let Some((position, layer, ..)) = reader {
            plan.reader = format!("layer {position} ({})", layer.class());
            plan.takes_tokens = matches!(layer, Layer::Embedding(_));
            plan.features = layer.features();
        }
        if let Shape::Last { width } | Shape::Sequences { width, .. } = before {
            plan.features = Some(width);
        }
        Ok(plan)
    }

    /// Whether no layer computes anything: steps are set to zero or repeated, which is the host's.
    pub(crate) fn computes_nothing(&self) -> bool {
        let moves = |operation: &Operation| {
            matches!(
                operation,
                Operation::Masking { .. } | Operation::RepeatVector { .. } | Operation::EndMask | Operation::Nothing
            )
        };
        self.operations.iter().all(moves)
    }

    /// Whether the input is one value for each sequence, which is run as a single time step.
    pub(crate) fn takes_last(&self) -> bool {
        matches!(self.before, Shape::Last { .. })
    }

    /// Whether that single time step is no axis of the output: behind a RepeatVector or a Reshape the steps are real ones.
    pub(crate) fn gives_last(&self) -> bool {
        let makes_steps =
            |operation: &Operation| matches!(operation, Operation::RepeatVector { .. } | Operation::Reshape { .. });
        self.takes_last() && !self.operations.iter().any(makes_steps)
    }

    /// Whether a batch of so many time steps, the input of the model, is what a layer wants that reads all of them at once.
    pub(crate) fn check_time_steps(&self, found: usize) -> Result<()> {
        match &self.wanted_steps {
            Some((wanted, layer)) if *wanted != found => Err(Error::Size {
                argument: format!("time steps of the batch for {layer}"),
                expected: wanted.to_string(),
                found: found.to_string(),
                repair: format!("pad or cut every sequence to {wanted} time steps, or build the model for {found}"),
            }),
            _ => Ok(()),
        }
    }

    /// The time steps of the section's input where the model's has so many, if it may have so many.
    pub(crate) fn input_steps(&self, time_steps: usize) -> Result<usize> {
        self.check_time_steps(time_steps)?;
        Ok(match self.before {
            Shape::Last { .. } => 1,
            Shape::Sequences {
                time_steps: Some(repeated),
                ..
            } => repeated,
            _ => time_steps,
        })
    }

    /// The most time steps that a layer sees where the input has so many.
    pub(crate) fn most_steps(&self, time_steps: usize) -> usize {
        let repeated = self.operations.iter().map(|operation| match operation {
            Operation::RepeatVector { time_steps } => *time_steps,
            Operation::Reshape {
                to: [time_steps, _], ..
            } => *time_steps,
            _ => 0,
        });
        repeated.max().unwrap_or(0).max(time_steps)
    }

    /// The plan of layers whose weights are drawn.
    #[cfg(test)]
    pub(crate) fn drawn(layers: &[Layer]) -> Result<Self> {
        let shapes = crate::model::check::check_chain(layers)?;
        let numbered = layers.iter().zip(paths(layers)).zip(shapes).enumerate();
        let section: Vec<_> = numbered
            .map(|(position, ((layer, path), shape))| (position, layer, path, shape))
            .collect();
        Self::of_section(
            &section,
            (Shape::Input, 0),
            &crate::model::named::parameters_of(layers)?,
        )
    }

    fn push(&mut self, layer: &Layer, path: &str, parameters: &Parameters) -> Result<()> {
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
            Layer::Dropout(_) => Operation::Nothing,
            Layer::BatchNormalization(layer) => self.transform(Transform::batch(layer, path, parameters)?),
            Layer::LayerNormalization(layer) => self.transform(Transform::rows(layer, path, parameters)?),
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

/// The plans of a checked chain of layers: of the whole, or of its sections.
///
/// Which steps a mask leaves out is worked out by the host before anything runs. A Masking layer behind one that computes has
/// to see what that one gives, so a new section begins there.
pub(crate) fn sections(layers: &[Layer], shapes: &[Shape], parameters: &Parameters) -> Result<Vec<Arc<Plan>>> {
    let mut sections = Vec::new();
    let mut section = Vec::new();
    let (mut begins_with, mut computes) = (Shape::Input, false);
    let mut before = Shape::Input;
    let mut cells = 0;
    for (position, ((layer, path), shape)) in layers.iter().zip(paths(layers)).zip(shapes).enumerate() {
        if matches!(layer, Layer::Masking(_)) && computes {
            let plan = Plan::of_section(&section, (begins_with, cells), parameters)?;
            cells += plan.cells.len();
            sections.push(Arc::new(plan));
            section.clear();
            (begins_with, computes) = (before, false);
        }
        computes |= !matches!(
            layer,
            Layer::Masking(_) | Layer::Embedding(_) | Layer::Dropout(_) | Layer::EndMask(_)
        );
        section.push((position, layer, path, *shape));
        before = *shape;
    }
    let plan = Plan::of_section(&section, (begins_with, cells), parameters)?;
    sections.push(Arc::new(plan));
    Ok(sections)
}
