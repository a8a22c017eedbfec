//! The places of a chain that have weights, and what fits them.

use super::module::Kind;
use super::recurrent_module::RecurrentModule;
use crate::layer::Layer;
use crate::layer::dense::Dense;
use crate::layer::embedding::Embedding;
use crate::layer::recurrent::Recurrent;
use crate::model::paths::{direction_paths, inner_paths, paths, paths_within};

/// A place of a chain that one module, or one layer of one, fills.
#[derive(Clone, Debug)]
pub(crate) struct Place<'l> {
    /// Of the layer in the chain.
    pub(crate) position: usize,
    pub(crate) class: &'static str,
    pub(crate) wants: Wanted<'l>,
    /// What stands before the names of its parameters in a model: of both directions where there are two.
    pub(crate) paths: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum Wanted<'l> {
    /// A recurrent layer of one direction, or of two.
    Recurrent(Vec<&'l Recurrent>),
    Dense(&'l Dense),
    Embedding(&'l Embedding),
    /// Over so many features.
    LayerNorm(usize),
    BatchNorm(usize),
}

/// How a module differs from what a place wants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Difference {
    /// It is a module of another class.
    Class,
    /// Its sizes are others.
    Size,
}

/// The places of a chain, the one nearest to the input first.
pub(crate) fn places(layers: &[Layer]) -> Vec<Place<'_>> {
    let mut places = Vec::new();
    push_places(layers, paths(layers).into_iter(), None, &mut places);
    places
}

/// The places of layers, which are all within the layer of a position if there is one.
fn push_places<'l>(
    layers: &'l [Layer],
    all: impl Iterator<Item = String>,
    within: Option<usize>,
    places: &mut Vec<Place<'l>>,
) {
    for (position, (layer, path)) in layers.iter().zip(all).enumerate() {
        let position = within.unwrap_or(position);
        let one = |wanted| vec![(wanted, vec![path.clone()])];
        let wanted = match layer {
            Layer::Masking(_)
            | Layer::RepeatVector(_)
            | Layer::Activation(_)
            | Layer::Dropout(_)
            | Layer::Flatten(_)
            | Layer::Reshape(_)
            | Layer::LastStep(_)
            | Layer::EndMask(_) => Vec::new(),
            Layer::Recurrent(layer) => one(Wanted::Recurrent(vec![layer])),
            Layer::Bidirectional(layer) => {
                let both = Wanted::Recurrent(vec![layer.forward(), layer.backward()]);
                vec![(both, direction_paths(&path).to_vec())]
            }
            Layer::StackedRnnCells(stack) => {
                let cells = stack.cells().iter().zip(inner_paths(&path));
                cells
                    .map(|(cell, path)| (Wanted::Recurrent(vec![cell]), vec![path]))
                    .collect()
            }
            Layer::Dense(dense) => one(Wanted::Dense(dense)),
            Layer::Embedding(embedding) => one(Wanted::Embedding(embedding)),
            // without weights there is nothing to load
            Layer::LayerNormalization(layer) if layer.has() == [false, false] => Vec::new(),
            Layer::LayerNormalization(layer) => one(Wanted::LayerNorm(layer.features())),
            Layer::BatchNormalization(layer) => one(Wanted::BatchNorm(layer.features())),
            Layer::TimeDistributed(nested) => {
                let within: Vec<String> = paths_within(&path, nested.layers()).collect();
                push_places(nested.layers(), within.into_iter(), Some(position), places);
                Vec::new()
            }
        };
        places.extend(wanted.into_iter().map(|(wants, paths)| Place {
            position,
            class: layer.class(),
            wants,
            paths,
        }));
    }
}

impl Place<'_> {
    /// What is wrong with one layer of a module in this place; `None` if it fits.
    pub(crate) fn difference(&self, kind: &Kind, layer: usize) -> Option<Difference> {
        let fits = match (&self.wants, kind) {
            (Wanted::Recurrent(directions), Kind::Recurrent(module)) => {
                if !directions.iter().all(|wanted| wanted.cell.gates() == module.gates) {
                    return Some(Difference::Class);
                }
                let features = module.features_of(layer);
                directions.len() == module.directions()
                    && directions.iter().all(|wanted| is_of_size(wanted, features, module))
            }
            (Wanted::Dense(dense), Kind::Matrix { rows, columns, .. }) => {
                (dense.units(), dense.features()) == (*rows, *columns)
            }
            (
                Wanted::Embedding(embedding),
                Kind::Matrix {
                    rows,
                    columns,
                    bias: false,
                },
            ) => (embedding.input_dim(), embedding.output_dim()) == (*rows, *columns),
            (Wanted::LayerNorm(features), Kind::LayerNorm { width, .. })
            | (Wanted::BatchNorm(features), Kind::BatchNorm { width, .. }) => features == width,
            _ => return Some(Difference::Class),
        };
        (!fits).then_some(Difference::Size)
    }

    /// What the place wants, in words.
    pub(crate) fn description(&self) -> String {
        let what = match &self.wants {
            Wanted::Recurrent(directions) => match directions.as_slice() {
                [one, ..] => {
                    let both = if directions.len() > 1 { ", bidirectional" } else { "" };
                    let projected = match one.cell.has_projection() {
                        true => format!(", projected to {}", one.output_width()),
                        false => String::new(),
                    };
                    let (class, features, units) = (one.class(), one.features(), one.units());
                    format!("{class}, {features} features, {units} units{projected}{both}")
                }
                [] => String::new(),
            },
            Wanted::Dense(dense) => format!("Linear, {} features, {} units", dense.features(), dense.units()),
            Wanted::Embedding(embedding) => {
                format!(
                    "Embedding, {} tokens of {} values",
                    embedding.input_dim(),
                    embedding.output_dim()
                )
            }
            Wanted::LayerNorm(features) => format!("LayerNorm, {features} features"),
            Wanted::BatchNorm(features) => format!("BatchNorm1d, {features} features"),
        };
        format!("layer {} ({}): {what}", self.position, self.class)
    }
}

fn is_of_size(wanted: &Recurrent, features: usize, module: &RecurrentModule) -> bool {
    let sizes = (wanted.features(), wanted.units(), wanted.output_width());
    sizes == (features, module.units, module.output) && wanted.cell.has_projection() == module.projected
}
