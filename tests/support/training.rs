//! Runs the golden cases of gradients and of trainings on the library.

use std::collections::BTreeMap;

use cellstate::{
    Adagrad, Adam, AdamW, BinaryCrossentropy, CategoricalCrossentropy, Device, Examples, Fit, Huber, Lion, Loss, Model,
    Nadam, Optimizer, RmsProp, Settings, Sgd, SparseCategoricalCrossentropy, States, Trainer, Upstream,
};
use serde_json::{Map, Value};

use super::super::{
    models::{OnDevice, model, pair, sequences, set},
    support::{
        golden::{Case, Tensor},
        gradient_case::{call, judge, judge_tensors, loss_weights},
        judge::Closeness,
        layers::{Chain, LayerSpec, Refusal, playable},
        torch,
    },
};

/// A case of gradients: every gradient that is expected.
pub(crate) async fn gradient(case: &Case, device: &Device) -> Result<Closeness, Refusal> {
    let (case, chain) = playable(case)?;
    let call = call(&case)?;
    let weights = loss_weights(&case, &chain, &call)?;
    let states = states(&case, &chain, device, call.input.batch()).await?;
    let model = model(&chain.layers).map_err(refusal)?;
    let names = names(&model, &chain)?;
    // a loss and an optimiser that are not asked for anything
    let trainer = Trainer::new_async(model, device, Loss::MeanSquaredError, Sgd::new(0.1)).await;
    let mut trainer = trainer.map_err(refusal)?;
    let batch = sequences(&call.input, call.mask.as_ref()).map_err(refusal)?;
    let upstream = |_: &cellstate::Output, finals: &States| {
        let upstream = Upstream::new(weights.values);
        let upstream = weights.backward.into_iter().fold(upstream, Upstream::backward);
        let of_states = weights.states.map(|weights| {
            let given = finals.iter().zip(&weights).map(|(state, (hidden, cell))| {
                let mut state = state.clone();
                set(&mut state, hidden, cell);
                state
            });
            given.collect()
        });
        of_states.into_iter().fold(upstream, Upstream::states)
    };
    let gradients = trainer
        .gradients_async(&batch, Some(&states), upstream)
        .await
        .map_err(refusal)?;

    let mut named = BTreeMap::new();
    for (path, gradient) in gradients.parameters() {
        let name = names
            .get(path)
            .ok_or(format!("a gradient of {path}, which the case has not"))?;
        named.insert(name.clone(), gradient.to_owned());
    }
    named.extend(
        gradients
            .input()
            .map(|input| ("x".to_owned(), input.to_owned().into_dyn())),
    );
    for ((prefix, _), state) in chain.cells().iter().zip(gradients.states()) {
        let (hidden, cell) = pair(state);
        named.insert(format!("{prefix}initial_h"), hidden.into_dyn());
        named.insert(format!("{prefix}initial_c"), cell.into_dyn());
    }
    Ok(judge(&case, &named)?)
}

/// The states that the case begins with.
async fn states(case: &Case, chain: &Chain, device: &Device, batch: usize) -> Result<States, Refusal> {
    let initial = chain.initial_states(case)?;
    let runner = OnDevice::with_async(&chain.layers, device, &Settings::new()).await;
    Ok(runner.map_err(refusal)?.states(batch, &initial))
}

