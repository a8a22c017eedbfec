//! Over which threads a recurrence is split, and how they meet.

pub(crate) mod crew;
pub(crate) mod exchange;
pub(crate) mod hand;
pub(crate) mod pool;
pub(crate) mod split;
