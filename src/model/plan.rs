//! A model as a plan: its operations in order, and the cells and weights they use, each by its number.

use std::sync::Arc;

use ndarray::{ArcArray2, Array1, Axis, Ix2};

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
use crate::model::paths::{direction_paths, inner_paths, paths};
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
    /// The layer that reads the input, as messages name it.
    pub(crate) reader: String,
    pub(crate) operations: Vec<Operation>,
    pub(crate) cells: Vec<PlannedCell>,
    pub(crate) denses: Vec<PlannedDense>,
    /// Row by row in memory.
    pub(crate) tables: Vec<ArcArray2<f32>>,
    /// The cells whose final states `Output::states` has.
    pub(crate) returned_states: Vec<usize>,
}

impl Plan {
    /// The plan of some layers of a chain that has been checked, each with its position and its path.
    fn of_section(
        section: &[(usize, &Layer, String)],
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
            tables: Vec::new(),
            returned_states: Vec::new(),
        };
        for (_, layer, path) in section {
            plan.push(layer, path, parameters)?;
        }
        let is_masking = |layer: &Layer| matches!(layer, Layer::Masking(_));
        let reader = section
            .iter()
            .find(|(_, layer, _)| !is_masking(layer))
            .or(section.first());
        if let Some((position, layer, _)) = reader {
            plan.reader = format!("layer {position} ({})", layer.class());
            plan.takes_tokens = matches!(layer, Layer::Embedding(_));
            plan.features = match layer {
                Layer::Masking(_) | Layer::Embedding(_) | Layer::RepeatVector(_) => None,
                Layer::Recurrent(layer) => Some(layer.features()),
                Layer::Bidirectional(layer) => Some(layer.forward().features()),
                Layer::StackedRnnCells(stack) => Some(stack.features()),
                Layer::Dense(dense) => Some(dense.features()),
            };
        }
        if let Shape::Last { width } | Shape::Sequences { width, .. } = before {
            plan.features = Some(width);
        }
        Ok(plan)
    }

    /// Whether no layer computes anything: steps are set to zero or repeated, which is the host's.
    pub(crate) fn computes_nothing(&self) -> bool {
        let moves =
            |operation: &Operation| matches!(operation, Operation::Masking { .. } | Operation::RepeatVector { .. });
        self.operations.iter().all(moves)
    }

    /// Whether the input is one value for each sequence, which is run as a single time step.
    pub(crate) fn takes_last(&self) -> bool {
        matches!(self.before, Shape::Last { .. })
    }

    /// Whether that single time step is no axis of the output: behind a RepeatVector the steps are real ones.
    pub(crate) fn gives_last(&self) -> bool {
        let repeats = |operation: &Operation| matches!(operation, Operation::RepeatVector { .. });
        self.takes_last() && !self.operations.iter().any(repeats)
    }

    /// The time steps of the section's input where the model's has so many.
    pub(crate) fn input_steps(&self, time_steps: usize) -> usize {
        match self.before {
            Shape::Last { .. } => 1,
            Shape::Sequences {
                time_steps: Some(repeated),
                ..
            } => repeated,
            _ => time_steps,
        }
    }

    /// The most time steps that a layer sees where the input has so many.
    pub(crate) fn most_steps(&self, time_steps: usize) -> usize {
        let repeated = self.operations.iter().map(|operation| match operation {
            Operation::RepeatVector { time_steps } => *time_steps,
            _ => 0,
        });
        repeated.max().unwrap_or(0).max(time_steps)
    }

    /// The plan of layers whose weights are drawn.
    #[cfg(test)]
    pub(crate) fn drawn(layers: &[Layer]) -> Result<Self> {
        let numbered = layers.iter().zip(paths(layers)).enumerate();
        let section: Vec<_> = numbered
            .map(|(position, (layer, path))| (position, layer, path))
            .collect();
        Self::of_section(&section, (Shape::Input, 0), &parameters_of(layers)?)
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
                Operation::Recurrent {
                    cells: cells.collect::<Result<Vec<_>>>()?,
                    options: stack.options(),
                }
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
        weights.check(&layer.cell)?;
        self.cells.push(PlannedCell {
            cell: layer.cell.clone(),
            weights,
        });
        Ok(self.cells.len() - 1)
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
        computes |= !matches!(layer, Layer::Masking(_) | Layer::Embedding(_));
        section.push((position, layer, path));
        before = *shape;
    }
    let plan = Plan::of_section(&section, (begins_with, cells), parameters)?;
    sections.push(Arc::new(plan));
    Ok(sections)
}