/// A case of a training: the loss of every epoch, and the weights at the end.
pub(crate) async fn training(case: &Case, device: &Device) -> Result<Closeness, Refusal> {
    let (case, chain) = match case.framework.as_str() {
        "torch" => torch::trainable(case)?,
        _ => playable(case)?,
    };
    let mut options = Options::of(&case.header["training"])?;
    let (epochs, batch_size) = (options.size("epochs")?, options.size("batch_size")?);
    let (loss, optimizer) = (options.loss()?, options.optimizer()?);
    if options.take("shuffle")? != false {
        return Err(Refusal::Cannot(
            "shuffle: the order of the rows is not known".to_owned(),
        ));
    }
    options.finish()?;

    let model = model(&chain.layers).map_err(refusal)?;
    let names = names(&model, &chain)?;
    let input = case.input("x")?;
    let sequences = sequences(&input, case.mask("mask")?.as_ref()).map_err(refusal)?;
    let data = match case.tensors.get("target") {
        Some(Tensor::I32(classes)) => Examples::new(sequences, classes),
        _ => Examples::new(sequences, case.f32("target")?),
    };
    let data = weighted(&case, data.map_err(refusal)?)?;
    let mut trainer = Trainer::new_async(model, device, loss, optimizer)
        .await
        .map_err(refusal)?;
    let fit = Fit::epochs(epochs).batch_size(batch_size).shuffle(false);
    let history = trainer.fit_async(&data, fit).await.map_err(refusal)?;

    let losses: Vec<f32> = history.values("loss").iter().map(|loss| *loss as f32).collect();
    let mut got = BTreeMap::from([("losses".to_owned(), ndarray::Array1::from(losses).into_dyn())]);
    for parameter in trainer.model().parameters().iter() {
        let name = names
            .get(parameter.path())
            .ok_or(format!("no case for {}", parameter.path()))?;
        got.insert(format!("final.{name}"), parameter.values().to_owned());
    }
    Ok(judge_tensors(
        &case,
        case.expected().map(|name| (name, name.as_str())),
        &got,
    )?)
}

/// With the weights of the rows or steps that the case gives.
fn weighted<'s, 't>(case: &Case, data: Examples<'s, 't>) -> Result<Examples<'s, 't>, Refusal> {
    if !case.has("sample_weight") {
        return Ok(data);
    }
    let data = match case.f32("sample_weight")?.ndim() {
        1 => data.with_weights(&case.f32_1("sample_weight")?.to_vec()),
        _ => data.with_step_weights(case.f32_2("sample_weight")?),
    };
    data.map_err(refusal)
}

/// An option that this library does not have makes a case of later; every other error is one.
fn refusal(error: cellstate::Error) -> Refusal {
    match error {
        cellstate::Error::Unsupported { .. } => Refusal::NotYet(error.to_string()),
        _ => Refusal::Cannot(error.to_string()),
    }
}

/// From the path of each weight to its name in the case: both list the layers in order.
fn names(model: &Model, chain: &Chain) -> Result<BTreeMap<String, String>, String> {
    let has_weights = |layer: &LayerSpec| {
        !matches!(
            layer,
            LayerSpec::Masking { .. }
                | LayerSpec::RepeatVector { .. }
                | LayerSpec::Activation { .. }
                | LayerSpec::Dropout { .. }
                | LayerSpec::Reshape { .. }
                | LayerSpec::LastStep
        )
    };
    let of_layer = |(layer, prefix): (&LayerSpec, &String)| match layer.state_prefixes() {
        own if own.is_empty() => vec![prefix.clone()],
        own => own.iter().map(|own| format!("{prefix}{own}")).collect(),
    };
    let layers = chain
        .layers
        .iter()
        .zip(&chain.prefixes)
        .filter(|(layer, _)| has_weights(layer));
    let mut prefixes = layers.flat_map(of_layer);
    let mut names = BTreeMap::new();
    let mut now = None;
    for parameter in model.parameters().iter() {
        let (owner, role) = parameter
            .path()
            .rsplit_once('/')
            .ok_or("a path without a layer".to_owned())?;
        if now.as_ref().is_none_or(|(known, _)| known != owner) {
            let prefix = prefixes
                .next()
                .ok_or("more layers with weights than in the case".to_owned())?;
            now = Some((owner.to_owned(), prefix));
        }
        let prefix = now.as_ref().map_or("", |(_, prefix)| prefix.as_str());
        names.insert(parameter.path().to_owned(), format!("{prefix}{role}"));
    }
    match prefixes.next() {
        None => Ok(names),
        Some(prefix) => Err(format!("the model has no weights for {prefix:?}")),
    }
}

