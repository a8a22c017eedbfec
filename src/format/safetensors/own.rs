//! Our own files: the parameters of a model by their paths.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use ndarray::{Array1, Array2, ArrayD, Axis, Ix1, Ix2};

use crate::cell::CellWeights;
use crate::error::Result;
use crate::format::file::File;
use crate::format::source::Source;
use crate::format::state_dict::dict::StateDict;
use crate::format::state_dict::tensor::Tensor;
use crate::layer::batch_normalization::{BatchNormalization, BatchNormalizationWeights};
use crate::layer::dense::Dense;
use crate::layer::embedding::Embedding;
use crate::layer::layer_normalization::{LayerNormalization, LayerNormalizationWeights};
use crate::layer::recurrent::Recurrent;
use crate::layer::weights::DenseWeights;
use crate::parameters::Role;

/// Gives tensors by the paths of parameters.
pub(super) struct OwnWeights<'d> {
    by_path: HashMap<&'d str, &'d Tensor<'d>>,
    given: RefCell<HashSet<&'d str>>,
    file: &'d File<'d>,
}

impl<'d> OwnWeights<'d> {
    pub(super) fn new(dict: &'d StateDict<'_>, file: &'d File<'_>) -> Self {
        Self {
            by_path: dict
                .tensors
                .iter()
                .map(|tensor| (tensor.name.as_str(), tensor))
                .collect(),
            given: RefCell::new(HashSet::new()),
            file,
        }
    }

    fn values(&self, path: &str, role: Role) -> Result<ArrayD<f32>> {
        let path = format!("{path}/{role}");
        let Some((name, tensor)) = self.by_path.get_key_value(path.as_str()) else {
            return Err(self.file.content(
                format!("tensor {path}"),
                "a tensor for each parameter of the model",
                "none",
                "load the file into the model that it was saved from",
            ));
        };
        self.given.borrow_mut().insert(name);
        tensor.values(self.file)
    }

    fn matrix(&self, path: &str, role: Role) -> Result<Array2<f32>> {
        let values = self.values(path, role)?;
        let values = match values.ndim() {
            1 => values.insert_axis(Axis(0)),
            _ => values,
        };
        values.into_dimensionality::<Ix2>().map_err(|error| {
            let place = format!("tensor {path}/{role}");
            let repair = "load the file into the model that it was saved from";
            self.file.content(place, "one axis or two", error.to_string(), repair)
        })
    }
}

impl OwnWeights<'_> {
    fn row(&self, path: &str, role: Role) -> Result<Array1<f32>> {
        self.values(path, role)?.into_dimensionality::<Ix1>().map_err(|error| {
            let place = format!("tensor {path}/{role}");
            let repair = "load the file into the model that it was saved from";
            self.file.content(place, "one axis", error.to_string(), repair)
        })
    }
}

impl Source for OwnWeights<'_> {
    fn recurrent(&mut self, layer: &Recurrent, path: &str, _: bool) -> Result<CellWeights> {
        let optional = |role, has: bool| -> Result<_> {
            Ok(match has {
                true => Some(self.matrix(path, role)?.into_shared()),
                false => None,
            })
        };
        Ok(CellWeights {
            kernel: self.matrix(path, Role::Kernel)?.into_shared(),
            recurrent_kernel: self.matrix(path, Role::RecurrentKernel)?.into_shared(),
            bias: optional(Role::Bias, layer.use_bias)?,
            peepholes: optional(Role::Peepholes, layer.cell.has_unit_parameters())?,
            projection: optional(Role::Projection, layer.cell.has_projection())?,
        })
    }

    fn dense(&mut self, layer: &Dense, path: &str) -> Result<DenseWeights> {
        Ok(DenseWeights {
            kernel: self.matrix(path, Role::Kernel)?,
            bias: layer.use_bias.then(|| self.row(path, Role::Bias)).transpose()?,
        })
    }

    fn batch_normalization(&mut self, layer: &BatchNormalization, path: &str) -> Result<BatchNormalizationWeights> {
        let [scale, center] = layer.has();
        Ok(BatchNormalizationWeights {
            gamma: scale.then(|| self.row(path, Role::Gamma)).transpose()?,
            beta: center.then(|| self.row(path, Role::Beta)).transpose()?,
            moving_mean: self.row(path, Role::MovingMean)?,
            moving_variance: self.row(path, Role::MovingVariance)?,
        })
    }

    fn layer_normalization(&mut self, layer: &LayerNormalization, path: &str) -> Result<LayerNormalizationWeights> {
        let [scale, center] = layer.has();
        Ok(LayerNormalizationWeights {
            gamma: scale.then(|| self.row(path, Role::Gamma)).transpose()?,
            beta: center.then(|| self.row(path, Role::Beta)).transpose()?,
        })
    }

    fn embeddings(&mut self, _: &Embedding, path: &str) -> Result<Array2<f32>> {
        self.matrix(path, Role::Embeddings)
    }

    fn finish(&self) -> Result<()> {
        let given = self.given.borrow();
        let mut left: Vec<&str> = self
            .by_path
            .keys()
            .copied()
            .filter(|path| !given.contains(path))
            .collect();
        left.sort_unstable();
        match left.first() {
            None => Ok(()),
            Some(path) => Err(self.file.content(
                format!("tensor {path}"),
                "the parameters of the model's layers alone",
                format!("{} tensors that no layer has", left.len()),
                "load the file into the model that it was saved from",
            )),
        }
    }
}
