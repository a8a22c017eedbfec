//! What layers a file of weights alone holds, as far as its names and shapes say it.

use hdf5_pure::Group;

use super::hdf5::Hdf5;
use super::weights::listed;
use crate::error::Result;

/// A layer with weights.
#[derive(Debug)]
pub(super) struct Found {
    /// As messages name it.
    pub(super) name: String,
    /// What it is, if the file says so.
    pub(super) class: Class,
    /// The TimeDistributed that it stands in.
    pub(super) wrapper: Option<Wrapper>,
    pub(super) parts: Vec<Part>,
}

impl Found {
    /// Whether it runs over sequences within sequences: a model at each time step, or a recurrent layer.
    pub(super) fn is_nested(&self) -> bool {
        let of_steps = |wrapper: Wrapper| wrapper.is_around_model || self.parts.iter().any(|part| part.is_cell);
        self.wrapper.is_some_and(of_steps)
    }
}

/// What the names of a file say about a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Class {
    Embedding,
    Dense,
    BatchNormalization,
    LayerNormalization,
    /// Nothing: the file names the wrapper alone.
    Unsaid,
    /// None of these; a recurrent layer is told by its cells.
    Other,
}

impl Class {
    /// Files by paths name layers by their classes.
    fn of_path(name: &str) -> Self {
        let class = match name.rsplit_once('_') {
            Some((class, number)) if number.parse::<usize>().is_ok() => class,
            _ => name,
        };
        match class {
            "embedding" => Self::Embedding,
            "dense" => Self::Dense,
            "batch_normalization" => Self::BatchNormalization,
            "layer_normalization" => Self::LayerNormalization,
            _ => Self::Other,
        }
    }

    /// Files by names have the names of people for layers, and Keras's for weights.
    fn of_weight(leaf: &str) -> Option<Self> {
        match leaf.split(':').next()? {
            "embeddings" => Some(Self::Embedding),
            "moving_mean" | "moving_variance" => Some(Self::BatchNormalization),
            "gamma" | "beta" => Some(Self::LayerNormalization),
            "kernel" | "bias" => Some(Self::Dense),
            _ => None,
        }
    }
}

/// A TimeDistributed around a layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wrapper {
    /// The how manyth it is.
    pub(super) number: usize,
    /// Whether it is around a model, of which the layer is one.
    is_around_model: bool,
}

impl Wrapper {
    fn of_name(name: &str) -> Option<Self> {
        let number = match name.strip_prefix("time_distributed")? {
            "" => 0,
            numbered => numbered.strip_prefix('_')?.parse().ok()?,
        };
        Some(Self {
            number,
            is_around_model: false,
        })
    }
}

/// A cell, or the layer itself: the shapes of its tensors.
#[derive(Debug)]
pub(super) struct Part {
    /// Where it is within its layer.
    pub(super) within: String,
    pub(super) is_cell: bool,
    pub(super) shapes: Vec<Vec<usize>>,
}

/// The layers of a file by paths.
pub(super) fn by_path(hdf5: &Hdf5<'_>) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for layers in ["layers", "_layer_checkpoint_dependencies"] {
        let Some(group) = hdf5.group(&hdf5.root(), layers)? else {
            continue;
        };
        let mut visits = 4096;
        for name in hdf5.groups(&group, layers)? {
            let mut parts = Vec::new();
            if let Some(inner) = hdf5.group(&group, &name)? {
                collect(hdf5, &inner, "", &mut parts, &mut visits)?;
            }
            place(&name, parts, &mut found);
        }
    }
    Ok(found)
}

