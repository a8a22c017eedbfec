//! Files of tensors by name: our own models, and state dicts of PyTorch.

pub(crate) mod container;
mod own;
pub(crate) mod write;

use container::Texts;
use own::OwnWeights;
use write::MODULES;

use super::chain;
use super::file::File;
use super::opening;
use super::source::{load_into, model_of, with_weights};
use super::state_dict::dict::StateDict;
use super::state_dict::fill;
use super::state_dict::modules::Modules;
use super::state_dict::suggestion::no_chain;
use crate::error::Result;
use crate::layer::Layer;
use crate::model::Model;

/// A model: the chain stands in the metadata of our own files, or in a JSON file of the same name beside those of others.
pub(crate) fn model(file: &File<'_>) -> Result<Model> {
    let (dict, texts) = container::read(file)?;
    let Some(text) = texts.get(chain::KEY) else {
        return model_of_weights(&dict, file);
    };
    let layers = chain::read(text, file)?;
    if let Some(names) = names(&texts, file)? {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        return fill::model_with(&layers, &dict, Some(&names), Vec::new(), file);
    }
    let mut weights = OwnWeights::new(&dict, file);
    model_of(with_weights(&layers, &mut weights, file.range)?, dict.all_notes())
}

/// A model of a state dict, whose chain stands beside it.
pub(crate) fn model_of_weights(dict: &StateDict<'_>, file: &File<'_>) -> Result<Model> {
    match chain_beside(file)? {
        Some((layers, note)) => fill::model_with(&layers, dict, None, vec![note], file),
        None => Err(no_chain(&Modules::of(dict, file)?, file)),
    }
}

pub(crate) fn weights(file: &File<'_>, model: &mut Model) -> Result<()> {
    let (dict, texts) = container::read(file)?;
    if let Some(names) = names(&texts, file)? {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        return fill::load(&dict, model, Some(&names), file);
    }
    match is_own(&dict, &texts, model) {
        true => load_into(model, &mut OwnWeights::new(&dict, file), dict.all_notes(), file.range),
        false => fill::load(&dict, model, None, file),
    }
}

/// The names of the modules that our own writer kept with PyTorch's names.
fn names(texts: &Texts, file: &File<'_>) -> Result<Option<Vec<String>>> {
    let names = texts.get(MODULES).map(|text| serde_json::from_str(text)).transpose();
    names.map_err(|error| {
        file.content(
            MODULES,
            "a list of texts as JSON",
            error.to_string(),
            "save the model again; the file is damaged",
        )
    })
}

/// Whether the names are those of our parameters.
fn is_own(dict: &StateDict<'_>, texts: &Texts, model: &Model) -> bool {
    let parameters = model.parameters();
    texts.contains_key(chain::KEY)
        || dict
            .tensors
            .iter()
            .any(|tensor| parameters.find(&tensor.name).is_some())
}

/// The chain in the JSON file beside a file of weights, and a note that says so.
fn chain_beside(file: &File<'_>) -> Result<Option<(Vec<Layer>, String)>> {
    let Some(path) = file.folder.map(|_| file.path.with_extension("json")) else {
        return Ok(None);
    };
    let Some(bytes) = opening::read_beside(&path)? else {
        return Ok(None);
    };
    let beside = File::new(&bytes, &path, file.folder);
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        beside.content(
            "the whole",
            "JSON with a chain of layers",
            error.to_string(),
            "write the chain of layers as JSON",
        )
    })?;
    let note = format!("the chain of layers is that of {}", path.display());
    Ok(Some((chain::read(text, &beside)?, note)))
}
