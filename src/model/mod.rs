//! Models: checked chains of layers.

mod check;
pub(crate) mod layer_names;
pub(crate) mod named;
mod not_finite;
mod options;
pub(crate) mod paths;
pub(crate) mod plan;
pub(crate) mod planned_dropout;
pub(crate) mod planned_weight;
mod sections;
mod summary;
mod time_steps;
pub(crate) mod transform;

use std::sync::Arc;

use ndarray::{ArcArray, ArrayD, IxDyn};

use crate::cell::ValueRange;
use crate::error::Result;
use crate::layer::shape::Shape;
use crate::layer::{Layer, TimeDistributed};
use crate::parameters::Parameters;
use check::check_chain;
use named::parameters_of;
use plan::Plan;
use sections::sections;

/// A checked chain of layers with their weights, on the host: what `keras.Sequential` is in Keras 3.15.
///
/// [`Model::on`] puts it on a device. Printing it gives the table of layers, output shapes and parameters, as Keras's
/// `model.summary()`, with the options that differ from the default. A mask travels from layer to layer as in Keras, up to the layer that gives only its last output.
///
/// ```
/// use cellstate::{Dense, Lstm, Masking, Model};
///
/// let model = Model::builder()
///     .add(Masking::new(0.0))
///     .add(Lstm::new(2, 32).return_sequences(true))
///     .add(Lstm::new(32, 16))
///     .add(Dense::new(16, 1))
///     .build()?;
/// assert_eq!(model.parameters().count(), 4 * 32 * (2 + 32 + 1) + 4 * 16 * (32 + 16 + 1) + 17);
/// println!("{model}");
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Model {
    layers: Vec<Layer>,
    parameters: Parameters,
    /// What comes out of each layer.
    shapes: Vec<Shape>,
    /// The model in sections, of which each is run for itself.
    plans: Vec<Arc<Plan>>,
    /// What was assumed where a file leaves it open.
    notes: Vec<String>,
}

impl Model {
    /// Begins a chain of layers; it needs at least one that computes.
    ///
    /// ```
    /// # use cellstate::{Lstm, Model};
    /// assert_eq!(Model::builder().add(Lstm::new(2, 8)).build()?.layers().len(), 1);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn builder() -> ModelBuilder {
        ModelBuilder { layers: Vec::new() }
    }

    /// The layers as they were added, the one nearest to the input first. The weights that run are those of
    /// [`parameters`](Self::parameters).
    ///
    /// ```
    /// # use cellstate::{Dense, Lstm, Model};
    /// let model = Model::builder().add(Lstm::new(2, 8)).add(Dense::new(8, 1)).build()?;
    /// assert_eq!(model.layers(), [Lstm::new(2, 8).into(), Dense::new(8, 1).into()]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The number of features of the input, of a step of the innermost sequences; `None` if the model takes tokens, or any number, as `Masking` layers alone do.
    ///
    /// ```
    /// # use cellstate::{Embedding, Lstm, Model};
    /// assert_eq!(Model::builder().add(Lstm::new(2, 8)).build()?.features(), Some(2));
    /// assert_eq!(Model::builder().add(Embedding::new(10, 2)).add(Lstm::new(2, 8)).build()?.features(), None);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn features(&self) -> Option<usize> {
        self.plans.first().and_then(|plan| plan.features)
    }

    /// The number of time steps that the input has to have, because a `Flatten` or `Reshape` layer reads all of them at once; `None` if any
    /// number will do.
    ///
    /// ```
    /// # use cellstate::{Dense, Flatten, Lstm, Model, Reshape};
    /// let flat = Model::builder().add(Lstm::new(2, 4).return_sequences(true)).add(Flatten::new(5, 4)).add(Dense::new(20, 1)).build()?;
    /// assert_eq!(flat.time_steps(), Some(5));
    /// // here the layer reads what is left of the sequence, whatever its length
    /// let decoder = Model::builder().add(Lstm::new(2, 6)).add(Reshape::new([1, 6], [2, 3])).build()?;
    /// assert_eq!(decoder.time_steps(), None);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn time_steps(&self) -> Option<usize> {
        self.wanted_steps(false)
    }

    /// All weights by name, those that were given and those that were drawn.
    ///
    /// ```
    /// # use cellstate::{Dense, Lstm, Model};
    /// let model = Model::builder().add(Lstm::new(2, 8)).add(Dense::new(8, 1)).build()?;
    /// let paths: Vec<&str> = model.parameters().iter().map(|parameter| parameter.path()).collect();
    /// assert_eq!(paths, ["lstm/kernel", "lstm/recurrent_kernel", "lstm/bias", "dense/kernel", "dense/bias"]);
    /// assert_eq!(model.parameters().count(), 4 * 8 * (2 + 8 + 1) + (8 + 1));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Puts other values in the place of a weight's. Runners that were made before keep the old ones.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) if there is no weight with this path, [`Error::Size`](crate::Error::Size) for another shape,
    /// [`Error::NotFinite`](crate::Error::NotFinite) for NaN or infinity; then nothing is changed.
    ///
    /// ```
    /// # use cellstate::{Dense, Device, Model, Sequences};
    /// # use ndarray::array;
    /// let mut model = Model::builder().add(Dense::new(2, 1)).build()?;
    /// model.replace_parameter("dense/kernel", array![[2.0], [3.0]].into_dyn())?;
    /// let output = model.on(&Device::cpu())?.run(&Sequences::from(array![[[10.0, 1.0]]]))?;
    /// assert_eq!(output.last(), array![[10.0 * 2.0 + 1.0 * 3.0]]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn replace_parameter(&mut self, path: &str, values: ArrayD<f32>) -> Result<()> {
        self.replace_parameters(vec![(path.to_owned(), values)])
    }

    /// As [`replace_parameter`](Self::replace_parameter), for several at once: all of them, or none.
    pub(crate) fn replace_parameters(&mut self, replaced: Vec<(String, ArrayD<f32>)>) -> Result<()> {
        self.take_parameters(replaced, ValueRange::Finite)
    }

    /// The same with such values as may be.
    pub(crate) fn take_parameters(&mut self, replaced: Vec<(String, ArrayD<f32>)>, range: ValueRange) -> Result<()> {
        let shared = replaced.into_iter().map(|(path, values)| (path, values.into_shared()));
        self.take_shared_parameters(shared.collect(), range)
    }

    /// The same with values that others have too.
    pub(crate) fn take_shared_parameters(
        &mut self,
        replaced: Vec<(String, ArcArray<f32, IxDyn>)>,
        range: ValueRange,
    ) -> Result<()> {
        let mut parameters = self.parameters.clone(); // shares all values
        for (path, values) in replaced {
            let shape = parameters.get(&path)?.values().shape().to_vec();
            range.check_tensor(&path, &values.view(), &shape, "the shape of the weight")?;
            parameters.replace(&path, values)?;
        }
        self.plans = sections(&self.layers, &self.shapes, &parameters)?;
        self.parameters = parameters;
        self.renew_notes();
        Ok(())
    }

    /// What was assumed or left out when the model was read from a file, a sentence each; empty for a model that was built from layers.
    ///
    /// ```
    /// # use cellstate::{Lstm, Model};
    /// assert!(Model::builder().add(Lstm::new(2, 8)).build()?.notes().is_empty());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    #[allow(dead_code, reason = "only readers of files have notes, and each is behind a feature")]
    pub(crate) fn add_notes(&mut self, notes: &[String]) {
        self.notes.extend_from_slice(notes);
    }

    #[allow(dead_code, reason = "only readers of files have notes, and each is behind a feature")]
    pub(crate) fn with_notes(mut self, notes: Vec<String>) -> Self {
        self.notes = notes;
        self
    }

    /// What comes out of the last layer.
    pub(crate) fn output_shape(&self) -> Option<Shape> {
        self.shapes.last().copied()
    }

    /// The time steps that the input has to have, or the steps within each of them.
    pub(crate) fn wanted_steps(&self, within: bool) -> Option<usize> {
        let mut plans = self.plans.iter().filter(|plan| plan.is_inner == within);
        plans.find_map(|plan| plan.wanted_steps.as_ref().map(|(time_steps, _)| *time_steps))
    }

    /// The layers that run within each time step of the input, if it has sequences there.
    pub(crate) fn nested(&self) -> Option<&TimeDistributed> {
        match self.layers.first() {
            Some(Layer::TimeDistributed(nested)) => Some(nested),
            _ => None,
        }
    }

    pub(crate) fn takes_tokens(&self) -> bool {
        self.plans.first().is_some_and(|plan| plan.takes_tokens)
    }

    /// The plans of its sections, the one nearest to the input first.
    pub(crate) fn plans(&self) -> &[Arc<Plan>] {
        &self.plans
    }

    /// The plan of the first section, which is the whole model of most tests.
    #[cfg(test)]
    pub(crate) fn plan(&self) -> &Arc<Plan> {
        &self.plans[0]
    }
}

