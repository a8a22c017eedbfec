//! Whether the layers of a chain fit together.

use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::layer::bidirectional::MergeMode;

/// What a layer finds before it.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// Nothing yet: the first layer says what the input is.
    Input,
    /// A value at every time step.
    Sequences(usize),
    /// One value for each sequence.
    Last(usize),
    /// The two outputs of a `Bidirectional` that are not merged.
    Separate,
}

pub(super) fn check_chain(layers: &[Layer]) -> Result<()> {
    if layers.is_empty() {
        return Err(Error::Value {
            argument: "layers of the Model".to_owned(),
            expected: "at least one layer".to_owned(),
            found: "none".to_owned(),
            repair: "add one: `Model::builder().add(Lstm::new(features, units))`".to_owned(),
        });
    }
    let mut before = Before::Input;
    for (position, layer) in layers.iter().enumerate() {
        let checker = Checker {
            position,
            layer,
            last: position + 1 == layers.len(),
        };
        before = checker.check(before)?;
    }
    if layers.iter().all(|layer| matches!(layer, Layer::Masking(_))) {
        return Err(Error::Value {
            argument: "layers of the Model".to_owned(),
            expected: "a layer that computes".to_owned(),
            found: "Masking alone".to_owned(),
            repair: "add one behind it: `.add(Lstm::new(features, units))`".to_owned(),
        });
    }
    Ok(())
}

struct Checker<'a> {
    position: usize,
    layer: &'a Layer,
    last: bool,
}

impl Checker<'_> {
    fn check(&self, before: Before) -> Result<Before> {
        if before == Before::Separate {
            return Err(self.chain(
                "one value at every step",
                "the two outputs of a Bidirectional with MergeMode::Separate",
                "merge them (MergeMode::Concat), or make the Bidirectional the last layer",
            ));
        }
        match self.layer {
            Layer::Masking(masking) => {
                if masking.mask_value().is_nan() {
                    return Err(Error::Value {
                        argument: "mask_value of the Masking layer".to_owned(),
                        expected: "a number".to_owned(),
                        found: "NaN, which equals nothing, so no step would be masked".to_owned(),
                        repair: "call `Sequences::mask_missing` to mask steps with NaN".to_owned(),
                    });
                }
                self.first(before, "put it first, or give the mask with `Sequences::with_mask`")?;
                Ok(Before::Input)
            }
            Layer::Embedding(embedding) => {
                embedding.check()?;
                if self.position != 0 {
                    return Err(self.chain(
                        "tokens, straight from the input",
                        "another layer",
                        "put the Embedding first; its `mask_zero(true)` masks token 0",
                    ));
                }
                Ok(Before::Sequences(embedding.output_dim()))
            }
            Layer::Dense(dense) => {
                dense.check()?;
                self.features(before, dense.features())?;
                Ok(match before {
                    Before::Last(_) => Before::Last(dense.units()),
                    _ => Before::Sequences(dense.units()),
                })
            }
            Layer::Recurrent(layer) => {
                layer.check()?;
                let options = layer.options();
                self.recurrent(before, layer.features(), options.return_state)?;
                Ok(after(options.return_sequences, layer.output_width()))
            }
            Layer::StackedRnnCells(stack) => {
                stack.check()?;
                let options = stack.options();
                self.recurrent(before, stack.features(), options.return_state)?;
                Ok(after(options.return_sequences, stack.output_width()))
            }
            Layer::Bidirectional(layer) => {
                layer.check()?;
                let options = layer.forward().options();
                self.recurrent(before, layer.forward().features(), options.return_state)?;
                Ok(match layer.merge() {
                    MergeMode::Separate => Before::Separate,
                    _ => after(options.return_sequences, layer.width()),
                })
            }
        }
    }

    fn first(&self, before: Before, repair: &str) -> Result<()> {
        if before == Before::Input && self.position == 0 {
            return Ok(());
        }
        Err(self.chain("the input itself", "another layer", repair))
    }

    fn recurrent(&self, before: Before, features: usize, return_state: bool) -> Result<()> {
        if let Before::Last(_) = before {
            return Err(self.chain(
                "a value at every time step (batch, time_steps, features)",
                "only the last output (batch, units)",
                "call `return_sequences(true)` on the recurrent layer before it",
            ));
        }
        if return_state && !self.last {
            return Err(Error::Unsupported {
                layer: format!("layer {} ({})", self.position, self.layer.class()),
                option: "return_state(true) on a layer that is not the last".to_owned(),
                instead: "`run_from` gives the states of all layers".to_owned(),
            });
        }
        self.features(before, features)
    }

    fn features(&self, before: Before, expected: usize) -> Result<()> {
        match before {
            Before::Sequences(found) | Before::Last(found) if found != expected => Err(Error::Features {
                layer: format!("layer {} ({})", self.position, self.layer.class()),
                expected,
                found,
                shape: Vec::new(),
                repair: format!("make it take {found} features, or give the layer before it {expected} units"),
            }),
            _ => Ok(()),
        }
    }

    fn chain(&self, expected: &str, found: &str, repair: &str) -> Error {
        Error::Chain {
            position: self.position,
            layer: self.layer.class().to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
            repair: repair.to_owned(),
        }
    }
}

fn after(return_sequences: bool, units: usize) -> Before {
    if return_sequences {
        Before::Sequences(units)
    } else {
        Before::Last(units)
    }
}
