//! What a checkpoint says as JSON. Numbers that are to come back with the same bits stand as these bits, in hexadecimal.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::names::VERSION;
use crate::error::Result;
use crate::format::file::File;
use crate::learning_rate::Plateau;
use crate::loss::Mean;
use crate::optimizer::Progress;
use crate::trainer::Trainer;
use crate::trainer::fit::Fit;
use crate::trainer::frozen::is_frozen_layer;
use crate::trainer::history::Epoch;
use crate::trainer::monitor::names;
use crate::trainer::scores::Scores;
use crate::trainer::standing::Standing;
use crate::trainer::stopping::Watch;

/// How an epoch makes its batches. A training that goes on within an epoch has to make the same.
#[derive(Clone, Copy, Debug)]
pub(in crate::trainer) struct Batching {
    pub(in crate::trainer) batch_size: usize,
    pub(in crate::trainer) sequences: usize,
    /// In which order they come, as a checkpoint says it.
    pub(in crate::trainer) order: &'static str,
}

impl Batching {
    pub(in crate::trainer) fn new(fit: &Fit<'_>, sequences: usize) -> Self {
        let order = match (fit.stateful, fit.shuffles(), fit.bucketing) {
            (true, ..) => "stateful, in the order of the data",
            (false, true, true) => "shuffled, with bucketing",
            (false, true, false) => "shuffled",
            (false, false, true) => "in the order of the data, with bucketing",
            (false, false, false) => "in the order of the data",
        };
        Self {
            batch_size: fit.batch_size,
            sequences,
            order,
        }
    }
}

/// Where a training stands, and how it makes its batches.
pub(super) type Position<'s> = (&'s Standing, Batching);

/// What says how options are written: each version as its types are.
pub(super) const WRITTEN_BY: (&str, &str) = ("written by", env!("CARGO_PKG_VERSION"));

/// What a training makes small, and by what: whoever goes on has to do the same. As the file says it, with the name of each.
pub(super) fn objective(trainer: &Trainer) -> [(&'static str, String); 4] {
    let paths = || trainer.model.parameters().iter().map(|parameter| parameter.path());
    let frozen = paths().filter(|path| trainer.is_frozen(path));
    let layers = paths().filter_map(|path| path.strip_suffix("/moving_mean"));
    let held = layers.filter(|layer| is_frozen_layer(&trainer.frozen, layer));
    [
        ("loss", format!("{:?}", trainer.head.loss)),
        ("regularizers", format!("{:?}", trainer.given_regularizers)),
        ("frozen weights", frozen.collect::<Vec<_>>().join(", ")),
        ("frozen BatchNormalization", held.collect::<Vec<_>>().join(", ")),
    ]
}

/// The text of a training.
pub(super) fn write(trainer: &Trainer, position: Option<Position<'_>>) -> String {
    let progress = trainer.optimizer.progress();
    let mut text = json!({
        "version": VERSION,
        "seed": trainer.seed,
        "batches": trainer.batches,
        "objective": objective_of(trainer),
        "optimizer": {
            "name": progress.optimizer,
            "iterations": progress.iterations,
            "momentum_product": bits(progress.momentum_product),
            "learning_rate": progress.learning_rate.map(bits),
            "made_with": progress.made_with.map(bits),
        },
    });
    if let (Some((standing, batching)), Some(text)) = (position, text.as_object_mut()) {
        let named = names(&standing.metrics).into_iter().zip(&standing.metrics);
        let metrics = named.map(|(name, metric)| json!([name, mean(metric.mean())]));
        let standing = json!({
            "batch_size": batching.batch_size,
            "sequences": batching.sequences,
            "order": batching.order,
            "epoch": standing.epoch,
            "batch": standing.batch,
            "loss": mean(standing.loss),
            "metrics": metrics.collect::<Vec<_>>(),
            "learning_rate": bits(standing.learning_rate),
            "seconds": bits(standing.seconds),
            "best": standing.watch.best.map(bits),
            "waited": standing.watch.waited,
            "best_epoch": standing.watch.epoch,
            "plateau": {
                "best": standing.plateau.best.map(bits),
                "wait": standing.plateau.wait,
                "cooldown": standing.plateau.cooldown,
            },
            "history": standing.history.epochs.iter().map(of_epoch).collect::<Vec<_>>(),
        });
        text.insert("standing".to_owned(), standing);
    }
    text.to_string()
}

fn objective_of(trainer: &Trainer) -> BTreeMap<&'static str, String> {
    let (version, written_by) = WRITTEN_BY;
    let mut texts = BTreeMap::from(objective(trainer));
    texts.insert(version, written_by.to_owned());
    texts
}

fn of_epoch(epoch: &Epoch) -> Value {
    json!({
        "number": epoch.number,
        "training": of_scores(&epoch.training),
        "validation": epoch.validation.as_ref().map(of_scores),
        "learning_rate": bits(epoch.learning_rate),
        "seconds": bits(epoch.seconds),
    })
}

fn of_scores(scores: &Scores) -> Value {
    let metrics = scores.metrics().iter().map(|(name, value)| json!([name, bits(*value)]));
    json!({"loss": bits(scores.loss()), "metrics": metrics.collect::<Vec<_>>()})
}

fn mean(mean: Mean) -> Value {
    json!(mean.sums().map(bits))
}

fn bits(value: f64) -> String {
    format!("{:016x}", value.to_bits())
}

/// The fields of a JSON object, and the errors that name them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'f> {
    object: &'f Map<String, Value>,
    file: &'f File<'f>,
}

