#![doc = include_str!("../README.md")]

pub mod activation;
mod cpu;
pub mod device;
pub mod error;
mod flow;
mod gpu;
pub mod layer;
mod memory;
pub mod model;
pub mod runner;
pub mod schedule;
pub mod sequences;
pub mod settings;
pub mod state;
pub mod tuning;

pub use activation::Activation;
pub use device::Device;
pub use error::{Cause, Error, Result};
pub use gpu::device::Gpu;
pub use gpu::device::buffer::Counters;
pub use layer::Layer;
pub use layer::bidirectional::{Bidirectional, MergeMode};
pub use layer::dense::Dense;
pub use layer::embedding::Embedding;
pub use layer::initializer::Initializer;
pub use layer::lstm::{Lstm, LstmOptions};
pub use layer::masking::Masking;
pub use layer::stacked::StackedRnnCells;
pub use layer::weights::{DenseWeights, GATES, LstmWeights};
pub use model::{Model, ModelBuilder};
pub use runner::{Explanation, Runner};
pub use schedule::{Direction, Schedule};
pub use sequences::{Mask, Padding, Sequences, Side, Windows, windows};
pub use settings::{Instructions, Precision, Settings, Strategy};
pub use state::{Output, State, States, Timing};
pub use tuning::{Candidate, TunedLayer, Tuning};
