//! What can go wrong, and the call that repairs it.

mod cause;
mod message;

use std::path::PathBuf;

pub use cause::Cause;

/// The result of every call of this crate that can fail.
///
/// ```
/// fn last_reading(series: &[f32]) -> cellstate::Result<f32> {
///     let windows = cellstate::windows(ndarray::aview1(series).insert_axis(ndarray::Axis(1)), 1, 1, 1)?;
///     Ok(windows.targets[[windows.targets.len() - 1, 0, 0]])
/// }
/// assert_eq!(last_reading(&[1.0, 2.0, 3.0]), Ok(3.0));
/// assert!(last_reading(&[1.0]).is_err());
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong.
///
/// A message has three parts: what was expected, what came, and what repairs it. The fields carry the same facts for
/// programs that want to react, and [`source`](std::error::Error::source) the error of the system or of the driver where there
/// is one. [`Error::Defect`] alone is no fault of the caller.
///
/// ```
/// use cellstate::{Error, Sequences};
/// use ndarray::Array2;
///
/// let error = Sequences::try_from(Array2::<f32>::zeros((20, 2))).unwrap_err();
/// assert!(matches!(error, Error::Rank { .. }));
/// assert!(error.to_string().contains("insert_axis"));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// An array with another number of axes than wanted.
    Rank {
        /// The argument that is wrong.
        argument: String,
        /// The axes wanted, by name.
        axes: &'static str,
        /// The shape that came.
        shape: Vec<usize>,
        /// What to do.
        repair: String,
    },
    /// The input has another number of features than the layer was made for.
    Features {
        /// The layer that was given the input.
        layer: String,
        /// The number of features that the layer was made for.
        expected: usize,
        /// The number of features that came.
        found: usize,
        /// The shape of the input; empty where it is the layer before that does not fit.
        shape: Vec<usize>,
        /// What to do.
        repair: String,
    },
    /// Tokens where numbers are wanted, or the reverse.
    InputKind {
        /// The layer that was given the input.
        layer: String,
        /// The kind of input that the layer takes.
        expected: &'static str,
        /// The kind of input that came.
        found: &'static str,
        /// What to do.
        repair: String,
    },
    /// An array or list of the wrong size: a mask, lengths, a state, a weight.
    Size {
        /// The argument that is wrong.
        argument: String,
        /// The size wanted.
        expected: String,
        /// The size that came.
        found: String,
        /// What to do.
        repair: String,
    },
    /// A length that is longer than the padded time axis.
    Length {
        /// The sequence with the wrong length.
        sequence: usize,
        /// The length that came.
        length: usize,
        /// The number of time steps of the batch.
        time_steps: usize,
        /// What to do.
        repair: String,
    },
    /// A token that the embedding has no row for.
    Token {
        /// The layer that was given the token.
        layer: String,
        /// The sequence with the token.
        sequence: usize,
        /// The time step with the token.
        time_step: usize,
        /// The token.
        token: i32,
        /// The number of rows of the embedding.
        input_dim: usize,
    },
    /// NaN or infinity where a finite number is wanted.
    NotFinite {
        /// The tensor that holds it.
        tensor: String,
        /// Where in the tensor.
        index: Vec<usize>,
        /// The value that came, as text (NaN does not equal itself).
        value: String,
        /// What to do.
        repair: String,
    },
    /// A value outside the range that makes sense.
    Value {
        /// The argument that is wrong.
        argument: String,
        /// The values that make sense.
        expected: String,
        /// The value that came.
        found: String,
        /// What to do.
        repair: String,
    },
    /// A file that cannot be read or written.
    File {
        /// The argument that names the file.
        argument: &'static str,
        /// What the file was to be.
        expected: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said: what [`source`](std::error::Error::source) gives, a [`std::io::Error`].
        cause: Cause,
        /// What to do.
        repair: String,
    },
    /// A file that is cut off, damaged, or not what it says it is.
    Content {
        /// The file.
        path: PathBuf,
        /// Where in the file: a member, a tensor, a node, a byte.
        place: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
        /// What to do.
        repair: String,
    },
    /// An option that exists elsewhere and is not done here.
    Unsupported {
        /// The layer with the option.
        layer: String,
        /// The option.
        option: String,
        /// What would do instead.
        instead: String,
    },
    /// Layers that do not fit together.
    Chain {
        /// The position of the layer in the model, from 0.
        position: usize,
        /// The layer.
        layer: String,
        /// What the layer wants before it.
        expected: String,
        /// What is before it.
        found: String,
        /// What to do.
        repair: String,
    },
    /// No such device.
    NoDevice {
        /// What was looked for.
        wanted: String,
        /// The names of the adapters that there are.
        available: Vec<String>,
        /// What to do.
        repair: String,
    },
    /// Something larger than the device can hold.
    TooLarge {
        /// What is too large.
        what: String,
        /// How much it needs, in the unit of the limit.
        needed: u64,
        /// How much is allowed.
        limit: u64,
        /// The limit's unit and name.
        limit_name: &'static str,
        /// What would fit.
        repair: String,
    },
    /// More main memory than there is, or than this computer can address.
    Memory {
        /// What was to be allocated.
        what: &'static str,
        /// The shape of it.
        shape: Vec<usize>,
        /// The bytes it needs; `u64::MAX` if it is even more.
        bytes: u64,
        /// What to do.
        repair: String,
    },
    /// The GPU or its driver failed: out of memory, device lost, a validation error.
    Gpu {
        /// What was being done.
        doing: &'static str,
        /// The adapter's name.
        adapter: String,
        /// What the driver said.
        message: String,
        /// The error that `wgpu` reported, where it reported one: what [`source`](std::error::Error::source) gives.
        cause: Option<Cause>,
    },
    /// A mistake of this crate, not of the caller: please report it.
    Defect {
        /// What does not fit together inside the crate.
        what: String,
    },
}

