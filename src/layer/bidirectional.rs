//! The Bidirectional wrapper.

use super::recurrent::Recurrent;
use crate::error::{Error, Result};

/// How the outputs of the two directions become one: `merge_mode` of `keras.layers.Bidirectional` (Keras 3.15).
///
/// ```
/// # use cellstate::{Bidirectional, Device, Lstm, MergeMode, Sequences};
/// # use ndarray::Array3;
/// let x = Sequences::from(Array3::zeros((2, 6, 3)));
/// for (merge_mode, width) in [(MergeMode::Concat, 16), (MergeMode::Sum, 8), (MergeMode::Average, 8)] {
///     let layer = Bidirectional::new(Lstm::new(3, 8)).merge_mode(merge_mode);
///     assert_eq!(layer.on(&Device::cpu())?.run(&x)?.last().dim(), (2, width));
/// }
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MergeMode {
    /// Side by side, forward first: (…, forward units + backward units). The default.
    #[default]
    Concat,
    /// Their sum.
    Sum,
    /// Their product, element by element.
    Multiply,
    /// Their mean.
    Average,
    /// Both, one beside the other (`merge_mode=None`): the forward one is [`Output::values`](crate::Output::values), the
    /// other [`Output::backward`](crate::Output::backward). Only for the last layer.
    Separate,
}

/// Two recurrent layers over the same input, one in each direction of time, as `keras.layers.Bidirectional` (Keras 3.15; Schuster
/// and Paliwal 1997).
///
/// The backward layer starts at each sequence's last valid step; its output is turned round to the order of the input
/// before merging. With `return_sequences` the output at masked steps is zero (Keras sets `zero_output_for_mask` of both
/// layers to their `return_sequences`). Without, the last outputs of both directions are merged.
///
/// ```
/// use cellstate::{Bidirectional, Device, Lstm, Sequences};
/// use ndarray::Array3;
///
/// let layer = Bidirectional::new(Lstm::new(3, 8).return_sequences(true));
/// let output = layer.on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((2, 6, 3))))?;
/// assert_eq!(output.sequences()?.dim(), (2, 6, 16));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Bidirectional {
    forward: Recurrent,
    backward: Recurrent,
    /// Whether the backward layer is one of its own, or only drawn anew from the forward one.
    own_backward: bool,
    merge_mode: MergeMode,
}

