//! Activation functions: what Keras 3.15 has by name.

mod formula;
pub(crate) mod vector_math;

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A function that a layer applies to each value, or to each row, of its result.
///
/// The names and formulas are those of Keras 3.15 (`keras.activations`), to float32 rounding, large arguments included:
/// a finite value never gives NaN, and NaN gives NaN. At ±infinity [`apply`](Self::apply) gives the limit of the function
/// (Keras gives NaN where its formula has 0 · ∞, for example in `silu`). The sigmoid of a running LSTM takes what is beyond
/// ±80 as ±80, which is less than 2e-35 away.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum Activation {
    // The numbers are the codes that shaders/shared/activations.wgsl switches on.
    /// `linear`: x. It is also what Keras means by `activation=None`.
    Linear = 0,
    /// `tanh`: (eˣ - e⁻ˣ) / (eˣ + e⁻ˣ).
    Tanh = 1,
    /// `sigmoid`: 1 / (1 + e⁻ˣ).
    Sigmoid = 2,
    /// `elu`: x for x > 0, else eˣ - 1 (alpha 1).
    Elu = 3,
    /// `celu`: max(0, x) + min(0, eˣ - 1) (alpha 1, where it equals `elu`).
    Celu = 4,
    /// `selu`: 1.0507009873554805 · (x for x > 0, else 1.6732632423543772 · (eˣ - 1)).
    Selu = 5,
    /// `gelu`: x / 2 · (1 + erf(x / √2)), Keras's default, not the approximation by tanh.
    Gelu = 6,
    /// `silu`, also called `swish`: x · sigmoid(x).
    Silu = 7,
    /// `mish`: x · tanh(softplus(x)).
    Mish = 8,
    /// `softplus`: ln(1 + eˣ).
    Softplus = 9,
    /// `softsign`: x / (1 + |x|).
    Softsign = 10,
    /// `squareplus`: (x + √(x² + 4)) / 2.
    Squareplus = 11,
    /// `exponential`: eˣ.
    Exponential = 12,
    /// `log_sigmoid`: -ln(1 + e⁻ˣ).
    LogSigmoid = 13,
    /// `tanh_shrink`: x - tanh(x).
    TanhShrink = 14,
    /// `softmax`: eˣ / Σ eˣ over each row. A row that holds +∞, or nothing but -∞, gives NaN, as in Keras.
    Softmax = 15,
    /// `log_softmax`: x - ln Σ eˣ over each row. A row that holds +∞, or nothing but -∞, gives NaN, as in Keras.
    LogSoftmax = 16,
    /// `relu`: max(x, 0).
    Relu = 17,
    /// `relu6`: min(max(x, 0), 6).
    Relu6 = 18,
    /// `leaky_relu`: x for x ≥ 0, else 0.2 · x (PyTorch's slope is 0.01).
    LeakyRelu = 19,
    /// `hard_shrink`: x for |x| > 0.5, else 0.
    HardShrink = 20,
    /// `soft_shrink`: x moved by 0.5 towards 0, and 0 for |x| ≤ 0.5.
    SoftShrink = 21,
    /// `hard_sigmoid`: min(max(x / 6 + 0.5, 0), 1). Keras 2 and ONNX have 0.2 · x + 0.5 under this name.
    HardSigmoid = 22,
    /// `hard_silu`, also called `hard_swish`: x · hard_sigmoid(x).
    HardSilu = 23,
    /// `hard_tanh`: min(max(x, -1), 1).
    HardTanh = 24,
    /// `sparse_plus`: 0 for x ≤ -1, x for x ≥ 1, (x + 1)² / 4 between.
    SparsePlus = 25,
    /// `sparse_sigmoid`: 0 for x ≤ -1, 1 for x ≥ 1, (x + 1) / 2 between.
    SparseSigmoid = 26,
}

