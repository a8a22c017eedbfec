//! What stands where in the file of a checkpoint.

/// What the JSON stands under in the header.
pub(super) const KEY: &str = "cellstate_checkpoint";

/// The version of the format.
pub(super) const VERSION: u64 = 1;

pub(super) const WEIGHTS: &str = "weights/";
pub(super) const BEST: &str = "best/";
pub(super) const SLOTS: &str = "slots/";
pub(super) const STATES: &str = "states/";
