//! Products with a kernel, and activations.

use ndarray::{Array2, ArrayView2, Ix2};

use super::arithmetic::number_of;
use super::node::Node;
use super::operators::Inputs;
use super::reader::{Reader, Role};
use super::stage::Kind;
use super::value::{Axis, Data, Tokens, Value};
use crate::activation::Activation;
use crate::error::Result;

impl Reader<'_> {
    pub(super) fn mat_mul(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        node.only(&[])?;
        let data = data_of(node, inputs)?;
        let kernel = self.kernel(node, node.input(inputs, 1)?, false)?;
        self.product(node, data, kernel).map(Value::Data)
    }

    pub(super) fn gemm(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        node.only(&["alpha", "beta", "transA", "transB"])?;
        let data = data_of(node, inputs)?;
        if node.int("transA")?.unwrap_or(0) != 0 || data.axes.len() != 2 {
            return Err(node.no_chain("a product of anything but rows of features"));
        }
        let mut kernel = self.kernel(node, node.input(inputs, 1)?, node.int("transB")?.unwrap_or(0) != 0)?;
        let alpha = node.float("alpha")?.unwrap_or(1.0);
        if alpha != 1.0 {
            kernel.mapv_inplace(|weight| weight * alpha);
        }
        let product = self.product(node, data, kernel)?;
        let beta = node.float("beta")?.unwrap_or(1.0);
        match inputs.get(2) {
            Some(Some(bias)) if beta != 0.0 => {
                let mut bias = self.floats(node, bias, "the bias")?;
                if beta != 1.0 {
                    bias.mapv_inplace(|weight| weight * beta);
                }
                self.bias(node, &product, bias).map(Value::Data)
            }
            _ => Ok(Value::Data(product)),
        }
    }

    /// (features, units), row by row in memory.
    fn kernel(&mut self, node: &Node<'_>, value: &Value, transposed: bool) -> Result<Array2<f32>> {
        let kernel = self.floats(node, value, "the kernel")?;
        self.take_room(node, kernel.len())?;
        let kernel = kernel.into_dimensionality::<Ix2>();
        let kernel = kernel.map_err(|_| node.no_chain("a product with anything but a matrix"))?;
        let view: ArrayView2<'_, f32> = if transposed { kernel.t() } else { kernel.view() };
        Ok(view.as_standard_layout().into_owned())
    }

    fn product(&mut self, node: &Node<'_>, data: &Data, kernel: Array2<f32>) -> Result<Data> {
        self.bind(node, data.axes.last().copied(), Role::Features)?;
        if data.axes.contains(&Axis::Directions) {
            return Err(node.no_chain("a product of each direction by itself"));
        }
        let features = self.dims(data).last().and_then(|dim| dim.known());
        if features.is_some_and(|features| usize::try_from(features) != Ok(kernel.nrows())) {
            let expected = format!("a kernel with {} rows, for so many features", features.unwrap_or(0));
            return Err(node.wrong(expected, format!("one of the shape {:?}", kernel.shape())));
        }
        let width = kernel.ncols();
        let mut axes = data.axes.clone();
        if let Some(last) = axes.last_mut() {
            *last = Axis::Features;
        }
        let made = self.stepwise(node, Kind::Product(kernel), data, width);
        Ok(made.with_axes(axes))
    }

    /// The operators that are activations; any other is not done.
    pub(super) fn activation(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        let activation = activation_of(node, inputs)?;
        let data = data_of(node, inputs)?;
        if data.axes.contains(&Axis::Directions) {
            return Err(node.no_chain("an activation of each direction by itself"));
        }
        if activation.is_rowwise() {
            // opsets before 13 flatten the axes behind `axis`, and begin with 1
            let default = if node.opset < 13 { 1 } else { -1 };
            let axis = node.axis(node.int("axis")?.unwrap_or(default), data.axes.len())?;
            if axis + 1 != data.axes.len() || !matches!(data.axes.last(), Some(Axis::Features)) {
                return Err(node.no_chain("a softmax over anything but the features"));
            }
        }
        let made = self.stepwise(node, Kind::Activation(activation), data, data.width());
        Ok(Value::Data(made))
    }
}

fn data_of<'v>(node: &Node<'_>, inputs: Inputs<'v>) -> Result<&'v Data> {
    let is_known = |value: &Value| matches!(value, Value::Floats(_) | Value::Fill(_));
    match node.input(inputs, 0)? {
        Value::Data(data) if data.tokens == Tokens::No => Ok(data),
        // what a recurrent layer begins with
        state if is_known(state) && inputs.get(1).and_then(Option::as_ref).is_some_and(is_known) => {
            Err(node.written_out(format!("{} of an initial state", node.operator())))
        }
        _ => Err(node.no_chain(format!("{} of what is no value of the model", node.operator()))),
    }
}

