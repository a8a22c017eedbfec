//! Runs the golden cases on the library, on whatever device: for `tests/golden.rs`, and for the browser's page in `examples/web`.

#[path = "training.rs"]
mod training;
mod training_options;

use cellstate::{Activation, Dense, Device, Error, Lstm, LstmWeights, Sequences, Settings};
use ndarray::Array2;
use serde_json::Value;

use super::{
    models::{Library, OnDevice},
    support::{
        cells::Rule,
        golden::Case,
        initial_weights,
        judge::{Closeness, compare},
        layers::{LayerSpec, Refusal, playable},
        play::play_async,
    },
};

/// One run of a case on a device.
#[derive(Debug)]
pub(crate) struct Run {
    /// The case's name, and what of the case is run.
    pub(crate) name: String,
    activation: Option<String>,
}

/// The runs of a case on each device.
pub(crate) fn of(case: &Case) -> Vec<Run> {
    let run = |activation: Option<&str>| Run {
        name: [Some(case.name.as_str()), activation]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" "),
        activation: activation.map(str::to_owned),
    };
    let names = case.header["names"].as_array().map(Vec::as_slice).unwrap_or_default();
    match case.kind.as_str() {
        "activations" if !names.is_empty() => names
            .iter()
            .filter_map(Value::as_str)
            .map(|name| run(Some(name)))
            .collect(),
        "init" => Vec::new(),
        _ => vec![run(None)],
    }
}

impl Run {
    /// How it ends on a device.
    pub(crate) async fn verdict(&self, case: &Case, device: &Device) -> Result<Closeness, Refusal> {
        match (case.kind.as_str(), &self.activation) {
            ("forward" | "stateful", _) => forward(case, device).await,
            ("activations", Some(name)) => activation(case, name, device).await,
            ("activations", None) => Err(Refusal::Cannot("no `names`".to_owned())),
            ("gradient", _) => training::gradient(case, device).await,
            ("training", _) => training::training(case, device).await,
            (other, _) => Err(Refusal::Cannot(format!("kind {other}"))),
        }
    }
}

/// What is wrong with a verdict; `listed` is the reason of `golden/not_yet.txt` for not running the case.
pub(crate) fn failure(verdict: &Result<Closeness, Refusal>, listed: Option<&str>) -> Option<String> {
    match (verdict, listed) {
        (Ok(_), Some(_)) => Some("runs now: take its line out of golden/not_yet.txt".to_owned()),
        (Err(Refusal::NotYet(why)), None) => Some(format!("is not run and not in golden/not_yet.txt: {why}")),
        (Err(Refusal::Cannot(message)), _) => Some(message.clone()),
        _ => None,
    }
}

/// `forward` and `stateful`.
async fn forward(case: &Case, device: &Device) -> Result<Closeness, Refusal> {
    let (case, chain) = playable(case)?;
    let on_device = OnDevice::with_async(&chain.layers, device, &Settings::new()).await;
    let on_device = on_device.map_err(|error| match error {
        Error::Unsupported { .. } => Refusal::NotYet(error.to_string()),
        _ => Refusal::Cannot(error.to_string()),
    })?;
    Ok(play_async(&case, &chain, &mut Library::of(on_device, &case, &chain)?).await?)
}

/// An activation as that of a Dense layer whose kernel is the identity.
async fn activation(case: &Case, name: &str, device: &Device) -> Result<Closeness, Refusal> {
    let text = |error: cellstate::Error| error.to_string();
    let x = case.f32_2("x")?;
    let (rows, features) = x.dim();
    let dense = Dense::new(features, features)
        .activation(Activation::from_name(name).map_err(text)?)
        .with_weights(Array2::eye(features), None)
        .map_err(text)?;
    let x = x
        .into_shape_with_order((1, rows, features))
        .map_err(|error| error.to_string())?;
    let output = {
        let runner = dense.on_async(device).await.map_err(text)?;
        runner.run_async(&Sequences::from(x)).await.map_err(text)?
    };
    let got = output.values().to_owned().into_shape_with_order(vec![rows, features]);
    let got = got.map_err(|error| error.to_string())?;
    let tensor = format!("y.{name}");
    let tolerance = case
        .tolerance
        .get(&tensor)
        .ok_or(format!("{tensor} has no tolerance"))?;
    Ok(compare(
        got.view(),
        case.f32(&tensor)?.view(),
        tolerance.atol,
        tolerance.rtol,
    )?)
}

/// Fresh weights meet the rules, whatever the seed; the same seed gives the same weights, another seed others.
pub(crate) fn init(case: &Case) -> Result<Closeness, Refusal> {
    let (_, chain) = playable(case)?;
    let cell = match chain.layers.as_slice() {
        [LayerSpec::Recurrent { cell, .. }] if matches!(cell.rule, Rule::Lstm(_)) => cell,
        _ => return Err(Refusal::Cannot("init of anything but one LSTM".to_owned())),
    };
    let forget = case.header["layers"][0]["config"]["unit_forget_bias"].as_bool();
    let forget = forget.ok_or("unit_forget_bias is not given".to_owned())?;
    let draw = |seed: Option<u64>| -> Result<LstmWeights, Refusal> {
        let lstm = Lstm::new(cell.features(), cell.units()).unit_forget_bias(forget);
        let lstm = match seed {
            Some(seed) => lstm.seed(seed),
            None => lstm,
        };
        let weights = lstm.weights().map_err(|error| error.to_string())?;
        let bias = weights.bias.as_ref().ok_or("no bias".to_owned())?;
        initial_weights::check(case, &weights.kernel, &weights.recurrent_kernel, bias)?;
        Ok(weights)
    };
    let default = draw(None)?;
    if draw(None)?.kernel != default.kernel {
        return Err(Refusal::Cannot(
            "two layers with the same seed have other weights".to_owned(),
        ));
    }
    let (one, two) = (draw(Some(1))?, draw(Some(2))?);
    if one.kernel == two.kernel || one.recurrent_kernel == two.recurrent_kernel {
        return Err(Refusal::Cannot("two seeds give the same weights".to_owned()));
    }
    Ok(Closeness::default())
}