/// The weights of a checked chain of layers, by name: those that were given, the others drawn.
pub(crate) fn parameters_of(layers: &[Layer]) -> Result<Parameters> {
    let mut parameters = Parameters::default();
    let mut place = 0; // of the set of weights, from which it is drawn
    for (layer, path) in layers.iter().zip(paths(layers)) {
        let mut push = |layer: &Recurrent, path: &str| -> Result<()> {
            layer.push_parameters(path, &layer.weights_at(place)?, &mut parameters);
            place += 1;
            Ok(())
        };
        match layer {
            Layer::Masking(_) | Layer::RepeatVector(_) => {}
            Layer::Recurrent(layer) => push(layer, &path)?,
            Layer::StackedRnnCells(stack) => {
                for (cell, path) in stack.cells().iter().zip(inner_paths(&path)) {
                    push(cell, &path)?;
                }
            }
            Layer::Bidirectional(layer) => {
                let [forward, backward] = direction_paths(&path);
                push(layer.forward(), &forward)?;
                push(layer.backward(), &backward)?;
            }
            Layer::Embedding(embedding) => {
                let table = embedding.embeddings_at(place)?.into_shared().into_dyn();
                parameters.push(format!("{path}/{}", Role::Embeddings), Role::Embeddings, table);
                place += 1;
            }
            Layer::Dense(dense) => {
                let weights = dense.weights_at(place)?;
                let kernel = weights.kernel.into_shared().into_dyn();
                parameters.push(format!("{path}/{}", Role::Kernel), Role::Kernel, kernel);
                if let Some(bias) = weights.bias {
                    let bias = bias.into_shared().into_dyn();
                    parameters.push(format!("{path}/{}", Role::Bias), Role::Bias, bias);
                }
                place += 1;
            }
        }
    }
    Ok(parameters)
}

/// The weights of a cell by its path.
pub(crate) fn cell_weights(parameters: &Parameters, path: &str) -> Result<CellWeights> {
    Ok(CellWeights {
        kernel: matrix(parameters, path, Role::Kernel)?,
        recurrent_kernel: matrix(parameters, path, Role::RecurrentKernel)?,
        bias: optional(parameters, path, Role::Bias)?,
        peepholes: optional(parameters, path, Role::Peepholes)?,
        projection: optional(parameters, path, Role::Projection)?,
    })
}

fn matrix(parameters: &Parameters, path: &str, role: Role) -> Result<ArcArray2<f32>> {
    let parameter = parameters.get(&format!("{path}/{role}"))?;
    let values = parameter.shared().clone().into_dimensionality::<Ix2>();
    values.map_err(|_| Error::defect("the shape of a parameter"))
}

/// A weight that a layer need not have, as a matrix; a bias of one row is kept without its first axis.
fn optional(parameters: &Parameters, path: &str, role: Role) -> Result<Option<ArcArray2<f32>>> {
    let Some(parameter) = parameters.find(&format!("{path}/{role}")) else {
        return Ok(None);
    };
    let values = parameter.shared().clone();
    let values = match values.ndim() {
        1 => values.insert_axis(Axis(0)),
        _ => values,
    };
    let values = values.into_dimensionality::<Ix2>();
    values.map(Some).map_err(|_| Error::defect("the shape of a parameter"))
}

fn row(bias: &ArcArray2<f32>) -> Array1<f32> {
    bias.row(0).to_owned()
}