impl Error {
    /// A mistake of ours, where both sides were made from the same model: better an error than a panic.
    pub(crate) fn defect(what: &str) -> Self {
        Self::Defect { what: what.to_owned() }
    }
}

impl std::error::Error for Error {
    /// The error of the system or of the driver behind this one: for [`Error::File`] a [`std::io::Error`], for
    /// [`Error::Gpu`] what `wgpu` reported.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { cause, .. } => Some(cause.error()),
            Self::Gpu { cause, .. } => cause.as_ref().map(Cause::error),
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that finds no source has failed")]
mod tests {
    use std::error::Error as _;
    use std::io;

    use super::*;

    fn of_file(kind: io::ErrorKind) -> Error {
        Error::File {
            argument: "tuning_file",
            expected: "a file that can be read",
            path: PathBuf::from("/nowhere/tuning"),
            cause: Cause::new(io::Error::from(kind)),
            repair: "name another file".to_owned(),
        }
    }

    #[test]
    fn the_source_is_the_error_of_the_system() {
        let error = of_file(io::ErrorKind::PermissionDenied);
        let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
        assert_eq!(source.kind(), io::ErrorKind::PermissionDenied);
        let message = error.to_string();
        for text in [
            "a file that can be read",
            "/nowhere/tuning",
            &source.to_string(),
            "name another file",
        ] {
            assert!(message.contains(text), "{text:?} is not in {message}");
        }
        assert_eq!(error, error.clone());
        assert_ne!(error, of_file(io::ErrorKind::NotFound));
    }

    #[test]
    fn the_source_is_the_error_of_the_driver() {
        let gpu = |cause| Error::Gpu {
            doing: "running",
            adapter: "a GPU".to_owned(),
            message: "lost".to_owned(),
            cause,
        };
        let error = gpu(Cause::of_driver(io::Error::other("lost")));
        assert!(error.source().unwrap().is::<io::Error>());
        assert!(gpu(None).source().is_none());
        assert_ne!(error, gpu(None));
    }

    #[test]
    fn a_defect_is_no_argument_of_the_caller() {
        let error = Error::defect("the shape of an output");
        assert!(matches!(&error, Error::Defect { what } if what == "the shape of an output"));
        let message = error.to_string();
        assert!(
            message.contains("defect of cellstate") && message.contains("please report it"),
            "{message}"
        );
    }

    #[test]
    fn a_negative_token_is_padding() {
        let message = |token| {
            let error = Error::Token {
                layer: "Embedding".to_owned(),
                sequence: 1,
                time_step: 2,
                token,
                input_dim: 10,
            };
            error.to_string()
        };
        for token in [-1, i32::MIN] {
            let message = message(token);
            assert!(
                message.contains("with_lengths") && message.contains("with_mask"),
                "{message}"
            );
            assert!(
                message.contains("from 0 to 9") && !message.contains("larger"),
                "{message}"
            );
        }
        assert!(message(10).contains("larger") && !message(10).contains("with_lengths"));
    }
}
