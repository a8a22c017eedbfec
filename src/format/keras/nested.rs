//! Sequences within sequences: the layers of a file that run over the characters of each word, TimeDistributed and others.

use serde_json::Value;

use super::chain::{Chain, Node, is_model};
use super::config::{Config, Object};
use super::layers::OF_EACH_STEP;
use super::reader::{Mask, NESTED, Reader, Shape};
use super::step::Step;
use crate::error::Result;
use crate::layer::end_mask::EndMask;
use crate::layer::{Layer, TimeDistributed};

/// The input of sequences within sequences, as far as the file says it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inner {
    time_steps: Option<usize>,
    inner_steps: Option<usize>,
    features: Option<usize>,
}

impl<'a> Reader<'a> {
    /// The input, if it is one of sequences within sequences.
    pub(super) fn inner_input(&self, chain: &Chain<'a>) -> Option<Inner> {
        let tokens = chain.nodes.first().is_some_and(|node| reads_tokens(&node.object, 0));
        match (chain.input.as_deref()?, tokens) {
            ([_, time_steps, inner_steps], true) => Some(Inner {
                time_steps: *time_steps,
                inner_steps: *inner_steps,
                features: None,
            }),
            ([_, time_steps, inner_steps, features], false) => Some(Inner {
                time_steps: *time_steps,
                inner_steps: *inner_steps,
                features: *features,
            }),
            _ => None,
        }
    }

    /// The layers that run within each time step, and the nodes behind them.
    pub(super) fn nested<'n>(
        &mut self,
        input: Inner,
        nodes: &'n [Node<'a>],
    ) -> Result<(TimeDistributed, &'n [Node<'a>])> {
        self.shape = Shape {
            sequences: true,
            time_steps: input.inner_steps,
            width: input.features,
        };
        let mut layers = Vec::new();
        let mut rest = nodes;
        while let Some((node, behind)) = rest.split_first().filter(|_| self.shape.sequences) {
            let config = node.config(self.file);
            self.check_node(node, &config)?;
            match node.object.class {
                "TimeDistributed" => self.each_step(node, &config, &mut layers)?,
                class if OF_EACH_STEP.contains(&class) || matches!(class, "Masking" | "Embedding") => {
                    self.more_axes = 1;
                    layers.extend(self.layer(node, &config, false)?);
                    self.more_axes = 0;
                    self.follow_mask(node, &config)?;
                }
                class => {
                    return Err(config.unsupported(
                        format!("the class {class:?} over sequences within sequences"),
                        format!("let a TimeDistributed stand around it; {NESTED}"),
                    ));
                }
            }
            config.finish()?;
            rest = behind;
        }
        // one value of each inner sequence is a time step of the sequences
        self.shape.sequences = true;
        self.shape.time_steps = input.time_steps;
        self.mask_of_inner = self.mask != Mask::None;
        Ok((TimeDistributed::with_layers(layers), rest))
    }

    /// The layer that a TimeDistributed is around.
    pub(super) fn wrapped(&self, node: &Node<'a>, config: &Config<'a>) -> Result<(Node<'a>, Config<'a>)> {
        let missing = || config.wrong("layer", "the layer that is applied to each time step", &Value::Null);
        let object = config.object("layer")?.ok_or_else(missing)?;
        let options = object.options().ok_or_else(missing)?;
        let within = Config::new(self.file, format!("{} in {}", object.title(), config.layer), options);
        let inner = Node {
            object,
            options,
            path: format!("{}/layer", node.path),
            group: node.group,
            shares_group: node.shares_group,
            step: Step::of_sequential(0),
        };
        Ok((inner, within))
    }

    /// What a TimeDistributed is around. It is called without what Keras does about masks: the mask of the input goes in and comes out again, and
    /// one that is made within stays there.
    fn each_step(&mut self, node: &Node<'a>, config: &Config<'a>, layers: &mut Vec<Layer>) -> Result<()> {
        let (inner, inner_config) = self.wrapped(node, config)?;
        let object = &inner.object;
        let mask = self.mask.clone();
        if is_model(object.class) && !object.is_custom() {
            let chain = Chain::within(self.file, object, &inner.path, node.group)?;
            if let Some([_, inner_steps, ..]) = chain.input.as_deref() {
                self.shape.time_steps = self.shape.time_steps.or(*inner_steps);
            }
            self.read_nodes(&chain.nodes, false, layers)?;
        } else {
            self.check_node(&inner, &inner_config)?;
            layers.extend(self.one_each_step(&inner, &inner_config)?);
            inner_config.finish()?;
        }
        self.end_mask_within(mask, config, layers)
    }

    /// A layer by itself, whose own mask nobody asks for.
    fn one_each_step(&mut self, node: &Node<'a>, config: &Config<'a>) -> Result<Option<Layer>> {
        match node.object.class {
            "TimeDistributed" => Err(config.unsupported(
                "sequences within sequences within sequences",
                "run the innermost layers as a model of their own",
            )),
            "Masking" if config.number("mask_value", 0.0)? != 0.0 => Err(config.unsupported(
                "Masking alone in a TimeDistributed, which masks nothing and writes zeros over its mask_value",
                "leave the TimeDistributed around Masking out",
            )),
            "Masking" => {
                self.note(format!(
                    "Layer {} masks nothing, for the mask ends with the TimeDistributed around it.",
                    config.layer
                ));
                Ok(None)
            }
            "Reshape" if self.is_masked() => Err(config.unsupported(
                "other time steps under a mask of those before",
                "reshape without a mask, or in a Sequential that the TimeDistributed is around",
            )),
            "Embedding" => {
                let layer = self.layer(node, config, false)?;
                Ok(match layer {
                    Some(Layer::Embedding(embedding)) if embedding.masks_zero() => {
                        self.note(format!(
                            "Layer {} masks nothing in spite of mask_zero, for the mask ends with the TimeDistributed around it.",
                            config.layer
                        ));
                        Some(embedding.mask_zero(false).into())
                    }
                    layer => layer,
                })
            }
            _ => self.layer(node, config, false),
        }
    }

    /// Behind a TimeDistributed the mask is the one before it.
    fn end_mask_within(&mut self, before: Mask, config: &Config<'a>, layers: &mut Vec<Layer>) -> Result<()> {
        let hands_on = self.hands_masks_on() || before == Mask::None;
        if self.shape.sequences {
            if !hands_on || (self.mask != before && before != Mask::None) {
                return Err(config.unsupported(
                    "a mask that ends within sequences within sequences",
                    "put the inner layers into one Sequential with a TimeDistributed around it",
                ));
            }
            if self.mask != before {
                layers.push(EndMask::new().into());
            }
        }
        self.mask = match hands_on {
            true => before,
            false => Mask::None,
        };
        Ok(())
    }
}

/// Whether a layer reads tokens: an Embedding, or what is around one.
fn reads_tokens(object: &Object<'_>, depth: usize) -> bool {
    const DEEPEST: usize = 16;
    let within = match object.class {
        "Embedding" => return true,
        "TimeDistributed" => object.config.get("layer").and_then(Object::of),
        class if is_model(class) => {
            let layers = object.config.get("layers").and_then(Value::as_array);
            let mut layers = layers.into_iter().flatten().filter_map(Object::of);
            layers.find(|layer| layer.class != "InputLayer")
        }
        _ => None,
    };
    depth < DEEPEST && within.is_some_and(|object| reads_tokens(&object, depth + 1))
}
