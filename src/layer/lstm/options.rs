//! The options of an LSTM layer as a value.

use super::Lstm;
use crate::activation::Activation;

/// The options of an [`Lstm`] that act when it runs.
///
/// ```
/// # use cellstate::{Activation, Lstm};
/// let options = Lstm::new(2, 8).go_backwards(true).options();
/// assert!(options.go_backwards && !options.return_sequences);
/// assert_eq!((options.activation, options.recurrent_activation), (Activation::Tanh, Activation::Sigmoid));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LstmOptions {
    /// The activation of the cell candidate and the cell state.
    pub activation: Activation,
    /// The activation of the gates.
    pub recurrent_activation: Activation,
    /// Whether a bias is added.
    pub use_bias: bool,
    /// Whether every output is returned.
    pub return_sequences: bool,
    /// Whether the final state is returned.
    pub return_state: bool,
    /// Whether time runs backwards.
    pub go_backwards: bool,
    /// Whether masked steps give zero.
    pub zero_output_for_mask: bool,
}

impl Lstm {
    /// What the layer was told by its options.
    ///
    /// ```
    /// assert!(cellstate::Lstm::new(2, 8).return_state(true).options().return_state);
    /// ```
    #[must_use]
    pub fn options(&self) -> LstmOptions {
        LstmOptions {
            activation: self.activation,
            recurrent_activation: self.recurrent_activation,
            use_bias: self.use_bias,
            return_sequences: self.return_sequences,
            return_state: self.return_state,
            go_backwards: self.go_backwards,
            zero_output_for_mask: self.zero_output_for_mask,
        }
    }
}