impl Activation {
    /// Every activation, in the order of their codes.
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
    ];

    /// The activation that Keras 3.15 calls `name`; `swish` and `hard_swish` are other names of `silu` and `hard_silu`.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for what Keras knows and this crate does not do (`sparsemax`, `glu`, `threshold`), and
    /// [`Error::Value`] for any other name. As in Keras the case matters; the message has the right spelling.
    ///
    /// ```
    /// use cellstate::Activation;
    ///
    /// assert_eq!(Activation::from_name("swish")?, Activation::Silu);
    /// let error = Activation::from_name("LeakyReLU").unwrap_err();
    /// assert!(error.to_string().contains("write \"leaky_relu\""));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "swish" => return Ok(Self::Silu),
            "hard_swish" => return Ok(Self::HardSilu),
            _ => {}
        }
        match Self::ALL.iter().find(|activation| activation.name() == name) {
            Some(activation) => Ok(*activation),
            None => Err(unknown(name)),
        }
    }

    /// The name in Keras 3.15, which [`Activation::from_name`] reads back.
    ///
    /// ```
    /// assert_eq!(cellstate::Activation::LogSigmoid.name(), "log_sigmoid");
    /// ```
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Elu => "elu",
            Self::Celu => "celu",
            Self::Selu => "selu",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
            Self::Mish => "mish",
            Self::Softplus => "softplus",
            Self::Softsign => "softsign",
            Self::Squareplus => "squareplus",
            Self::Exponential => "exponential",
            Self::LogSigmoid => "log_sigmoid",
            Self::TanhShrink => "tanh_shrink",
            Self::Softmax => "softmax",
            Self::LogSoftmax => "log_softmax",
            Self::Relu => "relu",
            Self::Relu6 => "relu6",
            Self::LeakyRelu => "leaky_relu",
            Self::HardShrink => "hard_shrink",
            Self::SoftShrink => "soft_shrink",
            Self::HardSigmoid => "hard_sigmoid",
            Self::HardSilu => "hard_silu",
            Self::HardTanh => "hard_tanh",
            Self::SparsePlus => "sparse_plus",
            Self::SparseSigmoid => "sparse_sigmoid",
        }
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
            _ => {
                for value in values {
                    *value = self.scalar(*value);
                }
            }
        }
    }

    /// The number that stands for this activation in the shaders.
    pub(crate) fn code(self) -> u32 {
        self as u32
    }

    /// The function of one number. A row-wise function takes it for a whole row.
    pub(crate) fn scalar(self, x: f32) -> f32 {
        formula::scalar(self, x)
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Activation {
    type Err = Error;

    /// The same as [`Activation::from_name`].
    fn from_str(name: &str) -> Result<Self> {
        Self::from_name(name)
    }
}

/// The error for a name that [`Activation::from_name`] does not know.
fn unknown(name: &str) -> Error {
    let instead = match name {
        "sparsemax" => {
            "Keras 3.15 computes it wrongly (its rows may sum to 0), so there is nothing to agree with; use softmax"
        }
        "glu" => {
            "it halves the units, so Keras 3.15 refuses it in an LSTM too; use silu, or sigmoid on a layer of its own"
        }
        "threshold" => "it needs a threshold and a value, which a name cannot carry; use relu or hard_shrink",
        _ => "",
    };
    if !instead.is_empty() {
        return Error::Unsupported {
            layer: "activation".to_owned(),
            option: name.to_owned(),
            instead: instead.to_owned(),
        };
    }
    let plain = |text: &str| {
        text.chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase()
    };
    let names = Activation::ALL.iter().map(|activation| activation.name());
    let repair = match names
        .clone()
        .chain(["swish", "hard_swish"])
        .find(|known| plain(known) == plain(name))
    {
        Some(known) => format!("names are lower case with underscores: write \"{known}\""),
        None if matches!(plain(name).as_str(), "" | "none") => "for no activation write \"linear\"".to_owned(),
        None => "use one of these".to_owned(),
    };
    Error::Value {
        argument: "activation".to_owned(),
        expected: format!("one of {}", names.collect::<Vec<_>>().join(", ")),
        found: format!("{name:?}"),
        repair,
    }
}

#[cfg(test)]
mod tests;