impl<'f> Fields<'f> {
    pub(super) fn new(value: &'f Value, file: &'f File<'f>) -> Result<Self> {
        let object = value
            .as_object()
            .ok_or_else(|| wrong(file, "a part of it", "an object", value))?;
        Ok(Self { object, file })
    }

    fn get(&self, name: &str) -> &'f Value {
        self.object.get(name).unwrap_or(&Value::Null)
    }

    pub(super) fn object(&self, name: &str) -> Result<Self> {
        Self::new(self.get(name), self.file)
    }

    /// An object that need not be there.
    pub(super) fn optional(&self, name: &str) -> Result<Option<Self>> {
        match self.get(name) {
            Value::Null => Ok(None),
            value => Self::new(value, self.file).map(Some),
        }
    }

    pub(super) fn whole(&self, name: &str) -> Result<u64> {
        let value = self.get(name);
        value
            .as_u64()
            .ok_or_else(|| wrong(self.file, name, "a whole number", value))
    }

    pub(super) fn size(&self, name: &str) -> Result<usize> {
        let value = self.whole(name)?;
        usize::try_from(value).map_err(|_| wrong(self.file, name, "a smaller number", value))
    }

    pub(super) fn text(&self, name: &str) -> Result<&'f str> {
        let value = self.get(name);
        value.as_str().ok_or_else(|| wrong(self.file, name, "a text", value))
    }

    /// A text that need not be there.
    pub(super) fn optional_text(&self, name: &str) -> Result<Option<&'f str>> {
        match self.get(name) {
            Value::Null => Ok(None),
            _ => self.text(name).map(Some),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<f64> {
        number(self.get(name)).ok_or_else(|| wrong(self.file, name, "the bits of a number", self.get(name)))
    }

    pub(super) fn optional_number(&self, name: &str) -> Result<Option<f64>> {
        match self.get(name) {
            Value::Null => Ok(None),
            _ => self.number(name).map(Some),
        }
    }

    pub(super) fn list(&self, name: &str) -> Result<&'f [Value]> {
        let value = self.get(name);
        let list = value
            .as_array()
            .ok_or_else(|| wrong(self.file, name, "a list", value))?;
        Ok(list)
    }

    pub(super) fn mean(&self, name: &str) -> Result<Mean> {
        mean_of(self.get(name)).ok_or_else(|| wrong(self.file, name, "two sums", self.get(name)))
    }

    /// Names with the sums of means.
    pub(super) fn means(&self, name: &str) -> Result<Vec<(&'f str, Mean)>> {
        let one = |value: &'f Value| {
            let [name, mean] = value.as_array()?.as_slice() else {
                return None;
            };
            Some((name.as_str()?, mean_of(mean)?))
        };
        let wrong = || wrong(self.file, name, "names with sums", "something else");
        self.list(name)?
            .iter()
            .map(|value| one(value).ok_or_else(wrong))
            .collect()
    }

    pub(super) fn scores(&self) -> Result<Scores> {
        let one = |value: &Value| {
            let [name, value] = value.as_array()?.as_slice() else {
                return None;
            };
            Some((name.as_str()?.to_owned(), number(value)?))
        };
        let wrong = || wrong(self.file, "metrics", "names with numbers", "something else");
        let metrics = self.list("metrics")?.iter().map(|value| one(value).ok_or_else(wrong));
        Ok(Scores::new(self.number("loss")?, metrics.collect::<Result<_>>()?))
    }

    pub(super) fn progress(&self) -> Result<Progress> {
        Ok(Progress {
            optimizer: self.text("name")?.to_owned(),
            iterations: self.whole("iterations")?,
            momentum_product: self.number("momentum_product")?,
            learning_rate: self.optional_number("learning_rate")?,
            made_with: self.optional_number("made_with")?,
        })
    }

    pub(super) fn watch(&self) -> Result<Watch> {
        let epoch = match self.get("best_epoch") {
            Value::Null => None,
            _ => Some(self.size("best_epoch")?),
        };
        Ok(Watch {
            best: self.optional_number("best")?,
            waited: self.size("waited")?,
            epoch,
        })
    }

    pub(super) fn plateau(&self) -> Result<Plateau> {
        Ok(Plateau {
            best: self.optional_number("best")?,
            wait: self.whole("wait")?,
            cooldown: self.whole("cooldown")?,
        })
    }

    pub(super) fn epochs(&self, name: &str) -> Result<Vec<Epoch>> {
        let epochs = self.list(name)?.iter().map(|value| {
            let fields = Self::new(value, self.file)?;
            Ok(Epoch {
                number: fields.size("number")?,
                training: fields.object("training")?.scores()?,
                validation: fields
                    .optional("validation")?
                    .map(|fields| fields.scores())
                    .transpose()?,
                learning_rate: fields.number("learning_rate")?,
                seconds: fields.number("seconds")?,
            })
        });
        epochs.collect()
    }
}

fn number(value: &Value) -> Option<f64> {
    let bits = u64::from_str_radix(value.as_str()?, 16).ok()?;
    Some(f64::from_bits(bits))
}

fn mean_of(value: &Value) -> Option<Mean> {
    let [total, weight] = value.as_array()?.as_slice() else {
        return None;
    };
    Some(Mean::of_sums([number(total)?, number(weight)?]))
}

fn wrong(file: &File<'_>, name: &str, expected: &str, found: impl std::fmt::Display) -> crate::error::Error {
    file.content(
        format!("{name} of the checkpoint"),
        expected,
        found.to_string(),
        "take an earlier checkpoint; the file is damaged",
    )
}
