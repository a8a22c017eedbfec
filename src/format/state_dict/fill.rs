//! The weights of modules for the layers of a chain.

use ndarray::Array2;

use super::cell::from_pytorch;
use super::dict::StateDict;
use super::load::Loader;
use super::matching::{Part, by_names, by_order};
use super::module::{Kind, Module};
use super::modules::Modules;
use super::place::places;
use crate::cell::{CellWeights, ValueRange};
use crate::error::{Error, Result};
use crate::format::file::File;
use crate::format::source::{Source, load_into, model_of, with_weights};
use crate::layer::Layer;
use crate::layer::batch_normalization::{BatchNormalization, BatchNormalizationWeights};
use crate::layer::dense::Dense;
use crate::layer::embedding::Embedding;
use crate::layer::layer_normalization::{LayerNormalization, LayerNormalizationWeights};
use crate::layer::recurrent::Recurrent;
use crate::layer::weights::DenseWeights;
use crate::model::Model;

/// A model of a chain with the weights of a state dict.
pub(crate) fn model_with(
    layers: &[Layer],
    dict: &StateDict<'_>,
    names: Option<&[&str]>,
    notes: Vec<String>,
    file: &File<'_>,
) -> Result<Model> {
    let modules = Modules::of(dict, file)?;
    let mut filler = Filler::new(layers, dict, &modules, names, file)?;
    let layers = with_weights(layers, &mut filler, file.range)?;
    model_of(layers, notes.into_iter().chain(filler.notes).collect())
}

/// The weights of a state dict in a model. The modules are those of the names, else all of them.
pub(crate) fn load(dict: &StateDict<'_>, model: &mut Model, names: Option<&[&str]>, file: &File<'_>) -> Result<()> {
    let modules = Modules::of(dict, file)?;
    let mut filler = Filler::new(model.layers(), dict, &modules, names, file)?;
    let notes = std::mem::take(&mut filler.notes);
    load_into(model, &mut filler, notes, file.range)
}

/// Hands out the parts of modules in the order of the places.
struct Filler<'p> {
    parts: std::vec::IntoIter<Part<'p>>,
    /// The part of the layer that is being filled.
    part: Option<Part<'p>>,
    loader: Loader<'p>,
    range: ValueRange,
    notes: Vec<String>,
}

impl<'p> Filler<'p> {
    fn new(
        layers: &[Layer],
        dict: &'p StateDict<'_>,
        modules: &'p Modules,
        names: Option<&[&str]>,
        file: &'p File<'_>,
    ) -> Result<Self> {
        let places = places(layers);
        let mut notes = dict.all_notes();
        let parts = match names {
            Some(names) => by_names(modules, names, &places, file, &mut notes)?,
            None => by_order(modules, &places, file, &mut notes)?,
        };
        Ok(Self {
            parts: parts.into_iter(),
            part: None,
            loader: Loader::new(dict, file),
            range: file.range,
            notes,
        })
    }

    fn next(&mut self) -> Result<Part<'p>> {
        self.part = self.parts.next();
        self.part.ok_or_else(|| Error::defect("a module for each layer"))
    }
}

impl Source for Filler<'_> {
    fn recurrent(&mut self, layer: &Recurrent, _: &str, is_backward: bool) -> Result<CellWeights> {
        let part = match self.part.filter(|_| is_backward) {
            Some(part) => part,
            None => self.next()?,
        };
        if let Kind::Recurrent(module) = &part.module.kind {
            check_bias(layer.use_bias, module.bias, part.module)?;
        }
        let weights = self.loader.recurrent(&part, is_backward.into())?;
        from_pytorch(&layer.cell, &weights, &part.module.to_string(), self.range)
    }

    fn dense(&mut self, layer: &Dense, _: &str) -> Result<DenseWeights> {
        let part = self.next()?;
        let weights = self.loader.dense(&part)?;
        check_bias(layer.use_bias, weights.bias.is_some(), part.module)?;
        Ok(weights)
    }

    fn embeddings(&mut self, _: &Embedding, _: &str) -> Result<Array2<f32>> {
        let part = self.next()?;
        self.loader.embeddings(&part)
    }

    fn batch_normalization(&mut self, layer: &BatchNormalization, _: &str) -> Result<BatchNormalizationWeights> {
        let part = self.next()?;
        check_affine(layer.has(), &part.module.kind, part.module)?;
        self.loader.batch_normalization(&part)
    }

    fn layer_normalization(&mut self, layer: &LayerNormalization, _: &str) -> Result<LayerNormalizationWeights> {
        let part = self.next()?;
        check_affine(layer.has(), &part.module.kind, part.module)?;
        self.loader.layer_normalization(&part)
    }

    fn finish(&self) -> Result<()> {
        Ok(()) // the modules were matched before
    }
}

/// A layer that says whether there is a bias must say what the module has.
fn check_bias(wanted: bool, found: bool, module: &Module) -> Result<()> {
    if wanted == found {
        return Ok(());
    }
    let said = |has: bool| if has { "a bias" } else { "no bias" };
    Err(Error::Value {
        argument: format!("use_bias of the layer for {module}"),
        expected: format!("{found}, for the module has {}", said(found)),
        found: wanted.to_string(),
        repair: format!("call `use_bias({found})` on the layer"),
    })
}

/// A normalisation that says whether there are a gamma and a beta must say what the module has.
fn check_affine(wanted: [bool; 2], kind: &Kind, module: &Module) -> Result<()> {
    let found = match kind {
        Kind::BatchNorm { affine, .. } => [*affine, *affine],
        Kind::LayerNorm { bias, .. } => [true, *bias],
        _ => return Err(Error::defect("a module that normalises")),
    };
    match wanted == found {
        true => Ok(()),
        false => Err(Error::Value {
            argument: format!("scale and center of the layer for {module}"),
            expected: format!("{found:?}, as the module has weight and bias"),
            found: format!("{wanted:?}"),
            repair: format!("call `scale({})` and `center({})` on the layer", found[0], found[1]),
        }),
    }
}
