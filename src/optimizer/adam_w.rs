//! Adam with weight decay.

use super::adam::Adam;
use crate::learning_rate::LearningRate;

/// Adam whose weights decay from the beginning: `keras.optimizers.AdamW` (Keras 3.15; Loshchilov and Hutter, 2017). In Keras and here
/// it is Adam with a default for [`weight_decay`](Adam::weight_decay), so it makes an [`Adam`].
///
/// ```
/// use cellstate::{AdamW, Adam};
///
/// assert_eq!(AdamW::new(1e-3), Adam::new(1e-3).weight_decay(0.004));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AdamW;

impl AdamW {
    /// An Adam with weight decay 0.004.
    ///
    /// ```
    /// let adam_w = cellstate::AdamW::new(1e-3).weight_decay(0.01).exclude_from_weight_decay(cellstate::Role::Bias);
    /// # let _ = adam_w;
    /// ```
    #[must_use]
    #[allow(
        clippy::new_ret_no_self,
        reason = "it is Adam, and people look for it under this name"
    )]
    pub fn new(learning_rate: impl Into<LearningRate>) -> Adam {
        Adam::new(learning_rate).weight_decay(0.004)
    }

    /// `torch.optim.AdamW`: PyTorch's Adam with weight decay 0.01, which shrinks the weights.
    ///
    /// ```
    /// let adam_w = cellstate::AdamW::pytorch(1e-3);
    /// # let _ = adam_w;
    /// ```
    #[must_use]
    pub fn pytorch(learning_rate: impl Into<LearningRate>) -> Adam {
        Adam::pytorch(learning_rate)
            .weight_decay(0.01)
            .decoupled_weight_decay(true)
    }
}