/// Sets an option to a value.
type With<T> = fn(T, f64) -> T;

/// The options of a training. Each must be asked for, so none is passed over in silence.
struct Options(Map<String, Value>);

impl Options {
    fn of(options: &Value) -> Result<Self, String> {
        let options = options.as_object().cloned();
        options.map(Self).ok_or("the case has no `training`".to_owned())
    }

    fn take(&mut self, option: &str) -> Result<Value, String> {
        self.0.remove(option).ok_or_else(|| format!("{option} is not given"))
    }

    fn number(&mut self, option: &str) -> Result<f64, String> {
        let value = self.take(option)?;
        value.as_f64().ok_or_else(|| format!("{option}={value} is no number"))
    }

    fn size(&mut self, option: &str) -> Result<usize, String> {
        let value = self.take(option)?;
        let size = value.as_u64().map(|size| size as usize);
        size.ok_or_else(|| format!("{option}={value} is no size"))
    }

    fn flag(&mut self, option: &str) -> Result<bool, String> {
        let value = self.take(option)?;
        value
            .as_bool()
            .ok_or_else(|| format!("{option}={value} is neither true nor false"))
    }

    fn finish(self) -> Result<(), Refusal> {
        match self.0.iter().next() {
            None => Ok(()),
            Some((option, value)) => Err(Refusal::Cannot(format!("{option}={value}: unknown option"))),
        }
    }

    /// A name, or a class of Keras with its options.
    fn class(&mut self, option: &str) -> Result<(String, Self), String> {
        match self.take(option)? {
            Value::String(name) => Ok((name, Self(Map::new()))),
            other => {
                let mut options = Self::of(&other)?;
                let class = options.take("class")?;
                Ok((class.as_str().unwrap_or_default().to_owned(), options))
            }
        }
    }

    fn loss(&mut self) -> Result<Loss, Refusal> {
        let (class, mut options) = self.class("loss")?;
        let loss = match class.as_str() {
            "MeanSquaredError" | "mean_squared_error" | "mse_loss" => Loss::MeanSquaredError,
            "MeanAbsoluteError" => Loss::MeanAbsoluteError,
            "Huber" => Huber::new().delta(options.number("delta")? as f32).into(),
            "binary_crossentropy" => BinaryCrossentropy::new().into(),
            "BinaryCrossentropy" => {
                let loss = BinaryCrossentropy::new().from_logits(options.flag("from_logits")?);
                loss.label_smoothing(options.number("label_smoothing")? as f32).into()
            }
            "CategoricalCrossentropy" => {
                let loss = CategoricalCrossentropy::new().from_logits(options.flag("from_logits")?);
                loss.label_smoothing(options.number("label_smoothing")? as f32).into()
            }
            "SparseCategoricalCrossentropy" => {
                options.is_null("ignore_class")?;
                SparseCategoricalCrossentropy::new()
                    .from_logits(options.flag("from_logits")?)
                    .into()
            }
            other => return Err(Refusal::Cannot(format!("loss {other}"))),
        };
        options.finish()?;
        Ok(loss)
    }

    fn is_null(&mut self, option: &str) -> Result<(), String> {
        match self.take(option)? {
            Value::Null => Ok(()),
            other => Err(format!("{option}={other}: unknown option")),
        }
    }

