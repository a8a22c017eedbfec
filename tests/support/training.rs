//! Runs the golden cases of gradients and of trainings on the library.

use std::collections::BTreeMap;

use cellstate::{Device, Examples, Fit, Loss, Model, Settings, Sgd, States, Trainer, Upstream};

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
use super::training_options::Options;

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
    let frozen = options.prefixes("frozen")?;
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
    for prefix in &frozen {
        let mut layers = names.iter().filter(|(_, name)| name.starts_with(prefix.as_str()));
        let layer = layers.find_map(|(path, _)| path.rsplit_once('/'));
        let (layer, _) = layer.ok_or(format!("no layer for {prefix}"))?;
        trainer.freeze(layer).map_err(refusal)?;
    }
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
