//! Model files of Keras, PyTorch and ONNX: from a file to layers with their weights, and back. No device is known here.
//!
//! A reader makes layers of [`crate::layer`] with the weights of the file and builds a model of them, so that everything that a model
//! checks is checked for files too. What a reader does not know is an error that names it, never left out.

#[cfg(any(feature = "keras", feature = "pytorch"))]
mod bound;
#[cfg(feature = "safetensors")]
pub(crate) mod chain;
pub(crate) mod file;
#[cfg(feature = "keras")]
mod keras;
mod kind;
#[cfg(any(feature = "keras", feature = "pytorch"))]
mod members;
#[cfg(any(feature = "keras", feature = "safetensors", feature = "onnx"))]
mod number;
#[cfg(feature = "onnx")]
mod onnx;
pub(crate) mod opening;
mod options;
#[cfg(feature = "pytorch")]
mod pytorch;
#[cfg(feature = "safetensors")]
pub(crate) mod safetensors;
pub(crate) mod save;
#[cfg(feature = "safetensors")]
mod source;
#[cfg(feature = "safetensors")]
pub(crate) mod state_dict;
#[cfg(feature = "safetensors")]
mod weights;

use std::path::Path;

use crate::error::Result;
use crate::model::Model;
use file::File;
use kind::Kind;
pub use options::OpenOptions;

impl Model {
    /// Reads a model that somebody trained.
    ///
    /// What the file is, its first bytes say, not its name: `.keras` and legacy `.h5` of Keras (with the crate's feature `keras`), `.onnx`, `.safetensors`, and `.pt` or
    /// `.pth` of PyTorch. Printing the model gives its table; [`Model::notes`] says what was assumed. Files that hold weights alone
    /// (`.weights.h5`, most state dicts) are read by [`Model::load_weights`] into a model that is built from layers, or with a JSON file of the same name beside them that
    /// describes the chain (`docs/chain.md` of the crate says how).
    ///
    /// # Errors
    ///
    /// [`Error::File`](crate::Error::File) if the file cannot be read, [`Error::Content`](crate::Error::Content) if it is not what it
    /// should be, with the place; [`Error::Unsupported`](crate::Error::Unsupported) for a layer, node or option that is not done;
    /// [`Error::NotFinite`](crate::Error::NotFinite) for NaN or infinity in a weight, which [`OpenOptions::allow_not_finite`] allows.
    ///
    /// ```no_run
    /// # use cellstate::{Device, Model, Sequences};
    /// # use ndarray::Array3;
    /// let model = Model::open("forecast.keras")?;
    /// println!("{model}");
    /// let output = model.on(&Device::auto())?.run(&Sequences::from(Array3::zeros((3, 20, 2))))?;
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        OpenOptions::new().open(path)
    }

    /// As [`Model::open`], of a file that is in memory, as in a browser. `name` is what messages call it; what lies beside it cannot be
    /// read.
    ///
    /// # Errors
    ///
    /// As [`Model::open`].
    ///
    /// ```
    /// # use cellstate::{Error, Model};
    /// assert!(matches!(Model::from_bytes(b"no model", "forecast.keras"), Err(Error::Content { .. })));
    /// ```
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self> {
        OpenOptions::new().from_bytes(bytes, name)
    }

    /// Puts the weights of a file in the place of this model's, as `model.load_weights` of Keras: `.weights.h5` (with the feature `keras`), or a state dict of
    /// PyTorch in `.safetensors`, `.pt` or `.pth`. The layers of the model say which modules are wanted, in their order.
    ///
    /// # State dicts of PyTorch
    ///
    /// The modules are `nn.LSTM`, `nn.GRU`, `nn.RNN` and their cells, `nn.Linear`, `nn.Embedding`, `nn.LayerNorm` and `nn.BatchNorm1d`, under any
    /// prefix. A recurrent module with several layers fills as many layers of the model, one with two directions
    /// [`Bidirectional`](crate::Bidirectional) ones. All modules of the file must be wanted; `Model::load_modules` takes some by name.
    ///
    /// `.pt` keeps the order in which the program made its modules, and they are taken in it if they fit. `.safetensors` keeps none: there
    /// classes and sizes must say which layer each module is for, or the numbers in names such as `layers.0` and `layers.1`; else the error asks
    /// for names. Weights of float16, bfloat16 and float64 become float32, and [`Model::notes`] says so.
    ///
    /// What a state dict does not say, the layers of the model say:
    ///
    /// | in PyTorch | here |
    /// |---|---|
    /// | `batch_first=True` | as sequences are here, (batch, time_steps, features) |
    /// | `batch_first=False` | swap the first two axes of the input: `x.permuted_axes([1, 0, 2])` |
    /// | `output[:, -1]`, or `h_n` of the last layer | leave out `return_sequences(true)` of the last recurrent layer |
    /// | `pack_padded_sequence` | give the lengths: [`Sequences::with_lengths`](crate::Sequences::with_lengths) |
    /// | `pad_packed_sequence`, which gives zeros | `zero_output_for_mask(true)` on layers of one direction; `Bidirectional` gives zeros anyway |
    /// | `nn.RNN(nonlinearity="relu")` | `.activation(Activation::Relu)` |
    /// | `proj_size=3` | `.projection(3)` |
    /// | `bias=False` | `.use_bias(false)` |
    /// | `nn.LayerNorm`, `nn.BatchNorm1d` | `.epsilon(1e-5)`, or their `eps` |
    /// | `nn.Embedding(padding_idx=0)` | nothing: the row of that token is what the file has |
    ///
    /// # Errors
    ///
    /// As [`Model::open`]; [`Error::Size`](crate::Error::Size) where a weight has another shape than the layer's. The model is then as it
    /// was.
    ///
    /// ```no_run
    /// # use cellstate::{Dense, Lstm, Model};
    /// let mut model = Model::builder().add(Lstm::new(2, 64)).add(Dense::new(64, 1)).build()?;
    /// model.load_weights("forecast.weights.h5")?;
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn load_weights(&mut self, path: impl AsRef<Path>) -> Result<()> {
        OpenOptions::new().load_weights(self, path)
    }

    /// As [`Model::load_weights`], of a file that is in memory.
    ///
    /// # Errors
    ///
    /// As [`Model::load_weights`].
    ///
    /// ```
    /// # use cellstate::{Error, Lstm, Model};
    /// let mut model = Model::builder().add(Lstm::new(2, 8)).build()?;
    /// assert!(matches!(model.load_weights_from_bytes(b"no weights", "forecast.weights.h5"), Err(Error::Content { .. })));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn load_weights_from_bytes(&mut self, bytes: &[u8], name: &str) -> Result<()> {
        OpenOptions::new().load_weights_from_bytes(self, bytes, name)
    }
}

