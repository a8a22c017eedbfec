//! `reshape`: the values of rows, one row behind the other, as rows of another width. The numbers lie as they did.

use super::gather::Gathered;

/// All values of the gathered rows, in their order.
pub(crate) fn reshape(gathered: Gathered<'_>, rows: &mut [f32]) {
    gathered.source.gather_into(gathered.index, rows);
}
