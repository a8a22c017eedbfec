//! Activation functions: what Keras 3.15 has by name, and what ONNX has by name with its alpha and beta.

mod derivative;
mod formula;
mod name;
mod onnx;
pub(crate) mod vector_math;

pub(crate) use derivative::are_zero;

use std::fmt;

use crate::error::{Error, Result};

/// A function that a layer applies to each value, or to each row, of its result.
///
/// The names and formulas are those of Keras 3.15 (`keras.activations`), to float32 rounding, large arguments included:
/// a finite value never gives NaN. At ±infinity and NaN each function gives what Keras gives on TensorFlow, on the CPU as on a GPU:
/// NaN gives NaN, except that `hard_shrink` and `soft_shrink` make it 0; at -infinity `gelu`, `silu`, `mish`, `hard_silu` and
/// `squareplus` give NaN, for their formulas have 0 · ∞ or ∞ - ∞ there; `softsign` gives NaN at both infinities; all others give
/// the limit of the function. (WGSL promises nothing about infinities and NaN. The shaders test for them by their bits, and are
/// tested on software adapters; a driver that assumes that there are none may differ.) On a GPU, and in the gates of a
/// running LSTM, the sigmoid takes what is beyond ±87 as ±87, which is less than 2e-38 away.
///
/// A few functions have parameters, `alpha` and `beta`: they are ONNX's, and [`Activation::from_onnx`] fills in ONNX's
/// defaults. NaN gives NaN in all of them. A layer refuses a parameter that is infinite or NaN when its model is made.
///
/// ```
/// use cellstate::Activation;
///
/// let activation: Activation = "hard_sigmoid".parse()?;
/// let mut values = [-4.0, 0.0, 1.5, 4.0];
/// activation.apply(&mut values, 4);
/// assert_eq!(values, [0.0, 0.5, 0.75, 1.0]);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// `linear`: x. It is also what Keras means by `activation=None`.
    Linear,
    /// `tanh`: (eˣ - e⁻ˣ) / (eˣ + e⁻ˣ).
    Tanh,
    /// `sigmoid`: 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// `elu`: x for x > 0, else eˣ - 1 (alpha 1).
    Elu,
    /// `celu`: max(0, x) + min(0, eˣ - 1) (alpha 1, where it equals `elu`).
    Celu,
    /// `selu`: 1.0507009873554805 · (x for x > 0, else 1.6732632423543772 · (eˣ - 1)).
    Selu,
    /// `gelu`: x / 2 · (1 + erf(x / √2)), Keras's default, not the approximation by tanh.
    Gelu,
    /// `silu`, also called `swish`: x · sigmoid(x).
    Silu,
    /// `mish`: x · tanh(softplus(x)).
    Mish,
    /// `softplus`: ln(1 + eˣ).
    Softplus,
    /// `softsign`: x / (1 + |x|).
    Softsign,
    /// `squareplus`: (x + √(x² + 4)) / 2.
    Squareplus,
    /// `exponential`: eˣ.
    Exponential,
    /// `log_sigmoid`: -ln(1 + e⁻ˣ).
    LogSigmoid,
    /// `tanh_shrink`: x - tanh(x).
    TanhShrink,
    /// `softmax`: eˣ / Σ eˣ over each row. A row that holds +∞, or nothing but -∞, gives NaN, as in Keras.
    Softmax,
    /// `log_softmax`: x - ln Σ eˣ over each row. A row that holds +∞, or nothing but -∞, gives NaN, as in Keras.
    LogSoftmax,
    /// `relu`: max(x, 0).
    Relu,
    /// `relu6`: min(max(x, 0), 6).
    Relu6,
    /// `leaky_relu`: x for x ≥ 0, else 0.2 · x (PyTorch's slope is 0.01).
    LeakyRelu,
    /// `hard_shrink`: x for |x| > 0.5, else 0.
    HardShrink,
    /// `soft_shrink`: x moved by 0.5 towards 0, and 0 for |x| ≤ 0.5.
    SoftShrink,
    /// `hard_sigmoid`: min(max(x / 6 + 0.5, 0), 1). Keras 2 and ONNX have 0.2 · x + 0.5 under this name
    /// ([`HardSigmoidKeras2`](Self::HardSigmoidKeras2)).
    HardSigmoid,
    /// `hard_silu`, also called `hard_swish`: x · hard_sigmoid(x).
    HardSilu,
    /// `hard_tanh`: min(max(x, -1), 1).
    HardTanh,
    /// `sparse_plus`: 0 for x ≤ -1, x for x ≥ 1, (x + 1)² / 4 between.
    SparsePlus,
    /// `sparse_sigmoid`: 0 for x ≤ -1, 1 for x ≥ 1, (x + 1) / 2 between.
    SparseSigmoid,
    /// `hard_sigmoid` of Keras 2, which is ONNX's with its defaults: min(max(0.2 · x + 0.5, 0), 1). Keras 3 has no name for
    /// this function; here it is `hard_sigmoid_keras2`.
    HardSigmoidKeras2,
    /// ONNX's `Affine`: alpha · x + beta.
    Affine {
        /// The factor.
        alpha: f32,
        /// What is added.
        beta: f32,
    },
    /// ONNX's `ScaledTanh`: alpha · tanh(beta · x).
    ScaledTanh {
        /// The factor of the result.
        alpha: f32,
        /// The factor of the argument.
        beta: f32,
    },
    /// ONNX's `HardSigmoid`: min(max(alpha · x + beta, 0), 1). ONNX's defaults are alpha 0.2 and beta 0.5.
    HardSigmoidWith {
        /// The slope.
        alpha: f32,
        /// The value at 0.
        beta: f32,
    },
    /// ONNX's `LeakyRelu`: x for x ≥ 0, else alpha · x. ONNX's default is alpha 0.01, as PyTorch's.
    LeakyReluWith {
        /// The slope below 0.
        alpha: f32,
    },
    /// ONNX's `Elu`: x for x ≥ 0, else alpha · (eˣ - 1). ONNX's default is alpha 1.
    EluWith {
        /// The negative of the limit at -∞.
        alpha: f32,
    },
    /// ONNX's `ThresholdedRelu`: x for x > alpha, else 0. So do its operator and ONNX Runtime; the text of RNN, GRU and LSTM has ≥.
    ThresholdedRelu {
        /// What is above passes.
        alpha: f32,
    },
}

