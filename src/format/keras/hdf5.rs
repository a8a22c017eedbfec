//! HDF5 files as Keras writes them: groups, texts as attributes, tensors of floating-point numbers.
//!
//! `hdf5-pure` reads them; what stands here bounds what a file may ask of the reader.

use std::collections::HashMap;

use hdf5_pure::{AttrValue, Dataset, Datatype, FormatError, Group};
use ndarray::{ArrayD, IxDyn};

use super::config::short;
use super::counted::{Counted, check_trees};
use super::numbers::Kind;
use crate::error::{Error, Result};
use crate::format::bound::most_bytes;
use crate::format::file::File;
use crate::format::number::Number;
use crate::memory::FILE;

/// An HDF5 file in memory.
#[derive(Debug)]
pub(super) struct Hdf5<'a> {
    file: &'a File<'a>,
    /// In front of the names within: empty, or the member of the archive that this file is.
    member: &'static str,
    hdf5: hdf5_pure::File,
    size: usize,
    /// How many bytes of tensors may still be read.
    left: u64,
}

/// A tensor of a file.
#[derive(Debug)]
pub(super) struct Tensor {
    pub(super) values: ArrayD<f32>,
    /// How wide its numbers are in the file where they are not 32 bits wide.
    pub(super) converted: Option<&'static str>,
}

impl<'a> Hdf5<'a> {
    pub(super) fn open(file: &'a File<'a>, member: &'static str, bytes: Vec<u8>) -> Result<Self> {
        let size = bytes.len();
        check_trees(file, member, &bytes)?;
        let hdf5 = hdf5_pure::File::from_source(Counted::new(bytes));
        Ok(Self {
            file,
            member,
            hdf5: hdf5.map_err(|error| damaged(file, member, &error))?,
            size,
            left: most_bytes(size),
        })
    }

    pub(super) fn root(&self) -> Group {
        self.hdf5.root()
    }

    pub(super) fn file(&self) -> &'a File<'a> {
        self.file
    }

    /// A place within the file, as messages name it.
    pub(super) fn place(&self, within: &str) -> String {
        match self.member {
            "" => within.to_owned(),
            member => format!("{member}, {within}"),
        }
    }

    pub(super) fn damaged(&self, within: &str, error: &hdf5_pure::Error) -> Error {
        damaged(self.file, &self.place(within), error)
    }

