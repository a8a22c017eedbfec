//! Plays a golden case on whatever can run it, and judges what comes out.

use std::collections::BTreeMap;

use ndarray::ArrayD;

use super::{
    golden::{Call, Case, Step},
    judge::{Closeness, compare},
    layers::{CellSpec, Chain, StatePair},
    reference::{self, Mutant, State},
};

/// What came out of one call.
#[derive(Clone, Debug)]
pub(crate) struct Outputs {
    pub(crate) values: ArrayD<f32>,
    pub(crate) backward: Option<ArrayD<f32>>,
    /// Hidden and cell of each state of the last layers, in order; all there are, or only those of the last layer.
    pub(crate) states: Vec<StatePair>,
}

/// Something that runs a chain of layers and remembers its states from call to call. A browser's runs end later.
pub(crate) trait Subject {
    async fn call(&mut self, call: &Call) -> Result<Outputs, String>;
    fn reset_state(&mut self) -> Result<(), String>;
}

/// Plays the whole case. An error lists all that is wrong.
pub(crate) fn play(case: &Case, chain: &Chain, subject: &mut impl Subject) -> Result<Closeness, String> {
    pollster::block_on(play_async(case, chain, subject))
}

/// As [`play`].
pub(crate) async fn play_async(case: &Case, chain: &Chain, subject: &mut impl Subject) -> Result<Closeness, String> {
    let mut closeness = Closeness::default();
    let mut wrong = Vec::new();
    for (position, step) in case.steps()?.iter().enumerate() {
        match step {
            Step::ResetState => subject.reset_state()?,
            Step::Call(call) => {
                let outputs = subject.call(call).await;
                let outputs = outputs.map_err(|error| format!("call {position}: {error}"))?;
                match judge(case, chain, call, outputs) {
                    Ok(this) => closeness = closeness.and(this),
                    Err(message) => wrong.push(message),
                }
            }
        }
    }
    match wrong.is_empty() {
        true => Ok(closeness),
        false => Err(wrong.join("; ")),
    }
}

/// Compares every tensor that the call expects.
fn judge(case: &Case, chain: &Chain, call: &Call, outputs: Outputs) -> Result<Closeness, String> {
    let named = named(chain, outputs)?;
    let mut closeness = Closeness::default();
    let mut wrong = Vec::new();
    if call.expect.is_empty() {
        return Err("the case expects nothing".to_owned());
    }
    for (output, tensor) in &call.expect {
        let tolerance = case.tolerance.get(tensor);
        let tolerance = tolerance.ok_or(format!("{tensor} has no tolerance"))?;
        let verdict = match named.get(output) {
            None => Err("expected, but there is no such output".to_owned()),
            Some(got) => compare(got.view(), case.f32(tensor)?.view(), tolerance.atol, tolerance.rtol),
        };
        match verdict {
            Ok(this) => closeness = closeness.and(this),
            Err(message) => wrong.push(format!("{tensor}: {message}")),
        }
    }
    match wrong.is_empty() {
        true => Ok(closeness),
        false => Err(wrong.join("; ")),
    }
}

/// Gives the outputs the names of the case.
fn named(chain: &Chain, outputs: Outputs) -> Result<BTreeMap<String, ArrayD<f32>>, String> {
    let cells = chain.cells();
    let mut named = BTreeMap::new();
    match outputs.backward {
        None => {
            named.insert("y".to_owned(), outputs.values);
        }
        Some(backward) => {
            named.insert("forward.y".to_owned(), outputs.values);
            named.insert("backward.y".to_owned(), backward);
        }
    }
    for ((prefix, cell), (hidden, cell_state)) in cells.iter().rev().zip(outputs.states.into_iter().rev()) {
        named.insert(format!("{prefix}h_n"), hidden.into_dyn());
        if cell.cell_state() > 0 {
            named.insert(format!("{prefix}c_n"), cell_state.into_dyn());
        }
    }
    Ok(named)
}

/// The f64 reference as a subject.
#[derive(Debug)]
pub(crate) struct Reference<'a> {
    chain: &'a Chain,
    mutant: Mutant,
    /// Of the first layer's cells, before the first call.
    initial: Vec<StatePair>,
    states: Option<Vec<State>>,
}

impl<'a> Reference<'a> {
    pub(crate) fn new(chain: &'a Chain, initial: Vec<StatePair>, mutant: Mutant) -> Self {
        Self {
            chain,
            mutant,
            initial,
            states: None,
        }
    }
}

impl Subject for Reference<'_> {
    async fn call(&mut self, call: &Call) -> Result<Outputs, String> {
        let layers = &self.chain.layers;
        let cells: Vec<_> = layers.iter().flat_map(|layer| layer.cells()).collect();
        let states = self.states.get_or_insert_with(|| {
            let batch = call.input.batch();
            let zero = |cell: &&CellSpec| State::zero(batch, cell);
            let mut states: Vec<State> = cells.iter().map(zero).collect();
            for (state, initial) in states.iter_mut().zip(&self.initial) {
                *state = State::wide(initial);
            }
            states
        });
        let mask = call.mask.as_ref();
        let output = reference::run(layers, &call.input, mask, states, self.mutant);
        Ok(Outputs {
            values: to_f32(&output.values),
            backward: output.backward.as_ref().map(to_f32),
            states: states.iter().map(State::narrow).collect(),
        })
    }

    fn reset_state(&mut self) -> Result<(), String> {
        self.initial.clear();
        self.states = None;
        Ok(())
    }
}

/// Rounds to float32, to compare with float32.
pub(crate) fn to_f32<D: ndarray::Dimension>(array: &ndarray::Array<f64, D>) -> ndarray::Array<f32, D> {
    array.mapv(|value| value as f32)
}
