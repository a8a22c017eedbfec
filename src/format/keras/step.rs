//! A step of the chain: which layer, and what it is called with.

/// A layer of the chain.
#[derive(Debug)]
pub(super) struct Step {
    /// Which of the layers that the configuration lists.
    pub(super) index: usize,
    /// The layer before it, by its name; empty where nothing depends on it.
    pub(super) before: String,
    pub(super) mask: MaskArgument,
    /// Whether its states are outputs of the model too.
    pub(super) gives_states: bool,
}

impl Step {
    /// A layer of a Sequential, of which nothing more is said.
    pub(super) fn of_sequential(index: usize) -> Self {
        Self {
            index,
            before: String::new(),
            mask: MaskArgument::Implied,
            gives_states: false,
        }
    }
}

/// What a functional model passes to a layer as its mask.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum MaskArgument {
    /// Nothing is said: the mask that comes along with the input, if one does.
    Implied,
    /// The mask of the steps that do not equal a value.
    Unequal {
        /// The layer whose output is compared.
        of: String,
        value: f64,
        /// Whether all features have to be equal (Masking), and not a token (Embedding).
        of_features: bool,
    },
}
