//! Builds the library's models from plain data, and runs them.

#[path = "building.rs"]
mod building;

use std::sync::atomic::{AtomicUsize, Ordering};

use cellstate::{Device, Output, Runner, Sequences, Settings, State, States};
use ndarray::{Array2, ArrayD};

use super::support::{
    golden::{Call, Case, Input},
    judge::{assert_close, assert_same_bits},
    layers::{Chain, LayerSpec, StatePair},
    play::{Outputs, Subject},
};

pub(crate) use building::model;

/// The library's batch of an input and its mask.
pub(crate) fn sequences<'a>(input: &'a Input, mask: Option<&Array2<bool>>) -> cellstate::Result<Sequences<'a>> {
    let sequences = match input {
        Input::Values(values) => Sequences::from(values),
        Input::Tokens(tokens) => Sequences::from(tokens),
    };
    match mask {
        Some(mask) => sequences.with_mask(mask.clone()),
        None => Ok(sequences),
    }
}

/// Hidden and cell of a state of the library; without a cell state, one without columns.
pub(crate) fn pair(state: &State) -> StatePair {
    let cell = state.cell().map(|cell| cell.to_owned());
    let none = || Array2::zeros((state.batch(), 0));
    (state.hidden().to_owned(), cell.unwrap_or_else(none))
}

/// Sets a state of the library.
pub(crate) fn set(state: &mut State, hidden: &Array2<f32>, cell: &Array2<f32>) {
    state.hidden_mut().assign(hidden);
    if let Some(mut own) = state.cell_mut() {
        own.assign(cell);
    }
}

/// A model on a device.
#[derive(Debug)]
pub(crate) struct OnDevice {
    runner: Runner,
    device: String,
}

/// What came out of a run.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub(crate) values: ArrayD<f32>,
    pub(crate) backward: Option<ArrayD<f32>>,
    /// Hidden and cell of every state of the model.
    pub(crate) states: Vec<StatePair>,
    pub(crate) rows_run: usize,
}

impl OnDevice {
    pub(crate) fn new(layers: &[LayerSpec], device: &Device) -> cellstate::Result<Self> {
        Self::with(layers, device, &Settings::new())
    }

    pub(crate) fn with(layers: &[LayerSpec], device: &Device, settings: &Settings) -> cellstate::Result<Self> {
        pollster::block_on(Self::with_async(layers, device, settings))
    }

    pub(crate) async fn with_async(
        layers: &[LayerSpec],
        device: &Device,
        settings: &Settings,
    ) -> cellstate::Result<Self> {
        Ok(Self {
            runner: model(layers)?.on_with_async(device, settings).await?,
            device: device.name().to_owned(),
        })
    }

    pub(crate) fn runner(&self) -> &Runner {
        &self.runner
    }

    /// States that begin with the given ones of the first cells, and zeros for the others.
    pub(crate) fn states(&self, batch: usize, initial: &[StatePair]) -> States {
        let mut states = self.runner.zero_state(batch);
        for (state, (hidden, cell)) in states.iter_mut().zip(initial) {
            set(state, hidden, cell);
        }
        states
    }

    /// Runs from states, which become the final ones. Checks that it was this device that ran, and that the states of the
    /// output are those of the last layer.
    pub(crate) fn run_from(
        &self,
        input: &Input,
        mask: Option<&Array2<bool>>,
        states: &mut States,
    ) -> Result<Output, String> {
        pollster::block_on(self.run_from_async(input, mask, states))
    }

    /// As [`run_from`](Self::run_from).
    pub(crate) async fn run_from_async(
        &self,
        input: &Input,
        mask: Option<&Array2<bool>>,
        states: &mut States,
    ) -> Result<Output, String> {
        let batch = sequences(input, mask).map_err(|error| error.to_string())?;
        let output = self.runner.run_from_async(&batch, states).await;
        let output = output.map_err(|error| error.to_string())?;
        self.check(&output)?;
        let returned = output.states();
        let same = |one: &State, other: &State| {
            let (one, other) = (pair(one), pair(other));
            let bits = |array: &Array2<f32>| array.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            one.0.shape() == other.0.shape() && bits(&one.0) == bits(&other.0) && bits(&one.1) == bits(&other.1)
        };
        let last = states.iter().rev().zip(returned.iter().rev());
        for (state, returned) in last {
            if !same(state, returned) {
                return Err("the states given back are not those of the output".to_owned());
            }
        }
        Ok(output)
    }

    /// Runs from zero without a word of states.
    pub(crate) fn run(&self, input: &Input, mask: Option<&Array2<bool>>) -> Result<Output, String> {
        pollster::block_on(self.run_async(input, mask))
    }

    /// As [`run`](Self::run).
    pub(crate) async fn run_async(&self, input: &Input, mask: Option<&Array2<bool>>) -> Result<Output, String> {
        let batch = sequences(input, mask).map_err(|error| error.to_string())?;
        let output = self.runner.run_async(&batch).await;
        let output = output.map_err(|error| error.to_string())?;
        self.check(&output)?;
        Ok(output)
    }

