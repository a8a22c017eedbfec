//! The options of a layer in a file. Each that is there is asked for, or known to change nothing; any other is an error.

use std::cell::RefCell;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::format::file::File;

/// What no layer's inference depends on.
const COMMON: &[&str] = &[
    "name",
    "trainable",
    "autocast",
    "batch_input_shape",
    "batch_shape",
    "input_shape",
    "input_dtype",
    "build_config",
    "activity_regularizer",
];

/// What an option of this ending says is how a weight was drawn or held while it was trained.
const TRAINING: &[&str] = &["_initializer", "_regularizer", "_constraint"];

/// The options of one layer, cell or model.
#[derive(Debug)]
pub(super) struct Config<'a> {
    pub(super) file: &'a File<'a>,
    /// The layer as messages name it: `"lstm_1" (LSTM)`.
    pub(super) layer: String,
    values: &'a Map<String, Value>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Config<'a> {
    pub(super) fn new(file: &'a File<'a>, layer: String, values: &'a Map<String, Value>) -> Self {
        Self {
            file,
            layer,
            values,
            asked: RefCell::default(),
        }
    }

    /// What the file says; `null` counts as nothing.
    pub(super) fn value(&self, option: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().push(option);
        self.values.get(option).filter(|value| !value.is_null())
    }

    /// Whether the file says anything, `null` too.
    pub(super) fn says(&self, option: &str) -> bool {
        self.values.contains_key(option)
    }

    pub(super) fn flag(&self, option: &'static str, default: bool) -> Result<bool> {
        match self.value(option) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.wrong(option, "true or false", other)),
        }
    }

    pub(super) fn number(&self, option: &'static str, default: f64) -> Result<f64> {
        match self.value(option) {
            None => Ok(default),
            Some(value) => match value.as_f64() {
                Some(number) => Ok(number),
                None => Err(self.wrong(option, "a number", value)),
            },
        }
    }

    /// A number that stays finite in 32 bits.
    pub(super) fn real(&self, option: &'static str, default: f64) -> Result<f32> {
        let number = self.number(option, default)?;
        let narrow = number as f32;
        match narrow.is_finite() {
            true => Ok(narrow),
            false => Err(self.wrong(option, "a finite number in the range of float32", &number.into())),
        }
    }

    /// A size, at least 1 and no larger than layers may be.
    pub(super) fn size(&self, option: &'static str) -> Result<usize> {
        const LARGEST: u64 = 1 << 23;
        let wanted = format!("a number from 1 to {LARGEST}");
        let value = self.value(option).unwrap_or(&Value::Null);
        let size = value.as_u64().or_else(|| whole(value.as_f64()?));
        match size.filter(|size| (1..=LARGEST).contains(size)) {
            Some(size) => Ok(size as usize),
            None => Err(self.wrong(option, &wanted, value)),
        }
    }

    /// A text, or the default.
    pub(super) fn text(&self, option: &'static str, default: &'a str) -> Result<&'a str> {
        match self.value(option) {
            None => Ok(default),
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(self.wrong(option, "a text", other)),
        }
    }

    /// Options that change nothing here whatever they say.
    pub(super) fn pass_over(&self, options: &[&'static str]) {
        self.asked.borrow_mut().extend(options);
    }

    /// An option that has to be absent or null.
    pub(super) fn refuse(&self, option: &'static str, instead: &str) -> Result<()> {
        match self.value(option) {
            None => Ok(()),
            Some(value) => Err(self.unsupported(format!("{option} = {}", shown(value)), instead)),
        }
    }

    /// An error for the first option that nobody knows.
    pub(super) fn finish(&self) -> Result<()> {
        let asked = self.asked.borrow();
        let known = |option: &str| {
            COMMON.contains(&option)
                || asked.contains(&option)
                || TRAINING.iter().any(|ending| option.ends_with(ending))
        };
        match self.values.iter().find(|(option, _)| !known(option)) {
            None => Ok(()),
            Some((option, value)) => Err(self.unsupported(
                format!("{option} = {}", shown(value)),
                "build the layer without the option, if the model does not need it; cellstate does not know what it means",
            )),
        }
    }

    /// What the file says for training alone, here or in a part of the layer, and is not taken over.
    pub(super) fn of_training(&self) -> Vec<String> {
        let mut found = Vec::new();
        training_options(self.values.iter(), &mut found);
        found
    }

    /// The same of a wrapper, without what the layer within says by itself.
    pub(super) fn of_training_around(&self, within: &str) -> Vec<String> {
        let (mut found, mut said) = (Vec::new(), Vec::new());
        let (within, around): (Vec<_>, Vec<_>) = self.values.iter().partition(|(option, _)| *option == within);
        training_options(around.into_iter(), &mut found);
        training_options(within.into_iter(), &mut said);
        found.retain(|option| !said.contains(option));
        found
    }

    pub(super) fn wrong(&self, option: &str, expected: &str, found: &Value) -> Error {
        self.file.content(
            format!("the configuration of layer {}, {option}", self.layer),
            expected,
            shown(found),
            "save the model again with Keras",
        )
    }

    pub(super) fn unsupported(&self, option: impl Into<String>, instead: impl Into<String>) -> Error {
        Error::Unsupported {
            layer: self.titled(),
            option: option.into(),
            instead: instead.into(),
        }
    }

    /// The layer with the file's name, for errors that name no file besides.
    pub(super) fn titled(&self) -> String {
        format!("layer {} of {}", self.layer, self.file.path.display())
    }

    /// An object in an option: its class and its own options.
    pub(super) fn object(&self, option: &'static str) -> Result<Option<Object<'a>>> {
        match self.value(option) {
            None => Ok(None),
            Some(value) => Object::of(value)
                .map(Some)
                .ok_or_else(|| self.wrong(option, "an object with class_name and config", value)),
        }
    }
}

/// A serialized object of Keras.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object<'a> {
    pub(super) class: &'a str,
    pub(super) config: &'a Value,
    module: &'a str,
    registered: &'a str,
}

