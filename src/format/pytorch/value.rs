//! What a pickle makes.

use std::rc::Rc;

use super::globals::{Global, StorageType};

/// A value. What several places share is kept once, in the arena, and named by its number, so that what a pickle makes takes no more than
/// a few times the pickle, however often it repeats itself.
#[derive(Clone, Debug)]
pub(super) enum Value {
    None,
    Bool,
    Int(i64),
    Float,
    Text(Rc<str>),
    Global(Global),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
}

/// A storage, of which the pickle says only where it is.
#[derive(Clone, Debug)]
pub(super) struct StorageEntry {
    pub(super) kind: StorageType,
    pub(super) key: Rc<str>,
    /// In numbers.
    pub(super) length: usize,
}

/// A tensor in a storage.
#[derive(Clone, Debug)]
pub(super) struct TensorEntry {
    pub(super) storage: usize,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// Where values are kept.
#[derive(Debug, Default)]
pub(super) struct Arena {
    /// Tuples and lists.
    pub(super) lists: Vec<Vec<Value>>,
    pub(super) dicts: Vec<Vec<(Value, Value)>>,
    pub(super) storages: Vec<StorageEntry>,
    pub(super) tensors: Vec<TensorEntry>,
}

impl Arena {
    pub(super) fn list(&mut self, values: Vec<Value>) -> usize {
        self.lists.push(values);
        self.lists.len() - 1
    }

    pub(super) fn dict(&mut self) -> usize {
        self.dicts.push(Vec::new());
        self.dicts.len() - 1
    }

    pub(super) fn items(&self, value: &Value) -> Option<&[Value]> {
        match value {
            Value::Tuple(list) | Value::List(list) => self.lists.get(*list).map(Vec::as_slice),
            _ => None,
        }
    }

    pub(super) fn entries(&self, value: &Value) -> Option<&[(Value, Value)]> {
        match value {
            Value::Dict(dict) => self.dicts.get(*dict).map(Vec::as_slice),
            _ => None,
        }
    }
}

impl Value {
    /// What it is, in words.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool => "a bool",
            Self::Int(_) => "an int",
            Self::Float => "a float",
            Self::Text(_) => "a str",
            Self::Global(_) => "a class or function",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}
