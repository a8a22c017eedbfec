//! From the chain of a file to layers with their weights.

use super::chain::{Chain, Node};
use super::config::{Config, Object};
use super::step::MaskArgument;
use super::version::Version;
use super::weights::{Place, Weights};
use crate::error::Result;
use crate::format::file::File;
use crate::layer::Layer;
use crate::layer::end_mask::EndMask;
use crate::memory::FILE;
use crate::model::Model;

/// What reads a model.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) file: &'a File<'a>,
    pub(super) version: Version,
    pub(super) weights: Weights<'a>,
    pub(super) notes: Vec<String>,
    /// What comes out of the layers so far.
    pub(super) shape: Shape,
    /// What mask comes with it.
    pub(super) mask: Mask,
    /// Whether that mask is one of inner sequences, behind the TimeDistributed that has run over them.
    pub(super) mask_of_inner: bool,
    /// The axes besides those of a batch of sequences: those of sequences within sequences have one.
    pub(super) more_axes: i64,
}

/// Where layers of sequences may be applied to each time step.
pub(super) const NESTED: &str = "a TimeDistributed over a recurrent layer (characters in words) stands at the input, which is \
     (batch, words, characters, features), or tokens (batch, words, characters)";

/// What stands between two layers, as far as the file says it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shape {
    /// Whether there is a value for each time step.
    pub(super) sequences: bool,
    pub(super) time_steps: Option<usize>,
    pub(super) width: Option<usize>,
}

