//! Models as files: the format is what the name ends in.

use std::path::Path;

use crate::error::{Cause, Error, Result};
use crate::file::replace;
use crate::model::Model;

/// A format that is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Written {
    KerasArchive,
    KerasWeights,
    Safetensors,
    Onnx,
}

/// What the names of the formats end in. `.weights.h5` alone is Keras's; a legacy `.h5` with a model is not written.
const ENDINGS: [(&str, Written); 4] = [
    (".keras", Written::KerasArchive),
    (".weights.h5", Written::KerasWeights),
    (".safetensors", Written::Safetensors),
    (".onnx", Written::Onnx),
];

impl Written {
    fn of(argument: &str, name: &Path) -> Result<Self> {
        let file_name = name.file_name().unwrap_or_default().to_string_lossy();
        let lower = file_name.to_ascii_lowercase();
        let known = ENDINGS.iter().find(|(ending, _)| lower.ends_with(ending));
        if let Some((_, written)) = known {
            return Ok(*written);
        }
        Err(Error::Value {
            argument: argument.to_owned(),
            expected: format!("a name that ends in {}", ENDINGS.map(|(ending, _)| ending).join(", ")),
            found: format!("{file_name:?}"),
            repair: match lower.rsplit('.').next() {
                Some("h5" | "hdf5") => "write `.keras`, or `.weights.h5` for the weights alone".to_owned(),
                Some("pt" | "pth") => "write `.safetensors`, which PyTorch reads".to_owned(),
                _ => "let the name end in the format".to_owned(),
            },
        })
    }

    #[allow(unused_variables, reason = "without the features of the formats nothing is written")]
    fn bytes(self, model: &Model) -> Result<Vec<u8>> {
        match self {
            #[cfg(feature = "keras")]
            Self::KerasArchive => super::keras::archive_of(model),
            #[cfg(feature = "keras")]
            Self::KerasWeights => super::keras::weights_of(model),
            #[cfg(feature = "safetensors")]
            Self::Safetensors => super::safetensors::write::own(model),
            #[cfg(feature = "onnx")]
            Self::Onnx => super::onnx::bytes_of(model),
            #[allow(unreachable_patterns, reason = "with all features there is no other format")]
            other => Err(other.without_feature()),
        }
    }

    /// The error where the format is compiled out.
    fn without_feature(self) -> Error {
        let feature = match self {
            Self::KerasArchive | Self::KerasWeights => "keras",
            Self::Safetensors => "safetensors",
            Self::Onnx => "onnx",
        };
        Error::Unsupported {
            layer: "Model".to_owned(),
            option: format!("the format without the crate's feature `{feature}`"),
            instead: format!("compile cellstate with the feature `{feature}`"),
        }
    }
}

impl Model {
    /// Writes the model with its weights. What the name ends in is the format:
    ///
    /// | ends in | what |
    /// |---|---|
    /// | `.keras` | layers and weights, which Keras 3.15 opens (`keras.models.load_model`); with the crate's feature `keras` |
    /// | `.weights.h5` | the weights alone, for `model.load_weights` of Keras; with the same feature |
    /// | `.safetensors` | the weights by name, with the layers in the file's metadata; PyTorch and others read the tensors |
    /// | `.onnx` | layers and weights, for every runtime of ONNX; where a layer says `zero_output_for_mask(true)`, with an input `lengths` |
    ///
    /// The file is written beside the old one and then renamed, so that nobody ever reads half of it. What is read back has the same bits.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) for a name that ends in something else, [`Error::Unsupported`](crate::Error::Unsupported) for
    /// a layer or option that the format has not, [`Error::File`](crate::Error::File) if the file cannot be written. Then no file is changed.
    ///
    /// ```
    /// # use cellstate::{Error, Lstm, Model};
    /// let model = Model::builder().add(Lstm::new(2, 8)).build()?;
    /// assert!(matches!(model.save("forecast.h5"), Err(Error::Value { .. }))); // the old format of Keras
    /// # Ok::<(), Error>(())
    /// ```
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        write(path, &Written::of("path", path)?.bytes(self)?)
    }

    /// As [`Model::save`], as the bytes of the file, for where there are no files, as in a browser. What `name` ends in is the format.
    ///
    /// # Errors
    ///
    /// As [`Model::save`], without those of files.
    ///
    /// ```
    /// # use cellstate::{Error, Lstm, Model};
    /// let model = Model::builder().add(Lstm::new(2, 8)).build()?;
    /// assert!(matches!(model.to_bytes("forecast"), Err(Error::Value { .. }))); // which format?
    /// # Ok::<(), Error>(())
    /// ```
    pub fn to_bytes(&self, name: &str) -> Result<Vec<u8>> {
        Written::of("name", Path::new(name))?.bytes(self)
    }
}

/// Puts bytes in the place of what is at a path.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes).map_err(|error| Error::File {
        argument: "path",
        expected: "a file that can be written",
        path: path.to_owned(),
        cause: Cause::new(error),
        repair: "name a file in a folder that is there and may be written".to_owned(),
    })
}
