//! Connectionist temporal classification: the labels of a sequence, of which nobody knows the time steps.

mod alignments;
mod batch;
mod labels;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests;

pub(crate) use batch::Batch;

/// Connectionist temporal classification (Graves et al., 2006): the labels of a sequence that has more time steps than labels, as speech
/// and handwriting have. The loss of a sequence is -ln p, with p the probability of all ways in which the model can say these labels
/// in this order: a class at each time step, where a label may be repeated and blanks may stand between labels.
///
/// It is `keras.losses.CTC` (Keras 3.15) and PyTorch's `CTCLoss`.
///
/// - Outputs are logits, (batch, time_steps, classes): the last layer has as many units as there are labels and the blank, and no activation.
///   (Behind a last softmax [`Trainer`](crate::Trainer) takes the logits. Keras takes the softmax of the softmax there.)
/// - Targets are class numbers, (batch, labels), short rows padded with the blank or with a negative number. Class 0 is the blank, unless
///   [`blank`](Self::blank) says otherwise.
/// - Time steps that a mask leaves out take no part: those that count are PyTorch's `input_lengths`. (Keras's loss takes all of them,
///   and sees no mask.)
/// - The loss of a batch is the sum over its sequences, each multiplied by its sample weight, divided by their number: Keras's reduction.
///   PyTorch's `"mean"` is [`divide_by_labels(true)`](Self::divide_by_labels). A sequence without a time step that counts does not count.
/// - Labels that do not fit into the time steps (equal neighbours need a blank between them) are an error. The frameworks make such a loss infinite.
///
/// ```
/// use cellstate::{Ctc, Loss, Targets};
/// use ndarray::array;
///
/// // a blank and two labels, two time steps; every class is as likely as the others
/// let outputs = array![[[0.0_f32, 0.0, 0.0], [0.0, 0.0, 0.0]]].into_dyn();
/// let targets = Targets::from(array![[2]]);
/// let value = Loss::from(Ctc::new()).compute(outputs.view(), &targets, None, None, None)?;
/// // three of the nine ways say "2": 2 2, 2 and blank, blank and 2
/// assert!((value.value() - 3.0_f64.ln()).abs() < 1e-12);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ctc {
    blank: u32,
    divides_by_labels: bool,
    zero_infinity: bool,
}

impl Ctc {
    /// Keras's defaults: class 0 is the blank, and the mean is over sequences.
    ///
    /// ```
    /// use cellstate::{Ctc, Loss};
    ///
    /// assert_eq!(Loss::from(Ctc::new()).name(), "ctc");
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The class that says nothing (default 0). Many PyTorch programs take the last one.
    ///
    /// ```
    /// use cellstate::{Ctc, Loss, Targets};
    /// use ndarray::array;
    ///
    /// let loss = Loss::from(Ctc::new().blank(2));
    /// let outputs = array![[[0.0_f32, 0.0, 90.0], [0.0, 0.0, 90.0]]].into_dyn();
    /// let nothing = Targets::from(array![[-1, -1]]);
    /// assert_eq!(loss.compute(outputs.view(), &nothing, None, None, None)?.value(), 0.0);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn blank(mut self, class: u32) -> Self {
        self.blank = class;
        self
    }

    /// Whether the loss of each sequence is divided by the number of its labels, at least 1 (default false): the reduction `"mean"` of PyTorch's
    /// `CTCLoss`, which is its default.
    ///
    /// ```
    /// use cellstate::{Ctc, Loss, Targets};
    /// use ndarray::array;
    ///
    /// let (outputs, targets) = (array![[[0.0_f32, 1.0], [2.0, 0.0], [0.0, 0.0]]].into_dyn(), Targets::from(array![[1, 1]]));
    /// let value = |loss: Ctc| Loss::from(loss).compute(outputs.view(), &targets, None, None, None);
    /// assert_eq!(value(Ctc::new())?.value() / 2.0, value(Ctc::new().divide_by_labels(true))?.value());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn divide_by_labels(mut self, divides: bool) -> Self {
        self.divides_by_labels = divides;
        self
    }

    /// Whether a sequence whose labels cannot be said has a loss and a gradient of 0 (default false): the option of that name of PyTorch's `CTCLoss`. Without it
    /// labels that do not fit into the time steps are an error, and a label whose logits are all minus infinity makes an infinite loss.
    ///
    /// ```
    /// use cellstate::{Ctc, Loss, Targets};
    /// use ndarray::array;
    ///
    /// let (outputs, targets) = (array![[[0.0_f32, 1.0], [2.0, 0.0]]].into_dyn(), Targets::from(array![[1, 1]]));
    /// let value = |loss: Ctc| Loss::from(loss).compute(outputs.view(), &targets, None, None, None);
    /// assert!(value(Ctc::new()).is_err()); // 1, blank, 1 are three steps
    /// assert_eq!(value(Ctc::new().zero_infinity(true))?.value(), 0.0);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn zero_infinity(mut self, zero_infinity: bool) -> Self {
        self.zero_infinity = zero_infinity;
        self
    }
}
