//! Reads the cases of ONNX: the operators LSTM, GRU and RNN, in the names and layouts of Keras.

use ndarray::{Array2, Axis, Ix4, concatenate, s};
use serde_json::{Map, Value};

use super::{
    cells::{CellSpec, LstmOptions, Rule},
    golden::Case,
    layers::{Chain, LayerSpec, Merge, RecurrentOptions, Refusal},
    torch::folded,
    translation::{Translation, chain, regrouped, turned},
};

/// The attributes of a node, each of which must be taken.
struct Node<'a> {
    case: &'a Case,
    operator: String,
    attributes: Map<String, Value>,
}

pub(crate) fn playable(case: &Case) -> Result<(Case, Chain), Refusal> {
    let mut node = Node::of(case)?;
    let direction = node.attributes.remove("direction");
    let direction = direction.as_ref().map_or(Some("forward"), Value::as_str);
    let (directions, go_backwards) = match direction {
        Some("forward") => (1, false),
        Some("reverse") => (1, true),
        Some("bidirectional") => (2, false),
        _ => return Err(Refusal::Cannot("direction".to_owned())),
    };
    let batch_first = node.number("layout")?.unwrap_or(0.0) == 1.0;
    let cells = node.cells(directions)?;
    if let Some((attribute, value)) = node.attributes.iter().next() {
        return Err(Refusal::Cannot(format!("{}: {attribute}={value}", node.operator)));
    }
    let options = RecurrentOptions {
        return_sequences: true,
        return_state: true,
        go_backwards,
        // what follows sequence_lens is 0
        zero_output_for_mask: true,
    };
    let layer = match <[CellSpec; 2]>::try_from(cells) {
        Ok([forward, backward]) => LayerSpec::Bidirectional {
            forward,
            backward,
            options,
            merge: Merge::Concat,
        },
        Err(cells) => LayerSpec::Recurrent {
            cell: cells.into_iter().next().ok_or("no cell".to_owned())?,
            options,
        },
    };
    translated(case, chain(vec![layer]), batch_first, go_backwards)
}

fn translated(case: &Case, chain: Chain, batch_first: bool, reversed: bool) -> Result<(Case, Chain), Refusal> {
    let mut translation = Translation::new(case);
    let mut x = case.f32("x")?.clone();
    let mut y = case.f32("y")?.clone();
    if !batch_first {
        x.swap_axes(0, 1);
        // (time_steps, directions, batch, hidden) to (batch, time_steps, directions, hidden)
        y = y.permuted_axes(vec![2, 0, 1, 3]);
    }
    let time_steps = x.shape()[1];
    let y = y.into_dimensionality::<Ix4>().map_err(|error| error.to_string())?;
    let directions: Vec<_> = y.axis_iter(Axis(2)).collect();
    let mut y = concatenate(Axis(2), &directions).map_err(|error| error.to_string())?;
    if reversed {
        // a layer that goes backwards gives its outputs in the order in which it ran
        y.invert_axis(Axis(1));
    }
    translation.put("x", "x", x);
    translation.put("y", "y", y.into_dyn());
    translation.put_lengths("sequence_lens", time_steps)?;
    translation.put_states(&chain, batch_first)?;
    Ok(translation.finish(chain)?)
}

impl<'a> Node<'a> {
    fn of(case: &'a Case) -> Result<Self, Refusal> {
        let node = &case.header["node"];
        let operator = node["op_type"].as_str().ok_or("the node has no op_type".to_owned())?;
        let attributes = node["attributes"].as_object().ok_or("no attributes".to_owned())?;
        let mut attributes = attributes.clone();
        attributes.remove("hidden_size"); // a size of the weights
        Ok(Self {
            case,
            operator: operator.to_owned(),
            attributes,
        })
    }

