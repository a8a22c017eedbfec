//! The tensors of the parts of modules, read.

use std::collections::HashMap;

use ndarray::{Array1, Array2};

use super::cell::{PytorchWeights, turned};
use super::dict::StateDict;
use super::matching::Part;
use super::module::{Kind, Module};
use super::tensor::Tensor;
use crate::error::Result;
use crate::format::file::File;
use crate::layer::batch_normalization::BatchNormalizationWeights;
use crate::layer::layer_normalization::LayerNormalizationWeights;
use crate::layer::weights::DenseWeights;

/// Reads tensors by the names of modules.
#[derive(Debug)]
pub(crate) struct Loader<'d> {
    by_name: HashMap<&'d str, &'d Tensor<'d>>,
    file: &'d File<'d>,
}

impl<'d> Loader<'d> {
    pub(crate) fn new(dict: &'d StateDict<'_>, file: &'d File<'_>) -> Self {
        Self {
            by_name: dict
                .tensors
                .iter()
                .map(|tensor| (tensor.name.as_str(), tensor))
                .collect(),
            file,
        }
    }

    /// A tensor that the module has, as its shapes were seen.
    fn tensor(&self, module: &Module, leaf: &str) -> Result<&'d Tensor<'d>> {
        let name = module.tensor_name(leaf);
        let found = self.by_name.get(name.as_str()).copied();
        found.ok_or_else(|| {
            self.file.content(
                format!("tensor {name}"),
                "a tensor",
                "none",
                "save the state dict of the whole module",
            )
        })
    }

    fn matrix(&self, module: &Module, leaf: &str) -> Result<Array2<f32>> {
        self.tensor(module, leaf)?.matrix(self.file)
    }

    fn row(&self, module: &Module, leaf: &str) -> Result<Array1<f32>> {
        self.tensor(module, leaf)?.row(self.file)
    }

    /// Of one direction of a recurrent module's layer.
    pub(crate) fn recurrent(&self, part: &Part<'_>, direction: usize) -> Result<PytorchWeights> {
        let module = part.module;
        let Kind::Recurrent(kind) = &module.kind else {
            return Err(crate::error::Error::defect("a module that is recurrent"));
        };
        let suffix = kind.suffix(part.layer, direction);
        let bias = |name: &str| match kind.bias {
            true => self.row(module, &format!("{name}{suffix}")).map(Some),
            false => Ok(None),
        };
        Ok(PytorchWeights {
            weight_ih: self.matrix(module, &format!("weight_ih{suffix}"))?,
            weight_hh: self.matrix(module, &format!("weight_hh{suffix}"))?,
            bias_ih: bias("bias_ih")?,
            bias_hh: bias("bias_hh")?,
            weight_hr: match kind.projected {
                true => Some(self.matrix(module, &format!("weight_hr{suffix}"))?),
                false => None,
            },
        })
    }

    /// Of `nn.Linear`: (units, features), turned.
    pub(crate) fn dense(&self, part: &Part<'_>) -> Result<DenseWeights> {
        let has_bias = matches!(part.module.kind, Kind::Matrix { bias: true, .. });
        Ok(DenseWeights {
            kernel: turned(self.matrix(part.module, "weight")?.view()),
            bias: has_bias.then(|| self.row(part.module, "bias")).transpose()?,
        })
    }

    /// Of `nn.Embedding`.
    pub(crate) fn embeddings(&self, part: &Part<'_>) -> Result<Array2<f32>> {
        self.matrix(part.module, "weight")
    }

    /// Of `nn.BatchNorm1d`.
    pub(crate) fn batch_normalization(&self, part: &Part<'_>) -> Result<BatchNormalizationWeights> {
        let affine = matches!(part.module.kind, Kind::BatchNorm { affine: true, .. });
        let optional = |leaf: &str| affine.then(|| self.row(part.module, leaf)).transpose();
        Ok(BatchNormalizationWeights {
            gamma: optional("weight")?,
            beta: optional("bias")?,
            moving_mean: self.row(part.module, "running_mean")?,
            moving_variance: self.row(part.module, "running_var")?,
        })
    }

    /// Of `nn.LayerNorm`.
    pub(crate) fn layer_normalization(&self, part: &Part<'_>) -> Result<LayerNormalizationWeights> {
        let has_bias = matches!(part.module.kind, Kind::LayerNorm { bias: true, .. });
        Ok(LayerNormalizationWeights {
            gamma: Some(self.row(part.module, "weight")?),
            beta: has_bias.then(|| self.row(part.module, "bias")).transpose()?,
        })
    }
}
