//! The classes and functions that a state dict names.

use crate::format::number::Number;
use crate::format::state_dict::tensor::Kind;

/// A class or function of Python that is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    /// `torch.Size`, a tuple.
    Size,
    RebuildTensor,
    RebuildParameter,
    Storage(StorageType),
}

/// The class of a storage, which says the type of its numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StorageType {
    pub(super) class: &'static str,
    /// The bytes of one number.
    pub(super) size: usize,
}

const fn storage(class: &'static str, size: usize) -> StorageType {
    StorageType { class, size }
}

const STORAGES: [StorageType; 14] = [
    storage("FloatStorage", 4),
    storage("DoubleStorage", 8),
    storage("HalfStorage", 2),
    storage("BFloat16Storage", 2),
    storage("LongStorage", 8),
    storage("IntStorage", 4),
    storage("ShortStorage", 2),
    storage("CharStorage", 1),
    storage("ByteStorage", 1),
    storage("BoolStorage", 1),
    storage("ComplexFloatStorage", 8),
    storage("ComplexDoubleStorage", 16),
    storage("QInt8Storage", 1),
    storage("QUInt8Storage", 1),
];

impl Global {
    pub(super) fn of(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch", "Size") => Some(Self::Size),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch", name) => STORAGES
                .iter()
                .find(|known| known.class == name)
                .map(|known| Self::Storage(*known)),
            _ => None,
        }
    }
}

impl StorageType {
    pub(super) fn kind(self) -> Kind {
        match self.class {
            "FloatStorage" => Kind::Number(Number::F32),
            "DoubleStorage" => Kind::Number(Number::F64),
            "HalfStorage" => Kind::Number(Number::F16),
            "BFloat16Storage" => Kind::Number(Number::Bf16),
            class => Kind::Other(class.trim_end_matches("Storage").to_lowercase()),
        }
    }
}
