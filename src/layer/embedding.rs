//! The Embedding layer.

use ndarray::Array2;

use super::initializer::Initializer;
use super::size::check_size;
use crate::cell::ValueRange;
use crate::error::Result;

/// A row of numbers for each token, as `keras.layers.Embedding` (Keras 3.15).
///
/// The input is tokens (batch, time_steps) from 0 to `input_dim - 1`, the output (batch, time_steps, output_dim). In a
/// model it stands first. Other tokens are [`Error::Token`](crate::Error::Token) when it runs, as Keras refuses them on the
/// CPU, except at steps that a mask of the [`Sequences`](crate::Sequences) leaves out.
///
/// ```
/// use cellstate::{Device, Embedding, Lstm, Model, Sequences};
/// use ndarray::array;
///
/// let model = Model::builder().add(Embedding::new(1000, 16).mask_zero(true)).add(Lstm::new(16, 8)).build()?;
/// let tokens = Sequences::from(array![[5, 7, 9], [12, 0, 0]]); // 0 is padding
/// let output = model.on(&Device::cpu())?.run(&tokens)?;
/// assert_eq!((output.last().dim(), output.rows_run()), ((2, 8), 4));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    input_dim: usize,
    output_dim: usize,
    mask_zero: bool,
    pub(crate) seed: u64,
    pub(crate) initializer: Initializer,
    embeddings: Option<Array2<f32>>,
}

impl Embedding {
    /// A table of `input_dim` rows (the size of the vocabulary, one more if 0 is padding) of `output_dim` numbers, drawn
    /// uniformly from −0.05 to 0.05 (Keras's `"uniform"`).
    ///
    /// ```
    /// # use cellstate::Embedding;
    /// let table = Embedding::new(1000, 16).embeddings()?;
    /// assert_eq!(table.dim(), (1000, 16));
    /// assert!(table.iter().all(|value| value.abs() <= 0.05));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn new(input_dim: usize, output_dim: usize) -> Self {
        Self {
            input_dim,
            output_dim,
            mask_zero: false,
            seed: 0,
            initializer: Initializer::RandomUniform { min: -0.05, max: 0.05 },
            embeddings: None,
        }
    }

    /// Whether token 0 is padding, which the layers behind do not run (default false). Row 0 is looked up all the same.
    ///
    /// The mask that this makes replaces one that the [`Sequences`](crate::Sequences) brought along, as in Keras; only a
    /// step which that one masks and whose token has no row stays masked. Without `mask_zero` theirs goes on to the next
    /// layer; Keras drops it there, but somebody who gives lengths means them.
    ///
    /// ```
    /// # use cellstate::{Device, Embedding, Lstm, Model, Sequences};
    /// # use ndarray::array;
    /// let model = Model::builder().add(Embedding::new(10, 2).mask_zero(true)).add(Lstm::new(2, 4)).build()?;
    /// let output = model.on(&Device::cpu())?.run(&Sequences::from(array![[5, 7, 0, 0]]))?;
    /// assert_eq!(output.rows_run(), 2);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn mask_zero(mut self, mask_zero: bool) -> Self {
        self.mask_zero = mask_zero;
        self
    }

    /// The seed from which the table is drawn (default 0).
    ///
    /// ```
    /// # use cellstate::Embedding;
    /// assert_eq!(Embedding::new(10, 2).seed(7).embeddings()?, Embedding::new(10, 2).seed(7).embeddings()?);
    /// assert_ne!(Embedding::new(10, 2).seed(7).embeddings()?, Embedding::new(10, 2).seed(8).embeddings()?);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How the table is drawn (default uniform from −0.05 to 0.05; Keras's `embeddings_initializer`).
    ///
    /// ```
    /// # use cellstate::{Embedding, Initializer};
    /// let embedding = Embedding::new(10, 2).initializer(Initializer::Ones);
    /// assert!(embedding.embeddings()?.iter().all(|&value| value == 1.0));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn initializer(mut self, initializer: Initializer) -> Self {
        self.initializer = initializer;
        self
    }

    /// Takes a trained table, (input_dim, output_dim), as Keras's `layer.get_weights()` gives it.
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) for a wrong shape, [`Error::NotFinite`](crate::Error::NotFinite) for NaN or
    /// infinity, [`Error::Value`](crate::Error::Value) if a size of the layer is 0 or beyond 2²³.
    ///
    /// ```
    /// # use cellstate::{Device, Embedding, Sequences};
    /// # use ndarray::array;
    /// let embedding = Embedding::new(3, 2).with_embeddings(array![[0.0, 0.5], [1.0, 1.5], [2.0, 2.5]])?;
    /// let output = embedding.on(&Device::cpu())?.run(&Sequences::from(array![[2, 1]]))?;
    /// assert_eq!(output.sequences()?, array![[[2.0, 2.5], [1.0, 1.5]]]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with_embeddings(self, embeddings: Array2<f32>) -> Result<Self> {
        self.with_embeddings_in(embeddings, ValueRange::Finite)
    }

    /// The same with such values as may be.
    pub(crate) fn with_embeddings_in(mut self, embeddings: Array2<f32>, range: ValueRange) -> Result<Self> {
        self.check()?;
        range.check_tensor(
            "embeddings of the Embedding",
            &embeddings.view(),
            &[self.input_dim, self.output_dim],
            "(input_dim, output_dim)",
        )?;
        self.embeddings = Some(embeddings);
        Ok(self)
    }

    /// The table, (input_dim, output_dim): the one given, else the one drawn from the seed.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) if a size or the initialiser makes no sense;
    /// [`Error::Size`](crate::Error::Size) if what is to be drawn does not fit into memory.
    ///
    /// ```
    /// # use cellstate::Embedding;
    /// assert_eq!(Embedding::new(1000, 16).embeddings()?.dim(), (1000, 16));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn embeddings(&self) -> Result<Array2<f32>> {
        self.embeddings_at(0)
    }

    pub(crate) fn embeddings_at(&self, place: usize) -> Result<Array2<f32>> {
        self.check()?;
        match &self.embeddings {
            Some(embeddings) => Ok(embeddings.clone()),
            None => self
                .initializer
                .draw((self.input_dim, self.output_dim), self.seed, (place as u64) << 2),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_size("input_dim of the Embedding", self.input_dim)?;
        check_size("output_dim of the Embedding", self.output_dim)
    }

    /// The number of tokens that have a row.
    ///
    /// ```
    /// assert_eq!(cellstate::Embedding::new(1000, 16).input_dim(), 1000);
    /// ```
    #[must_use]
    pub fn input_dim(&self) -> usize {
        self.input_dim
    }

    /// The number of values of a row.
    ///
    /// ```
    /// assert_eq!(cellstate::Embedding::new(1000, 16).output_dim(), 16);
    /// ```
    #[must_use]
    pub fn output_dim(&self) -> usize {
        self.output_dim
    }

    /// Whether token 0 is padding.
    ///
    /// ```
    /// # use cellstate::Embedding;
    /// assert!(!Embedding::new(1000, 16).masks_zero());
    /// assert!(Embedding::new(1000, 16).mask_zero(true).masks_zero());
    /// ```
    #[must_use]
    pub fn masks_zero(&self) -> bool {
        self.mask_zero
    }

    /// The number of trained values: `input_dim · output_dim`.
    ///
    /// ```
    /// assert_eq!(cellstate::Embedding::new(1000, 16).parameter_count(), 1000 * 16);
    /// ```
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.input_dim.saturating_mul(self.output_dim)
    }
}
