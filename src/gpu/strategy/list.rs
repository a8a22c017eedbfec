//! The list of the strategies.

use crate::gpu::strategy::entry::Entry;
use crate::gpu::strategy::{solo, step, team};
use crate::settings::Strategy;

/// All there are. Without a name or a measurement the last one that suits is taken.
pub(crate) const ALL: [&Entry; 3] = [&step::ENTRY, &solo::ENTRY, &team::ENTRY];

/// Whether workgroups of a strategy wait for each other.
pub(crate) fn waits(strategy: Strategy) -> bool {
    ALL.iter().any(|entry| entry.waits && entry.name == strategy)
}

/// The one that can run everything everywhere, and that waits for nobody.
pub(crate) const EVERYTHING: Strategy = step::ENTRY.name;
