//! `x[:, -1]` in a functional model: an operation, as Keras 3 and Keras 2 write it.

use serde_json::Value;

/// The operation that `x[:, -1]` is in Keras 3,
pub(super) const LAST_STEP: &str = "GetItem";

/// and in Keras 2, as a part of any tensor is.
pub(super) const LAST_STEP_OF_KERAS_2: &str = "SlicingOpLambda";

pub(super) fn is_last_step(entry: &Value) -> bool {
    class(entry) == Some(LAST_STEP)
}

pub(super) fn is_last_step_of_keras_2(entry: &Value) -> bool {
    class(entry) == Some(LAST_STEP_OF_KERAS_2)
}

fn class(entry: &Value) -> Option<&str> {
    entry.get("class_name").and_then(Value::as_str)
}

/// What `x` is, from the arguments of the operation of Keras 3, if they take the last step of it and nothing else.
pub(super) fn taken_from(arguments: &Value) -> Option<&Value> {
    let slices = arguments.get(1)?.as_array()?;
    takes_last(slices, |slice| slice.get("config")).then(|| arguments.get(0))?
}

/// The same of Keras 2, as name, call and output: `["name", 0, 0, {"slice_spec": […]}]`.
pub(super) fn tensor_taken_from(node: &[Value]) -> Option<&[Value]> {
    let slices = node.get(3)?.get("slice_spec")?.as_array()?;
    takes_last(slices, Some).then(|| node.get(..3))?
}

/// `[:, -1]` or `[:, -1, :]`; `bounds` gives those of a slice.
fn takes_last<'v>(slices: &'v [Value], bounds: impl Fn(&'v Value) -> Option<&'v Value>) -> bool {
    let is_whole = |slice| {
        let bounds = bounds(slice).and_then(Value::as_object);
        bounds.is_some_and(|bounds| bounds.values().all(Value::is_null))
    };
    match slices {
        [batch, step, rest @ ..] => {
            is_whole(batch) && step.as_i64() == Some(-1) && rest.len() < 2 && rest.iter().all(is_whole)
        }
        _ => false,
    }
}
