//! Files of weights alone: which modules they hold, and weights by the names of modules.

use std::path::Path;

use super::file::File;
use super::kind::Kind;
use super::opening;
#[cfg(feature = "pytorch")]
use super::pytorch;
use super::safetensors::container;
use super::save;
use super::state_dict::dict::StateDict;
use super::state_dict::fill;
use super::state_dict::modules::Modules;
use crate::error::{Error, Result};
use crate::model::Model;

impl Modules {
    /// Reads which modules a file of weights holds: `.safetensors`, or `.pt` and `.pth` of PyTorch.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if the file cannot be read, [`Error::Content`] if it is not what it should be.
    ///
    /// ```no_run
    /// println!("{}", cellstate::Modules::open("model.pt")?);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        of_file(&File::new(&opening::read(path)?, path, path.parent()))
    }

    /// As [`Modules::open`], of a file that is in memory. `name` is what messages call it.
    ///
    /// # Errors
    ///
    /// As [`Modules::open`].
    ///
    /// ```
    /// use cellstate::{Dense, Lstm, Model, Modules};
    ///
    /// let model = Model::builder().add(Lstm::new(2, 8)).add(Dense::new(8, 1)).build()?;
    /// let bytes = model.modules_to_bytes(&["encoder", "head"])?;
    /// let modules = Modules::from_bytes(&bytes, "model.safetensors")?;
    /// assert_eq!(modules.to_string(), "encoder: LSTM, 2 features, 8 units\nhead: Linear, 8 features, 1 units");
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self> {
        of_file(&File::new(bytes, Path::new(name), None))
    }
}

fn of_file(file: &File<'_>) -> Result<Modules> {
    with_state_dict(file, |dict| Modules::of(dict, file))
}

/// The tensors of a file, whatever its container.
fn with_state_dict<T>(file: &File<'_>, then: impl FnOnce(&StateDict<'_>) -> Result<T>) -> Result<T> {
    match Kind::of(file)? {
        Kind::Safetensors => then(&container::read(file)?.0),
        #[cfg(feature = "pytorch")]
        Kind::PytorchArchive => pytorch::with_state_dict(file, then),
        #[cfg(not(feature = "pytorch"))]
        kind @ Kind::PytorchArchive => Err(kind.without_feature(file)),
        _ => Err(Error::Unsupported {
            layer: file.path.display().to_string(),
            option: "a file that has no modules of PyTorch".to_owned(),
            instead: "open it with `Model::open`, or load it with `Model::load_weights`".to_owned(),
        }),
    }
}

impl Model {
    /// As [`Model::load_weights`], of the named modules of a state dict, one for each layer with weights, in the order of the layers.
    /// `nn.LSTM`, `nn.GRU` and `nn.RNN` with several layers are named once; they fill as many layers. Modules that are not named are left
    /// out, and [`Model::notes`] says so.
    ///
    /// ```no_run
    /// use cellstate::{Dense, Lstm, Model};
    ///
    /// // nn.LSTM(2, 64, num_layers=2) under the name `encoder.lstm`, nn.Linear(64, 1) under `head`
    /// let mut model = Model::builder()
    ///     .add(Lstm::new(2, 64).return_sequences(true))
    ///     .add(Lstm::new(64, 64))
    ///     .add(Dense::new(64, 1))
    ///     .build()?;
    /// model.load_modules("model.pt", &["encoder.lstm", "head"])?;
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Model::load_weights`]; [`Error::Value`] for a name that the file has not. The model is then as it was.
    pub fn load_modules(&mut self, path: impl AsRef<Path>, names: &[&str]) -> Result<()> {
        let path = path.as_ref();
        self.modules_of_file(&File::new(&opening::read(path)?, path, path.parent()), names)
    }

    /// As [`Model::load_modules`], of a file that is in memory. `name` is what messages call it.
    ///
    /// # Errors
    ///
    /// As [`Model::load_modules`].
    ///
    /// ```
    /// use cellstate::{Dense, Lstm, Model};
    ///
    /// let chain = |seed| Model::builder().add(Lstm::new(2, 8).seed(seed)).add(Dense::new(8, 1)).build();
    /// let (trained, mut model) = (chain(1)?, chain(2)?);
    /// let bytes = trained.modules_to_bytes(&["encoder", "head"])?;
    /// model.load_modules_from_bytes(&bytes, "model.safetensors", &["encoder", "head"])?;
    /// assert_eq!(model.parameters(), trained.parameters());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn load_modules_from_bytes(&mut self, bytes: &[u8], name: &str, names: &[&str]) -> Result<()> {
        self.modules_of_file(&File::new(bytes, Path::new(name), None), names)
    }

    fn modules_of_file(&mut self, file: &File<'_>, names: &[&str]) -> Result<()> {
        with_state_dict(file, |dict| fill::load(dict, self, Some(names), file))
    }

    /// Writes the weights as a state dict of PyTorch in a `.safetensors` file, which `load_state_dict` takes; `names` are the modules, one
    /// for each layer with weights, in the order of the layers. Layers one behind the other that have the same name are those of one
    /// `nn.LSTM`, `nn.GRU` or `nn.RNN` with as many layers. The file has the chain in its metadata and opens alone with [`Model::open`].
    ///
    /// A state dict holds weights and nothing else: the activations of Dense layers, masks and merges are the program's. Options of
    /// recurrent layers that no module of PyTorch has are errors.
    ///
    /// ```no_run
    /// use cellstate::{Dense, Lstm, Model};
    ///
    /// let model = Model::builder()
    ///     .add(Lstm::new(2, 64).return_sequences(true))
    ///     .add(Lstm::new(64, 64))
    ///     .add(Dense::new(64, 1))
    ///     .build()?;
    /// // in Python: model.load_state_dict(safetensors.torch.load_file("model.safetensors"))
    /// // with self.lstm = nn.LSTM(2, 64, num_layers=2, batch_first=True) and self.head = nn.Linear(64, 1)
    /// model.save_modules("model.safetensors", &["lstm", "lstm", "head"])?;
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for what no module of PyTorch computes, [`Error::Value`] where the names do not fit the layers,
    /// [`Error::File`] if the file cannot be written.
    pub fn save_modules(&self, path: impl AsRef<Path>, names: &[&str]) -> Result<()> {
        save::write(path.as_ref(), &self.modules_to_bytes(names)?)
    }

    /// As [`Model::save_modules`], into memory.
    ///
    /// # Errors
    ///
    /// As [`Model::save_modules`].
    ///
    /// ```
    /// use cellstate::{Lstm, Model};
    ///
    /// let model = Model::builder().add(Lstm::new(2, 8)).build()?;
    /// let again = Model::from_bytes(&model.modules_to_bytes(&["lstm"])?, "model.safetensors")?;
    /// assert_eq!(again.parameters(), model.parameters());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn modules_to_bytes(&self, names: &[&str]) -> Result<Vec<u8>> {
        super::safetensors::write::modules(self, names)
    }
}
