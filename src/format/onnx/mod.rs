//! ONNX models.
//!
//! A graph has no layers: it has nodes, and around an LSTM those that turn axes, work out shapes and pick the last step. It is worked out
//! symbolically: [`reader`] goes through the nodes that an output needs and keeps for each name what it stands for ([`value`]): numbers
//! that are known, or a tensor of the model with its axes by name. [`chain`] goes from the output back to the input and makes layers of
//! what it meets. What does not fit one chain is an error that names the node.

mod arithmetic;
mod arrays;
mod bound;
mod chain;
mod choosing;
mod dense;
mod dim;
mod external;
mod graph;
mod joining;
mod messages;
mod moving;
mod node;
mod normalization;
mod notes;
mod operators;
mod output;
mod picking;
mod reader;
mod recurrent;
mod reshaping;
mod save;
mod stage;
mod tensor;
mod value;

use prost::Message;

use super::file::File;
use crate::error::{Error, Result};
use crate::model::Model;
use graph::Graph;
use messages::ModelProto;
use reader::Reader;

/// The model of a file.
pub(crate) fn model(file: &File<'_>) -> Result<Model> {
    bound::check(file)?;
    let proto = ModelProto::decode(file.bytes).map_err(|error| {
        let repair = "check that the file is a whole ONNX model: it may be cut off";
        file.content("the protobuf message", "an ONNX model", error.to_string(), repair)
    })?;
    let (graph, tensors) = Graph::new(proto, *file)?;
    let mut reader = Reader::new(&graph, tensors);
    reader.place_inputs(&graph)?;
    reader.model(&graph)
}

/// The weights of a file for a model with the same weights in the same order.
pub(crate) fn weights(file: &File<'_>, model: &mut Model) -> Result<()> {
    let read = self::model(file)?;
    let (wanted, found) = (model.parameters(), read.parameters());
    let shapes = |parameters: &crate::parameters::Parameters| -> Vec<String> {
        let shape =
            |parameter: &crate::parameters::Parameter| format!("{} {:?}", parameter.role(), parameter.values().shape());
        parameters.iter().map(shape).collect()
    };
    let (wanted_shapes, found_shapes) = (shapes(wanted), shapes(found));
    if wanted_shapes != found_shapes {
        return Err(Error::Size {
            argument: format!("weights of {}", file.path.display()),
            expected: wanted_shapes.join(", "),
            found: found_shapes.join(", "),
            repair: "build the layers that the file has; `Model::open` makes them itself".to_owned(),
        });
    }
    let paths = wanted.iter().map(|parameter| parameter.path().to_owned());
    let values = found.iter().map(|parameter| parameter.values().to_owned());
    let replaced = paths.zip(values).collect();
    model.take_parameters(replaced, file.range)?;
    model.add_notes(read.notes());
    Ok(())
}

/// The model as the bytes of a file.
pub(crate) fn bytes_of(model: &Model) -> Result<Vec<u8>> {
    save::bytes_of(model)
}
