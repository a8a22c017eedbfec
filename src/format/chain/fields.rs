//! An object of JSON whose fields are taken one by one, so that none is left out.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::format::file::File;

pub(super) struct Fields<'f> {
    map: Map<String, Value>,
    /// What messages call it.
    place: String,
    pub(super) file: &'f File<'f>,
}

impl<'f> Fields<'f> {
    pub(super) fn new(value: Value, place: String, file: &'f File<'_>) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Self { map, place, file }),
            other => Err(wrong(file, place, "an object of JSON", &other)),
        }
    }

    pub(super) fn name_place(&mut self, place: String) {
        self.place = place;
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// A field, or `None` if there is none or it is null.
    pub(super) fn optional(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|value| !value.is_null())
    }

    pub(super) fn needed(&mut self, key: &str, expected: &str) -> Result<Value> {
        match self.optional(key) {
            Some(value) => Ok(value),
            None => Err(self.wrong(key, expected, &Value::Null)),
        }
    }

    /// A whole number, or what it is where it is left out.
    pub(super) fn whole(&mut self, key: &str, absent: Option<usize>) -> Result<usize> {
        match (self.optional_whole(key)?, absent) {
            (Some(number), _) | (None, Some(number)) => Ok(number),
            (None, None) => Err(self.wrong(key, "a whole number", &Value::Null)),
        }
    }

    pub(super) fn optional_whole(&mut self, key: &str) -> Result<Option<usize>> {
        self.seed(key)?
            .map(|number| {
                let smaller = usize::try_from(number);
                smaller.map_err(|_| self.wrong(key, "a smaller whole number", &Value::from(number)))
            })
            .transpose()
    }

    pub(super) fn seed(&mut self, key: &str) -> Result<Option<u64>> {
        let value = self.optional(key);
        let number = |value: Value| value.as_u64().ok_or_else(|| self.wrong(key, "a whole number", &value));
        value.map(number).transpose()
    }

    pub(super) fn flag(&mut self, key: &str, absent: bool) -> Result<bool> {
        match self.optional(key) {
            None => Ok(absent),
            Some(Value::Bool(value)) => Ok(value),
            Some(other) => Err(self.wrong(key, "true or false", &other)),
        }
    }

    pub(super) fn number(&mut self, key: &str, absent: Option<f32>) -> Result<f32> {
        match (self.optional_number(key)?, absent) {
            (Some(number), _) | (None, Some(number)) => Ok(number),
            (None, None) => Err(self.wrong(key, "a number", &Value::Null)),
        }
    }

    pub(super) fn optional_number(&mut self, key: &str) -> Result<Option<f32>> {
        let value = self.optional(key);
        let wrong = |value: &Value| self.wrong(key, "a number that float32 can hold", value);
        value
            .map(|value| number(&value).ok_or_else(|| wrong(&value)))
            .transpose()
    }

    pub(super) fn text(&mut self, key: &str, absent: Option<&str>) -> Result<String> {
        match (self.optional(key), absent) {
            (None, Some(absent)) => Ok(absent.to_owned()),
            (Some(Value::String(text)), _) => Ok(text),
            (value, _) => Err(self.wrong(key, "a text", &value.unwrap_or_default())),
        }
    }

    pub(super) fn list(&mut self, key: &str) -> Result<Vec<Value>> {
        match self.needed(key, "a list")? {
            Value::Array(list) => Ok(list),
            other => Err(self.wrong(key, "a list", &other)),
        }
    }

    /// Two whole numbers.
    pub(super) fn pair(&mut self, key: &str) -> Result<[usize; 2]> {
        let value = self.needed(key, "two whole numbers")?;
        let number = |value: &Value| usize::try_from(value.as_u64()?).ok();
        match value.as_array().map(Vec::as_slice) {
            Some([first, second]) => number(first).zip(number(second)).map(|(first, second)| [first, second]),
            _ => None,
        }
        .ok_or_else(|| self.wrong(key, "two whole numbers", &value))
    }

    /// What is left is not known.
    pub(super) fn finish(self) -> Result<()> {
        match self.map.into_iter().next() {
            None => Ok(()),
            Some((key, value)) => Err(self.file.content(
                self.place,
                "options that the layer has",
                format!("{key:?} with the value {}", shortened(&value)),
                "leave it out, or correct its name; a later version of cellstate may know it",
            )),
        }
    }

    pub(super) fn wrong(&self, key: &str, expected: &str, found: &Value) -> Error {
        wrong(self.file, format!("{key} of {}", self.place), expected, found)
    }
}

fn wrong(file: &File<'_>, place: String, expected: &str, found: &Value) -> Error {
    file.content(place, expected, shortened(found), "correct the chain of layers")
}

/// A value as JSON, its begin alone where it is long.
fn shortened(value: &Value) -> String {
    const MOST: usize = 80;
    let text = match value {
        Value::Null => return "nothing".to_owned(),
        Value::Array(_) => return "a list".to_owned(),
        Value::Object(_) => return "an object".to_owned(),
        value => value.to_string(),
    };
    match text.chars().count() > MOST {
        true => text.chars().take(MOST).chain("…".chars()).collect(),
        false => text,
    }
}

/// A number of float32, infinities as texts.
pub(super) fn number_of(value: f32) -> Value {
    match value.is_finite() {
        true => Value::from(f64::from(value)),
        false => Value::from(value.to_string()),
    }
}

fn number(value: &Value) -> Option<f32> {
    match value {
        Value::String(text) => [f32::INFINITY, f32::NEG_INFINITY]
            .into_iter()
            .find(|number| number.to_string() == *text),
        value => value
            .as_f64()
            .map(|number| number as f32)
            .filter(|number| number.is_finite()),
    }
}
