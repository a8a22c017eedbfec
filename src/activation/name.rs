//! Activations by their names in Keras.

use std::str::FromStr;

use super::Activation;
use crate::error::{Error, Result};

/// The names of the functions that need parameters.
const PARAMETRISED: [&str; 6] = [
    "affine",
    "scaled_tanh",
    "hard_sigmoid_with",
    "leaky_relu_with",
    "elu_with",
    "thresholded_relu",
];

impl Activation {
    /// The activation that Keras 3.15 calls `name`; `swish` and `hard_swish` are other names of `silu` and `hard_silu`.
    ///
    /// A name carries no parameters: what has alpha and beta is made by its variant or by [`Activation::from_onnx`].
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for what Keras knows and this crate does not do (`sparsemax`, `glu`, `threshold`), and
    /// [`Error::Value`] for any other name, those of functions with parameters among them. As in Keras the case matters; the message
    /// has the right spelling.
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
        None if PARAMETRISED.iter().any(|known| plain(known) == plain(name)) => {
            "it needs alpha or beta, which a name cannot carry: use its variant of Activation, or Activation::from_onnx"
                .to_owned()
        }
        None => "use one of these".to_owned(),
    };
    Error::Value {
        argument: "activation".to_owned(),
        expected: format!("one of {}", names.collect::<Vec<_>>().join(", ")),
        found: format!("{name:?}"),
        repair,
    }
}
