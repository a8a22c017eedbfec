//! Initialisers: how the weights of a new layer are drawn.

mod draw;

use std::fmt;
use std::str::FromStr;

use ndarray::{Array1, Array2};

use crate::error::{Error, Result};

/// How the weights of a new layer are drawn.
///
/// The distributions are those of Keras 3.15 (`keras.initializers`): Glorot and Bengio 2010, He et al. 2015, LeCun et al.
/// 1998, and for the orthogonal ones Saxe, McClelland and Ganguli 2013. The numbers are not Keras's, whose generator
/// depends on its backend. The same seed gives the same bits on every machine. For a weight of shape
/// (rows, columns), `fan_in` is rows and `fan_out` is columns, also where the columns hold four gates.
///
/// "Truncated" means that numbers further than two standard deviations from the mean are drawn again. The scaled ones
/// (`GlorotNormal`, `HeNormal`, `LecunNormal`) divide by 0.8796, the standard deviation of what truncation leaves of the
/// normal distribution, so that the deviation below is the true one; [`Initializer::TruncatedNormal`] does not.
///
/// A bias has one axis, and both its fans are its length, as in Keras. With `unit_forget_bias` an LSTM draws its bias in
/// parts, as Keras's does: i (`units` numbers), then g and o together (twice as many).
///
/// Parameters that make no sense (NaN, `min` above `max`, a negative deviation) are reported as [`Error::Value`] when
/// the layer draws its weights.
///
/// ```
/// use cellstate::Initializer;
///
/// let initializer: Initializer = "orthogonal".parse()?;
/// assert_eq!(initializer, Initializer::Orthogonal { gain: 1.0 });
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Initializer {
    /// `glorot_uniform`: uniform in ±√(6 / (`fan_in` + `fan_out`)); Keras's default for kernels.
    GlorotUniform,
    /// `glorot_normal`: truncated normal, deviation √(2 / (`fan_in` + `fan_out`)).
    GlorotNormal,
    /// `he_uniform`: uniform in ±√(6 / `fan_in`).
    HeUniform,
    /// `he_normal`: truncated normal, deviation √(2 / `fan_in`).
    HeNormal,
    /// `lecun_uniform`: uniform in ±√(3 / `fan_in`).
    LecunUniform,
    /// `lecun_normal`, and Keras's `variance_scaling` with the parameters that its name alone stands for: truncated normal,
    /// deviation √(1 / `fan_in`).
    LecunNormal,
    /// `random_uniform`: uniform from `min` to `max`; by name ±0.05.
    RandomUniform {
        /// The smallest value.
        min: f32,
        /// The largest value.
        max: f32,
    },
    /// `random_normal`: normal; by name mean 0, deviation 0.05.
    RandomNormal {
        /// The mean.
        mean: f32,
        /// The standard deviation (Keras's `stddev`).
        deviation: f32,
    },
    /// `truncated_normal`: normal, nothing further than two deviations from the mean; by name mean 0, deviation 0.05.
    TruncatedNormal {
        /// The mean.
        mean: f32,
        /// The standard deviation before truncation (Keras's `stddev`).
        deviation: f32,
    },
    /// `orthogonal`: `gain` times a matrix with orthonormal rows (or columns, if there are more rows than columns): the
    /// Q of the QR decomposition of a normal matrix, its signs such that R has a positive diagonal. Keras's default for
    /// recurrent kernels; by name gain 1.
    Orthogonal {
        /// The length of each row (or column).
        gain: f32,
    },
    /// `identity`: `gain` on the diagonal, 0 elsewhere; by name gain 1.
    Identity {
        /// The value on the diagonal.
        gain: f32,
    },
    /// `zeros`: 0 everywhere; Keras's default for biases.
    Zeros,
    /// `ones`: 1 everywhere.
    Ones,
    /// `constant`: one value everywhere. There is none by name, as in Keras, where the name alone is a `KeyError`.
    Constant(f32),
}

