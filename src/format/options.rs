//! How a model file is read where the usual way refuses it.

use std::path::Path;

use super::file::File;
use super::opening;
use crate::cell::ValueRange;
use crate::error::{Error, Result};
use crate::model::Model;

/// How a model file is read, where [`Model::open`] and [`Model::load_weights`] refuse what is wanted.
///
/// Options are set first; [`open`](Self::open) or [`load_weights`](Self::load_weights) then reads the file.
///
/// ```
/// use cellstate::{Error, Lstm, Model, OpenOptions};
///
/// # let mut bytes = Model::builder().add(Lstm::new(2, 8)).build()?.to_bytes("diverged.safetensors")?;
/// # let last = bytes.len() - 4;
/// # bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
/// // a model whose training diverged
/// assert!(matches!(Model::from_bytes(&bytes, "diverged.safetensors"), Err(Error::NotFinite { .. })));
/// let model = OpenOptions::new().allow_not_finite(true).from_bytes(&bytes, "diverged.safetensors")?;
/// assert!(model.notes()[0].contains("lstm/recurrent_kernel"));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "options do nothing until a file is opened with them"]
pub struct OpenOptions {
    range: ValueRange,
    hands_masks_on: Option<bool>,
}

impl OpenOptions {
    /// The options of [`Model::open`].
    ///
    /// ```
    /// # use cellstate::{Error, OpenOptions};
    /// assert!(matches!(OpenOptions::new().open("no such file.keras"), Err(Error::File { .. })));
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether weights may be NaN or infinite (default false). A sum with NaN is NaN, so the outputs of such a model are worth little; this is
    /// for looking into its weights, as after a training that diverged, and [`Model::notes`] names those that are not finite. What NaN and
    /// infinity become on a GPU, WGSL leaves open.
    ///
    /// ```
    /// # use cellstate::OpenOptions;
    /// assert_ne!(OpenOptions::new().allow_not_finite(true), OpenOptions::new());
    /// ```
    pub fn allow_not_finite(mut self, allow_not_finite: bool) -> Self {
        self.range = match allow_not_finite {
            true => ValueRange::Any,
            false => ValueRange::Finite,
        };
        self
    }

    /// Whether a recurrent layer of a model of Keras hands its mask on to the layers behind it: `true` as Keras does up to 3.15, `false` as from 3.16 on. If this is not
    /// called, the version of Keras in the file decides. An [`EndMask`](crate::EndMask) stands where a mask ends; files of other formats are read as ever.
    ///
    /// ```
    /// # use cellstate::OpenOptions;
    /// assert_ne!(OpenOptions::new().hands_masks_on(false), OpenOptions::new());
    /// ```
    pub fn hands_masks_on(mut self, hands_masks_on: bool) -> Self {
        self.hands_masks_on = Some(hands_masks_on);
        self
    }

    /// As [`Model::open`].
    ///
    /// # Errors
    ///
    /// As [`Model::open`], but for what the options allow.
    ///
    /// ```no_run
    /// # use cellstate::OpenOptions;
    /// let model = OpenOptions::new().allow_not_finite(true).open("diverged.keras")?;
    /// println!("{}", model.notes().join("\n"));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Model> {
        let path = path.as_ref();
        self.model(&File::new(&opening::read(path)?, path, path.parent()))
    }

    /// As [`Model::from_bytes`].
    ///
    /// # Errors
    ///
    /// As [`OpenOptions::open`].
    ///
    /// ```
    /// # use cellstate::{Error, OpenOptions};
    /// assert!(matches!(OpenOptions::new().from_bytes(b"no model", "forecast.keras"), Err(Error::Content { .. })));
    /// ```
    pub fn from_bytes(&self, bytes: &[u8], name: &str) -> Result<Model> {
        self.model(&File::new(bytes, Path::new(name), None))
    }

    /// As [`Model::load_weights`], into `model`.
    ///
    /// # Errors
    ///
    /// As [`Model::load_weights`], but for what the options allow.
    ///
    /// ```no_run
    /// # use cellstate::{Dense, Lstm, Model, OpenOptions};
    /// let mut model = Model::builder().add(Lstm::new(2, 64)).add(Dense::new(64, 1)).build()?;
    /// OpenOptions::new().allow_not_finite(true).load_weights(&mut model, "diverged.weights.h5")?;
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn load_weights(&self, model: &mut Model, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.weights(&File::new(&opening::read(path)?, path, path.parent()), model)
    }

    /// As [`Model::load_weights_from_bytes`], into `model`.
    ///
    /// # Errors
    ///
    /// As [`OpenOptions::load_weights`].
    ///
    /// ```
    /// # use cellstate::{Error, Lstm, Model, OpenOptions};
    /// let mut model = Model::builder().add(Lstm::new(2, 8)).build()?;
    /// let loaded = OpenOptions::new().load_weights_from_bytes(&mut model, b"no weights", "forecast.weights.h5");
    /// assert!(matches!(loaded, Err(Error::Content { .. })));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn load_weights_from_bytes(&self, model: &mut Model, bytes: &[u8], name: &str) -> Result<()> {
        self.weights(&File::new(bytes, Path::new(name), None), model)
    }

    fn model(&self, file: &File<'_>) -> Result<Model> {
        let mut model = super::model_of(&file.with_options(self.range, self.hands_masks_on)).map_err(asked_for)?;
        if self.range != ValueRange::Finite {
            model.note_not_finite();
        }
        Ok(model)
    }

    fn weights(&self, file: &File<'_>, model: &mut Model) -> Result<()> {
        super::weights_of(&file.with_options(self.range, self.hands_masks_on), model).map_err(asked_for)?;
        if self.range != ValueRange::Finite {
            model.note_not_finite();
        }
        Ok(())
    }
}

/// Of a file, NaN and infinity may be asked for.
fn asked_for(error: Error) -> Error {
    match error {
        Error::NotFinite {
            tensor,
            index,
            value,
            repair,
        } => Error::NotFinite {
            tensor,
            index,
            value,
            repair: format!(
                "{repair}; to look into the model as it is, `OpenOptions::new().allow_not_finite(true).open(path)`"
            ),
        },
        other => other,
    }
}
