//! Reads the cases of PyTorch: `nn.LSTM`, `nn.GRU`, `nn.RNN` and `nn.LSTMCell`, in the names and layouts of Keras.

use ndarray::{Array2, ArrayD, Axis, concatenate, stack};
use serde_json::Value;

use super::{
    cells::{CellSpec, LstmOptions, Rule},
    golden::Case,
    layers::{Chain, LayerSpec, Merge, RecurrentOptions, Refusal},
    translation::{Translation, chain, turned},
};

/// The options of a module, each of which must be known.
struct Module<'a> {
    case: &'a Case,
    class: String,
    bidirectional: bool,
    batch_first: bool,
    bias: bool,
    layers: usize,
    projected: bool,
}

pub(crate) fn playable(case: &Case) -> Result<(Case, Chain), Refusal> {
    let module = Module::of(case)?;
    let chain = chain(module.layers()?);
    let mut translation = Translation::new(case);
    let mut time_steps = 1;
    for name in ["x", "y", "loss_weight", "grad.x"] {
        if !case.has(name) {
            continue;
        }
        let mut values = case.f32(name)?.clone();
        if module.class == "LSTMCell" {
            values.insert_axis_inplace(Axis(1)); // (batch, features): one step
        } else if values.ndim() == 2 {
            values.insert_axis_inplace(Axis(0)); // (time_steps, features): one sequence
        } else if !module.batch_first {
            values.swap_axes(0, 1);
        }
        if name == "x" {
            time_steps = values.shape()[1];
        }
        translation.put(name, name, values);
    }
    translation.put_lengths("lengths", time_steps)?;
    translation.put_states(&chain, false)?;
    module.put_gradients(&mut translation, &chain)?;
    Ok(translation.finish(chain)?)
}

/// A case of a training: an LSTM and a Linear on its last time step.
///
/// PyTorch trains both biases of an LSTM, where this library has the one that is their sum. Both can be had: `x` gets a feature
/// that is always 1, whose row of the kernel is the one bias. Optimisers and norms then see the numbers that they see in PyTorch.
pub(crate) fn trainable(case: &Case) -> Result<(Case, Chain), Refusal> {
    let module = Module::of(case)?;
    let head = &case.header["head"];
    if (module.class.as_str(), module.layers, module.bidirectional) != ("LSTM", 1, false)
        || (head["class"].as_str(), head["on"].as_str()) != (Some("Linear"), Some("last time step"))
    {
        return Err(Refusal::Cannot(
            "a training of anything but an LSTM and a Linear".to_owned(),
        ));
    }
    let mut translation = Translation::new(case);
    let x = case.f32("x")?.clone();
    let ones = ArrayD::ones(vec![x.shape()[0], x.shape()[1], 1]);
    let x = concatenate![Axis(2), x, ones];
    translation.put("x", "x", x);
    for name in ["target", "losses"] {
        translation.put(name, name, case.f32(name)?.clone());
    }
    for before in ["", "final."] {
        let name = |name: &str| format!("{before}{name}");
        let lstm = |weight: &str| name(&format!("lstm.{weight}_l0"));
        let bias = case.f32_1(&lstm("bias_ih"))?.insert_axis(Axis(0));
        let kernel = concatenate![Axis(0), turned(&case.f32_2(&lstm("weight_ih"))?, module.order()), bias];
        let recurrent_kernel = turned(&case.f32_2(&lstm("weight_hh"))?, module.order());
        translation.put(&name("layer0.kernel"), &lstm("weight_ih"), kernel.into_dyn());
        translation.put(
            &name("layer0.recurrent_kernel"),
            &lstm("weight_hh"),
            recurrent_kernel.into_dyn(),
        );
        translation.put(
            &name("layer0.bias"),
            &lstm("bias_hh"),
            case.f32(&lstm("bias_hh"))?.clone(),
        );
        let head = turned(&case.f32_2(&name("linear.weight"))?, &[0]);
        translation.put(&name("layer1.kernel"), &name("linear.weight"), head.into_dyn());
        translation.put(
            &name("layer1.bias"),
            &name("linear.bias"),
            case.f32(&name("linear.bias"))?.clone(),
        );
    }
    let made = translation.to();
    let lstm = LayerSpec::Recurrent {
        cell: CellSpec {
            rule: Rule::Lstm(LstmOptions::default()),
            kernel: made.f32_2("layer0.kernel")?,
            recurrent_kernel: made.f32_2("layer0.recurrent_kernel")?,
            bias: Some(made.f32_1("layer0.bias")?.insert_axis(Axis(0))),
            activation: "tanh".to_owned(),
            recurrent_activation: "sigmoid".to_owned(),
            clip: None,
        },
        options: RecurrentOptions::default(),
    };
    let dense = LayerSpec::Dense {
        kernel: made.f32_2("layer1.kernel")?,
        bias: Some(made.f32_1("layer1.bias")?),
        activation: "linear".to_owned(),
    };
    Ok(translation.finish(chain(vec![lstm, dense]))?)
}