impl<'a> Object<'a> {
    pub(super) fn of(value: &'a Value) -> Option<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        Some(Self {
            class: text("class_name")?,
            config: value.get("config")?,
            module: text("module").unwrap_or_default(),
            registered: text("registered_name").unwrap_or_default(),
        })
    }

    /// Whether it is somebody's own class and not one of Keras.
    pub(super) fn is_custom(&self) -> bool {
        let of_keras = ["", "keras", "builtins", "tensorflow", "tf_keras"];
        let begin = self.module.split('.').next().unwrap_or_default();
        self.registered.contains('>') || !of_keras.contains(&begin)
    }

    /// Its options, where they are a table of them.
    pub(super) fn options(&self) -> Option<&'a Map<String, Value>> {
        self.config.as_object()
    }

    /// `"lstm_1" (LSTM)`.
    pub(super) fn title(&self) -> String {
        let name = self.config.get("name").and_then(Value::as_str).unwrap_or_default();
        format!("{:?} ({})", short(name), short(self.class))
    }
}

/// Python writes whole numbers as real ones at times.
fn whole(number: f64) -> Option<u64> {
    (number >= 0.0 && number.fract() == 0.0 && number < 1e15).then_some(number as u64)
}

/// Whether a rate of a recurrent layer leaves something out, and something in.
pub(super) fn trains_with(rate: f64) -> bool {
    rate > 0.0 && (rate as f32) < 1.0
}

/// The options that would change a training, of a layer and of what is inside of it, each once.
fn training_options<'v>(values: impl Iterator<Item = (&'v String, &'v Value)>, found: &mut Vec<String>) {
    for (option, value) in values {
        let counts = match option.as_str() {
            "dropout" | "recurrent_dropout" => value.as_f64().is_some_and(|rate| rate > 0.0 && !trains_with(rate)),
            "trainable" => value == &Value::Bool(false),
            _ => (option.ends_with("_regularizer") || option.ends_with("_constraint")) && !value.is_null(),
        };
        if counts {
            let said = format!("{option} = {}", shown(value));
            if !found.contains(&said) {
                found.push(said);
            }
            continue;
        }
        let parts = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for part in parts.iter().filter_map(Value::as_object) {
            training_options(part.iter(), found);
        }
    }
}

/// A value in a message, not too long.
pub(super) fn shown(value: &Value) -> String {
    short(&value.to_string()).to_owned()
}

/// The begin of a text that may be long.
pub(super) fn short(text: &str) -> &str {
    const LONGEST: usize = 120;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}
