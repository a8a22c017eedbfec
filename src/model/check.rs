//! Whether the layers of a chain fit together.

use crate::error::{Error, Result};
use crate::layer::bidirectional::MergeMode;
use crate::layer::recurrent::Recurrent;
use crate::layer::shape::Shape;
use crate::layer::size::check_size;
use crate::layer::{Layer, TimeDistributed};

/// What comes out of each layer of a chain that fits together.
pub(super) fn check_chain(layers: &[Layer]) -> Result<Vec<Shape>> {
    check_within(layers, "")
}

/// What comes out of each layer within a TimeDistributed, whose layers fit together.
pub(super) fn inner_shapes(layers: &[Layer]) -> Result<Vec<Shape>> {
    check_within(layers, " in the TimeDistributed")
}

/// The same, of layers within another, as messages say it, or of the model's own.
fn check_within(layers: &[Layer], within: &'static str) -> Result<Vec<Shape>> {
    if layers.is_empty() {
        return Err(Error::Value {
            argument: "layers of the Model".to_owned(),
            expected: "at least one layer".to_owned(),
            found: "none".to_owned(),
            repair: "add one: `Model::builder().add(Lstm::new(features, units))`".to_owned(),
        });
    }
    let mut shapes = Vec::with_capacity(layers.len());
    let mut before = Shape::Input;
    for (position, layer) in layers.iter().enumerate() {
        let checker = Checker {
            position,
            layer,
            within,
            last: within.is_empty() && position + 1 == layers.len(),
        };
        before = checker.check(before)?;
        shapes.push(before);
    }
    check_features(layers, before)?;
    Ok(shapes)
}

/// Whether some layer says how many features the input has. Where nothing is computed any number will do.
fn check_features(layers: &[Layer], shape: Shape) -> Result<()> {
    let computes = |layer: &Layer| !matches!(layer, Layer::Masking(_) | Layer::Dropout(_) | Layer::EndMask(_));
    match (shape, layers.iter().find(|layer| computes(layer))) {
        (Shape::Input, Some(layer)) => Err(Error::Value {
            argument: "layers of the Model".to_owned(),
            expected: "one that says how many features the input has".to_owned(),
            found: format!("{} and others that take any number", layer.class()),
            repair: "add such a layer, or call `Activation::apply` on the values themselves".to_owned(),
        }),
        _ => Ok(()),
    }
}

struct Checker<'a> {
    position: usize,
    layer: &'a Layer,
    /// What layer it is in, as messages say it.
    within: &'static str,
    last: bool,
}

