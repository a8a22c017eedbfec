//! The gradients of the f64 reference against the golden values and against differences of the whole, and the mistakes of a
//! way back.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayD};

use super::{
    random_case,
    support::{
        cells::CellSpec,
        golden::{self, Call, Case, Input},
        gradient_case::{self, judge},
        judge::{assert_close, compare},
        layers::{self, Chain},
        play::to_f32,
        random::Random,
        reference::{self, Mutant, State},
        reference_gradients::{BackwardMutant, Gradients, Upstream, gradients},
    },
};

/// The cases of gradients, of all frameworks.
fn cases() -> Vec<(Case, Chain)> {
    let cases = golden::cases().into_iter().filter(|case| case.kind == "gradient");
    let cases: Vec<_> = cases
        .map(|case| layers::playable(&case).unwrap_or_else(|refusal| panic!("{}: {refusal:?}", case.name)))
        .collect();
    assert!(!cases.is_empty(), "there is no case of gradients");
    cases
}

/// The states of all cells, those that are not given zero.
fn states(case: &Case, chain: &Chain, batch: usize) -> Vec<State> {
    let mut states: Vec<State> = chain.cells().iter().map(|(_, cell)| State::zero(batch, cell)).collect();
    for (state, given) in states.iter_mut().zip(&chain.initial_states(case).unwrap()) {
        *state = State::wide(given);
    }
    states
}

fn of_case(case: &Case, chain: &Chain, mutant: BackwardMutant) -> BTreeMap<String, ArrayD<f32>> {
    let call = gradient_case::call(case).unwrap();
    let weights = gradient_case::loss_weights(case, chain, &call).unwrap();
    let initial = states(case, chain, call.input.batch());
    let zeros = || {
        initial.iter().map(|state| State {
            hidden: &state.hidden * 0.0,
            cell: &state.cell * 0.0,
        })
    };
    let upstream = Upstream {
        values: weights.values.mapv(f64::from),
        backward: None,
        states: match &weights.states {
            Some(states) => states.iter().map(State::wide).collect(),
            None => zeros().collect(),
        },
    };
    let gradients = gradients(chain, &call.input, call.mask.as_ref(), &initial, &upstream, mutant);
    gradients
        .iter()
        .map(|(name, gradient)| (name.clone(), to_f32(gradient)))
        .collect()
}

