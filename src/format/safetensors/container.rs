//! The container: a header of JSON with names, types, shapes and places, then the numbers.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, Metadata, SafeTensors};

use crate::error::{Error, Result};
use crate::format::file::File;
use crate::format::number::Number;
use crate::format::state_dict::dict::StateDict;
use crate::format::state_dict::tensor::{Kind, Storage, Tensor};

/// The texts that a header holds besides the tensors.
pub(crate) type Texts = HashMap<String, String>;

/// The tensors of a file, in the order of their names, and the texts of its header. Nothing is copied.
pub(crate) fn read<'a>(file: &File<'a>) -> Result<(StateDict<'a>, Texts)> {
    let (header, metadata) =
        SafeTensors::read_metadata(file.bytes).map_err(|error| damaged(file, &error.to_string()))?;
    let data = file.bytes.get(header.saturating_add(8)..).unwrap_or_default();
    let tensors = tensors(&metadata, data, file)?;
    let texts = metadata.metadata().clone().unwrap_or_default();
    let dict = StateDict {
        tensors,
        ordered: false,
        notes: Vec::new(),
    };
    Ok((dict, texts))
}

fn tensors<'a>(metadata: &Metadata, data: &'a [u8], file: &File<'_>) -> Result<Vec<Tensor<'a>>> {
    let mut infos: Vec<_> = metadata.tensors().into_iter().collect();
    infos.sort_by(|(one, _), (other, _)| one.cmp(other));
    let tensors = infos.into_iter().map(|(name, info)| {
        let (begin, end) = info.data_offsets;
        let storage = Storage {
            kind: kind(info.dtype),
            bytes: data
                .get(begin..end)
                .ok_or_else(|| damaged(file, "an offset past the end"))?,
            big_endian: false,
        };
        Tensor::whole(&name, storage, &info.shape, file)
    });
    tensors.collect()
}

fn kind(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::F16 => Kind::Number(Number::F16),
        Dtype::BF16 => Kind::Number(Number::Bf16),
        Dtype::F32 => Kind::Number(Number::F32),
        Dtype::F64 => Kind::Number(Number::F64),
        other => Kind::Other(format!("{other:?}")),
    }
}

fn damaged(file: &File<'_>, what: &str) -> Error {
    let bytes = file.bytes.len();
    file.content(
        "the header",
        "a whole safetensors file: eight bytes of length, as much JSON, and the tensors that it names",
        format!("{bytes} bytes, in which the header is wrong ({what})"),
        "copy or save the file again; it is cut off or damaged",
    )
}