    fn number(&mut self, attribute: &str) -> Result<Option<f64>, Refusal> {
        match self.attributes.remove(attribute) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                None => Err(Refusal::Cannot(format!("{attribute}={value}"))),
                number => Ok(number),
            },
        }
    }

    /// The activations of all directions, each with its alpha and beta. Those are taken by the functions that have them, in
    /// order.
    fn activations(&mut self, defaults: &[&str], directions: usize) -> Result<Vec<String>, Refusal> {
        let mut numbers = ["activation_alpha", "activation_beta"].map(|attribute| {
            let list = self.attributes.remove(attribute);
            let list = list.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
            list.into_iter()
                .filter_map(|number| number.as_f64())
                .map(|number| number as f32)
        });
        let names: Vec<String> = match self.attributes.remove("activations") {
            None => (0..directions)
                .flat_map(|_| defaults.iter().map(|&name| name.to_owned()))
                .collect(),
            Some(names) => {
                let names = names.as_array().ok_or("activations".to_owned())?.clone();
                names
                    .iter()
                    .filter_map(|name| name.as_str().map(str::to_owned))
                    .collect()
            }
        };
        if names.len() != defaults.len() * directions {
            return Err(Refusal::Cannot(format!("activations={names:?}")));
        }
        let [alphas, betas] = &mut numbers;
        let named = |name: &String| {
            let needed = || Refusal::Cannot(format!("activation {name}: alpha and beta have no default"));
            let mut alpha = || alphas.next();
            let mut beta = || betas.next();
            Ok(match name.to_lowercase().as_str() {
                plain @ ("tanh" | "sigmoid" | "relu" | "softplus" | "softsign") => plain.to_owned(),
                "hardsigmoid" => format!("HardSigmoid({}, {})", alpha().unwrap_or(0.2), beta().unwrap_or(0.5)),
                "leakyrelu" => format!("LeakyRelu({})", alpha().unwrap_or(0.01)),
                "elu" => format!("Elu({})", alpha().unwrap_or(1.0)),
                "thresholdedrelu" => format!("ThresholdedRelu({})", alpha().ok_or_else(needed)?),
                "affine" | "scaledtanh" => {
                    let function = if name.eq_ignore_ascii_case("affine") {
                        "Affine"
                    } else {
                        "ScaledTanh"
                    };
                    format!(
                        "{function}({}, {})",
                        alpha().ok_or_else(needed)?,
                        beta().ok_or_else(needed)?
                    )
                }
                _ => return Err(Refusal::Cannot(format!("activation {name}"))),
            })
        };
        names.iter().map(named).collect()
    }

    /// The cells of both directions, or that of one.
    fn cells(&mut self, directions: usize) -> Result<Vec<CellSpec>, Refusal> {
        let clip = self.number("clip")?.map(|clip| clip as f32);
        let input_forget = self.number("input_forget")?.unwrap_or(0.0) == 1.0;
        let reset_after = self.number("linear_before_reset")?.unwrap_or(0.0) == 1.0;
        // ONNX's gates are i o f c and z r h.
        let (defaults, order): (&[&str], &[usize]) = match self.operator.as_str() {
            "LSTM" => (&["Sigmoid", "Tanh", "Tanh"], &[0, 2, 3, 1]),
            "GRU" => (&["Sigmoid", "Tanh"], &[0, 1, 2]),
            "RNN" => (&["Tanh"], &[0]),
            operator => return Err(Refusal::Cannot(format!("op_type {operator}"))),
        };
        let activations = self.activations(defaults, directions)?;
        let mut cells = Vec::new();
        for (direction, activations) in activations.chunks(defaults.len()).enumerate() {
            let (rule, recurrent_activation, activation) = match activations {
                [gates, candidate, output] => {
                    let lstm = LstmOptions {
                        peepholes: self.peepholes(direction)?,
                        projection: None,
                        input_forget,
                        output_activation: Some(output.clone()).filter(|output| output != candidate),
                    };
                    (Rule::Lstm(lstm), gates.clone(), candidate)
                }
                [gates, candidate] => (Rule::Gru { reset_after }, gates.clone(), candidate),
                [activation] => (Rule::SimpleRnn, "linear".to_owned(), activation),
                _ => return Err(Refusal::Cannot("activations".to_owned())),
            };
            cells.push(CellSpec {
                kernel: turned(&self.weight("W", direction)?, order),
                recurrent_kernel: turned(&self.weight("R", direction)?, order),
                bias: self.bias(direction, order)?.map(|bias| folded(&rule, bias)),
                activation: activation.clone(),
                recurrent_activation,
                clip,
                rule,
            });
        }
        Ok(cells)
    }

    /// What a tensor has for one direction, (gates * units, inputs).
    fn weight(&self, name: &str, direction: usize) -> Result<Array2<f32>, Refusal> {
        let all = self.case.f32(name)?;
        let one = all.index_axis(Axis(0), direction).to_owned();
        Ok(one.into_dimensionality().map_err(|error| error.to_string())?)
    }

    /// Both biases, (2, gates * units).
    fn bias(&self, direction: usize, order: &[usize]) -> Result<Option<Array2<f32>>, Refusal> {
        if !self.case.has("B") {
            return Ok(None);
        }
        let all = self.case.f32_2("B")?;
        let one = all.slice(s![direction, ..]).to_owned();
        let rows = one
            .into_shape_with_order((2, all.ncols() / 2))
            .map_err(|error| error.to_string())?;
        Ok(Some(regrouped(&rows, Axis(1), order)))
    }

    /// (3, units), i o f in ONNX.
    fn peepholes(&self, direction: usize) -> Result<Option<Array2<f32>>, Refusal> {
        if !self.case.has("P") {
            return Ok(None);
        }
        let all = self.case.f32_2("P")?;
        let one = all.slice(s![direction, ..]).to_owned();
        let rows = one
            .into_shape_with_order((3, all.ncols() / 3))
            .map_err(|error| error.to_string())?;
        Ok(Some(rows.select(Axis(0), &[0, 2, 1])))
    }
}
