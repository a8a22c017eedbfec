//! The files of Keras: `.keras`, `.weights.h5` and legacy `.h5`.

mod activation;
mod archive;
mod cells;
mod chain;
mod config;
mod counted;
mod found;
mod functional;
mod hdf5;
mod last_step;
mod layers;
mod load;
mod names;
mod nested;
mod numbers;
mod reader;
mod recurrent;
mod save;
mod save_layers;
mod serialized;
mod stack;
mod step;
mod suggestion;
mod version;
mod weights;

use self::archive::{Archive, WEIGHTS};
use self::chain::Chain;
use self::hdf5::Hdf5;
use self::reader::Reader;
pub(crate) use self::save::{archive_of, weights_of};
use self::stack::on_deep_stack;
use self::version::Version;
use self::weights::Weights;
use super::file::File;
use crate::error::Result;
use crate::memory::FILE;
use crate::model::Model;

pub(crate) fn model_of_archive(file: &File<'_>) -> Result<Model> {
    on_deep_stack(file, || read_model_of_archive(file))
}

fn read_model_of_archive(file: &File<'_>) -> Result<Model> {
    let Archive {
        config,
        version,
        weights,
    } = Archive::read(file)?;
    let mut notes = Vec::new();
    let version = version.unwrap_or_else(|| {
        notes.push("The file does not say which Keras wrote it; 3.15 was assumed.".to_owned());
        Version::assumed("3.15")
    });
    let chain = Chain::of_model(file, "config.json", &config)?;
    let weights = Weights::by_path(Hdf5::open(file, WEIGHTS, weights)?)?;
    Reader::new(file, version, weights, notes).read(&chain)
}

pub(crate) fn model_of_hdf5(file: &File<'_>) -> Result<Model> {
    on_deep_stack(file, || read_model_of_hdf5(file))
}

fn read_model_of_hdf5(file: &File<'_>) -> Result<Model> {
    let hdf5 = Hdf5::open(file, "", FILE.listed(file.bytes.iter().copied())?)?;
    let mut texts = hdf5.texts(&hdf5.root(), "the attributes of the root")?;
    let mut text = |name: &str| {
        texts
            .remove(name)
            .filter(|list| list.len() == 1)
            .and_then(|mut list| list.pop())
    };
    let Some(config) = text("model_config") else {
        let root = hdf5.root();
        let by_name = has_layer_names(&hdf5)?.then_some(&root);
        return Err(suggestion::no_chain(&hdf5, by_name)?);
    };
    let mut notes = Vec::new();
    let version = text("keras_version")
        .and_then(|text| Version::parse(&text))
        .unwrap_or_else(|| {
            notes.push("The file does not say which Keras wrote it; Keras 2 was assumed.".to_owned());
            Version::assumed("2.0")
        });
    let config = archive::parse(file, "model_config", config.as_bytes())?;
    let chain = Chain::of_model(file, "model_config", &config)?;
    let group = hdf5.group(&hdf5.root(), "model_weights")?;
    let group = group.ok_or_else(|| hdf5.missing("model_weights"))?;
    let weights = Weights::by_name(hdf5, group, "model_weights")?;
    Reader::new(file, version, weights, notes).read(&chain)
}

pub(crate) fn weights_of_archive(file: &File<'_>, model: &mut Model) -> Result<()> {
    on_deep_stack(file, || read_weights_of_archive(file, model))
}

fn read_weights_of_archive(file: &File<'_>, model: &mut Model) -> Result<()> {
    let hdf5 = Hdf5::open(file, WEIGHTS, archive::weights(file)?)?;
    load::load(Weights::by_path(hdf5)?, model)
}

pub(crate) fn weights_of_hdf5(file: &File<'_>, model: &mut Model) -> Result<()> {
    on_deep_stack(file, || read_weights_of_hdf5(file, model))
}

fn read_weights_of_hdf5(file: &File<'_>, model: &mut Model) -> Result<()> {
    let hdf5 = Hdf5::open(file, "", FILE.listed(file.bytes.iter().copied())?)?;
    let root = hdf5.root();
    let weights = match hdf5.group(&root, "model_weights")? {
        Some(group) => Weights::by_name(hdf5, group, "model_weights")?,
        // `save_weights` of Keras 2 puts the layers into the root
        None if has_layer_names(&hdf5)? => Weights::by_name(hdf5, root, "the root")?,
        None => Weights::by_path(hdf5)?,
    };
    load::load(weights, model)
}

fn has_layer_names(hdf5: &Hdf5<'_>) -> Result<bool> {
    let texts = hdf5.texts(&hdf5.root(), "the attributes of the root")?;
    Ok(texts.contains_key("layer_names") || texts.contains_key("layer_names0"))
}
