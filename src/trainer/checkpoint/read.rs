//! A checkpoint that is read.

use ndarray::{ArrayD, Ix2};
use serde_json::Value;

use super::names::{BEST, KEY, SLOTS, STATES, VERSION, WEIGHTS};
use super::text::{Batching, Fields, WRITTEN_BY};
use crate::error::{Error, Result};
use crate::format::chain;
use crate::format::file::File;
use crate::format::safetensors::container;
use crate::model::Model;
use crate::optimizer::Progress;
use crate::state::State;
use crate::trainer::monitor::names;
use crate::trainer::standing::Standing;

/// What a file has. Nothing of it is taken before all of it is read.
#[derive(Debug)]
pub(super) struct Checkpoint {
    pub(super) weights: Vec<(String, ArrayD<f32>)>,
    pub(super) slots: Vec<(String, ArrayD<f32>)>,
    pub(super) optimizer: Progress,
    pub(super) seed: u64,
    pub(super) batches: u64,
    best: Vec<(String, ArrayD<f32>)>,
    states: Vec<(String, ArrayD<f32>)>,
    text: Value,
    model: Model,
}

impl Checkpoint {
    /// Reads a file, which has to be of this model.
    pub(super) fn read(file: &File<'_>, model: &Model) -> Result<Self> {
        let (dict, texts) = container::read(file)?;
        let Some(text) = texts.get(KEY) else {
            let repair =
                "name a file that `Fit::checkpoint` or `save_checkpoint` has written; `Model::open` reads models";
            return Err(file.content("the header", "a checkpoint of a training", "a file without one", repair));
        };
        let text: Value = serde_json::from_str(text).map_err(|error| {
            let repair = "take an earlier checkpoint; the file is damaged";
            file.content("the text of the checkpoint", "JSON", error.to_string(), repair)
        })?;
        check_chain(texts.get(chain::KEY).map_or("", String::as_str), model, file)?;
        let fields = Fields::new(&text, file)?;
        let version = fields.whole("version")?;
        if version != VERSION {
            let repair = "go on with the version of cellstate that wrote it";
            let (expected, found) = (
                format!("version {VERSION} of checkpoints"),
                format!("version {version}"),
            );
            return Err(file.content("the text of the checkpoint", expected, found, repair));
        }
        let (optimizer, seed, batches) = (
            fields.object("optimizer")?.progress()?,
            fields.whole("seed")?,
            fields.whole("batches")?,
        );
        let under = |prefix: &str| -> Result<Vec<(String, ArrayD<f32>)>> {
            let named = dict
                .tensors
                .iter()
                .filter_map(|tensor| Some((tensor.name.strip_prefix(prefix)?, tensor)));
            named
                .map(|(name, tensor)| Ok((name.to_owned(), tensor.values(file)?)))
                .collect()
        };
        let weights = under(WEIGHTS)?;
        check_complete(&weights, model, file)?;
        Ok(Self {
            weights,
            slots: under(SLOTS)?,
            best: under(BEST)?,
            states: under(STATES)?,
            optimizer,
            seed,
            batches,
            text,
            model: model.clone(),
        })
    }

