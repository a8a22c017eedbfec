//! The CPU path: the stages of a flow, by the same names as on the GPU.

mod buffer;
mod exchange;
mod gates;
mod hand;
mod input_projection;
mod kept;
mod merge;
mod panels;
mod path;
mod plan;
mod product;
mod recurrent_step;
mod rowwise_step;
mod share;
mod simd;
mod source;
mod team;
mod threads;
mod vector_activation;

use std::sync::Arc;

use ndarray::{Array2, ArrayD, IxDyn};

use crate::error::{Error, Result};
use crate::flow::{Flow, Gather, Input, Placed, Ran, Source as From, Stage};
use crate::model::parts::Parts;
use crate::settings::Settings;
use crate::state::State;
use buffer::{Buffer, Buffers};
use hand::Reading;
use path::Path;
use recurrent_step::Recurrent;
use source::Source;

/// A model that is ready to run on the CPU.
#[derive(Debug)]
pub(crate) struct CpuModel {
    parts: Arc<Parts>,
    path: Path,
    cells: Vec<Recurrent>,
    buffers: Buffers,
}

impl CpuModel {
    pub(crate) fn new(parts: Arc<Parts>, settings: &Settings) -> Result<Self> {
        let path = Path::choose(settings.wanted_instructions())?;
        Ok(Self {
            cells: parts
                .cells
                .iter()
                .map(|cell| Recurrent::new(cell, path, settings.wanted_precision()))
                .collect(),
            parts,
            path,
            buffers: Buffers::default(),
        })
    }

    /// How a batch of (batch, time_steps) is run if nothing of it is padding: a line for the machine, then one for each LSTM
    /// in the order of its states.
    pub(crate) fn explain(&self, batch: usize, time_steps: usize) -> Vec<String> {
        let (lanes, _) = self.path.tile();
        let machine = format!(
            "{} instructions, {lanes} numbers at a time; up to {} threads",
            self.path.name(),
            threads::count()
        );
        let cells = self.cells.iter().enumerate();
        let cells = cells.map(|(number, cell)| format!("LSTM {number}: {}", cell.explain(batch, time_steps)));
        std::iter::once(machine).chain(cells).collect()
    }

    /// Runs a flow from the states of all cells.
    pub(crate) fn run(&self, flow: &Flow, input: Input<'_>, states: &[State]) -> Result<Ran> {
        let values = match &input {
            Input::Values(values) => Some(values.as_standard_layout()),
            Input::Tokens(_) | Input::Full { .. } => None,
        };
        let features = values.as_ref().map_or(0, |values| values.dim().2);
        let tables: Vec<_> = self
            .parts
            .tables
            .iter()
            .map(|table| table.as_standard_layout())
            .collect();
        let widths = flow
            .widths
            .iter()
            .copied()
            .chain(tables.iter().map(|table| table.ncols()));
        let widest = widths.max().unwrap_or(0).max(features);
        let mut zeros = self.buffers.take(widest);
        zeros.fill(0.0);
        let mut sources = Sources {
            input: values.as_ref().and_then(|values| values.as_slice()).unwrap_or_default(),
            features,
            input_steps: &flow.input_steps,
            tables: tables
                .iter()
                .map(|table| (table.as_slice().unwrap_or_default(), table.ncols()))
                .collect(),
            stages: Vec::with_capacity(flow.stages.len()),
            zeros: &zeros,
        };
        let mut finals: Vec<State> = states.to_vec();
        let mut rows_run = 0;
        for (stage, &width) in flow.stages.iter().zip(&flow.widths) {
            let rows = match stage {
                Stage::Recurrent { cell, schedule, input } => {
                    let (Some(recurrent), Some(state)) = (self.cells.get(*cell), finals.get_mut(*cell)) else {
                        return Err(Error::defect("a cell of the flow"));
                    };
                    let reading = Reading {
                        schedule,
                        index: &input.index,
                        source: sources.get(input)?,
                    };
                    let (rows, run) = recurrent.run(reading, state, &self.buffers);
                    rows_run += run;
                    Rows::Buffer(rows)
                }
                Stage::Dense { dense, input } => {
                    let part = self
                        .parts
                        .denses
                        .get(*dense)
                        .ok_or_else(|| Error::defect("a Dense layer of the flow"))?;
                    let rows = sources.get(input)?.gather_rows(&input.index);
                    Rows::Array(input_projection::dense(rows.view(), &part.weights, part.activation))
                }
                Stage::Merge {
                    merge,
                    forward,
                    backward,
                } => {
                    let [forward, backward] = [
                        sources.get(forward)?.gather_rows(&forward.index),
                        sources.get(backward)?.gather_rows(&backward.index),
                    ];
                    // `concatenate` gives columns one after another
                    let merged = merge::merge(*merge, forward, backward);
                    Rows::Array(merged.as_standard_layout().into_owned())
                }
            };
            sources.stages.push((rows, width));
        }
        let outputs = flow
            .outputs
            .iter()
            .map(|placed| place(&sources, placed))
            .collect::<Result<_>>()?;
        Ok(Ran {
            outputs,
            states: finals,
            rows_run,
            timing: None,
        })
    }
}

