//! Nodes, attributes and tensors in the making.

use super::Writer;
use crate::error::{Error, Result};
use crate::format::onnx::messages::{AttributeProto, NodeProto, TensorProto, attribute_type, data_type};
use crate::parameters::{Parameter, Role};

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        i: value,
        r#type: attribute_type::INT,
        ..AttributeProto::default()
    }
}

pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        f: value,
        r#type: attribute_type::FLOAT,
        ..AttributeProto::default()
    }
}

pub(super) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        ints: values.to_vec(),
        r#type: attribute_type::INTS,
        ..AttributeProto::default()
    }
}

pub(super) fn floats(name: &str, values: Vec<f32>) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        floats: values,
        r#type: attribute_type::FLOATS,
        ..AttributeProto::default()
    }
}

pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        s: value.as_bytes().to_vec(),
        r#type: attribute_type::STRING,
        ..AttributeProto::default()
    }
}

pub(super) fn texts(name: &str, values: &[&str]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        strings: values.iter().map(|value| value.as_bytes().to_vec()).collect(),
        r#type: attribute_type::STRINGS,
        ..AttributeProto::default()
    }
}

impl<'m> Writer<'m> {
    /// A node of one output, whose name it gives.
    pub(super) fn node(&mut self, operator: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let name = format!("{}_{}", operator.to_lowercase(), self.graph.node.len());
        self.push_node(operator, inputs, &[&name], attributes);
        name
    }

    /// The same, of what the last layer gives.
    pub(super) fn apply(&mut self, operator: &str, more: &[&str], attributes: Vec<AttributeProto>) -> String {
        let value = self.value.clone();
        let inputs: Vec<&str> = std::iter::once(value.as_str()).chain(more.iter().copied()).collect();
        self.node(operator, &inputs, attributes)
    }

    pub(super) fn push_node(&mut self, operator: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        self.graph.node.push(NodeProto {
            input: owned(inputs),
            output: owned(outputs),
            name: format!("{operator}_{}", self.graph.node.len()),
            op_type: operator.to_owned(),
            attribute,
            domain: String::new(),
        });
    }

    /// A tensor of whole numbers: a shape, axes, an index.
    pub(super) fn integers(&mut self, values: &[i64]) -> String {
        self.whole(vec![i64::try_from(values.len()).unwrap_or(i64::MAX)], values)
    }

    pub(super) fn scalar(&mut self, value: i64) -> String {
        self.whole(Vec::new(), &[value])
    }

    fn whole(&mut self, dims: Vec<i64>, values: &[i64]) -> String {
        let name = format!("constant_{}", self.graph.initializer.len());
        self.graph.initializer.push(TensorProto {
            dims,
            data_type: data_type::INT64,
            name: name.clone(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..TensorProto::default()
        });
        name
    }

    pub(super) fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        self.graph.initializer.push(TensorProto {
            dims: shape.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect(),
            data_type: data_type::FLOAT,
            name: name.to_owned(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..TensorProto::default()
        });
        name.to_owned()
    }

    /// The next weight of the model, which has this role.
    pub(super) fn next_weight(&mut self, role: Role) -> Result<&'m Parameter> {
        self.next_optional(role)
            .ok_or_else(|| Error::defect("the order of the weights of a model"))
    }

    pub(super) fn next_optional(&mut self, role: Role) -> Option<&'m Parameter> {
        self.weights.next_if(|parameter| parameter.role() == role)
    }

    /// The next weight as a tensor of the file, whose name it gives.
    pub(super) fn weight(&mut self, role: Role) -> Result<String> {
        let parameter = self.next_weight(role)?;
        Ok(self.tensor(parameter))
    }

    pub(super) fn optional(&mut self, role: Role) -> Option<String> {
        let parameter = self.next_optional(role)?;
        Some(self.tensor(parameter))
    }

    fn tensor(&mut self, parameter: &Parameter) -> String {
        let values: Vec<f32> = parameter.values().iter().copied().collect();
        self.floats(parameter.path(), parameter.values().shape(), &values)
    }
}