impl Bidirectional {
    /// `layer` in both directions. The backward layer has the same options and weights drawn anew; trained ones come
    /// with [`backward_layer`](Self::backward_layer).
    ///
    /// ```
    /// # use cellstate::{Bidirectional, Lstm, Model};
    /// let layer = Bidirectional::new(Lstm::new(3, 8));
    /// assert_eq!(Model::builder().add(layer).build()?.parameters().count(), 2 * Lstm::new(3, 8).parameter_count());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn new(layer: impl Into<Recurrent>) -> Self {
        let layer = layer.into();
        Self {
            backward: layer.clone(),
            forward: layer,
            own_backward: false,
            merge_mode: MergeMode::Concat,
        }
    }

    /// The layer for the backward direction, with options and weights of its own (without `go_backwards`: the wrapper
    /// turns it round). It must agree with the forward one in `features`, `return_sequences` and `return_state`, and in
    /// width of the output unless the merge mode is [`MergeMode::Concat`] or [`MergeMode::Separate`]; cell, activations and
    /// everything else may differ.
    ///
    /// ```
    /// # use cellstate::{Bidirectional, Device, Lstm, Sequences};
    /// # use ndarray::Array3;
    /// let layer = Bidirectional::new(Lstm::new(3, 8)).backward_layer(Lstm::new(3, 5));
    /// let output = layer.on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((2, 6, 3))))?;
    /// assert_eq!(output.last().dim(), (2, 8 + 5));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn backward_layer(mut self, layer: impl Into<Recurrent>) -> Self {
        self.backward = layer.into();
        self.own_backward = true;
        self
    }

    /// How the two outputs become one (default concat).
    ///
    /// ```
    /// # use cellstate::{Bidirectional, Lstm, MergeMode};
    /// let layer = Bidirectional::new(Lstm::new(3, 8)).merge_mode(MergeMode::Sum);
    /// assert_eq!(layer.merge(), MergeMode::Sum);
    /// ```
    #[must_use]
    pub fn merge_mode(mut self, merge_mode: MergeMode) -> Self {
        self.merge_mode = merge_mode;
        self
    }

    /// The layer of the forward direction, as it was given.
    ///
    /// ```
    /// # use cellstate::{Bidirectional, Lstm};
    /// let layer = Bidirectional::new(Lstm::new(3, 8)).backward_layer(Lstm::new(3, 5));
    /// assert_eq!(layer.forward(), &Lstm::new(3, 8).into());
    /// ```
    #[must_use]
    pub fn forward(&self) -> &Recurrent {
        &self.forward
    }

    /// The layer of the backward direction: the one given, else a copy of the forward one, without `go_backwards`.
    ///
    /// ```
    /// # use cellstate::{Bidirectional, Lstm};
    /// let layer = Bidirectional::new(Lstm::new(3, 8)).backward_layer(Lstm::new(3, 5));
    /// assert_eq!(layer.backward(), &Lstm::new(3, 5).into());
    /// ```
    #[must_use]
    pub fn backward(&self) -> &Recurrent {
        &self.backward
    }

    /// The merge mode.
    ///
    /// ```
    /// # use cellstate::{Bidirectional, Lstm, MergeMode};
    /// assert_eq!(Bidirectional::new(Lstm::new(3, 8)).merge(), MergeMode::Concat);
    /// ```
    #[must_use]
    pub fn merge(&self) -> MergeMode {
        self.merge_mode
    }

    /// The width of the merged output.
    pub(crate) fn width(&self) -> usize {
        match self.merge_mode {
            MergeMode::Concat => self.forward.output_width().saturating_add(self.backward.output_width()),
            _ => self.forward.output_width(),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.forward.check()?;
        self.backward.check()?;
        let (forward, backward) = (self.forward.options(), self.backward.options());
        let options = [
            ("go_backwards", forward.go_backwards || backward.go_backwards),
            ("input_order", forward.input_order || backward.input_order),
        ];
        if let Some((option, _)) = options.into_iter().find(|(_, set)| *set) {
            return Err(Error::Unsupported {
                layer: "Bidirectional".to_owned(),
                option: format!("{option}(true) on its layer"),
                instead: "leave it out: the wrapper runs one copy in each direction".to_owned(),
            });
        }
        if !self.own_backward && self.forward.weights.is_some() {
            return Err(Error::Unsupported {
                layer: "Bidirectional".to_owned(),
                option: "trained weights for the forward direction alone".to_owned(),
                instead: "give the backward direction's weights with `backward_layer`".to_owned(),
            });
        }
        let merged = !matches!(self.merge_mode, MergeMode::Concat | MergeMode::Separate);
        let pairs = [
            ("features", true, self.forward.features(), self.backward.features()),
            (
                "units",
                merged,
                self.forward.output_width(),
                self.backward.output_width(),
            ),
            (
                "return_sequences",
                true,
                forward.return_sequences.into(),
                backward.return_sequences.into(),
            ),
            (
                "return_state",
                true,
                forward.return_state.into(),
                backward.return_state.into(),
            ),
        ];
        for (option, required, forward, backward) in pairs {
            if required && forward != backward {
                return Err(Error::Value {
                    argument: format!("{option} of the backward layer of the Bidirectional"),
                    expected: format!("the forward layer's {forward}"),
                    found: backward.to_string(),
                    repair: "make both layers alike".to_owned(),
                });
            }
        }
        Ok(())
    }
}
