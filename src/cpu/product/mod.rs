//! Products of rows and weights with the vector instructions of the machine.

pub(crate) mod activation;
pub(crate) mod matrix;
pub(crate) mod outer;
pub(crate) mod panels;
pub(crate) mod path;
pub(crate) mod rows;
pub(crate) mod simd;
pub(crate) mod tile;
