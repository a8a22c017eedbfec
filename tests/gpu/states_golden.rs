//! Every golden case from states that stay on the GPU: the same values, by runs and within an application's commands.

use cellstate::{Error, Gpu, GpuStates};

use super::adapters::{adapters, floor, open};
use super::drawn::is_drawn;
use super::encode::{ANY, buffer, encoder, read, write};
use super::models::{OnDevice, pair, sequences};
use super::support::golden::{self, Call, Case, Input};
use super::support::layers::{Chain, StatePair, playable};
use super::support::play::{Outputs, Subject, play};

/// How a batch is run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Run,
    /// Within the application's commands, by a mask of the host's,
    Encode,
    /// and by one that only the GPU knows.
    EncodeByMaskOfGpu,
}

const WAYS: [Way; 3] = [Way::Run, Way::Encode, Way::EncodeByMaskOfGpu];

/// A model whose states stay on the GPU from call to call.
#[derive(Debug)]
struct Streamed<'a> {
    gpu: &'a Gpu,
    on: OnDevice,
    way: Way,
    initial: Vec<StatePair>,
    states: Option<GpuStates>,
    /// The calls that cannot be run like this.
    refused: usize,
}

impl Streamed<'_> {
    fn called(&mut self, call: &Call) -> cellstate::Result<Outputs> {
        let (runner, mask) = (self.on.runner(), call.mask.as_ref());
        let (batch, time_steps) = match &call.input {
            Input::Values(values) => (values.dim().0, values.dim().1),
            Input::Tokens(tokens) => tokens.dim(),
        };
        let states = match &mut self.states {
            Some(states) => states,
            none => none.insert(runner.gpu_states(&self.on.states(batch, &self.initial))?),
        };
        if self.way == Way::Run {
            let output = runner.run_from_gpu(&sequences(&call.input, mask)?, states)?;
            let states = states.read()?;
            for (state, returned) in states.iter().rev().zip(output.states().iter().rev()) {
                assert_eq!(state, returned, "the states of the output are not those on the GPU");
            }
            return Ok(Outputs {
                values: output.values().to_owned(),
                backward: output.backward().map(|values| values.to_owned()),
                states: states.iter().map(pair).collect(),
            });
        }
        let mut workspace = runner.workspace(batch, time_steps)?;
        match mask {
            Some(mask) if self.way == Way::EncodeByMaskOfGpu => {
                let mut bytes: Vec<u8> = mask.iter().map(|&counts| u8::from(counts)).collect();
                bytes.resize(bytes.len().next_multiple_of(4), 0);
                let told = buffer(self.gpu, bytes.len() as u64, ANY);
                self.gpu.queue().write_buffer(&told, 0, &bytes);
                workspace.set_mask_from(&told, 0)?;
            }
            Some(mask) => workspace.set_mask(mask.clone())?,
            None => {}
        }
        write(self.gpu, &workspace.input_binding(), &call.input);
        let mut encoder = encoder(self.gpu);
        workspace.encode_from(&mut encoder, states)?;
        self.gpu.queue().submit([encoder.finish()]);
        let shape = workspace.output_shape().to_vec();
        let backward = workspace.backward_binding();
        Ok(Outputs {
            values: read(self.gpu, &workspace.output_binding(), &shape),
            backward: backward.map(|binding| read(self.gpu, &binding, &shape)),
            states: states.read()?.iter().map(pair).collect(),
        })
    }
}

impl Subject for Streamed<'_> {
    async fn call(&mut self, call: &Call) -> Result<Outputs, String> {
        self.called(call).map_err(|error| {
            self.refused += usize::from(matches!(error, Error::Unsupported { .. }));
            error.to_string()
        })
    }

    fn reset_state(&mut self) -> Result<(), String> {
        let reset = |states: &mut GpuStates| states.reset().map_err(|error| error.to_string());
        self.states.as_mut().map_or(Ok(()), reset)
    }
}

/// What came of a case: whether it was played, or refused.
fn played(gpu: &Gpu, (case, chain): (&Case, &Chain), on: OnDevice, way: Way) -> Result<bool, String> {
    let mut subject = Streamed {
        gpu,
        on,
        way,
        initial: chain.initial_states(case)?,
        states: None,
        refused: 0,
    };
    match play(case, chain, &mut subject) {
        Ok(_) => Ok(true),
        Err(_) if subject.refused > 0 => Ok(false),
        Err(message) => Err(message),
    }
}

#[test]
fn golden_cases_run_from_states_on_the_gpu() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let (mut wrong, mut counts, mut stateful) = (Vec::new(), [0; 3], [0; 3]);
        for (place, case) in golden::cases().into_iter().enumerate() {
            let is_tried = case.kind == "stateful" || case.kind == "forward" && is_drawn(place, 2);
            if !is_tried {
                continue;
            }
            let Ok((case, chain)) = playable(&case) else { continue };
            for (number, way) in WAYS.into_iter().enumerate() {
                let Ok(on) = OnDevice::new(&chain.layers, &opened.device) else {
                    continue; // tests/golden.rs says which and why
                };
                match played(&opened.gpu, (&case, &chain), on, way) {
                    Ok(true) => {
                        counts[number] += 1;
                        stateful[number] += usize::from(case.kind == "stateful");
                    }
                    Ok(false) => println!("{} {way:?}: refused", case.name),
                    Err(message) => wrong.push(format!("{} {way:?}: {message}", case.name)),
                }
            }
        }
        println!(
            "{}: {counts:?} cases by {WAYS:?}, {stateful:?} stateful",
            opened.gpu.name()
        );
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        // sections, and for commands what makes masks of values, are refused; all else is played
        assert!(counts[0] > 40 && counts[1] > 35 && counts[2] > 35, "{counts:?}");
        assert!(stateful.iter().all(|&count| count >= 2), "{stateful:?}");
        opened.assert_quiet();
    }
}