impl<'a> Module<'a> {
    fn of(case: &'a Case) -> Result<Self, Refusal> {
        let mut options = match &case.header["module"] {
            Value::Object(options) => options.clone(),
            _ => return Err(Refusal::Cannot("the case has no `module`".to_owned())),
        };
        let class = options
            .remove("class")
            .and_then(|class| class.as_str().map(str::to_owned));
        let flag = |value: Option<Value>| value.is_some_and(|value| value == true);
        let number = |value: Option<Value>, absent| value.map_or(Some(absent), |value| value.as_u64());
        let module = Self {
            case,
            class: class.ok_or("the module has no class".to_owned())?,
            bidirectional: flag(options.remove("bidirectional")),
            batch_first: flag(options.remove("batch_first")),
            bias: flag(options.remove("bias")),
            layers: number(options.remove("num_layers"), 1).ok_or("num_layers".to_owned())? as usize,
            projected: number(options.remove("proj_size"), 0) != Some(0),
        };
        // sizes of the weights; and what does nothing outside of training
        for known in ["input_size", "hidden_size", "dropout"] {
            options.remove(known);
        }
        match options
            .iter()
            .find(|(name, value)| (name.as_str(), value.as_str()) != ("nonlinearity", Some("tanh")))
        {
            Some((option, value)) => Err(Refusal::Cannot(format!("{}: {option}={value}", module.class))),
            None => Ok(module),
        }
    }

    fn layers(&self) -> Result<Vec<LayerSpec>, Refusal> {
        let mut layers = Vec::new();
        for layer in 0..self.layers {
            let options = RecurrentOptions {
                return_sequences: self.class != "LSTMCell",
                return_state: layer + 1 == self.layers,
                go_backwards: false,
                // what follows a packed sequence is 0
                zero_output_for_mask: self.class != "LSTMCell",
            };
            let suffix = match self.class.as_str() {
                "LSTMCell" => String::new(),
                _ => format!("_l{layer}"),
            };
            let cell = self.cell(&suffix)?;
            layers.push(match self.bidirectional {
                false => LayerSpec::Recurrent { cell, options },
                true => LayerSpec::Bidirectional {
                    forward: cell,
                    backward: self.cell(&format!("{suffix}_reverse"))?,
                    options,
                    merge: Merge::Concat,
                },
            });
        }
        Ok(layers)
    }

    /// What stands behind the names of the weights of each cell.
    fn suffixes(&self) -> Vec<String> {
        if self.class.ends_with("Cell") {
            return vec![String::new()];
        }
        let directions: &[&str] = if self.bidirectional { &["", "_reverse"] } else { &[""] };
        let of_layer = |layer| directions.iter().map(move |direction| format!("_l{layer}{direction}"));
        (0..self.layers).flat_map(of_layer).collect()
    }

    /// The order of the gates: PyTorch's are i f g o and r z n.
    fn order(&self) -> &'static [usize] {
        match self.class.as_str() {
            "LSTM" | "LSTMCell" => &[0, 1, 2, 3],
            "GRU" => &[1, 0, 2],
            _ => &[0],
        }
    }

    /// The expected gradients of the weights. The library has one bias where PyTorch has two that are added, so that the gradient
    /// of each is that of the sum.
    fn put_gradients(&self, translation: &mut Translation<'_>, chain: &Chain) -> Result<(), Refusal> {
        for ((prefix, _), suffix) in chain.cells().iter().zip(self.suffixes()) {
            let names = [
                ("kernel", "weight_ih"),
                ("recurrent_kernel", "weight_hh"),
                ("projection", "weight_hr"),
            ];
            for (name, of) in names {
                let of = format!("grad.{of}{suffix}");
                if self.case.has(&of) {
                    let order = if name == "projection" { &[0] } else { self.order() };
                    let gradient = turned(&self.case.f32_2(&of)?, order).into_dyn();
                    translation.put(&format!("grad.{prefix}{name}"), &of, gradient);
                }
            }
            let [input, recurrent] = ["bias_ih", "bias_hh"].map(|name| format!("grad.{name}{suffix}"));
            if self.case.has(&input) {
                let (one, other) = (self.case.f32_1(&input)?, self.case.f32_1(&recurrent)?);
                if self.class == "GRU" || one != other {
                    return Err(Refusal::Cannot(format!("{input}: gradients of two biases")));
                }
                translation.put(&format!("grad.{prefix}bias"), &input, one.into_dyn());
            }
        }
        Ok(())
    }

    fn cell(&self, suffix: &str) -> Result<CellSpec, Refusal> {
        let weight = |name: &str| self.case.f32_2(&format!("{name}{suffix}"));
        let mut lstm = LstmOptions::default();
        if self.projected {
            lstm.projection = Some(turned(&weight("weight_hr")?, &[0]));
        }
        let order = self.order();
        let rule = match self.class.as_str() {
            "LSTM" | "LSTMCell" => Rule::Lstm(lstm),
            "GRU" => Rule::Gru { reset_after: true },
            "RNN" => Rule::SimpleRnn,
            class => return Err(Refusal::Cannot(format!("module class {class}"))),
        };
        let bias = match self.bias {
            true => {
                let [input, recurrent] = ["bias_ih", "bias_hh"].map(|name| self.case.f32_1(&format!("{name}{suffix}")));
                let rows = stack![Axis(0), input?, recurrent?];
                Some(super::translation::regrouped(&rows, Axis(1), order))
            }
            false => None,
        };
        let recurrent_activation = if rule == Rule::SimpleRnn { "linear" } else { "sigmoid" };
        Ok(CellSpec {
            kernel: turned(&weight("weight_ih")?, order),
            recurrent_kernel: turned(&weight("weight_hh")?, order),
            bias: bias.map(|bias| folded(&rule, bias)),
            activation: "tanh".to_owned(),
            recurrent_activation: recurrent_activation.to_owned(),
            clip: None,
            rule,
        })
    }
}

/// Two rows of biases as one, where nothing stands between them.
pub(crate) fn folded(rule: &Rule, bias: Array2<f32>) -> Array2<f32> {
    match rule {
        Rule::Gru { reset_after: true } => bias,
        _ => bias.sum_axis(Axis(0)).insert_axis(Axis(0)),
    }
}
