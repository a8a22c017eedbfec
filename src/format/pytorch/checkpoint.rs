//! The state dict in what a pickle made: the whole, or one entry of it.

use std::collections::HashSet;

use super::archive::Archive;
use super::value::{Arena, TensorEntry, Value};
use crate::error::{Error, Result};
use crate::format::bound::most_bytes;
use crate::format::file::File;
use crate::format::state_dict::dict::StateDict;
use crate::format::state_dict::tensor::{Storage, Tensor};

pub(super) fn state_dict<'a>(
    arena: &Arena,
    top: Value,
    archive: &'a Archive<'_>,
    file: &File<'_>,
) -> Result<StateDict<'a>> {
    let Some(entries) = arena.entries(&top) else {
        return Err(not_found(file, top.class().to_owned()));
    };
    if has_tensors(entries) {
        return read(arena, entries, Vec::new(), archive, file);
    }
    let inner = entries.iter().filter_map(|(key, value)| match key {
        Value::Text(key) => Some((key.as_ref(), arena.entries(value)?)),
        _ => None,
    });
    let inner: Vec<(&str, &[(Value, Value)])> = inner.filter(|(_, entries)| has_tensors(entries)).collect();
    match inner.as_slice() {
        [(key, entries)] => {
            let note = format!("the state dict is the entry {key:?} of the file; its other entries are left out");
            read(arena, entries, vec![note], archive, file)
        }
        [] => Err(not_found(file, format!("a dict with the keys {}", keys(entries)))),
        several => {
            let keys: Vec<String> = several.iter().take(8).map(|(key, _)| format!("{key:?}")).collect();
            Err(not_found(
                file,
                format!("several dicts of tensors, under {}", keys.join(", ")),
            ))
        }
    }
}

fn has_tensors(entries: &[(Value, Value)]) -> bool {
    let is_named = |(key, value): &(Value, Value)| matches!((key, value), (Value::Text(_), Value::Tensor(_)));
    entries.iter().any(is_named)
}

fn keys(entries: &[(Value, Value)]) -> String {
    let keys = entries.iter().take(8).map(|(key, _)| match key {
        Value::Text(key) => format!("{:?}", key.chars().take(60).collect::<String>()),
        other => other.class().to_owned(),
    });
    keys.collect::<Vec<_>>().join(", ")
}

fn not_found(file: &File<'_>, found: String) -> Error {
    file.content(
        "data.pkl",
        "a state dict: a dict of tensors by name, or one such dict as an entry of a dict",
        found,
        "save the state dict alone: `torch.save(model.state_dict(), path)`",
    )
}

fn read<'a>(
    arena: &Arena,
    entries: &[(Value, Value)],
    mut notes: Vec<String>,
    archive: &'a Archive<'_>,
    file: &File<'_>,
) -> Result<StateDict<'a>> {
    let mut tensors = Vec::new();
    // many may share one storage
    let most = most_bytes(file.bytes.len());
    let mut left = most;
    let (mut names, mut others) = (HashSet::new(), Vec::new());
    for (key, value) in entries {
        let entry = match value {
            Value::Tensor(tensor) => arena.tensors.get(*tensor),
            _ => None,
        };
        let (Value::Text(name), Some(entry)) = (key, entry) else {
            others.push((key.clone(), value.clone()));
            continue;
        };
        if !names.insert(name.clone()) {
            return Err(file.content(
                format!("tensor {name}"),
                "a tensor for each name",
                "two",
                "save the file again with `torch.save`",
            ));
        }
        let tensor = tensor(arena, name, entry, archive, file)?;
        left = left.checked_sub(tensor.size()).ok_or_else(|| {
            file.content(
                format!("tensor {name}"),
                format!("tensors of at most {most} bytes, for the file has {}", file.bytes.len()),
                "more, in storages that many tensors share",
                "save the state dict with tensors of their own: `{name: tensor.clone() for name, tensor in state_dict.items()}`",
            )
        })?;
        tensors.push(tensor);
    }
    if !others.is_empty() {
        notes.push(format!(
            "entries of the state dict that are no tensors are left out: {}",
            keys(&others)
        ));
    }
    Ok(StateDict {
        tensors,
        ordered: true,
        notes,
    })
}

fn tensor<'a>(
    arena: &Arena,
    name: &str,
    entry: &TensorEntry,
    archive: &'a Archive<'_>,
    file: &File<'_>,
) -> Result<Tensor<'a>> {
    let storage = arena
        .storages
        .get(entry.storage)
        .ok_or_else(|| Error::defect("a storage of a tensor"))?;
    let bytes = archive.member(&format!("data/{}", storage.key), file)?;
    let needed = storage.length.checked_mul(storage.kind.size);
    let Some(bytes) = needed.and_then(|needed| bytes.get(..needed)) else {
        return Err(file.content(
            format!("member data/{}", storage.key),
            format!(
                "{} numbers of {} bytes, as the pickle says",
                storage.length, storage.kind.size
            ),
            format!("{} bytes", bytes.len()),
            "copy or save the file again; it is cut off or damaged",
        ));
    };
    let storage = Storage {
        kind: storage.kind.kind(),
        bytes,
        big_endian: archive.big_endian,
    };
    Tensor::new(name, storage, &entry.shape, entry.strides.clone(), entry.offset, file)
}