    /// A group within a group, or `None` if there is no such.
    pub(super) fn group(&self, parent: &Group, path: &str) -> Result<Option<Group>> {
        match parent.group(path) {
            Ok(group) => Ok(Some(group)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(self.damaged(path, &error)),
        }
    }

    /// The groups within a group, by name.
    pub(super) fn groups(&self, group: &Group, within: &str) -> Result<Vec<String>> {
        group.groups().map_err(|error| self.damaged(within, &error))
    }

    /// The shape of a dataset of a group, which nothing has checked yet.
    pub(super) fn shape_of(&self, group: &Group, name: &str, within: &str) -> Result<Vec<usize>> {
        let dataset = group.dataset(name).map_err(|error| self.damaged(within, &error))?;
        self.shape(&dataset, within)
    }

    /// The datasets of a group, by name.
    pub(super) fn datasets(&self, group: &Group, within: &str) -> Result<Vec<String>> {
        group.datasets().map_err(|error| self.damaged(within, &error))
    }

    /// The attributes of a group that are texts.
    pub(super) fn texts(&self, group: &Group, within: &str) -> Result<HashMap<String, Vec<String>>> {
        let attributes = group.attrs().map_err(|error| self.damaged(within, &error))?;
        let kinds = group.attr_datatypes().map_err(|error| self.damaged(within, &error))?;
        // the reader leaves out what it cannot read
        let is_text = |kind: &Datatype| matches!(kind, Datatype::String { .. } | Datatype::VariableLength { .. });
        let lost = kinds
            .iter()
            .find(|(name, kind)| is_text(kind) && !attributes.contains_key(*name));
        if let Some((lost, _)) = lost {
            return Err(self.file.content(
                self.place(&format!("{within}, {}", short(lost))),
                "an attribute that can be read",
                "one that leads out of the file",
                "check that the file is whole, or save the model again with Keras",
            ));
        }
        let texts = attributes
            .into_iter()
            .filter_map(|(name, value)| Some((name, texts_of(&value)?)));
        Ok(texts.collect())
    }

    /// The shape of a dataset, which nothing has checked yet.
    fn shape(&self, dataset: &Dataset, within: &str) -> Result<Vec<usize>> {
        let shape = dataset.shape().map_err(|error| self.damaged(within, &error))?;
        Ok(shape
            .into_iter()
            .map(|size| usize::try_from(size).unwrap_or(usize::MAX))
            .collect())
    }

    /// A tensor, if its shape is the one wanted; `None` stands for any size.
    pub(super) fn tensor(
        &mut self,
        group: &Group,
        name: &str,
        within: &str,
        (axes, wanted): (&str, &[Option<usize>]),
    ) -> Result<Tensor> {
        let dataset = group.dataset(name).map_err(|error| match is_missing(&error) {
            true => self.missing(within),
            false => self.damaged(within, &error),
        })?;
        let shape = self.shape(&dataset, within)?;
        let fits = shape.len() == wanted.len()
            && shape
                .iter()
                .zip(wanted)
                .all(|(size, wanted)| wanted.is_none_or(|wanted| wanted == *size));
        if !fits {
            let wanted: Vec<String> = wanted
                .iter()
                .map(|size| size.map_or_else(|| "any".to_owned(), |size| size.to_string()))
                .collect();
            return Err(Error::Size {
                argument: format!("{} of {}", self.place(within), self.file.path.display()),
                expected: format!("{axes} = [{}]", wanted.join(", ")),
                found: format!("shape {shape:?}"),
                repair: "the layers say another size than the weights: take both from one file, or the file of the same model"
                    .to_owned(),
            });
        }
        let kind = self.kind(&dataset, within)?;
        self.check_size(&dataset, &shape, kind, within)?;
        // what the reader takes, and what becomes of that
        let numbers = shape
            .iter()
            .fold(1_usize, |product, &size| product.saturating_mul(size));
        FILE.list::<u8>(numbers.saturating_mul(kind.number.size() + size_of::<f32>()))?;
        let raw = dataset.read_raw().map_err(|error| self.damaged(within, &error))?;
        let values = kind
            .number
            .decoded(kind.big_endian, raw.chunks_exact(kind.number.size()));
        let values = values.map_err(|beyond| beyond.error(self.file, &self.place(within), &shape))?;
        let values = ArrayD::from_shape_vec(IxDyn(&shape), values).map_err(|_| {
            self.file.content(
                self.place(within),
                format!("values for the shape {shape:?}"),
                "another number of them",
                "save the model again with Keras",
            )
        })?;
        let name = format!("{} of {}", self.place(within), self.file.path.display());
        self.file.range.check(&name, &values.view())?;
        Ok(Tensor {
            values,
            converted: (kind.number != Number::F32).then(|| kind.number.name()),
        })
    }

    /// The numbers of a dataset, which are those of weights.
    fn kind(&self, dataset: &Dataset, within: &str) -> Result<Kind> {
        let kind = Kind::of(dataset).map_err(|error| self.damaged(within, &error))?;
        kind.ok_or_else(|| {
            let found = dataset
                .dtype()
                .map_or_else(|_| "another type".to_owned(), |kind| kind.to_string());
            self.file.content(
                self.place(within),
                "floating-point numbers of 16, 32 or 64 bits",
                found,
                "save the model in float32",
            )
        })
    }

    pub(super) fn missing(&self, within: &str) -> Error {
        self.file.content(
            self.place(within),
            "a tensor of this name, for the model's layers have it",
            "none",
            "take the file that the same model was saved to",
        )
    }

    /// What is read is in proportion to the file: no more chunks than the file can hold, each once, and no more bytes than could
    /// have been compressed into it.
    fn check_size(&mut self, dataset: &Dataset, shape: &[usize], kind: Kind, within: &str) -> Result<()> {
        let elements = shape
            .iter()
            .fold(1_u64, |product, &size| product.saturating_mul(size as u64));
        let mut bytes = elements.saturating_mul(kind.number.size() as u64);
        let chunk_shape = dataset.chunk_shape().map_err(|error| self.damaged(within, &error))?;
        if let Some(chunk_shape) = chunk_shape {
            let chunks = shape.iter().zip(&chunk_shape);
            let chunks = chunks.map(|(&size, &chunk)| (size as u64).div_ceil(chunk.max(1)));
            let chunks = chunks.fold(1, u64::saturating_mul);
            let each = chunk_shape
                .iter()
                .fold(kind.number.size() as u64, |product, &size| product.saturating_mul(size));
            bytes = bytes.max(chunks.saturating_mul(each));
            if chunks > self.size as u64 {
                bytes = u64::MAX;
            } else if bytes <= self.left {
                let listed = dataset.chunks().map_err(|error| self.damaged(within, &error))?;
                if listed.len() as u64 > chunks {
                    bytes = u64::MAX;
                }
            }
        }
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.file.content(
                self.place(within),
                format!("no more data than a file of {} bytes can hold", self.size),
                format!("the shape {shape:?}, or its chunks"),
                "save the model again with Keras",
            )),
        }
    }
}

fn texts_of(value: &AttrValue) -> Option<Vec<String>> {
    match value.as_strings() {
        Some(texts) => Some(texts.to_vec()),
        // h5py keeps an empty list of texts as a list of numbers
        None => value.to_f64s().filter(Vec::is_empty).map(|_| Vec::new()),
    }
}

fn is_missing(error: &hdf5_pure::Error) -> bool {
    matches!(error, hdf5_pure::Error::Format(FormatError::PathNotFound(_)))
}

fn damaged(file: &File<'_>, place: &str, error: &hdf5_pure::Error) -> Error {
    let place = match place {
        "" => "HDF5".to_owned(),
        place => place.to_owned(),
    };
    file.content(
        place,
        "HDF5 as h5py writes it",
        error.to_string(),
        "check that the file is whole, or save the model again with Keras",
    )
}
