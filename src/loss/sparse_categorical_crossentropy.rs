//! Cross-entropy between classes whose targets are class numbers.

use super::probability::{clip, softmax};

/// Cross-entropy between classes, each target the number of a class, `keras.losses.SparseCategoricalCrossentropy` (Keras 3.15):
/// -ln p of that class.
///
/// The outputs are probabilities (of a last layer with `softmax`), or logits with [`from_logits`](Self::from_logits). As in Keras,
/// probabilities are taken as at least 1e-7 and at most 1 - 1e-7 (in float32: 1 - 2⁻²³), and then divided by their sum; the gradient of
/// what is beyond is 0.
///
/// ```
/// use cellstate::{Loss, SparseCategoricalCrossentropy, Targets};
/// use ndarray::array;
///
/// let targets = Targets::from(array![1, 0]); // one for each sequence
/// let outputs = array![[0.1_f32, 0.8, 0.1], [0.5, 0.25, 0.25]].into_dyn();
/// let value = Loss::from(SparseCategoricalCrossentropy::new()).compute(outputs.view(), &targets, None, None, None)?;
/// assert!((value.value() - (-0.8_f64.ln() - 0.5_f64.ln()) / 2.0).abs() < 1e-7);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SparseCategoricalCrossentropy {
    from_logits: bool,
    ignore_class: Option<i32>,
}

impl SparseCategoricalCrossentropy {
    /// Keras's defaults: of probabilities, every class counts.
    ///
    /// ```
    /// use cellstate::{Loss, SparseCategoricalCrossentropy};
    ///
    /// assert_eq!(Loss::from(SparseCategoricalCrossentropy::new()).name(), "sparse_categorical_crossentropy");
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the outputs are logits, of which the softmax is the probabilities (default false). PyTorch's `CrossEntropyLoss` is
    /// this loss with logits.
    ///
    /// ```
    /// use cellstate::{Loss, SparseCategoricalCrossentropy, Targets};
    /// use ndarray::array;
    ///
    /// let loss = Loss::from(SparseCategoricalCrossentropy::new().from_logits(true));
    /// let value = loss.compute(array![[300.0_f32, 0.0]].view().into_dyn(), &Targets::from(array![1]), None, None, None)?;
    /// assert_eq!(value.value(), 300.0);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn from_logits(mut self, from_logits: bool) -> Self {
        self.from_logits = from_logits;
        self
    }

    /// A class number whose steps count as little as masked ones; it may lie outside the classes, as -1 does. PyTorch's
    /// `ignore_index`, which is -100 if not given.
    ///
    /// ```
    /// use cellstate::{Loss, SparseCategoricalCrossentropy, Targets};
    /// use ndarray::array;
    ///
    /// let loss = Loss::from(SparseCategoricalCrossentropy::new().ignore_class(-1));
    /// let outputs = array![[0.5_f32, 0.5], [f32::NAN, 0.5]].into_dyn();
    /// let value = loss.compute(outputs.view(), &Targets::from(array![1, -1]), None, None, None)?;
    /// assert!((value.value() - 2.0_f64.ln()).abs() < 1e-12);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn ignore_class(mut self, class: i32) -> Self {
        self.ignore_class = Some(class);
        self
    }

    pub(super) fn is_of_logits(self) -> bool {
        self.from_logits
    }

    /// The class number whose steps do not count.
    pub(super) fn ignored(self) -> Option<i32> {
        self.ignore_class
    }

    /// The loss of a row whose target is this class; `gradient` becomes its gradient.
    pub(super) fn row(self, output: &[f64], class: usize, gradient: &mut [f64]) -> f64 {
        let value = match self.from_logits {
            true => softmax(output, gradient) - output.get(class).copied().unwrap_or(f64::NAN),
            false => of_probabilities(output, class, gradient),
        };
        if let (true, Some(slope)) = (self.from_logits, gradient.get_mut(class)) {
            *slope -= 1.0;
        }
        value
    }
}

/// -ln(c / Σ c) of the class, with c the probabilities within Keras's bounds.
fn of_probabilities(output: &[f64], class: usize, gradient: &mut [f64]) -> f64 {
    let sum: f64 = output.iter().map(|&output| clip(output).0).sum();
    let (chosen, inside) = clip(output.get(class).copied().unwrap_or(f64::NAN));
    for (slope, &output) in gradient.iter_mut().zip(output) {
        *slope = clip(output).1 / sum;
    }
    if let Some(slope) = gradient.get_mut(class) {
        *slope -= inside / chosen;
    }
    libm::log(sum) - libm::log(chosen)
}
