//! The weights of a model by name.

use std::fmt;

use ndarray::{ArcArray, ArrayViewD, IxDyn};

use crate::error::{Error, Result};

/// What a weight is to its layer.
///
/// ```
/// use cellstate::{Lstm, Model, Role};
///
/// let model = Model::builder().add(Lstm::new(2, 8)).build()?;
/// let roles: Vec<Role> = model.parameters().iter().map(|parameter| parameter.role()).collect();
/// assert_eq!(roles, [Role::Kernel, Role::RecurrentKernel, Role::Bias]);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// From the input of the layer: (features, columns).
    Kernel,
    /// From the hidden state: (width of the hidden state, columns).
    RecurrentKernel,
    /// Added to what the kernels give: (columns), or (2, columns) for the two biases of a GRU with `reset_after`.
    Bias,
    /// From the cell state to the gates i f o of an LSTM: (3, units).
    Peepholes,
    /// From the units of an LSTM to its hidden state: (units, projection).
    Projection,
    /// The rows of an embedding: (`input_dim`, `output_dim`).
    Embeddings,
    /// What a normalised feature is multiplied by: (features).
    Gamma,
    /// What is added to a normalised feature: (features).
    Beta,
    /// The mean of each feature that training has seen: (features).
    MovingMean,
    /// The variance of each feature that training has seen: (features).
    MovingVariance,
}

impl Role {
    /// The name of a weight with this role, the last part of its path: Keras's where Keras has such a weight.
    ///
    /// ```
    /// assert_eq!(cellstate::Role::RecurrentKernel.name(), "recurrent_kernel");
    /// ```
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::RecurrentKernel => "recurrent_kernel",
            Self::Bias => "bias",
            Self::Peepholes => "peepholes",
            Self::Projection => "projection",
            Self::Embeddings => "embeddings",
            Self::Gamma => "gamma",
            Self::Beta => "beta",
            Self::MovingMean => "moving_mean",
            Self::MovingVariance => "moving_variance",
        }
    }

    /// Whether gradients change such a weight: all but the mean and the variance of a `BatchNormalization`, which training follows.
    ///
    /// ```
    /// # use cellstate::Role;
    /// assert!(Role::Kernel.is_trained() && !Role::MovingMean.is_trained());
    /// ```
    #[must_use]
    pub fn is_trained(self) -> bool {
        !matches!(self, Self::MovingMean | Self::MovingVariance)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// One weight of a model: its path, its role and its values.
///
/// ```
/// use cellstate::{Lstm, Model};
///
/// let model = Model::builder().add(Lstm::new(2, 8)).build()?;
/// let kernel = model.parameters().get("lstm/kernel")?;
/// assert_eq!((kernel.path(), kernel.values().shape()), ("lstm/kernel", &[2, 4 * 8][..]));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    path: String,
    role: Role,
    values: ArcArray<f32, IxDyn>,
}

impl Parameter {
    /// The path: the layer, what is inside of it, and the name of its role, with `/` between them.
    ///
    /// A layer is named as in Keras's weight files: its class in snake case, from the second of a class on with a number
    /// (`lstm`, `lstm_1`). Inside of it follow `forward_layer` and `backward_layer` for the directions of a `Bidirectional`,
    /// and `cells_0`, `cells_1`, … for stacked cells.
    ///
    /// ```
    /// # use cellstate::{Bidirectional, Lstm, Model};
    /// let model = Model::builder().add(Bidirectional::new(Lstm::new(2, 8))).build()?;
    /// let paths: Vec<&str> = model.parameters().iter().map(|parameter| parameter.path()).collect();
    /// assert_eq!(paths[0], "bidirectional/forward_layer/kernel");
    /// assert_eq!(paths[5], "bidirectional/backward_layer/bias");
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What the weight is to its layer.
    ///
    /// ```
    /// # use cellstate::{Lstm, Model, Role};
    /// let model = Model::builder().add(Lstm::new(2, 8)).build()?;
    /// assert_eq!(model.parameters().get("lstm/bias")?.role(), Role::Bias);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The values, in the shape that [`Role`] says.
    ///
    /// ```
    /// # use cellstate::{Lstm, Model};
    /// let model = Model::builder().add(Lstm::new(2, 8)).build()?;
    /// assert_eq!(model.parameters().get("lstm/recurrent_kernel")?.values().shape(), [8, 4 * 8]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn values(&self) -> ArrayViewD<'_, f32> {
        self.values.view()
    }

    /// The same values, shared.
    pub(crate) fn shared(&self) -> &ArcArray<f32, IxDyn> {
        &self.values
    }
}

