//! The weights of a file put into a model that was built from layers.

use std::collections::BTreeMap;

use super::names::Numbered;
use super::weights::{Place, Wanted, Weights};
use crate::error::{Error, Result};
use crate::layer::{Layer, TimeDistributed};
use crate::model::Model;
use crate::parameters::Parameter;

const WRAPPER: &str = "TimeDistributed";

/// A layer of the model that has weights.
#[derive(Debug)]
pub(super) struct Kept<'m> {
    /// Its class and number as in Keras's files: `lstm_1`.
    pub(super) name: String,
    pub(super) parts: Vec<Part<'m>>,
    is_stack: bool,
    /// Whether it is within the model's TimeDistributed.
    is_inner: bool,
    /// What Keras calls the layer where it stands in a wrapper, and the part that the layer is there.
    wrapped: Option<(&'static str, &'static str)>,
}

impl Kept<'_> {
    /// The name without its number.
    fn class(&self) -> &str {
        match self.name.rsplit_once('_') {
            Some((class, number)) if number.parse::<usize>().is_ok() => class,
            _ => &self.name,
        }
    }

    /// Where its first part is within it.
    fn within(&self) -> &str {
        self.parts.first().map_or("", |part| part.within.as_str())
    }
}

/// A group of weights: a cell, or the layer itself.
#[derive(Debug)]
pub(super) struct Part<'m> {
    /// Where it is within its layer: `cell`.
    pub(super) within: String,
    pub(super) parameters: Vec<&'m Parameter>,
}

pub(super) fn load(mut weights: Weights<'_>, model: &mut Model) -> Result<()> {
    let kept = kept(model)?;
    let places = match weights.named_layers()? {
        Some(names) => by_name(&weights, &kept, names)?,
        None => by_path(&weights, &kept)?,
    };
    let mut replaced = Vec::new();
    for (layer, place) in kept.iter().zip(&places) {
        for part in &layer.parts {
            let place = Place {
                path: joined(&place.path, &part.within),
                group: &place.group,
                contains: None,
            };
            let wanted = wanted(part);
            let tensors = weights.take(&place, &wanted)?;
            let paths = part.parameters.iter().map(|parameter| parameter.path().to_owned());
            replaced.extend(paths.zip(tensors));
        }
    }
    weights.finish()?;
    let (note, range) = (weights.converted_note(), weights.hdf5().file().range);
    model.take_parameters(replaced, range)?;
    model.add_notes(note.as_slice());
    Ok(())
}

/// Where a layer is in the file: its path, or its group.
struct Found {
    path: String,
    group: String,
}

/// A legacy file keeps layers in the order of the model.
fn by_name(weights: &Weights<'_>, kept: &[Kept<'_>], names: Vec<String>) -> Result<Vec<Found>> {
    if names.len() == kept.len() {
        let found = |group| Found {
            path: String::new(),
            group,
        };
        return Ok(names.into_iter().map(found).collect());
    }
    let ours: Vec<&str> = kept.iter().map(|layer| layer.name.as_str()).collect();
    Err(weights.hdf5().file().content(
        "layer_names",
        format!(
            "{} layers with weights, as in the model: {}",
            kept.len(),
            ours.join(", ")
        ),
        format!("{}: {}", names.len(), names.join(", ")),
        "give the model the layers that the file was saved from",
    ))
}

fn by_path(weights: &Weights<'_>, kept: &[Kept<'_>]) -> Result<Vec<Found>> {
    let mut wrappers: BTreeMap<&str, Numbered> = BTreeMap::new();
    let mut places = Vec::new();
    // of each class that may stand in wrappers: whether a layer stands by itself, and whether one does not
    let mut plain: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
    for layer in kept.iter().filter(|layer| layer.wrapped.is_some() && !layer.is_inner) {
        let has_own = weights.has(&joined(&format!("layers/{}", layer.name), layer.within()))?;
        let (by_itself, not) = plain.entry(layer.class()).or_default();
        *by_itself |= has_own;
        *not |= !has_own;
    }
    for layer in kept {
        let own = format!("layers/{}", layer.name);
        let mut path = own.clone();
        if layer.is_inner {
            path = inner_path(weights, layer, wrappers.entry(WRAPPER).or_default())?.unwrap_or(own);
        } else if let Some((wrapper, part)) = layer.wrapped {
            // of a class either all layers stand in wrappers or none: of a mixture nobody knows which is which
            let (is_plain, is_wrapped) = plain.get(layer.class()).copied().unwrap_or_default();
            let has = |path: &str| weights.has(&joined(path, layer.within()));
            if layer.is_stack || !is_plain {
                path = wrapped(&has, wrappers.entry(wrapper).or_default(), wrapper, part)?.unwrap_or(own);
            } else if is_wrapped && wrapped(&has, &mut Numbered::default(), wrapper, part)?.is_some() {
                return Err(weights.hdf5().file().content(
                    own,
                    format!("the layers of this class by themselves, or all of them in a {wrapper}"),
                    "some of them only",
                    "open the `.keras` or `.h5` file, which says where each layer stands",
                ));
            }
        }
        places.push(Found {
            path,
            group: String::new(),
        });
    }
    Ok(places)
}

