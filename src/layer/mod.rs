//! The layers and what they are made of.

pub mod initializer;