#[test]
fn the_reference_reproduces_every_gradient() {
    let mut wrong = Vec::new();
    for (case, chain) in cases() {
        match judge(&case, &of_case(&case, &chain, BackwardMutant::None)) {
            Ok(closeness) => println!("{:<42} {closeness}", case.name),
            Err(message) => wrong.push(format!("{}: {message}", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_mistake_of_a_way_back_is_caught_by_a_golden_case() {
    let cases = cases();
    let mut missed = Vec::new();
    for mutant in BackwardMutant::ALL {
        let caught = cases
            .iter()
            .filter(|(case, chain)| judge(case, &of_case(case, chain, mutant)).is_err());
        let names: Vec<&str> = caught.map(|(case, _)| case.name.as_str()).collect();
        println!(
            "{mutant:?}: caught by {} of {} cases: {}",
            names.len(),
            cases.len(),
            names.join(", ")
        );
        if names.is_empty() {
            missed.push(mutant);
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

/// Gradients of the reference for a random case, with a loss that speaks of every output and state.
struct RandomCase {
    chain: Chain,
    call: Call,
    initial: Vec<State>,
    upstream: Upstream,
}

impl RandomCase {
    fn new(seed: u64, cell: fn(&mut Random) -> CellSpec) -> Self {
        let (chain, initial, call) = random_case(seed, cell);
        let initial: Vec<State> = initial.iter().map(State::wide).collect();
        let mut random = Random::new(seed + 1000);
        let spec = chain.cells()[0].1.clone();
        let (batch, steps) = call.mask.as_ref().unwrap().dim();
        let upstream = Upstream {
            values: random
                .array3((batch, steps, spec.output()), 1.0)
                .mapv(f64::from)
                .into_dyn(),
            backward: None,
            states: vec![State::wide(&random.state_of(batch, &spec))],
        };
        Self {
            chain,
            call,
            initial,
            upstream,
        }
    }

    fn gradients(&self, mutant: BackwardMutant) -> Gradients {
        let mask = self.call.mask.as_ref();
        gradients(
            &self.chain,
            &self.call.input,
            mask,
            &self.initial,
            &self.upstream,
            mutant,
        )
    }

    /// The loss, from other inputs and initial states.
    fn loss(&self, input: &Input, initial: &[State]) -> f64 {
        let mut states = initial.to_vec();
        let mask = self.call.mask.as_ref();
        let output = reference::run(&self.chain.layers, input, mask, &mut states, Mutant::None);
        let of_states = states.iter().zip(&self.upstream.states);
        let of_states = of_states
            .map(|(state, weight)| (&state.hidden * &weight.hidden).sum() + (&state.cell * &weight.cell).sum());
        (output.values * &self.upstream.values).sum() + of_states.sum::<f64>()
    }
}

const CELLS: [fn(&mut Random) -> CellSpec; 5] = [
    |random| random.cell(4, 7),
    |random| random.gru(4, 7, false),
    |random| random.gru(4, 7, true),
    |random| random.simple_rnn(4, 7),
    |random| random.with_options(4, 7, 3),
];

/// The loop over steps gives what differences of the whole run give.
#[test]
fn the_loop_over_steps_is_the_difference_of_the_whole() {
    for cell in CELLS {
        let case = RandomCase::new(3, cell);
        let gradients = case.gradients(BackwardMutant::None);
        let change = 1e-5;
        let mut of_hidden = Array2::zeros(case.initial[0].hidden.raw_dim());
        for (index, gradient) in of_hidden.indexed_iter_mut() {
            let at = |change: f64| {
                let mut initial = case.initial.clone();
                initial[0].hidden[index] += change;
                case.loss(&case.call.input, &initial)
            };
            *gradient = (at(change) - at(-change)) / (2.0 * change);
        }
        let (got, want) = (to_f32(&gradients["initial_h"]), to_f32(&of_hidden).into_dyn());
        assert_close("initial_h", got.view(), want.view(), 1e-7, 1e-6);
        // inputs are float32, so that the change is a power of two that float32 has
        let Input::Values(x) = &case.call.input else {
            panic!("values")
        };
        let change = 1.0 / 1024.0;
        for (index, value) in x.indexed_iter() {
            let at = |change: f32| {
                let mut x = x.clone();
                x[index] = value + change;
                let moved = f64::from(x[index]) - f64::from(*value);
                (case.loss(&Input::Values(x), &case.initial), moved)
            };
            let ((up, more), (down, less)) = (at(change), at(-change));
            let want = (up - down) / (more - less);
            let got = gradients["x"][[index.0, index.1, index.2]];
            assert!((got - want).abs() < 1e-5, "{index:?}: {got} {want}");
        }
    }
}

#[test]
fn every_mistake_of_a_way_back_is_caught_by_a_random_case() {
    for cell in CELLS {
        for seed in 0..3 {
            let case = RandomCase::new(seed, cell);
            let spec = case.chain.cells()[0].1.clone();
            let right = case.gradients(BackwardMutant::None);
            for mutant in BackwardMutant::ALL {
                let wrong = case.gradients(mutant);
                let caught = right.iter().any(|(name, right)| {
                    let (wrong, right) = (to_f32(&wrong[name]), to_f32(right));
                    compare(wrong.view(), right.view(), 1e-5, 1e-5).is_err()
                });
                // a cell without cell state has none to carry, a case without tokens none to count
                let possible = match mutant {
                    BackwardMutant::CarryDropped => spec.cell_state() > 0,
                    BackwardMutant::TokensOnce => false,
                    _ => true,
                };
                assert_eq!(caught, possible, "seed {seed}: {mutant:?}");
            }
        }
    }
}
