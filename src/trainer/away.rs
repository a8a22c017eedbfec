//! What is not at home.

/// What the device has newer than the host.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Away {
    pub(super) weights: bool,
    /// What the optimiser remembers.
    pub(super) slots: bool,
}