impl Activation {
    /// Every activation without parameters: those of Keras 3.15, and [`HardSigmoidKeras2`](Self::HardSigmoidKeras2) at the end.
    ///
    /// ```
    /// use cellstate::Activation;
    ///
    /// assert!(Activation::ALL.iter().all(|activation| activation.name().parse() == Ok(*activation)));
    /// ```
    pub const ALL: &'static [Activation] = &[
        Self::Linear,
        Self::Tanh,
        Self::Sigmoid,
        Self::Elu,
        Self::Celu,
        Self::Selu,
        Self::Gelu,
        Self::Silu,
        Self::Mish,
        Self::Softplus,
        Self::Softsign,
        Self::Squareplus,
        Self::Exponential,
        Self::LogSigmoid,
        Self::TanhShrink,
        Self::Softmax,
        Self::LogSoftmax,
        Self::Relu,
        Self::Relu6,
        Self::LeakyRelu,
        Self::HardShrink,
        Self::SoftShrink,
        Self::HardSigmoid,
        Self::HardSilu,
        Self::HardTanh,
        Self::SparsePlus,
        Self::SparseSigmoid,
        Self::HardSigmoidKeras2,
    ];

    /// The name in Keras 3.15, which [`Activation::from_name`] reads back. What Keras 3 has not is named like its variant here.
    ///
    /// A function of alpha and beta has a name without them, which [`Activation::from_name`] refuses: a name carries no parameters.
    /// `Display` writes the parameters behind the name.
    ///
    /// ```
    /// use cellstate::Activation;
    ///
    /// assert_eq!(Activation::LogSigmoid.name(), "log_sigmoid");
    /// let slope = Activation::LeakyReluWith { alpha: 0.01 };
    /// assert_eq!((slope.name(), slope.to_string()), ("leaky_relu_with", "leaky_relu_with(alpha 0.01)".to_owned()));
    /// ```
    #[must_use]
    pub fn name(self) -> &'static str {
        self.code_and_name().1
    }

    /// The number that shaders/shared/activations.wgsl switches on, and the name.
    fn code_and_name(self) -> (u32, &'static str) {
        match self {
            Self::Linear => (0, "linear"),
            Self::Tanh => (1, "tanh"),
            Self::Sigmoid => (2, "sigmoid"),
            Self::Elu => (3, "elu"),
            Self::Celu => (4, "celu"),
            Self::Selu => (5, "selu"),
            Self::Gelu => (6, "gelu"),
            Self::Silu => (7, "silu"),
            Self::Mish => (8, "mish"),
            Self::Softplus => (9, "softplus"),
            Self::Softsign => (10, "softsign"),
            Self::Squareplus => (11, "squareplus"),
            Self::Exponential => (12, "exponential"),
            Self::LogSigmoid => (13, "log_sigmoid"),
            Self::TanhShrink => (14, "tanh_shrink"),
            Self::Softmax => (15, "softmax"),
            Self::LogSoftmax => (16, "log_softmax"),
            Self::Relu => (17, "relu"),
            Self::Relu6 => (18, "relu6"),
            Self::LeakyRelu => (19, "leaky_relu"),
            Self::HardShrink => (20, "hard_shrink"),
            Self::SoftShrink => (21, "soft_shrink"),
            Self::HardSigmoid => (22, "hard_sigmoid"),
            Self::HardSilu => (23, "hard_silu"),
            Self::HardTanh => (24, "hard_tanh"),
            Self::SparsePlus => (25, "sparse_plus"),
            Self::SparseSigmoid => (26, "sparse_sigmoid"),
            Self::HardSigmoidKeras2 => (27, "hard_sigmoid_keras2"),
            Self::Affine { .. } => (28, "affine"),
            Self::ScaledTanh { .. } => (29, "scaled_tanh"),
            Self::HardSigmoidWith { .. } => (30, "hard_sigmoid_with"),
            Self::LeakyReluWith { .. } => (31, "leaky_relu_with"),
            Self::EluWith { .. } => (32, "elu_with"),
            Self::ThresholdedRelu { .. } => (33, "thresholded_relu"),
        }
    }

    /// Whether each value is a share: none beyond 1 or below 0.
    pub(crate) fn is_share(self) -> bool {
        self.is_within_one() && !matches!(self, Self::Tanh | Self::Softsign | Self::HardTanh)
    }

    /// Whether no value of it is beyond 1 or below -1.
    pub(crate) fn is_within_one(self) -> bool {
        matches!(
            self,
            Self::Tanh
                | Self::Sigmoid
                | Self::Softsign
                | Self::Softmax
                | Self::HardSigmoid
                | Self::HardTanh
                | Self::SparseSigmoid
                | Self::HardSigmoidKeras2
                | Self::HardSigmoidWith { .. }
        )
    }

    /// Whether a value depends on its whole row (`softmax`, `log_softmax`) and not on one number alone.
    ///
    /// ```
    /// use cellstate::Activation;
    ///
    /// assert!(Activation::Softmax.is_rowwise() && !Activation::Tanh.is_rowwise());
    /// ```
    #[must_use]
    pub fn is_rowwise(self) -> bool {
        matches!(self, Self::Softmax | Self::LogSoftmax)
    }

    /// Replaces `values`, rows of `width` numbers one after another, by the function's values.
    ///
    /// `width` matters for the row-wise functions alone; a last row that is shorter is a row of its own, and a `width`
    /// of 0 means rows of one number. It cannot fail.
    ///
    /// ```
    /// use cellstate::Activation;
    ///
    /// let mut values = [0.0, 0.0, 1000.0, -1000.0];
    /// Activation::Softmax.apply(&mut values, 2);
    /// assert_eq!(values, [0.5, 0.5, 1.0, 0.0]);
    /// ```
    pub fn apply(self, values: &mut [f32], width: usize) {
        match self {
            Self::Linear => {}
            Self::Tanh => vector_math::tanh_in_place(values),
            Self::Sigmoid => vector_math::sigmoid_in_place(values),
            Self::Softmax => values.chunks_mut(width.max(1)).for_each(formula::softmax),
            Self::LogSoftmax => values.chunks_mut(width.max(1)).for_each(formula::log_softmax),
            // Common in gates: a loop of its own becomes vector code.
            Self::HardSigmoid => {
                for value in values {
                    *value = formula::hard_sigmoid(*value);
                }
            }
            Self::HardSigmoidKeras2 => {
                for value in values {
                    *value = formula::hard_sigmoid_with(0.2, 0.5, *value);
                }
            }
            _ => {
                for value in values {
                    *value = self.scalar(*value);
                }
            }
        }
    }

    /// The number that stands for this activation in the shaders.
    pub(crate) fn code(self) -> u32 {
        self.code_and_name().0
    }

    /// What the shaders take for this activation: its code, and the bits of alpha and beta (of 0 where it has none).
    pub(crate) fn constants(self) -> [u32; 3] {
        let (alpha, beta) = self.parameters();
        [
            self.code(),
            alpha.unwrap_or(0.0).to_bits(),
            beta.unwrap_or(0.0).to_bits(),
        ]
    }

    /// Alpha and beta, where it has them.
    fn parameters(self) -> (Option<f32>, Option<f32>) {
        match self {
            Self::Affine { alpha, beta } | Self::ScaledTanh { alpha, beta } | Self::HardSigmoidWith { alpha, beta } => {
                (Some(alpha), Some(beta))
            }
            Self::LeakyReluWith { alpha } | Self::EluWith { alpha } | Self::ThresholdedRelu { alpha } => {
                (Some(alpha), None)
            }
            _ => (None, None),
        }
    }

    /// Itself, if its parameters are finite.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] for a parameter that is infinite or NaN.
    pub(crate) fn checked(self) -> Result<Self> {
        let (alpha, beta) = self.parameters();
        for (parameter, value) in [("alpha", alpha), ("beta", beta)] {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                return Err(Error::Value {
                    argument: format!("{parameter} of the activation {}", self.name()),
                    expected: "a finite number".to_owned(),
                    found: value.to_string(),
                    repair: format!("give {parameter} a finite value"),
                });
            }
        }
        Ok(self)
    }

    /// The function of one number. A row-wise function takes it for a whole row.
    pub(crate) fn scalar(self, x: f32) -> f32 {
        formula::scalar(self, x)
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parameters() {
            (Some(alpha), Some(beta)) => formatter.pad(&format!("{}(alpha {alpha}, beta {beta})", self.name())),
            (Some(alpha), None) => formatter.pad(&format!("{}(alpha {alpha})", self.name())),
            _ => formatter.pad(self.name()),
        }
    }
}

#[cfg(test)]
mod tests;