impl Checker<'_> {
    fn check(&self, before: Shape) -> Result<Shape> {
        if matches!(before, Shape::Separate { .. }) {
            return Err(self.chain(
                "one value at every step",
                "the two outputs of a Bidirectional with MergeMode::Separate",
                "merge them (MergeMode::Concat), or make the Bidirectional the last layer",
            ));
        }
        match self.layer {
            Layer::Masking(masking) => masking.check().map(|()| before),
            Layer::EndMask(_) => Ok(before),
            Layer::Embedding(embedding) => {
                embedding.check()?;
                if self.position != 0 {
                    return Err(self.chain(
                        "tokens, straight from the input",
                        "another layer",
                        "put the Embedding first; its `mask_zero(true)` masks token 0",
                    ));
                }
                Ok(Shape::Input.with_width(embedding.output_dim()))
            }
            Layer::Dense(dense) => {
                dense.check()?;
                self.features(before, dense.features())?;
                Ok(before.with_width(dense.units()))
            }
            Layer::RepeatVector(repeat) => self.repeat(before, repeat.n()),
            Layer::BatchNormalization(layer) => {
                layer.check()?;
                self.features(before, layer.features())?;
                Ok(before.with_width(layer.features()))
            }
            Layer::LayerNormalization(layer) => {
                layer.check()?;
                self.features(before, layer.features())?;
                Ok(before.with_width(layer.features()))
            }
            Layer::Activation(_) | Layer::Dropout(_) | Layer::Flatten(_) | Layer::Reshape(_) | Layer::LastStep(_) => {
                self.without_weights(before)
            }
            Layer::Recurrent(_) | Layer::StackedRnnCells(_) | Layer::Bidirectional(_) => self.with_cells(before),
            Layer::TimeDistributed(nested) => self.nested(nested),
        }
    }

    /// The layers within each time step: one value comes out of them.
    fn nested(&self, nested: &TimeDistributed) -> Result<Shape> {
        if !self.within.is_empty() {
            return Err(Error::Unsupported {
                layer: self.title(),
                option: "sequences within sequences within sequences".to_owned(),
                instead: "run the innermost layers as a model of their own, and this one on what it gives".to_owned(),
            });
        }
        if self.position != 0 {
            return Err(self.chain(
                "sequences within sequences, straight from the input",
                "another layer",
                "put the TimeDistributed first; a Dense layer, an activation or a normalization is applied to each time step without it",
            ));
        }
        match inner_shapes(nested.layers())?.last() {
            Some(Shape::Last { width }) => Ok(Shape::Input.with_width(*width)),
            _ => Err(self.chain(
                "inner layers that give one value for each inner sequence (batch·time_steps, units)",
                "a value at every inner time step",
                "leave `return_sequences` out on the last recurrent layer within, or add a Flatten or LastStep there",
            )),
        }
    }

    /// The layer as messages name it.
    fn title(&self) -> String {
        format!("layer {} ({}{})", self.position, self.layer.class(), self.within)
    }

    fn with_cells(&self, before: Shape) -> Result<Shape> {
        match self.layer {
            Layer::Recurrent(layer) => {
                layer.check()?;
                let options = layer.options();
                self.recurrent(before, layer.features(), options.return_state)?;
                Ok(before.after(options.return_sequences, layer.output_width()))
            }
            Layer::StackedRnnCells(stack) => {
                stack.check()?;
                let options = stack.options();
                self.recurrent(before, stack.features(), options.return_state)?;
                Ok(before.after(options.return_sequences, stack.output_width()))
            }
            Layer::Bidirectional(layer) => {
                layer.check()?;
                let options = layer.forward().options();
                self.recurrent(before, layer.forward().features(), options.return_state)?;
                Ok(match layer.merge() {
                    MergeMode::Separate => Shape::Separate {
                        widths: [layer.forward(), layer.backward()].map(Recurrent::output_width),
                        sequences: options.return_sequences,
                    },
                    _ => before.after(options.return_sequences, layer.width()),
                })
            }
            _ => Ok(before),
        }
    }

    /// A layer that only activates, or only changes which values stand where.
    fn without_weights(&self, before: Shape) -> Result<Shape> {
        match self.layer {
            Layer::Activation(activation) => activation.checked().map(|_| before),
            Layer::Dropout(dropout) => {
                dropout.check()?;
                match before {
                    Shape::Last { .. } if dropout.is_spatial() => Err(self.only_last()),
                    _ => Ok(before),
                }
            }
            Layer::Flatten(flatten) => {
                flatten.check()?;
                self.all_steps(before, [flatten.time_steps(), flatten.features()])?;
                Ok(Shape::Last { width: flatten.width() })
            }
            Layer::Reshape(reshape) => {
                reshape.check()?;
                self.all_steps(before, reshape.from_shape())?;
                let [time_steps, width] = reshape.to_shape();
                Ok(Shape::Sequences {
                    width,
                    time_steps: Some(time_steps),
                })
            }
            Layer::LastStep(_) => match before {
                Shape::Sequences { width, .. } => Ok(Shape::Last { width }),
                Shape::Last { .. } => Err(self.chain(
                    "a value at every time step (batch, time_steps, features)",
                    "one value for each sequence",
                    "leave the LastStep out",
                )),
                Shape::Input | Shape::Separate { .. } => Err(self.chain(
                    "a layer before it that says how many features there are",
                    "the input",
                    "put it behind such a layer, or cut the last step out of the input",
                )),
            },
            _ => Ok(before),
        }
    }

    fn repeat(&self, before: Shape, n: usize) -> Result<Shape> {
        let Shape::Last { width } = before else {
            return Err(self.chain(
                "one value for each sequence (batch, features)",
                "a value at every time step",
                "leave `return_sequences` out on the recurrent layer before it, which then gives its last output alone",
            ));
        };
        check_size("n of the RepeatVector", n)?;
        Ok(Shape::Sequences {
            width,
            time_steps: Some(n),
        })
    }

    /// What reads all time steps of a sequence at once has to know how many there are.
    fn all_steps(&self, before: Shape, [time_steps, features]: [usize; 2]) -> Result<()> {
        let found = match before {
            Shape::Last { .. } => Some(1),
            Shape::Sequences { time_steps, .. } => time_steps,
            Shape::Input | Shape::Separate { .. } => None, // a run will show
        };
        if let Some(found) = found.filter(|&found| found != time_steps) {
            return Err(self.chain(
                &format!("{time_steps} time steps"),
                &match before {
                    Shape::Last { .. } => "one value for each sequence, which is a single time step".to_owned(),
                    _ => format!("{found} time steps"),
                },
                &format!("make it take {found} time steps"),
            ));
        }
        self.features(before, features)
    }

    fn only_last(&self) -> Error {
        self.chain(
            "a value at every time step (batch, time_steps, features)",
            "only the last output (batch, units)",
            "call `return_sequences(true)` on the recurrent layer before it",
        )
    }

    fn recurrent(&self, before: Shape, features: usize, return_state: bool) -> Result<()> {
        if let Shape::Last { .. } = before {
            return Err(self.only_last());
        }
        if return_state && !self.last {
            return Err(Error::Unsupported {
                layer: self.title(),
                option: "return_state(true) on a layer that is not the last".to_owned(),
                instead: match self.within.is_empty() {
                    true => "`run_from` gives the states of all layers".to_owned(),
                    false => "leave it out: the states of inner layers end with each inner sequence".to_owned(),
                },
            });
        }
        self.features(before, features)
    }

    fn features(&self, before: Shape, expected: usize) -> Result<()> {
        match before {
            Shape::Sequences { width: found, .. } | Shape::Last { width: found } if found != expected => {
                Err(Error::Features {
                    layer: self.title(),
                    expected,
                    found,
                    shape: Vec::new(),
                    repair: format!("make it take {found} features, or give the layer before it {expected} units"),
                })
            }
            _ => Ok(()),
        }
    }

    fn chain(&self, expected: &str, found: &str, repair: &str) -> Error {
        Error::Chain {
            position: self.position,
            layer: format!("{}{}", self.layer.class(), self.within),
            expected: expected.to_owned(),
            found: found.to_owned(),
            repair: repair.to_owned(),
        }
    }
}