/// Keras's defaults, in the order of the enum, with the names that Keras 3.15 knows (`golden/initializer_names.json`); the first
/// is ours too.
const NAMED: &[(Initializer, &[&str])] = &[
    (Initializer::GlorotUniform, &["glorot_uniform", "GlorotUniform"]),
    (Initializer::GlorotNormal, &["glorot_normal", "GlorotNormal"]),
    (Initializer::HeUniform, &["he_uniform", "HeUniform"]),
    (Initializer::HeNormal, &["he_normal", "HeNormal"]),
    (Initializer::LecunUniform, &["lecun_uniform", "LecunUniform"]),
    (
        Initializer::LecunNormal,
        &["lecun_normal", "LecunNormal", "variance_scaling", "VarianceScaling"],
    ),
    (
        Initializer::RandomUniform { min: -0.05, max: 0.05 },
        &["random_uniform", "RandomUniform", "uniform"],
    ),
    (
        Initializer::RandomNormal {
            mean: 0.0,
            deviation: 0.05,
        },
        &["random_normal", "RandomNormal", "normal"],
    ),
    (
        Initializer::TruncatedNormal {
            mean: 0.0,
            deviation: 0.05,
        },
        &["truncated_normal", "TruncatedNormal"],
    ),
    (
        Initializer::Orthogonal { gain: 1.0 },
        &["orthogonal", "Orthogonal", "OrthogonalInitializer"],
    ),
    (
        Initializer::Identity { gain: 1.0 },
        &["identity", "Identity", "IdentityInitializer"],
    ),
    (Initializer::Zeros, &["zeros", "Zeros", "zero"]),
    (Initializer::Ones, &["ones", "Ones", "one"]),
];

/// The names of Keras 3.15 that no weight of ours can be drawn by, and what to do instead.
const UNUSABLE: &[(&[&str], &str)] = &[
    (
        &["constant", "Constant"],
        "the name alone has no value, and Keras 3.15 refuses it too: write Initializer::Constant(value)",
    ),
    (
        &["initializer", "Initializer"],
        "it is the class that all others are made from and draws nothing: name one of those",
    ),
    (
        &["stft", "STFT", "STFTInitializer"],
        "it fills the kernels of a convolution, which have three axes: for a weight of these layers name another one",
    ),
];