/// The layer of these parts; in a TimeDistributed, the layers that it is around.
fn place(name: &str, parts: Vec<Part>, found: &mut Vec<Found>) {
    let wrapper = Wrapper::of_name(name);
    let begin = found.len();
    for mut part in parts {
        let inner = wrapper.and_then(|_| part.within.strip_prefix("layer/").map(str::to_owned));
        let of_model = inner
            .as_deref()
            .and_then(|inner| inner.strip_prefix("layers/")?.split_once('/'));
        let layer = match of_model {
            Some((layer, _)) => format!("{name}/{layer}"),
            None => name.to_owned(),
        };
        let of_model = of_model.map(|(layer, within)| (layer.to_owned(), within.to_owned()));
        let (class, is_around_model) = match (&of_model, wrapper) {
            (Some((layer, _)), _) => (Class::of_path(layer), true),
            (None, Some(_)) => (Class::Unsaid, false),
            (None, None) => (Class::of_path(name), false),
        };
        part.within = of_model.map(|(_, within)| within).or(inner).unwrap_or(part.within);
        let layer = super::config::short(&layer);
        let these = found.get_mut(begin..).unwrap_or_default();
        match these.iter_mut().find(|found| found.name == layer) {
            Some(known) => known.parts.push(part),
            None => found.push(Found {
                name: layer.to_owned(),
                class,
                wrapper: wrapper.map(|wrapper| Wrapper {
                    is_around_model,
                    ..wrapper
                }),
                parts: vec![part],
            }),
        }
    }
    // a direction that runs forward stands before the other one
    for layer in found.get_mut(begin..).unwrap_or_default() {
        let is_backward = |part: &Part| !part.within.starts_with("forward");
        layer.parts.sort_by_key(is_backward);
    }
}

/// The groups of tensors within a group. Groups may lead into themselves.
fn collect(hdf5: &Hdf5<'_>, group: &Group, within: &str, parts: &mut Vec<Part>, visits: &mut usize) -> Result<()> {
    const DEEPEST: usize = 6;
    if within.matches('/').count() >= DEEPEST || *visits == 0 {
        return Ok(());
    }
    *visits -= 1;
    for name in hdf5.groups(group, within)? {
        // the state of the random numbers of a Dropout
        if name == "seed_generator" {
            continue;
        }
        let Some(inner) = hdf5.group(group, &name)? else {
            continue;
        };
        if name != "vars" {
            collect(hdf5, &inner, &format!("{within}{name}/"), parts, visits)?;
            continue;
        }
        let names = hdf5.datasets(&inner, within)?;
        let shapes = names.iter().map(|name| hdf5.shape_of(&inner, name, within));
        let shapes = shapes.collect::<Result<Vec<_>>>()?;
        if !shapes.is_empty() {
            let is_cell = within.ends_with("cell/") || within.contains("/cells/");
            let within = within.to_owned();
            parts.push(Part {
                within,
                is_cell,
                shapes,
            });
        }
    }
    Ok(())
}

/// The layers of a file by names, in its order.
pub(super) fn by_name(hdf5: &Hdf5<'_>, group: &Group) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for name in listed(hdf5, group, "the root", "layer_names")? {
        let Some(of_layer) = hdf5.group(group, &name)? else {
            continue;
        };
        let mut parts: Vec<Part> = Vec::new();
        let mut class = Class::Other;
        for weight in listed(hdf5, &of_layer, &name, "weight_names")? {
            let shape = hdf5.shape_of(&of_layer, &weight, &name)?;
            let (path, leaf) = weight.rsplit_once('/').unwrap_or(("", &weight));
            let within = path.split_once('/').map_or(path, |(_, within)| within);
            if parts.last().is_none_or(|last| last.within != within) {
                parts.push(Part {
                    within: within.to_owned(),
                    is_cell: false,
                    shapes: Vec::new(),
                });
            }
            if let Some(part) = parts.last_mut() {
                part.is_cell |= leaf.starts_with("recurrent_kernel");
                class = match Class::of_weight(leaf) {
                    // what it has besides gamma and beta tells
                    Some(Class::LayerNormalization) if class == Class::BatchNormalization => class,
                    said => said.unwrap_or(class),
                };
                part.shapes.push(shape);
            }
        }
        if !parts.is_empty() {
            found.push(Found {
                name: super::config::short(&name).to_owned(),
                class,
                wrapper: Wrapper::of_name(&name),
                parts,
            });
        }
    }
    Ok(found)
}
