#![doc = include_str!("../README.md")]

// what tests of several kinds share calls the library by its name
#[cfg(test)]
extern crate self as cellstate;

mod activation;
mod cell;
mod copy;
mod cpu;
mod device;
#[cfg(test)]
#[path = "../tests/support/drawn.rs"]
mod drawn;
mod error;
mod file;
mod flow;
mod format;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that finds no value has failed")]
mod golden;
mod gpu;
mod gradients;
mod half_precision;
mod hyperparameter;
mod layer;
mod learning_rate;
mod loss;
mod memory;
mod metric;
mod model;
mod optimizer;
mod output;
mod parameters;
mod random;
mod recent;
mod regularizer;
mod runner;
mod schedule;
mod selection;
mod sequences;
mod settings;
mod state;
mod states;
mod sums;
mod trace;
mod trainer;
mod tuning;

pub use activation::Activation;
pub use cell::gru::GruOptions;
pub use cell::lstm::LstmOptions;
pub use cell::simple_rnn::SimpleRnnOptions;
pub use device::Device;
pub use error::{Cause, Error, Result};
pub use format::OpenOptions;
#[cfg(feature = "safetensors")]
pub use format::state_dict::module::Module;
#[cfg(feature = "safetensors")]
pub use format::state_dict::modules::Modules;
pub use gpu::device::{Counters, Gpu};
pub use gpu::{GpuStates, GpuWorkspace};
pub use gradients::{Gradients, Upstream};
pub use layer::batch_normalization::{BatchNormalization, BatchNormalizationWeights};
pub use layer::bidirectional::{Bidirectional, MergeMode};
pub use layer::dense::Dense;
pub use layer::dropout::Dropout;
pub use layer::embedding::Embedding;
pub use layer::end_mask::EndMask;
pub use layer::flatten::Flatten;
pub use layer::gru::{Gru, GruWeights};
pub use layer::initializer::Initializer;
pub use layer::last_step::LastStep;
pub use layer::layer_normalization::{LayerNormalization, LayerNormalizationWeights};
pub use layer::lstm::{Lstm, LstmWeights};
pub use layer::masking::Masking;
pub use layer::recurrent::{Recurrent, RecurrentOptions};
pub use layer::repeat_vector::RepeatVector;
pub use layer::reshape::Reshape;
pub use layer::simple_rnn::{SimpleRnn, SimpleRnnWeights};
pub use layer::stacked::StackedRnnCells;
pub use layer::weights::DenseWeights;
pub use layer::{Layer, TimeDistributed};
pub use learning_rate::{
    CosineDecay, ExponentialDecay, LearningRate, PiecewiseConstantDecay, PolynomialDecay, ReduceOnPlateau,
};
pub use loss::{
    BinaryCrossentropy, CategoricalCrossentropy, Ctc, Huber, Loss, LossValue, SparseCategoricalCrossentropy, Targets,
};
pub use metric::Metric;
pub use model::{Model, ModelBuilder};
pub use optimizer::{Adagrad, Adam, AdamW, Lion, Nadam, Optimizer, RmsProp, Sgd};
pub use output::{Output, Timing};
pub use parameters::{Parameter, Parameters, Role};
pub use regularizer::Regularizer;
pub use runner::{Explanation, Runner};
pub use selection::ParameterSelection;
pub use sequences::{Mask, Padding, Sequences, Side, Windows, windows};
pub use settings::{Instructions, Precision, Settings, Strategy};
pub use state::State;
pub use states::States;
pub use trainer::{
    Answer, BatchReport, EarlyStopping, Ended, Epoch, EpochReport, Examples, Fit, History, Next, Scores, Trainer,
};
pub use tuning::{Candidate, TunedLayer, Tuning};
