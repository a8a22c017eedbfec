//! The archives of PyTorch: a zip with a pickle, which says what there is, and a member for each storage of numbers.
//!
//! A pickle is a program. This reader knows the few words that state dicts are written in and refuses all others by name.

mod archive;
mod checkpoint;
mod globals;
mod opcode;
mod pickle;
mod rebuild;
mod value;

use super::file::File;
use super::safetensors::model_of_weights;
use super::state_dict::dict::StateDict;
use super::state_dict::fill;
use crate::error::Result;
use crate::model::Model;
use archive::Archive;

pub(crate) fn model_of_archive(file: &File<'_>) -> Result<Model> {
    with_state_dict(file, |dict| model_of_weights(dict, file))
}

pub(crate) fn weights_of_archive(file: &File<'_>, model: &mut Model) -> Result<()> {
    with_state_dict(file, |dict| fill::load(dict, model, None, file))
}

/// The tensors of an archive.
pub(crate) fn with_state_dict<T>(file: &File<'_>, then: impl FnOnce(&StateDict<'_>) -> Result<T>) -> Result<T> {
    let archive = Archive::read(file)?;
    let pickle = archive.member("data.pkl", file)?;
    let (arena, top) = pickle::Machine::run(pickle, file)?;
    then(&checkpoint::state_dict(&arena, top, &archive, file)?)
}
