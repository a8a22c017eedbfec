//! One node of a graph: its attributes, each of which has to be known, and its errors.

use super::messages::{AttributeProto, NodeProto, TensorProto, attribute_type};
use super::value::Value;
use crate::error::{Error, Result};
use crate::format::file::File;

const AGAIN: &str = "export the model again";

#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    pub(super) proto: &'a NodeProto,
    pub(super) number: usize,
    pub(super) file: File<'a>,
    /// The operators' version that the file asks for.
    pub(super) opset: i64,
}

impl<'a> Node<'a> {
    pub(super) fn operator(&self) -> &'a str {
        &self.proto.op_type
    }

    /// What messages call it.
    pub(super) fn label(&self) -> String {
        let operator = &self.proto.op_type;
        if !self.proto.name.is_empty() {
            return format!("node {:?} ({operator})", shortened(&self.proto.name));
        }
        match self.proto.output.iter().find(|name| !name.is_empty()) {
            Some(name) => format!("node {} ({operator}), which makes {:?}", self.number, shortened(name)),
            None => format!("node {} ({operator})", self.number),
        }
    }

    /// The node is not what the specification says.
    pub(super) fn wrong(&self, expected: impl Into<String>, found: impl Into<String>) -> Error {
        self.file.content(self.label(), expected, found, AGAIN)
    }

    /// The node is right and not done here.
    pub(super) fn unsupported(&self, option: impl Into<String>, instead: impl Into<String>) -> Error {
        Error::Unsupported {
            layer: format!("{} of {}", self.label(), self.file.path.display()),
            option: option.into(),
            instead: instead.into(),
        }
    }

    /// The node joins, cuts or mixes what no chain of layers does.
    pub(super) fn no_chain(&self, why: impl Into<String>) -> Error {
        let instead = "only models that are one chain of layers are read; leave this out of the model, compute it outside, or open the framework's own \
             file (`.keras`, a state dict)";
        self.unsupported(why, instead)
    }

    /// The node is a part of a layer that the exporter wrote out step by step, instead of as one node.
    pub(super) fn written_out(&self, what: impl std::fmt::Display) -> Error {
        self.unsupported(
            format!("{what}, a layer that the exporter wrote out step by step"),
            "save the model in its framework's own format (`.keras`, a state dict) and open that: Keras exports as one node only an LSTM on \
             TensorFlow, with unroll=False, its usual activations and no mask, and Dense without a TimeDistributed, which needs none; in \
             PyTorch use nn.LSTM, nn.GRU or nn.RNN, not a loop over cells",
        )
    }

    /// The input at a position, which has to be there.
    pub(super) fn input<'v>(&self, inputs: &'v [Option<Value>], position: usize) -> Result<&'v Value> {
        let input = inputs.get(position).and_then(Option::as_ref);
        input.ok_or_else(|| self.wrong(format!("an input number {position}"), "none"))
    }

    /// Refuses every attribute but these.
    pub(super) fn only(&self, known: &[&str]) -> Result<()> {
        for attribute in &self.proto.attribute {
            if !known.contains(&attribute.name.as_str()) {
                let option = format!("the attribute {:?}", shortened(&attribute.name));
                return Err(self.unsupported(option, "leave it out, or export with another opset"));
            }
        }
        Ok(())
    }

    fn attribute(&self, name: &str, kind: i32) -> Result<Option<&'a AttributeProto>> {
        let mut named = self.proto.attribute.iter().filter(|attribute| attribute.name == name);
        let Some(attribute) = named.next() else {
            return Ok(None);
        };
        if named.next().is_some() {
            return Err(self.wrong(format!("one attribute {name}"), "two"));
        }
        // files of the first versions name no type
        if attribute.r#type != kind && attribute.r#type != 0 {
            let found = format!("type {}", attribute.r#type);
            return Err(self.wrong(format!("the attribute {name} of type {kind}"), found));
        }
        Ok(Some(attribute))
    }

    pub(super) fn int(&self, name: &str) -> Result<Option<i64>> {
        Ok(self.attribute(name, attribute_type::INT)?.map(|attribute| attribute.i))
    }

    pub(super) fn float(&self, name: &str) -> Result<Option<f32>> {
        Ok(self
            .attribute(name, attribute_type::FLOAT)?
            .map(|attribute| attribute.f))
    }

    pub(super) fn ints(&self, name: &str) -> Result<Option<&'a [i64]>> {
        let attribute = self.attribute(name, attribute_type::INTS)?;
        Ok(attribute.map(|attribute| attribute.ints.as_slice()))
    }

    pub(super) fn floats(&self, name: &str) -> Result<&'a [f32]> {
        let attribute = self.attribute(name, attribute_type::FLOATS)?;
        Ok(attribute.map_or(&[], |attribute| attribute.floats.as_slice()))
    }

    pub(super) fn string(&self, name: &str) -> Result<Option<&'a str>> {
        let attribute = self.attribute(name, attribute_type::STRING)?;
        attribute.map(|attribute| self.text(&attribute.s)).transpose()
    }

    pub(super) fn strings(&self, name: &str) -> Result<Option<Vec<&'a str>>> {
        let attribute = self.attribute(name, attribute_type::STRINGS)?;
        let texts = attribute.map(|attribute| attribute.strings.iter().map(|text| self.text(text)).collect());
        texts.transpose()
    }

    fn text(&self, bytes: &'a [u8]) -> Result<&'a str> {
        std::str::from_utf8(bytes).map_err(|_| self.wrong("text", "bytes that are none"))
    }

    /// The tensor of a `Constant` or `ConstantOfShape`.
    pub(super) fn tensor(&self, name: &str) -> Option<&'a TensorProto> {
        let named = self.proto.attribute.iter().find(|attribute| attribute.name == name);
        named.and_then(|attribute| attribute.t.as_deref())
    }

    /// Whether the node has an attribute.
    pub(super) fn has(&self, name: &str) -> bool {
        self.proto.attribute.iter().any(|attribute| attribute.name == name)
    }

    /// An axis that may count from the end.
    pub(super) fn axis(&self, axis: i64, axes: usize) -> Result<usize> {
        let place = super::arrays::place(axis, axes);
        place.ok_or_else(|| self.wrong(format!("an axis of {axes}"), format!("axis {axis}")))
    }
}

/// An error of a layer's weights, with the node in front of the tensor's name.
pub(super) fn in_node(node: &Node<'_>, error: Error) -> Error {
    match error {
        Error::NotFinite {
            tensor,
            index,
            value,
            repair,
        } => Error::NotFinite {
            tensor: format!("{tensor} of {} of {}", node.label(), node.file.path.display()),
            index,
            value,
            repair,
        },
        Error::Size {
            argument,
            expected,
            found,
            ..
        } => node.wrong(format!("{argument}: {expected}"), found),
        other => other,
    }
}

/// A name of a hostile file may be as long as the file.
pub(super) fn shortened(name: &str) -> String {
    const MOST: usize = 120;
    match name.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
        None => name.to_owned(),
    }
}