impl Initializer {
    /// The initialiser that Keras 3.15 calls `name`, with Keras's default parameters; class names
    /// (`GlorotUniform`) do too.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a name of Keras that draws no weight of these layers (`constant` without its value,
    /// `stft`, the base class), and [`Error::Value`] for any other name.
    ///
    /// ```
    /// use cellstate::Initializer;
    ///
    /// assert_eq!(Initializer::from_name("uniform")?, Initializer::RandomUniform { min: -0.05, max: 0.05 });
    /// assert!(Initializer::from_name("xavier").is_err());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn from_name(name: &str) -> Result<Self> {
        match NAMED.iter().find(|(_, names)| names.contains(&name)) {
            Some((initializer, _)) => Ok(*initializer),
            None => Err(unknown(name)),
        }
    }

    /// The name in Keras 3.15; it does not carry the parameters.
    ///
    /// ```
    /// assert_eq!(cellstate::Initializer::Orthogonal { gain: 0.5 }.name(), "orthogonal");
    /// ```
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::GlorotUniform => "glorot_uniform",
            Self::GlorotNormal => "glorot_normal",
            Self::HeUniform => "he_uniform",
            Self::HeNormal => "he_normal",
            Self::LecunUniform => "lecun_uniform",
            Self::LecunNormal => "lecun_normal",
            Self::RandomUniform { .. } => "random_uniform",
            Self::RandomNormal { .. } => "random_normal",
            Self::TruncatedNormal { .. } => "truncated_normal",
            Self::Orthogonal { .. } => "orthogonal",
            Self::Identity { .. } => "identity",
            Self::Zeros => "zeros",
            Self::Ones => "ones",
            Self::Constant(_) => "constant",
        }
    }

    /// A weight of `shape` (rows, columns). Each weight of a layer has a `stream` of its own, so that it does not change
    /// when another one does.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] for parameters that make no sense, [`Error::Size`] for a shape without elements or one that
    /// memory cannot hold.
    pub(crate) fn draw(&self, shape: (usize, usize), seed: u64, stream: u64) -> Result<Array2<f32>> {
        self.check()?;
        let values = draw::values(self, shape, seed, stream)?;
        self.check_drawn(&values)?;
        Array2::from_shape_vec(shape, values).map_err(|_| self.wrong_shape(shape))
    }

    /// A bias of `layer`, whose parts have these lengths (more than one where Keras draws it part by part).
    ///
    /// # Errors
    ///
    /// As [`draw`](Self::draw), and [`Error::Value`] for the initialisers that need rows and columns: Keras 3.15 has a
    /// `ValueError` there.
    pub(crate) fn draw_bias(&self, layer: &str, parts: &[usize], seed: u64, stream: u64) -> Result<Array1<f32>> {
        if matches!(self, Self::Orthogonal { .. } | Self::Identity { .. }) {
            return Err(Error::Value {
                argument: format!("bias_initializer of the {layer}"),
                expected: "an initialiser for one axis".to_owned(),
                found: format!("{self}, which needs rows and columns"),
                repair: "use Initializer::Zeros (Keras's default), Ones, Constant, or one of the random ones"
                    .to_owned(),
            });
        }
        self.check()?;
        let values = draw::bias_values(self, parts, seed, stream)?;
        self.check_drawn(&values)?;
        Ok(Array1::from_vec(values))
    }

    fn check_drawn(&self, values: &[f32]) -> Result<()> {
        match values.iter().find(|value| !value.is_finite()) {
            Some(&value) => Err(self.wrong("parameters", "small enough that f32 can hold what is drawn", value)),
            None => Ok(()),
        }
    }

    /// Every parameter must be finite and in its range.
    fn check(&self) -> Result<()> {
        let finite = |parameter: &str, value: f32| {
            if value.is_finite() {
                Ok(())
            } else {
                Err(self.wrong(parameter, "a finite number", value))
            }
        };
        match *self {
            Self::RandomUniform { min, max } => {
                finite("min", min)?;
                finite("max", max)?;
                if min > max {
                    return Err(self.wrong("min", &format!("at most max ({max})"), min));
                }
            }
            Self::RandomNormal { mean, deviation } | Self::TruncatedNormal { mean, deviation } => {
                finite("mean", mean)?;
                finite("deviation", deviation)?;
                if deviation < 0.0 {
                    return Err(self.wrong("deviation", "0 or more", deviation));
                }
            }
            Self::Orthogonal { gain } | Self::Identity { gain } => finite("gain", gain)?,
            Self::Constant(value) => finite("value", value)?,
            _ => {}
        }
        Ok(())
    }

    fn wrong(&self, parameter: &str, expected: &str, found: f32) -> Error {
        Error::Value {
            argument: format!("{self}.{parameter}"),
            expected: expected.to_owned(),
            found: found.to_string(),
            repair: format!("correct {parameter}"),
        }
    }

    fn wrong_shape(&self, (rows, columns): (usize, usize)) -> Error {
        Error::Size {
            argument: format!("{self}.shape"),
            expected: "(rows, columns) of at least 1 each that fit into memory".to_owned(),
            found: format!("({rows}, {columns})"),
            repair: "correct the features and units of the layer".to_owned(),
        }
    }
}

impl fmt::Display for Initializer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Initializer {
    type Err = Error;

    /// The same as [`Initializer::from_name`].
    fn from_str(name: &str) -> Result<Self> {
        Self::from_name(name)
    }
}

/// The error for a name that [`Initializer::from_name`] does not know.
fn unknown(name: &str) -> Error {
    if let Some((_, instead)) = UNUSABLE.iter().find(|(names, _)| names.contains(&name)) {
        return Error::Unsupported {
            layer: "initializer".to_owned(),
            option: name.to_owned(),
            instead: (*instead).to_owned(),
        };
    }
    let plain = |text: &str| text.replace(['_', '-', ' '], "").to_lowercase();
    let known = NAMED
        .iter()
        .flat_map(|(_, names)| names.iter())
        .find(|known| plain(known) == plain(name));
    let repair = match (known, plain(name).as_str()) {
        (Some(known), _) => format!("write \"{known}\""),
        (None, text) if text.starts_with("xavier") => "Xavier is called glorot here, as in Keras".to_owned(),
        (None, text) if text.starts_with("kaiming") => "Kaiming is called he here, as in Keras".to_owned(),
        _ => "use one of these".to_owned(),
    };
    let names: Vec<&str> = NAMED.iter().map(|(initializer, _)| initializer.name()).collect();
    Error::Value {
        argument: "initializer".to_owned(),
        expected: format!("one of {}", names.join(", ")),
        found: format!("{name:?}"),
        repair,
    }
}

#[cfg(test)]
mod tests;
