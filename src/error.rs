//! What can go wrong, and the call that repairs it.

/// The result of every call of this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong.
///
/// A message has three parts: what was expected, what came, and what repairs it. The fields carry the same facts for
/// programs that want to react.
///
/// ```
/// use cellstate::{Error, Sequences};
/// use ndarray::Array2;
///
/// let error = Sequences::try_from(Array2::<f32>::zeros((20, 2))).unwrap_err();
/// assert!(matches!(error, Error::Rank { .. }));
/// assert!(error.to_string().contains("insert_axis"));
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An array with another number of axes than wanted.
    #[error("{argument}: expected axes {axes}, got shape {shape:?} with {} axes; {repair}", shape.len())]
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
    #[error("{layer}: expected {expected} features, got {found}{}; {repair}", of_shape(shape))]
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
    #[error("{layer}: expected {expected}, got {found}; {repair}")]
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
    #[error("{argument}: expected {expected}, got {found}; {repair}")]
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
    #[error("lengths[{sequence}]: expected at most {time_steps} (time_steps), got {length}; {repair}")]
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
    #[error(
        "{layer}: expected tokens from 0 to {}, got {token} in sequence {sequence} at time step {time_step}; \
         map unknown tokens to a row of their own, or make the embedding larger",
        input_dim.saturating_sub(1)
    )]
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
    #[error("{tensor} at {index:?}: expected a finite number, got {value}; {repair}")]
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
    #[error("{argument}: expected {expected}, got {found}; {repair}")]
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
    /// An option that exists elsewhere and is not done here.
    #[error("{layer}: {option} is not supported; {instead}")]
    Unsupported {
        /// The layer with the option.
        layer: String,
        /// The option.
        option: String,
        /// What would do instead.
        instead: String,
    },
    /// Layers that do not fit together.
    #[error("layer {position} ({layer}): expected {expected}, got {found}; {repair}")]
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
    #[error("expected {wanted}, got {}; {repair}", if available.is_empty() { "no GPU at all".to_owned() } else { format!("only {}", available.join(", ")) })]
    NoDevice {
        /// What was looked for.
        wanted: String,
        /// The names of the adapters that there are.
        available: Vec<String>,
        /// What to do.
        repair: String,
    },
    /// Something larger than the device can hold.
    #[error("{what}: needs {needed}, the limit is {limit} ({limit_name}); {repair}")]
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
    #[error("{what}: shape {shape:?} needs {bytes} bytes of memory, more than can be had; {repair}")]
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
    #[error(
        "{doing}: expected the GPU {adapter} to do it, got: {message}; if memory ran out, Runner::gpu_memory says what a \
         batch takes, else try Device::cpu() and a newer driver"
    )]
    Gpu {
        /// What was being done.
        doing: &'static str,
        /// The adapter's name.
        adapter: String,
        /// What the driver said.
        message: String,
    },
}

impl Error {
    /// What cannot happen, for both sides were made from the same model: better an error than a panic.
    pub(crate) fn defect(what: &str) -> Self {
        Self::Value {
            argument: what.to_owned(),
            expected: "to belong to this model".to_owned(),
            found: "something else".to_owned(),
            repair: "this is a defect of cellstate: please report it".to_owned(),
        }
    }
}

fn of_shape(shape: &[usize]) -> String {
    if shape.is_empty() {
        String::new()
    } else {
        format!(" (input shape {shape:?})")
    }
}
