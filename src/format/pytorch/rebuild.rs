//! What is made of what a pickle names: storages, tensors, dicts.

use super::globals::Global;
use super::value::{Arena, StorageEntry, TensorEntry, Value};

/// No tensor of PyTorch has more axes. Many tensors may name one tuple of sizes, and each keeps them for itself.
const MOST_AXES: usize = 64;

/// What was expected, and what came.
type Wrong = (String, String);

/// A storage of its persistent name: ("storage", its class, its key, a device, its length).
pub(super) fn storage(arena: &mut Arena, id: &Value) -> Result<Value, Wrong> {
    let expected = "the name of a storage: (\"storage\", its class, its key, its device, its length)";
    let items = arena.items(id).unwrap_or_default();
    let [
        Value::Text(word),
        Value::Global(Global::Storage(kind)),
        Value::Text(key),
        _,
        Value::Int(length),
    ] = items
    else {
        return Err((expected.to_owned(), id.class().to_owned()));
    };
    let (Ok(length), "storage") = (usize::try_from(*length), word.as_ref()) else {
        return Err((expected.to_owned(), format!("{word:?} of the length {length}")));
    };
    let entry = StorageEntry {
        kind: *kind,
        key: key.clone(),
        length,
    };
    arena.storages.push(entry);
    Ok(Value::Storage(arena.storages.len() - 1))
}

/// What a class or function that is known makes of its arguments.
pub(super) fn called(arena: &mut Arena, callee: &Value, arguments: &Value) -> Result<Value, Wrong> {
    let Value::Global(global) = callee else {
        return Err(("a function to call".to_owned(), callee.class().to_owned()));
    };
    let Some(items) = arena.items(arguments).filter(|_| matches!(arguments, Value::Tuple(_))) else {
        return Err(("a tuple of arguments".to_owned(), arguments.class().to_owned()));
    };
    match (global, items) {
        (Global::OrderedDict, []) => Ok(Value::Dict(arena.dict())),
        (Global::Size, [sizes @ Value::Tuple(_)]) => Ok(sizes.clone()),
        (Global::RebuildParameter, [tensor @ Value::Tensor(_), ..]) => Ok(tensor.clone()),
        (Global::RebuildTensor, [Value::Storage(storage), Value::Int(offset), shape, strides, ..]) => {
            let sizes = |value: &Value, what: &str| -> Result<Vec<usize>, Wrong> {
                let items = arena.items(value).unwrap_or_default();
                if items.len() > MOST_AXES {
                    return Err((format!("at most {MOST_AXES} axes"), format!("{} of them", items.len())));
                }
                let sizes = items.iter().map(|item| match item {
                    Value::Int(size) => usize::try_from(*size).map_err(|_| size.to_string()),
                    other => Err(other.class().to_owned()),
                });
                let sizes: Result<Vec<usize>, String> = sizes.collect();
                sizes.map_err(|found| (format!("the {what} of a tensor, numbers from 0 on"), found))
            };
            let entry = TensorEntry {
                storage: *storage,
                offset: usize::try_from(*offset)
                    .map_err(|_| ("the offset of a tensor, from 0 on".to_owned(), offset.to_string()))?,
                shape: sizes(shape, "shape")?,
                strides: sizes(strides, "strides")?,
            };
            arena.tensors.push(entry);
            Ok(Value::Tensor(arena.tensors.len() - 1))
        }
        (global, items) => Err((
            format!("the arguments of {global:?}"),
            format!("{} others", items.len()),
        )),
    }
}