    /// Whether the training made the same small, as far as one knows: earlier versions did not write it, and others may write it otherwise.
    pub(super) fn check_objective(&self, own: &[(&'static str, String)], file: &File<'_>) -> Result<()> {
        let Some(written) = Fields::new(&self.text, file)?.optional("objective")? else {
            return Ok(());
        };
        let (version, own_version) = WRITTEN_BY;
        if written.text(version)? != own_version {
            return Ok(());
        }
        for (name, own) in own {
            let found = written.text(name)?;
            if found != own {
                let say = |value: &str| format!("{name}: {}", if value.is_empty() { "none" } else { value });
                let repair = match name.strip_prefix("frozen") {
                    Some(_) => "call `freeze` for the same layers before `fit`".to_owned(),
                    None => format!(
                        "go on with the same {name}, or take weights and optimiser alone with `load_checkpoint`"
                    ),
                };
                return Err(file.content("the checkpoint", say(own), say(found), repair));
            }
        }
        Ok(())
    }

    /// Where the training stands; at its beginning, if the file does not say.
    pub(super) fn standing(&self, fresh: Standing, batching: Batching, file: &File<'_>) -> Result<Standing> {
        let Some(fields) = Fields::new(&self.text, file)?.optional("standing")? else {
            return Ok(fresh);
        };
        let written = [fields.size("batch_size")?, fields.size("sequences")?];
        let sizes = [batching.batch_size, batching.sequences];
        if written != sizes {
            let say = |[batch_size, sequences]: [usize; 2]| format!("{sequences} sequences in batches of {batch_size}");
            let repair = "go on with the same data and batch size, or take the weights alone with `load_checkpoint`";
            return Err(file.content("the checkpoint", say(sizes), say(written), repair));
        }
        let mut standing = fresh;
        standing.epoch = fields.size("epoch")?;
        standing.batch = fields.size("batch")?;
        // behind an epoch another order does no harm; earlier versions did not write it
        let order = fields.optional_text("order")?.unwrap_or(batching.order);
        if standing.batch > 0 && order != batching.order {
            let repair = "go on with the same `shuffle`, `bucketing` and `stateful` until the epoch has ended, or take the weights alone with `load_checkpoint`";
            let say = |order: &str| format!("batches {order}, within an epoch");
            return Err(file.content("the checkpoint", say(batching.order), say(order), repair));
        }
        standing.loss = fields.mean("loss")?;
        standing.learning_rate = fields.number("learning_rate")?;
        standing.seconds = fields.number("seconds")?;
        standing.watch = fields.watch()?;
        standing.plateau = fields.object("plateau")?.plateau()?;
        standing.history.epochs = fields.epochs("history")?;
        let means = fields.means("metrics")?;
        let names = names(&standing.metrics);
        if !means.iter().map(|(name, _)| *name).eq(&names) {
            let found = means.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            let expected = format!("the metrics of this training: {}", names.join(", "));
            return Err(file.content("the checkpoint", expected, found, "go on with the same metrics"));
        }
        for (metric, (_, mean)) in standing.metrics.iter_mut().zip(means) {
            metric.set_mean(mean);
        }
        if !self.best.is_empty() {
            check_complete(&self.best, &self.model, file)?;
            let mut best = self.model.clone();
            best.replace_parameters(self.best.clone())
                .map_err(|error| of_file(error, file))?;
            standing.best = Some(best);
        }
        standing.states = self.states(file)?;
        Ok(standing)
    }

    /// The states that are carried, if there are any.
    fn states(&self, file: &File<'_>) -> Result<Option<Vec<State>>> {
        let find = |number: usize, kind: &str| {
            let name = format!("{number}/{kind}");
            self.states.iter().find(|(found, _)| *found == name).map(|(_, values)| {
                values.clone().into_dimensionality::<Ix2>().map_err(|_| {
                    let repair = "take an earlier checkpoint; the file is damaged";
                    file.content(format!("tensor {STATES}{name}"), "two axes", "another number", repair)
                })
            })
        };
        let mut states = Vec::new();
        while let Some(hidden) = find(states.len(), "hidden") {
            states.push(match find(states.len(), "cell") {
                Some(cell) => State::with_cell(hidden?, cell?)?,
                None => State::new(hidden?),
            });
        }
        Ok((!states.is_empty()).then_some(states))
    }
}

/// Whether there is a tensor for each weight.
fn check_complete(weights: &[(String, ArrayD<f32>)], model: &Model, file: &File<'_>) -> Result<()> {
    let mut missing = model.parameters().iter().map(|parameter| parameter.path());
    match missing.find(|path| weights.iter().all(|(found, _)| found != path)) {
        None => Ok(()),
        Some(path) => Err(file.content(
            format!("tensor {WEIGHTS}{path}"),
            "a tensor for each weight of the model",
            "none",
            "take an earlier checkpoint; the file is damaged",
        )),
    }
}

/// Whether the layers are those of this model, however their first weights were drawn.
fn check_chain(text: &str, model: &Model, file: &File<'_>) -> Result<()> {
    let own = chain::write(model.layers())?;
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok().map(without_draws);
    match parsed(text) == parsed(&own) {
        true => Ok(()),
        false => Err(Error::Content {
            path: file.path.to_owned(),
            place: "the chain of layers".to_owned(),
            expected: own,
            found: text.to_owned(),
            repair: "go on with the model that the checkpoint is of, or begin a new training".to_owned(),
        }),
    }
}

/// A chain without what says how weights were drawn.
fn without_draws(value: Value) -> Value {
    let draws = |name: &str| name == "seed" || name == "unit_forget_bias" || name.ends_with("initializer");
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(name, _)| !draws(name));
            Value::Object(kept.map(|(name, value)| (name, without_draws(value))).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(without_draws).collect()),
        value => value,
    }
}

/// An error of the weights of a file, which names the file.
pub(super) fn of_file(error: Error, file: &File<'_>) -> Error {
    match error {
        Error::NotFinite { tensor, value, .. } => file.content(
            format!("tensor {WEIGHTS}{tensor}"),
            "finite numbers",
            value,
            "take an earlier checkpoint; the file is damaged",
        ),
        error => file.content(
            "the weights",
            "those of this model",
            error.to_string(),
            "go on with the model that the checkpoint is of",
        ),
    }
}