/// The model of a file.
fn model_of(file: &File<'_>) -> Result<Model> {
    match Kind::of(file)? {
        #[cfg(feature = "keras")]
        Kind::KerasArchive => keras::model_of_archive(file),
        #[cfg(feature = "keras")]
        Kind::Hdf5 => keras::model_of_hdf5(file),
        #[cfg(feature = "safetensors")]
        Kind::Safetensors => safetensors::model(file),
        #[cfg(feature = "pytorch")]
        Kind::PytorchArchive => pytorch::model_of_archive(file),
        #[cfg(feature = "onnx")]
        Kind::Onnx => onnx::model(file),
        #[allow(unreachable_patterns, reason = "with all features there is no other kind")]
        other => Err(other.without_feature(file)),
    }
}

/// The weights of a file in a model.
#[allow(unused_variables, reason = "without formats no file is read")]
fn weights_of(file: &File<'_>, model: &mut Model) -> Result<()> {
    match Kind::of(file)? {
        #[cfg(feature = "keras")]
        Kind::KerasArchive => keras::weights_of_archive(file, model),
        #[cfg(feature = "keras")]
        Kind::Hdf5 => keras::weights_of_hdf5(file, model),
        #[cfg(feature = "safetensors")]
        Kind::Safetensors => safetensors::weights(file, model),
        #[cfg(feature = "pytorch")]
        Kind::PytorchArchive => pytorch::weights_of_archive(file, model),
        #[cfg(feature = "onnx")]
        Kind::Onnx => onnx::weights(file, model),
        #[allow(unreachable_patterns, reason = "with all features there is no other kind")]
        other => Err(other.without_feature(file)),
    }
}