/// The rows that a stage has made.
enum Rows<'a> {
    Buffer(Buffer<'a>),
    Array(Array2<f32>),
}

/// The rows that stages may read, each kind with its width.
struct Sources<'a> {
    input: &'a [f32],
    features: usize,
    input_steps: &'a [u32],
    tables: Vec<(&'a [f32], usize)>,
    stages: Vec<(Rows<'a>, usize)>,
    zeros: &'a [f32],
}

impl Sources<'_> {
    fn get(&self, gather: &Gather) -> Result<Source<'_>> {
        match gather.source {
            From::Input => Some(Source::new(self.input, self.features, self.zeros).chosen(self.input_steps)),
            From::Table(table) => {
                let table = self.tables.get(table);
                table.map(|&(values, width)| Source::new(values, width, self.zeros))
            }
            From::Stage(stage) => self.stages.get(stage).map(|(rows, width)| {
                let values = match rows {
                    Rows::Buffer(buffer) => buffer,
                    Rows::Array(array) => array.as_slice().unwrap_or_default(),
                };
                Source::new(values, *width, self.zeros)
            }),
        }
        .ok_or_else(|| Error::defect("a source of the flow"))
    }
}

/// Puts the rows of an output to their (sequence, time step).
fn place(sources: &Sources<'_>, placed: &Placed) -> Result<ArrayD<f32>> {
    let values = sources.get(&placed.gather)?.gather(&placed.gather.index);
    ArrayD::from_shape_vec(IxDyn(&placed.shape), values).map_err(|_| Error::defect("the shape of an output"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use ndarray::Array2;
    use rayon::ThreadPoolBuilder;

    use super::*;
    use crate::layer::Layer;
    use crate::layer::lstm::Lstm;
    use crate::settings::{Instructions, Precision};

    /// A model on plain instructions and two threads.
    fn explained(layers: &[Layer], precision: Precision, batch: usize) -> Vec<String> {
        let settings = Settings::new().instructions(Instructions::Plain).precision(precision);
        let parts = Arc::new(Parts::new(layers).unwrap());
        let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        pool.install(|| CpuModel::new(parts, &settings).unwrap().explain(batch, 1000))
    }

    #[test]
    fn a_model_says_how_it_runs() {
        let beyond = Lstm::new(128, 2)
            .with_weights(Array2::from_elem((128, 8), 1e5), Array2::zeros((2, 8)), None)
            .unwrap();
        let layers = [Lstm::new(64, 128).return_sequences(true).into(), beyond.into()];
        assert_eq!(
            explained(&layers, Precision::Relaxed, 1),
            [
                "plain instructions, 4 numbers at a time; up to 2 threads",
                "LSTM 0: 64 features, 128 units: units split over a team of 2 threads, a row at a time; weights rounded to f16, \
                 read as f32, which is faster with these instructions",
                "LSTM 1: 128 features, 2 units: one thread, a row at a time; weights in f32, for one of them is beyond the \
                 range of f16",
            ]
        );
        let lines = explained(&layers, Precision::Full, 32);
        assert_eq!(
            lines[1],
            "LSTM 0: 64 features, 128 units: sequences dealt out to 2 threads, tiles of 2 rows; weights in f32"
        );
        // where there are halves, they are read where that is faster
        let best = Path::choose(None).unwrap();
        let kept = |units: usize| {
            let parts = Parts::new(&[Lstm::new(2, units).into()]).unwrap();
            kept::Kept::choose(&parts.cells[0], best, Precision::Relaxed).1
        };
        if best.has_halves() {
            assert_eq!([kept(64), kept(128)], [kept::Kept::Small, kept::Kept::Halves]);
        } else {
            assert_eq!([kept(64), kept(128)], [kept::Kept::FullFaster; 2]);
        }
    }
}
