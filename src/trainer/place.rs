//! Where a training is.

use std::fmt;

/// Where a training is, as messages say it: epoch and batch from 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(pub(super) Option<(usize, usize)>);

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((epoch, batch)) => write!(formatter, "epoch {epoch}, batch {batch}"),
            None => formatter.write_str("the batch"),
        }
    }
}
