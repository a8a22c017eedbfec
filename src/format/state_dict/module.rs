//! A module of a state dict: the tensors of one prefix, and what they are.

use std::collections::BTreeMap;
use std::fmt;

use super::recurrent_module::RecurrentModule;
use super::tensor::Tensor;
use crate::error::{Error, Result};
use crate::format::file::File;

/// A module of PyTorch in a file of weights, as far as its tensors tell: what [`Modules`](crate::Modules) lists.
///
/// Printing it gives its name, its class and its sizes.
///
/// ```no_run
/// use cellstate::Modules;
///
/// for module in Modules::open("model.pt")?.iter() {
///     println!("{module}"); // encoder.lstm: LSTM, 5 features, 16 units, 2 layers, bidirectional
/// }
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The last parts of the names of its tensors, and their shapes.
    pub(crate) tensors: Vec<(String, Vec<usize>)>,
}

/// What a module is, as far as names and shapes tell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Recurrent(RecurrentModule),
    /// `nn.Linear`, (units, features), or `nn.Embedding`, (input_dim, output_dim): the names are the same.
    Matrix {
        rows: usize,
        columns: usize,
        bias: bool,
    },
    /// `nn.LayerNorm` over one axis.
    LayerNorm {
        width: usize,
        bias: bool,
    },
    /// `nn.BatchNorm1d`.
    BatchNorm {
        width: usize,
        affine: bool,
    },
    /// Something else.
    Unknown,
}

