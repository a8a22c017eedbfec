//! The tensors of a file, whatever its container.

use super::tensor::{Kind, Tensor};
use crate::format::number::Number;

/// The tensors of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct StateDict<'a> {
    pub(crate) tensors: Vec<Tensor<'a>>,
    /// Whether they stand in the order in which the program made its modules.
    pub(crate) ordered: bool,
    /// What was assumed when they were read.
    pub(crate) notes: Vec<String>,
}

impl StateDict<'_> {
    /// What was assumed, and a sentence for each type of numbers that is no float32.
    pub(crate) fn all_notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        for number in [Number::F16, Number::Bf16, Number::F64] {
            let of_number = self
                .tensors
                .iter()
                .filter(|tensor| tensor.storage.kind == Kind::Number(number));
            let how = match number {
                Number::F64 => "the weights are rounded to float32",
                _ => "the weights are converted to float32, which changes no value",
            };
            match of_number.count() {
                0 => {}
                count => notes.push(format!("{count} tensors of the file are {}: {how}", number.name())),
            }
        }
        notes
    }
}