/// The mask that travels along.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mask {
    None,
    Of {
        /// The layer whose output was compared with the value.
        of: String,
        value: f64,
        of_features: bool,
    },
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a File<'a>, version: Version, weights: Weights<'a>, notes: Vec<String>) -> Self {
        Self {
            file,
            version,
            weights,
            notes,
            shape: Shape {
                sequences: true,
                time_steps: None,
                width: None,
            },
            mask: Mask::None,
            mask_of_inner: false,
            more_axes: 0,
        }
    }

    pub(super) fn read(mut self, chain: &Chain<'a>) -> Result<Model> {
        let mut layers: Vec<Layer> = Vec::new();
        let mut nodes = chain.nodes.as_slice();
        match self.inner_input(chain) {
            None => self.take_input(chain)?,
            Some(input) => {
                let (nested, rest) = self.nested(input, nodes)?;
                layers.push(nested.into());
                nodes = rest;
            }
        }
        self.read_nodes(nodes, true, &mut layers)?;
        self.weights.finish()?;
        self.notes.extend(self.weights.converted_note());
        drop(self.weights);
        // a model keeps its weights twice, as layers and as it runs
        FILE.list::<f32>(layers.iter().map(Layer::parameter_count).sum())?;
        let builder = layers
            .into_iter()
            .fold(Model::builder(), |builder, layer| builder.add(layer));
        Ok(builder.build()?.with_notes(self.notes))
    }

    /// Reads layers that stand one behind the other; whether the last one is that of the model.
    pub(super) fn read_nodes(&mut self, nodes: &[Node<'a>], ends: bool, layers: &mut Vec<Layer>) -> Result<()> {
        for (position, node) in nodes.iter().enumerate() {
            let config = node.config(self.file);
            let last = ends && position + 1 == nodes.len();
            self.check_node(node, &config)?;
            let read = self.layer(node, &config, last)?;
            config.finish()?;
            self.follow_mask(node, &config)?;
            layers.extend(read);
            if self.ends_mask(node, nodes.get(position + 1..).unwrap_or_default(), &config) {
                layers.push(EndMask::new().into());
            }
        }
        Ok(())
    }

    /// What is looked at in every layer before it is read.
    pub(super) fn check_node(&mut self, node: &Node<'a>, config: &Config<'a>) -> Result<()> {
        if node.object.is_custom() {
            return Err(config.unsupported(
                format!("a class of one's own, {:?}", node.object.class),
                "build the model of Keras's layers; cellstate cannot run Python's code",
            ));
        }
        self.note_dtype(config)?;
        self.note_training(node, config);
        if is_recurrent(node) || node.object.class == "BatchNormalization" {
            self.check_mask_of_inner(config)?;
        }
        self.check_mask(node, config)
    }

    /// Keras hands the mask of the characters on behind TimeDistributed, where a layer that looks at it fails.
    pub(super) fn check_mask_of_inner(&self, config: &Config<'a>) -> Result<()> {
        match self.mask_of_inner && self.is_masked() {
            false => Ok(()),
            true => Err(config.unsupported(
                "the mask of the characters, which comes out of TimeDistributed with an axis too many for this layer",
                "put a Masking layer behind the TimeDistributed, which masks the words that give zeros, or let TimeDistributed stand around a \
                 Sequential of the inner layers, in which their mask ends",
            )),
        }
    }

    fn take_input(&mut self, chain: &Chain<'a>) -> Result<()> {
        let Some(input) = &chain.input else {
            return Ok(());
        };
        let tokens = chain.nodes.first().is_some_and(|node| node.object.class == "Embedding");
        match (input.as_slice(), tokens) {
            ([_, time_steps], true) => self.shape.time_steps = *time_steps,
            ([_], true) => {}
            ([_, time_steps, width], false) => {
                self.shape.time_steps = *time_steps;
                self.shape.width = *width;
            }
            (axes, _) => {
                let wanted = match tokens {
                    true => "(batch, time_steps)",
                    false => "(batch, time_steps, features)",
                };
                let nested = match axes.len() + usize::from(tokens) {
                    4 => format!("; {NESTED}"),
                    _ => String::new(),
                };
                return Err(crate::error::Error::Unsupported {
                    layer: format!("the input of {}", self.file.path.display()),
                    option: format!("{} axes", axes.len()),
                    instead: format!("give the model an input of the shape {wanted}{nested}"),
                });
            }
        }
        Ok(())
    }

    /// Says what a file has for training alone: a run needs nothing of it, and whoever trains on has to know.
    pub(super) fn note_training(&mut self, node: &Node<'a>, config: &Config<'a>) {
        let class = node.object.class;
        let mut left_out = match class {
            // what it is around is looked at too
            "TimeDistributed" => config.of_training_around("layer"),
            _ => config.of_training(),
        };
        if matches!(
            class,
            "GaussianNoise" | "GaussianDropout" | "AlphaDropout" | "ActivityRegularization"
        ) {
            left_out.push(format!("the layer {class} itself"));
        }
        if !left_out.is_empty() {
            self.note(format!(
                "{}: {} acts in training alone and is not taken over; a `Trainer` trains without.",
                config.layer,
                left_out.join(", ")
            ));
        }
    }

    /// Says a thing once.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Where the tensors of a layer, or of a part of it, are.
    pub(super) fn place<'n>(node: &'n Node<'a>, part: &str) -> Place<'n> {
        Place {
            path: match part {
                "" => node.path.clone(),
                part => format!("{}/{part}", node.path),
            },
            group: node.group,
            contains: node
                .shares_group
                .then(|| node.options.get("name").and_then(serde_json::Value::as_str))
                .flatten(),
        }
    }

    /// Numbers other than float32: read, computed in float32 and said, or refused.
    pub(super) fn note_dtype(&mut self, config: &Config<'a>) -> Result<()> {
        let Some(value) = config.value("dtype") else {
            return Ok(());
        };
        let policy = match Object::of(value) {
            Some(object) => object.config.get("name").and_then(serde_json::Value::as_str),
            None => value.as_str(),
        };
        match policy {
            Some("float32") => Ok(()),
            Some(policy @ ("mixed_float16" | "mixed_bfloat16" | "float16" | "bfloat16" | "float64")) => {
                self.note(format!(
                    "The dtype of the model is {policy}; here everything is computed in float32, so results differ from Keras's by \
                     the rounding of {policy}."
                ));
                Ok(())
            }
            _ => Err(config.unsupported(
                format!("dtype = {}", super::config::shown(value)),
                "save the model in float32, not quantized",
            )),
        }
    }

    /// A functional model passes masks by hand: what is passed has to be the mask that is there.
    fn check_mask(&mut self, node: &Node<'a>, config: &Config<'a>) -> Result<()> {
        let MaskArgument::Unequal { of, value, of_features } = &node.step.mask else {
            return Ok(());
        };
        let passed = Mask::Of {
            of: of.clone(),
            value: *value,
            of_features: *of_features,
        };
        match passed == self.mask {
            true => Ok(()),
            false => Err(config.unsupported(
                format!("the mask of the steps of {of:?} that do not equal {value}, which is not the one that comes with its input"),
                "let the mask travel along the chain, from Masking or Embedding",
            )),
        }
    }

    /// Whether recurrent layers hand their mask on: as it was asked for, or as the Keras that wrote the file does.
    pub(super) fn hands_masks_on(&self) -> bool {
        let asked_for = self.file.hands_masks_on;
        asked_for.unwrap_or_else(|| self.version.hands_masks_on())
    }

    /// Whether the mask ends behind a layer though values for each step go on, and a layer behind it asks: so it is from Keras 3.16 on,
    /// but where the mask is passed by hand.
    fn ends_mask(&mut self, node: &Node<'a>, behind: &[Node<'a>], config: &Config<'a>) -> bool {
        let hands_on = !is_recurrent(node) && node.object.class != "TimeDistributed";
        if self.hands_masks_on() || hands_on || self.mask == Mask::None {
            return false;
        }
        let by_hand = |node: &Node<'a>| node.step.mask != MaskArgument::Implied;
        match behind.iter().find(|node| is_recurrent(node)) {
            Some(next) if !by_hand(next) => {
                let by = match self.file.hands_masks_on {
                    Some(_) => "As it was asked for,".to_owned(),
                    None => format!("Keras {} wrote the file, in which", self.version),
                };
                self.note(format!(
                    "{by} layer {} does not hand its mask on: an EndMask stands behind it, and the layers behind run over the padding.",
                    config.layer
                ));
                self.mask = Mask::None;
                true
            }
            _ => false,
        }
    }

    /// Whether a mask comes with what stands before the next layer.
    pub(super) fn is_masked(&self) -> bool {
        self.mask != Mask::None && self.shape.sequences
    }

    /// What mask goes on behind a layer.
    pub(super) fn follow_mask(&mut self, node: &Node<'a>, config: &Config<'a>) -> Result<()> {
        let of = node.step.before.clone();
        match node.object.class {
            "Masking" => {
                self.mask = Mask::Of {
                    of,
                    value: config.number("mask_value", 0.0)?,
                    of_features: true,
                }
            }
            "Embedding" if config.flag("mask_zero", false)? => {
                self.mask = Mask::Of {
                    of,
                    value: 0.0,
                    of_features: false,
                }
            }
            // they hand none on
            "Reshape" | "RepeatVector" => self.mask = Mask::None,
            _ => {}
        }
        if !self.shape.sequences {
            self.mask = Mask::None;
        }
        self.mask_of_inner &= self.mask != Mask::None && !matches!(node.object.class, "Masking");
        Ok(())
    }
}

fn is_recurrent(node: &Node<'_>) -> bool {
    matches!(
        node.object.class,
        "LSTM" | "GRU" | "SimpleRNN" | "RNN" | "Bidirectional"
    )
}