impl Module {
    /// What stands before its tensors' names: `encoder.lstm` for `encoder.lstm.weight_ih_l0`; empty where nothing does.
    ///
    /// ```no_run
    /// # use cellstate::Modules;
    /// let modules = Modules::open("model.pt")?;
    /// let names: Vec<&str> = modules.iter().map(|module| module.name()).collect();
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its class in PyTorch: `LSTM`, `GRU`, `RNN`, `LSTMCell`, `GRUCell`, `RNNCell`, `LayerNorm`, `BatchNorm1d`, `Linear`, or `Linear or
    /// Embedding` where the tensors do not tell; `unknown` for what is not known.
    ///
    /// ```no_run
    /// # use cellstate::Modules;
    /// let modules = Modules::open("model.pt")?;
    /// assert!(modules.iter().all(|module| module.class() != "unknown"));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn class(&self) -> &'static str {
        match &self.kind {
            Kind::Recurrent(module) => match (module.gates, module.is_cell) {
                (4, false) => "LSTM",
                (4, true) => "LSTMCell",
                (3, false) => "GRU",
                (3, true) => "GRUCell",
                (_, false) => "RNN",
                (_, true) => "RNNCell",
            },
            Kind::Matrix { bias: true, .. } => "Linear",
            Kind::Matrix { bias: false, .. } => "Linear or Embedding",
            Kind::LayerNorm { .. } => "LayerNorm",
            Kind::BatchNorm { .. } => "BatchNorm1d",
            Kind::Unknown => "unknown",
        }
    }

    /// The number of trained values.
    ///
    /// ```no_run
    /// # use cellstate::Modules;
    /// let all: usize = Modules::open("model.pt")?.iter().map(|module| module.parameter_count()).sum();
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        let trained = self
            .tensors
            .iter()
            .filter(|(leaf, _)| !COUNTED_BY_NORMALIZATION.contains(&leaf.as_str()));
        let counts = trained.map(|(_, shape)| {
            shape
                .iter()
                .fold(1, |count: usize, &length| count.saturating_mul(length))
        });
        counts.fold(0, usize::saturating_add)
    }

    /// The module of tensors that have all but the last parts of their names in common.
    pub(crate) fn of(name: &str, tensors: &[(&str, &Tensor<'_>)], file: &File<'_>) -> Result<Self> {
        let shapes = tensors.iter().map(|(leaf, tensor)| (*leaf, tensor.shape.as_slice()));
        let found = Found {
            name,
            shapes: shapes.collect(),
            file,
        };
        Ok(Self {
            name: name.to_owned(),
            kind: found.kind()?,
            tensors: tensors
                .iter()
                .map(|(leaf, tensor)| ((*leaf).to_owned(), tensor.shape.clone()))
                .collect(),
        })
    }

    /// The name of one of its tensors.
    pub(crate) fn tensor_name(&self, leaf: &str) -> String {
        full_name(&self.name, leaf)
    }
}

impl fmt::Display for Module {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() {
            "(no prefix)"
        } else {
            &self.name
        };
        write!(formatter, "{name}: {}", self.class())?;
        match &self.kind {
            Kind::Recurrent(module) => {
                let RecurrentModule {
                    features,
                    units,
                    output,
                    layers,
                    ..
                } = module;
                write!(formatter, ", {features} features, {units} units")?;
                if module.projected {
                    write!(formatter, ", projected to {output}")?;
                }
                if *layers > 1 {
                    write!(formatter, ", {layers} layers")?;
                }
                if module.bidirectional {
                    formatter.write_str(", bidirectional")?;
                }
                formatter.write_str(if module.bias { "" } else { ", no bias" })
            }
            Kind::Matrix {
                rows,
                columns,
                bias: true,
            } => write!(formatter, ", {columns} features, {rows} units"),
            Kind::Matrix {
                rows,
                columns,
                bias: false,
            } => write!(
                formatter,
                ", {columns} features and {rows} units without a bias, or {rows} tokens of {columns} values"
            ),
            Kind::LayerNorm { width, .. } | Kind::BatchNorm { width, .. } => write!(formatter, ", {width} features"),
            Kind::Unknown => {
                let tensors = self
                    .tensors
                    .iter()
                    .take(8)
                    .map(|(leaf, shape)| format!("{leaf} {shape:?}"));
                write!(formatter, ", with {}", tensors.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// What a normalisation counts, which is not trained.
const COUNTED_BY_NORMALIZATION: [&str; 3] = ["running_mean", "running_var", "num_batches_tracked"];

pub(crate) fn full_name(prefix: &str, leaf: &str) -> String {
    match prefix {
        "" => leaf.to_owned(),
        prefix => format!("{prefix}.{leaf}"),
    }
}

/// Tensors of which a module is made.
struct Found<'f> {
    name: &'f str,
    /// By the last parts of their names.
    shapes: BTreeMap<&'f str, &'f [usize]>,
    file: &'f File<'f>,
}

impl Found<'_> {
    fn shape(&self, leaf: &str) -> Option<&[usize]> {
        self.shapes.get(leaf).copied()
    }

    fn kind(&self) -> Result<Kind> {
        if self.shape("weight_ih_l0").is_some() {
            return self.recurrent(false);
        }
        if self.shape("weight_ih").is_some() {
            return self.recurrent(true);
        }
        let leaves: Vec<&str> = self.shapes.keys().copied().collect();
        let (weight, bias) = (self.shape("weight"), self.shape("bias"));
        Ok(match (leaves.as_slice(), weight, bias) {
            (["weight"], Some([rows, columns]), _) => matrix(*rows, *columns, false),
            (["bias", "weight"], Some([rows, columns]), Some([width])) if rows == width => {
                matrix(*rows, *columns, true)
            }
            (["weight"], Some([width]), _) => Kind::LayerNorm {
                width: *width,
                bias: false,
            },
            (["bias", "weight"], Some([width]), Some([other])) if width == other => Kind::LayerNorm {
                width: *width,
                bias: true,
            },
            _ => self.batch_norm(&leaves).unwrap_or(Kind::Unknown),
        })
    }

    fn batch_norm(&self, leaves: &[&str]) -> Option<Kind> {
        let known = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"];
        let [width] = self.shape("running_mean")? else {
            return None;
        };
        let affine = self.shape("weight").is_some();
        let mut rows = vec!["running_var"];
        if affine {
            rows.extend(["weight", "bias"]);
        }
        let alike = rows.iter().all(|leaf| self.shape(leaf) == Some(&[*width]));
        let known = leaves.iter().all(|leaf| known.contains(leaf)) && affine == self.shape("bias").is_some();
        (alike && known).then_some(Kind::BatchNorm { width: *width, affine })
    }

    fn recurrent(&self, is_cell: bool) -> Result<Kind> {
        let first = if is_cell { "" } else { "_l0" };
        let mut module = self.sizes(first)?;
        module.is_cell = is_cell;
        if !is_cell {
            module.bidirectional = self.shape("weight_ih_l0_reverse").is_some();
            // each layer has a tensor, so this ends
            module.layers = (0..self.shapes.len())
                .take_while(|layer| self.shape(&format!("weight_ih_l{layer}")).is_some())
                .count();
        }
        let wanted = module.tensors();
        for (leaf, shape) in &wanted {
            match self.shape(leaf) {
                Some(found) if found == shape => {}
                Some(found) => return Err(self.wrong(leaf, format!("shape {shape:?}"), format!("shape {found:?}"))),
                None => return Err(self.wrong(leaf, format!("a tensor of shape {shape:?}"), "none".to_owned())),
            }
        }
        // all that is wanted is there, so what is more is something else
        match self.shapes.len() == wanted.len() {
            true => Ok(Kind::Recurrent(module)),
            false => Ok(Kind::Unknown),
        }
    }

    /// The sizes of the first layer.
    fn sizes(&self, suffix: &str) -> Result<RecurrentModule> {
        let (ih, hh, hr) = (
            format!("weight_ih{suffix}"),
            format!("weight_hh{suffix}"),
            format!("weight_hr{suffix}"),
        );
        let features = match self.shape(&ih) {
            Some([_, features]) => *features,
            found => return Err(self.wrong(&ih, "axes (gates·units, features)".to_owned(), found_shape(found))),
        };
        let gates = "(gates·units, units) with 4 gates (LSTM), 3 (GRU) or 1 (RNN)".to_owned();
        let Some([rows, output]) = self.shape(&hh) else {
            return Err(self.wrong(&hh, gates, found_shape(self.shape(&hh))));
        };
        let units = match self.shape(&hr) {
            Some([_, units]) => *units,
            Some(found) => return Err(self.wrong(&hr, "axes (proj_size, units)".to_owned(), format!("{found:?}"))),
            None => *output,
        };
        let projected = self.shape(&hr).is_some();
        let known = [4, 3, 1]
            .into_iter()
            .find(|gates| units.checked_mul(*gates) == Some(*rows));
        let known = known.filter(|gates| units > 0 && (*gates == 4 || !projected));
        let Some(known) = known else {
            return Err(self.wrong(&hh, gates, format!("shape {:?}", [*rows, *output])));
        };
        Ok(RecurrentModule {
            gates: known,
            features,
            units,
            output: *output,
            projected,
            bias: self.shape(&format!("bias_ih{suffix}")).is_some(),
            layers: 1,
            bidirectional: false,
            is_cell: false,
        })
    }

    fn wrong(&self, leaf: &str, expected: String, found: String) -> Error {
        self.file.content(
            format!("tensor {}", full_name(self.name, leaf)),
            expected,
            found,
            "save the state dict of the whole module; the file may be damaged",
        )
    }
}

/// The shape of a tensor that is there, or that there is none.
fn found_shape(shape: Option<&[usize]>) -> String {
    shape.map_or("no such tensor".to_owned(), |shape| format!("shape {shape:?}"))
}

fn matrix(rows: usize, columns: usize, bias: bool) -> Kind {
    Kind::Matrix { rows, columns, bias }
}
