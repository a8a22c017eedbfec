//! A file that is read, and the errors that name it.

use std::path::Path;

use crate::cell::ValueRange;
use crate::error::{Error, Result};

/// A file in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct File<'a> {
    pub(crate) bytes: &'a [u8],
    /// What messages call it.
    pub(crate) path: &'a Path,
    /// Where it lies, for data that is kept beside it; `None` where there is no such place.
    #[allow(dead_code, reason = "only some formats have data beside the file")]
    pub(crate) folder: Option<&'a Path>,
    /// Which values its weights may have.
    #[allow(dead_code, reason = "without formats nothing has weights")]
    pub(crate) range: ValueRange,
    /// Whether recurrent layers hand masks on, whatever the file says.
    #[allow(dead_code, reason = "only Keras has two rules")]
    pub(crate) hands_masks_on: Option<bool>,
}

impl<'a> File<'a> {
    pub(crate) fn new(bytes: &'a [u8], path: &'a Path, folder: Option<&'a Path>) -> Self {
        Self {
            bytes,
            path,
            folder,
            range: ValueRange::Finite,
            hands_masks_on: None,
        }
    }

    /// The same file, read by options: which values its weights may have, and whether recurrent layers hand masks on.
    pub(crate) fn with_options(self, range: ValueRange, hands_masks_on: Option<bool>) -> Self {
        Self {
            range,
            hands_masks_on,
            ..self
        }
    }

    /// What goes over the layers is quick for as many as models have.
    #[allow(dead_code, reason = "without formats nothing has layers")]
    pub(crate) fn check_layers(&self, place: &str, count: usize) -> Result<()> {
        match count <= MOST_LAYERS {
            true => Ok(()),
            false => Err(self.content(
                place,
                format!("at most {MOST_LAYERS} layers"),
                count.to_string(),
                "split the model",
            )),
        }
    }

    /// The contents are not what they should be, at a place: a member, a tensor, a byte.
    pub(crate) fn content(
        &self,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
        repair: impl Into<String>,
    ) -> Error {
        Error::Content {
            path: self.path.to_owned(),
            place: place.into(),
            expected: expected.into(),
            found: found.into(),
            repair: repair.into(),
        }
    }
}

/// The most layers that a model may have: far more than any has, and few enough that nothing takes long.
const MOST_LAYERS: usize = 4096;