/// Where a layer within a TimeDistributed is: in the model that the wrapper is around, by itself in a wrapper of its own, or, as an Embedding that
/// reads every axis, in none.
fn inner_path(weights: &Weights<'_>, layer: &Kept<'_>, numbered: &mut Numbered) -> Result<Option<String>> {
    let has = |path: &str| weights.has(&joined(path, layer.within()));
    let in_model = format!("layers/time_distributed/layer/layers/{}", layer.name);
    if has(&in_model)? {
        // the wrapper is taken, as often as its model has layers
        numbered.clone_from(&Numbered::after(WRAPPER));
        return Ok(Some(in_model));
    }
    let own = format!("layers/{}", layer.name);
    if layer.class() == "embedding" && has(&own)? {
        return Ok(Some(own));
    }
    wrapped(&has, numbered, WRAPPER, "/layer")
}

/// The next wrapper with such weights. Others of its class may wrap layers without any.
fn wrapped(
    has: &impl Fn(&str) -> Result<bool>,
    numbered: &mut Numbered,
    wrapper: &str,
    part: &str,
) -> Result<Option<String>> {
    const MOST: usize = 64;
    let mut ahead = numbered.clone();
    for _ in 0..MOST {
        let path = format!("layers/{}{part}", ahead.next(wrapper));
        if has(&path)? {
            *numbered = ahead;
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn joined(path: &str, within: &str) -> String {
    match within {
        "" => path.to_owned(),
        within => format!("{path}/{within}"),
    }
}

/// The layers of a model that have weights, with their parameters by part.
pub(super) fn kept(model: &Model) -> Result<Vec<Kept<'_>>> {
    let nested = model.nested().map_or(&[][..], TimeDistributed::layers);
    let layers = nested.iter().chain(model.layers());
    let holds_others = |layer: &&Layer| matches!(layer, Layer::TimeDistributed(_));
    let mut layers = layers.filter(|layer| layer.parameter_count() > 0 && !holds_others(layer));
    let mut kept: Vec<(&Layer, Kept<'_>)> = Vec::new();
    for parameter in model.parameters() {
        let (path, _) = parameter.path().rsplit_once('/').unwrap_or_default();
        let inner_path = path.strip_prefix("time_distributed/").filter(|_| !nested.is_empty());
        let (path, is_inner) = (inner_path.unwrap_or(path), inner_path.is_some());
        let (name, inner) = path.split_once('/').unwrap_or((path, ""));
        if kept
            .last()
            .is_none_or(|(_, last)| last.name != name || last.is_inner != is_inner)
        {
            let layer = layers.next().ok_or_else(|| Error::defect("the layers of parameters"))?;
            let new = Kept {
                name: name.to_owned(),
                parts: Vec::new(),
                is_stack: matches!(layer, Layer::StackedRnnCells(_)),
                is_inner,
                wrapped: match layer {
                    Layer::Dense(_) | Layer::BatchNormalization(_) | Layer::LayerNormalization(_) => {
                        Some((WRAPPER, "/layer"))
                    }
                    Layer::Recurrent(_) | Layer::StackedRnnCells(_) => Some(("RNN", "")),
                    _ => None,
                },
            };
            kept.push((layer, new));
        }
        let Some((layer, last)) = kept.last_mut() else {
            return Err(Error::defect("the layer of a parameter"));
        };
        let within = within(layer, inner);
        match last.parts.last_mut().filter(|part| part.within == within) {
            Some(part) => part.parameters.push(parameter),
            None => last.parts.push(Part {
                within,
                parameters: vec![parameter],
            }),
        }
    }
    Ok(kept.into_iter().map(|(_, kept)| kept).collect())
}

/// Where Keras keeps a part of a layer, within the layer.
fn within(layer: &Layer, inner: &str) -> String {
    match layer {
        Layer::Recurrent(_) => "cell".to_owned(),
        Layer::Bidirectional(_) => format!("{inner}/cell"),
        Layer::StackedRnnCells(stack) => {
            let number = inner.rsplit('_').next().and_then(|number| number.parse::<usize>().ok());
            let number = number.unwrap_or(0);
            let mut numbered = Numbered::default();
            let names = stack
                .cells()
                .iter()
                .map(|cell| numbered.next(&format!("{}Cell", cell.class())));
            let name = names.take(number + 1).last();
            format!("cell/cells/{}", name.unwrap_or_default())
        }
        _ => String::new(),
    }
}

/// What a part wants of a file, in the order of its parameters.
fn wanted(part: &Part<'_>) -> Vec<Wanted> {
    let wanted = part.parameters.iter().map(|parameter| Wanted {
        role: parameter.role().name(),
        axes: "the shape in the model",
        shape: parameter.values().shape().iter().map(|size| Some(*size)).collect(),
    });
    wanted.collect()
}
