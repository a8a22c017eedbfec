//! What a unit sums up.

/// What one number that a unit sums up takes its columns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lane {
    /// The gate of `kernel`: columns `gate * units ..`.
    pub(crate) kernel: Option<usize>,
    /// The gate of `recurrent_kernel`.
    pub(crate) recurrent: Option<usize>,
    /// The recurrent columns multiply r * h, not h: known only once the lanes of r are finished.
    pub(crate) of_reset: bool,
}

impl Lane {
    /// Both kernels' columns of one gate.
    pub(super) const fn of(gate: usize) -> Self {
        Self {
            kernel: Some(gate),
            recurrent: Some(gate),
            of_reset: false,
        }
    }

    /// A lane that is always zero: there so that the lanes of a unit fill a vector.
    pub(super) const NOTHING: Self = Self {
        kernel: None,
        recurrent: None,
        of_reset: false,
    };
}