fn activation_of(node: &Node<'_>, inputs: Inputs<'_>) -> Result<Activation> {
    let operator = node.operator();
    let plain = |activation: Activation| node.only(&[]).map(|()| activation);
    match operator {
        "Tanh" => plain(Activation::Tanh),
        "Sigmoid" => plain(Activation::Sigmoid),
        "Relu" => plain(Activation::Relu),
        "Softplus" => plain(Activation::Softplus),
        "Softsign" => plain(Activation::Softsign),
        "Exp" => plain(Activation::Exponential),
        "Mish" => plain(Activation::Mish),
        "HardSwish" => plain(Activation::HardSilu),
        "Softmax" => node.only(&["axis"]).map(|()| Activation::Softmax),
        "LogSoftmax" => node.only(&["axis"]).map(|()| Activation::LogSoftmax),
        "LeakyRelu" | "Elu" => {
            node.only(&["alpha"])?;
            Activation::from_onnx(operator, node.float("alpha")?, None)
        }
        "HardSigmoid" => {
            node.only(&["alpha", "beta"])?;
            let activation = Activation::from_onnx(operator, node.float("alpha")?, node.float("beta")?);
            activation.map(by_its_name)
        }
        "ThresholdedRelu" => {
            node.only(&["alpha"])?;
            Activation::from_onnx(operator, Some(node.float("alpha")?.unwrap_or(1.0)), None)
        }
        "Selu" | "Celu" | "Gelu" | "Clip" | "Shrink" | "Swish" => with_parameters(node, inputs),
        _ => Err(node.unsupported(
            format!("the operator {operator}"),
            "recurrent layers, products, activations and what moves their axes are done; leave the others out of the model, or open the \
             framework's own file (`.keras`, a state dict)",
        )),
    }
}

/// Keras 3's and PyTorch's hard sigmoid, which ONNX has by its numbers.
pub(super) fn by_its_name(activation: Activation) -> Activation {
    const SLOPE: f32 = 1.0 / 6.0;
    match activation {
        Activation::HardSigmoidWith {
            alpha: SLOPE,
            beta: 0.5,
        } => Activation::HardSigmoid,
        other => other,
    }
}

/// Operators that are activations of this crate with some parameters only.
fn with_parameters(node: &Node<'_>, inputs: Inputs<'_>) -> Result<Activation> {
    let close = |value: f32, wanted: f32| (value - wanted).abs() <= 1e-6 * wanted.abs();
    let parameter = |name: &str, default: f32| Ok::<_, crate::Error>(node.float(name)?.unwrap_or(default));
    let (found, parameters) = match node.operator() {
        "Selu" => {
            node.only(&["alpha", "gamma"])?;
            let (alpha, gamma) = (parameter("alpha", 1.673_263_2)?, parameter("gamma", 1.050_701)?);
            let usual = close(alpha, 1.673_263_2) && close(gamma, 1.050_701);
            (usual.then_some(Activation::Selu), vec![alpha, gamma])
        }
        "Celu" => {
            node.only(&["alpha"])?;
            let alpha = parameter("alpha", 1.0)?;
            ((alpha == 1.0).then_some(Activation::Celu), vec![alpha])
        }
        "Swish" => {
            node.only(&["alpha"])?;
            let alpha = parameter("alpha", 1.0)?;
            ((alpha == 1.0).then_some(Activation::Silu), vec![alpha])
        }
        "Gelu" => {
            node.only(&["approximate"])?;
            let exact = node.string("approximate")?.unwrap_or("none") == "none";
            (exact.then_some(Activation::Gelu), vec![])
        }
        "Shrink" => {
            node.only(&["bias", "lambd"])?;
            let (bias, beyond) = (parameter("bias", 0.0)?, parameter("lambd", 0.5)?);
            let found = match (bias, beyond) {
                (0.0, 0.5) => Some(Activation::HardShrink),
                (0.5, 0.5) => Some(Activation::SoftShrink),
                _ => None,
            };
            (found, vec![bias, beyond])
        }
        _ => {
            node.only(&["min", "max"])?;
            let limit = |name: &str, position: usize, default: f32| match inputs.get(position) {
                Some(Some(value)) => number_of(value).ok_or_else(|| node.wrong(name, "none that is known")),
                _ => parameter(name, default),
            };
            let (min, max) = (limit("min", 1, f32::MIN)?, limit("max", 2, f32::MAX)?);
            let found = match (min, max) {
                (0.0, 6.0) => Some(Activation::Relu6),
                (-1.0, 1.0) => Some(Activation::HardTanh),
                (0.0, f32::MAX) | (0.0, f32::INFINITY) => Some(Activation::Relu),
                _ => None,
            };
            (found, vec![min, max])
        }
    };
    found.ok_or_else(|| {
        let option = format!("{} with the parameters {parameters:?}", node.operator());
        node.unsupported(option, "use an activation that Keras names")
    })
}