    /// Whether this device has run, which may have had to do it again.
    fn check(&self, output: &Output) -> Result<(), String> {
        RUNS.fetch_add((self.device != Device::cpu().name()).into(), Ordering::Relaxed);
        REPLAYED.fetch_add(output.was_replayed().into(), Ordering::Relaxed);
        match output.device() == self.device {
            true => Ok(()),
            false => Err(format!("run by {}, asked of {}", output.device(), self.device)),
        }
    }

    /// [`run_from`](Self::run_from) the given states of the first cells, panicking where something is wrong.
    #[track_caller]
    pub(crate) fn ran(&self, input: &Input, mask: Option<&Array2<bool>>, initial: &[StatePair]) -> Ran {
        let mut states = self.states(input.batch(), initial);
        match self.run_from(input, mask, &mut states) {
            Ok(output) => Ran {
                values: output.values().to_owned(),
                backward: output.backward().map(|values| values.to_owned()),
                states: states.iter().map(pair).collect(),
                rows_run: output.rows_run(),
            },
            Err(error) => panic!("{}: {error}", self.device),
        }
    }
}

/// The runs on GPUs by now, and those that teams gave up, so that `step` made them again.
static RUNS: AtomicUsize = AtomicUsize::new(0);
static REPLAYED: AtomicUsize = AtomicUsize::new(0);

/// Fails where teams have given up often, so that `step` was tested in their place. None does, but a machine may be busy for a moment.
pub(crate) fn assert_not_replayed() {
    let (runs, replayed) = (RUNS.load(Ordering::Relaxed), REPLAYED.load(Ordering::Relaxed));
    println!("{replayed} of {runs} runs were made again");
    assert!(
        replayed <= runs / 10,
        "{replayed} of {runs} runs were made again by another strategy"
    );
}

/// Outputs, the other direction's outputs, and all states agree.
#[track_caller]
pub(crate) fn assert_ran_close(name: &str, got: &Ran, want: &Ran) {
    let arrays = |ran: &Ran| {
        let mut arrays: Vec<ArrayD<f32>> = vec![ran.values.clone()];
        arrays.extend(ran.backward.clone());
        for (hidden, cell) in &ran.states {
            arrays.extend([hidden.clone().into_dyn(), cell.clone().into_dyn()]);
        }
        arrays
    };
    let (got, want) = (arrays(got), arrays(want));
    assert_eq!(got.len(), want.len(), "{name}: number of outputs and states");
    for (place, (got, want)) in got.iter().zip(&want).enumerate() {
        assert_close(&format!("{name}, array {place}"), got.view(), want.view(), 1e-5, 1e-5);
    }
}

#[track_caller]
pub(crate) fn assert_ran_same_bits(name: &str, got: &Ran, want: &Ran) {
    assert_same_bits(name, got.values.view(), want.values.view());
    assert_eq!(got.backward.is_some(), want.backward.is_some(), "{name}");
    if let (Some(got), Some(want)) = (&got.backward, &want.backward) {
        assert_same_bits(name, got.view(), want.view());
    }
    assert_eq!(got.states.len(), want.states.len(), "{name}");
    for (got, want) in got.states.iter().zip(&want.states) {
        assert_same_bits(name, got.0.view().into_dyn(), want.0.view().into_dyn());
        assert_same_bits(name, got.1.view().into_dyn(), want.1.view().into_dyn());
    }
}

/// The library as the subject of a golden case.
#[derive(Debug)]
pub(crate) struct Library {
    on_device: OnDevice,
    initial: Vec<StatePair>,
    /// Whether states go in and come out, or are no matter of the caller's.
    with_states: bool,
    states: Option<States>,
}

impl Library {
    /// For a case that it will play.
    pub(crate) fn of(on_device: OnDevice, case: &Case, chain: &Chain) -> Result<Self, String> {
        let cells = chain.cells();
        let last = chain.layers.last().map_or(0, |layer| layer.cells().len());
        let inner = cells.iter().rev().skip(last);
        let expects_inner = inner
            .map(|(prefix, _)| format!("{prefix}h_n"))
            .any(|name| case.has(&name));
        let initial = chain.initial_states(case)?;
        Ok(Self {
            on_device,
            with_states: case.kind == "stateful" || !initial.is_empty() || expects_inner,
            initial,
            states: None,
        })
    }
}

impl Subject for Library {
    async fn call(&mut self, call: &Call) -> Result<Outputs, String> {
        let mask = call.mask.as_ref();
        let (output, states) = if self.with_states {
            let begin = || self.on_device.states(call.input.batch(), &self.initial);
            let states = self.states.get_or_insert_with(begin);
            let output = self.on_device.run_from_async(&call.input, mask, states).await?;
            (output, states.iter().map(pair).collect())
        } else {
            let output = self.on_device.run_async(&call.input, mask).await?;
            let states = output.states().iter().map(pair).collect();
            (output, states)
        };
        Ok(Outputs {
            values: output.values().to_owned(),
            backward: output.backward().map(|values| values.to_owned()),
            states,
        })
    }

    fn reset_state(&mut self) -> Result<(), String> {
        if let Some(states) = &mut self.states {
            states.reset();
        }
        Ok(())
    }
}