/// All weights of a model by name, in the order of its layers.
///
/// [`Model::parameters`](crate::Model::parameters) lists them,
/// [`Model::replace_parameter`](crate::Model::replace_parameter) replaces one.
///
/// ```
/// use cellstate::{Dense, Lstm, Model};
///
/// let model = Model::builder().add(Lstm::new(2, 8)).add(Dense::new(8, 1)).build()?;
/// for parameter in model.parameters().iter() {
///     println!("{:<24} {:?}", parameter.path(), parameter.values().shape());
/// }
/// assert_eq!(model.parameters().count(), 4 * 8 * (2 + 8 + 1) + 9);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    list: Vec<Parameter>,
}

impl Parameters {
    /// Adds one behind the others; who adds it sees to it that no other has its path.
    pub(crate) fn push(&mut self, path: String, role: Role, values: ArcArray<f32, IxDyn>) {
        self.list.push(Parameter { path, role, values });
    }

    /// The weights, in the order of the layers; within a layer kernel, recurrent kernel, bias, then the others.
    ///
    /// ```
    /// # use cellstate::{Dense, Model};
    /// let model = Model::builder().add(Dense::new(8, 1)).build()?;
    /// assert_eq!(model.parameters().iter().map(|parameter| parameter.values().len()).sum::<usize>(), 9);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Parameter> + '_ {
        self.list.iter()
    }

    /// How many weights there are.
    ///
    /// ```
    /// # use cellstate::{Dense, Model};
    /// assert_eq!(Model::builder().add(Dense::new(8, 1)).build()?.parameters().len(), 2); // kernel, bias
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none, as in a model of a `Masking` layer alone.
    ///
    /// ```
    /// # use cellstate::{Dense, Model};
    /// assert!(!Model::builder().add(Dense::new(8, 1)).build()?.parameters().is_empty());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The number of values of all weights, Keras's `count_params()`.
    ///
    /// ```
    /// # use cellstate::{Dense, Model};
    /// assert_eq!(Model::builder().add(Dense::new(8, 1)).build()?.parameters().count(), 9);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn count(&self) -> usize {
        self.list
            .iter()
            .fold(0, |sum, parameter| sum.saturating_add(parameter.values.len()))
    }

    /// The weight with this path.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] with the paths there are.
    ///
    /// ```
    /// # use cellstate::{Dense, Model};
    /// let model = Model::builder().add(Dense::new(8, 1)).build()?;
    /// assert_eq!(model.parameters().get("dense/bias")?.values().shape(), [1]);
    /// assert!(model.parameters().get("dense/biases").unwrap_err().to_string().contains("dense/bias"));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn get(&self, path: &str) -> Result<&Parameter> {
        self.find(path).ok_or_else(|| self.unknown(path))
    }

    /// The same, where there need not be one.
    pub(crate) fn find(&self, path: &str) -> Option<&Parameter> {
        self.list.iter().find(|parameter| parameter.path == path)
    }

    /// Puts other values in the place of a weight's; the caller has checked them.
    pub(crate) fn replace(&mut self, path: &str, values: ArcArray<f32, IxDyn>) -> Result<()> {
        match self.list.iter_mut().find(|parameter| parameter.path == path) {
            Some(parameter) => {
                parameter.values = values;
                Ok(())
            }
            None => Err(self.unknown(path)),
        }
    }

    fn unknown(&self, path: &str) -> Error {
        const SHOWN: usize = 24;
        let mut paths: Vec<&str> = self.list.iter().map(Parameter::path).take(SHOWN).collect();
        if self.list.len() > SHOWN {
            paths.push("…");
        }
        Error::Value {
            argument: "path of a parameter".to_owned(),
            expected: match paths.is_empty() {
                true => "none: the model has no weights".to_owned(),
                false => format!("one of {}", paths.join(", ")),
            },
            found: format!("{path:?}"),
            repair: "`model.parameters().iter()` lists the paths".to_owned(),
        }
    }
}

impl<'a> IntoIterator for &'a Parameters {
    type Item = &'a Parameter;
    type IntoIter = std::slice::Iter<'a, Parameter>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}