/// A chain of layers that grows; [`build`](Self::build) checks it.
///
/// ```
/// use cellstate::{Dense, Lstm, Model, ModelBuilder};
///
/// let mut builder: ModelBuilder = Model::builder().add(Lstm::new(2, 8).return_sequences(true));
/// for _ in 0..3 {
///     builder = builder.add(Lstm::new(8, 8).return_sequences(true));
/// }
/// assert_eq!(builder.add(Dense::new(8, 1)).build()?.layers().len(), 5);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ModelBuilder {
    layers: Vec<Layer>,
}

impl ModelBuilder {
    /// Adds a layer behind those that are there (Keras's `model.add`); nothing is checked yet.
    ///
    /// ```
    /// # use cellstate::{Dense, Layer, Lstm, Model};
    /// let model = Model::builder().add(Lstm::new(2, 8)).add(Dense::new(8, 1)).build()?;
    /// assert!(matches!(model.layers(), [Layer::Recurrent(_), Layer::Dense(_)]));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[allow(clippy::should_implement_trait, reason = "the name is Keras's `model.add`")]
    pub fn add(mut self, layer: impl Into<Layer>) -> Self {
        self.layers.push(layer.into());
        self
    }

    /// Checks that the layers fit together and draws the weights that were not given.
    ///
    /// # Errors
    ///
    /// [`Error::Chain`](crate::Error::Chain) and [`Error::Features`](crate::Error::Features) where two neighbours do not fit, [`Error::Value`](crate::Error::Value) where a size or option
    /// makes no sense, [`Error::Unsupported`](crate::Error::Unsupported) for an option that is not done; each names the layer.
    ///
    /// ```
    /// # use cellstate::{Error, Lstm, Model};
    /// assert!(Model::builder().add(Lstm::new(2, 8).return_sequences(true)).add(Lstm::new(8, 4)).build().is_ok());
    ///
    /// let error = Model::builder().add(Lstm::new(2, 8)).add(Lstm::new(8, 4)).build().unwrap_err();
    /// assert!(matches!(error, Error::Chain { position: 1, .. }));
    /// assert!(error.to_string().contains("return_sequences(true)"));
    /// ```
    pub fn build(self) -> Result<Model> {
        let shapes = check_chain(&self.layers)?;
        let parameters = parameters_of(&self.layers)?;
        let plans = sections(&self.layers, &shapes, &parameters)?;
        Ok(Model {
            layers: self.layers,
            parameters,
            shapes,
            plans,
            notes: Vec::new(),
        })
    }
}
