//! The graph in the making: nodes, tensors, and what the last layer gave.

use crate::error::{Error, Result};
use crate::format::onnx::messages::{
    AttributeProto, DimensionProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto, data_type,
};
use crate::model::Model;
use crate::parameters::{Parameter, Role};

/// What a layer has that ONNX has not.
pub(super) fn unsupported(layer: &str, option: impl Into<String>, instead: &str) -> Error {
    Error::Unsupported {
        layer: format!("{layer} in an ONNX file"),
        option: option.into(),
        instead: instead.to_owned(),
    }
}

/// The nodes that are written so far.
pub(super) struct Writer<'m> {
    pub(super) graph: GraphProto,
    /// The weights that are not written yet, in the order of the layers.
    pub(super) weights: std::iter::Peekable<std::slice::Iter<'m, Parameter>>,
    /// What the last layer gives, and whether that is a value at every time step.
    pub(super) value: String,
    pub(super) sequences: bool,
    /// What the output's last axis has, for those who read the file.
    pub(super) width: usize,
    /// The final states that are outputs too.
    pub(super) states: Vec<String>,
    /// Whether the input of the next layer has lengths, which are an input of the graph.
    pub(super) has_lengths: bool,
}

/// The input of the graph that gives lengths.
pub(super) const LENGTHS: &str = "lengths";

impl<'m> Writer<'m> {
    pub(super) fn new(model: &'m Model) -> Self {
        let graph = GraphProto {
            name: "model".to_owned(),
            ..GraphProto::default()
        };
        Self {
            graph,
            weights: model.parameters().into_iter().peekable(),
            value: "input".to_owned(),
            sequences: true,
            width: model.features().unwrap_or(0),
            states: Vec::new(),
            has_lengths: false,
        }
    }

    pub(super) fn finish(mut self, inputs: Vec<ValueInfoProto>) -> GraphProto {
        let made = self.graph.node.iter_mut().flat_map(|node| node.output.iter_mut());
        match made.into_iter().find(|name| **name == self.value) {
            Some(name) => "output".clone_into(name),
            None => {
                let value = std::mem::take(&mut self.value);
                self.push_node("Identity", &[&value], &["output"], vec![]);
            }
        }
        let mut shape = vec![free("batch"), size(self.width)];
        if self.sequences {
            shape.insert(1, free("output_steps"));
        }
        self.graph.output.push(info("output", data_type::FLOAT, shape));
        for state in std::mem::take(&mut self.states) {
            let shape = vec![free("directions"), free("batch"), free("units")];
            self.graph.output.push(info(&state, data_type::FLOAT, shape));
        }
        self.graph.input = inputs;
        self.graph
    }

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

    pub(super) fn push_node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) {
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
            dims: shape
                .iter()
                .map(|&size| i64::try_from(size).unwrap_or(i64::MAX))
                .collect(),
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

pub(super) fn info(name: &str, kind: i32, dim: Vec<DimensionProto>) -> ValueInfoProto {
    let tensor_type = Some(TensorTypeProto {
        elem_type: kind,
        shape: Some(TensorShapeProto { dim }),
    });
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { tensor_type }),
    }
}

pub(super) fn free(name: &str) -> DimensionProto {
    DimensionProto {
        dim_param: Some(name.to_owned()),
        dim_value: None,
    }
}

pub(super) fn size(size: usize) -> DimensionProto {
    DimensionProto {
        dim_param: None,
        dim_value: i64::try_from(size).ok(),
    }
}
