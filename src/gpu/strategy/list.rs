//! The list of the strategies.

use crate::gpu::strategy::entry::Entry;
use crate::gpu::strategy::{solo, step, team};

/// All there are. The first one can run everything; without a name or a measurement the last one that suits is taken.
pub(crate) const ALL: [&Entry; 3] = [&step::ENTRY, &solo::ENTRY, &team::ENTRY];