    fn optimizer(&mut self) -> Result<Optimizer, Refusal> {
        let (class, mut options) = self.class("optimizer")?;
        let rate = options.number(if options.0.contains_key("lr") {
            "lr"
        } else {
            "learning_rate"
        })?;
        let optimizer: Optimizer = match class.as_str() {
            "SGD" => {
                let sgd = Sgd::new(rate).momentum(options.number("momentum")?);
                let sgd = sgd.nesterov(options.flag("nesterov")?);
                options.common(sgd)?
            }
            "RMSprop" => {
                let rms_prop = RmsProp::new(rate).rho(options.number("rho")?);
                let rms_prop = rms_prop
                    .momentum(options.number("momentum")?)
                    .epsilon(options.number("epsilon")?);
                let rms_prop = rms_prop.centered(options.flag("centered")?);
                options.common(rms_prop)?
            }
            "Adagrad" => {
                let adagrad = Adagrad::new(rate).epsilon(options.number("epsilon")?);
                let adagrad = adagrad.initial_accumulator_value(options.number("initial_accumulator_value")?);
                options.common(adagrad)?
            }
            "Nadam" => {
                let nadam = Nadam::new(rate).epsilon(options.number("epsilon")?);
                let [beta_1, beta_2] = options.betas()?;
                options.common(nadam.beta_1(beta_1).beta_2(beta_2))?
            }
            "Lion" => {
                let [beta_1, beta_2] = options.betas()?;
                options.common(Lion::new(rate).beta_1(beta_1).beta_2(beta_2))?
            }
            // PyTorch's
            "Adam" if options.0.contains_key("eps") => {
                let betas = options.take("betas")?;
                let beta = |place: usize| betas[place].as_f64().ok_or(format!("betas={betas}"));
                let adam = Adam::pytorch(rate).beta_1(beta(0)?).beta_2(beta(1)?);
                let adam = adam.epsilon(options.number("eps")?);
                options.common(adam)?
            }
            "Adam" | "AdamW" => {
                let adam = if class == "Adam" {
                    Adam::new(rate)
                } else {
                    AdamW::new(rate)
                };
                let [beta_1, beta_2] = options.betas()?;
                let adam = adam.beta_1(beta_1).beta_2(beta_2).epsilon(options.number("epsilon")?);
                let adam = adam.amsgrad(options.flag("amsgrad")?);
                options.common(adam)?
            }
            other => return Err(Refusal::Cannot(format!("optimizer {other}"))),
        };
        options.finish()?;
        Ok(optimizer)
    }

    fn betas(&mut self) -> Result<[f64; 2], String> {
        Ok([self.number("beta_1")?, self.number("beta_2")?])
    }

    /// The optimiser with the weight decay and the clipping that the options ask for.
    fn common<T: Common + Into<Optimizer>>(&mut self, optimizer: T) -> Result<Optimizer, String> {
        let known: [(&str, With<T>); 5] = [
            ("weight_decay", T::decay),
            ("clipnorm", T::norm),
            ("global_clipnorm", T::global_norm),
            ("clipvalue", T::value),
            ("clip_grad_norm", T::grad_norm),
        ];
        let mut optimizer = optimizer;
        for (option, with) in known {
            match self.0.remove(option) {
                None | Some(Value::Null) => {}
                Some(value) => {
                    let value = value.as_f64().ok_or_else(|| format!("{option}={value} is no number"))?;
                    optimizer = with(optimizer, value);
                }
            }
        }
        Ok(optimizer.into())
    }
}

/// What every optimiser has.
trait Common: Sized {
    fn decay(self, share: f64) -> Self;
    fn norm(self, limit: f64) -> Self;
    fn global_norm(self, limit: f64) -> Self;
    fn value(self, limit: f64) -> Self;
    fn grad_norm(self, limit: f64) -> Self;
}

macro_rules! common {
    ($($optimizer:ty),*) => {$(
        impl Common for $optimizer {
            fn decay(self, share: f64) -> Self {
                self.weight_decay(share)
            }
            fn norm(self, limit: f64) -> Self {
                self.clipnorm(limit)
            }
            fn global_norm(self, limit: f64) -> Self {
                self.global_clipnorm(limit)
            }
            fn value(self, limit: f64) -> Self {
                self.clipvalue(limit)
            }
            fn grad_norm(self, limit: f64) -> Self {
                self.clip_grad_norm(limit)
            }
        }
    )*};
}

common!(Adagrad, Adam, Lion, Nadam, RmsProp, Sgd);
