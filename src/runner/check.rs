//! What a runner is given: whether it is what the model takes.

use super::Runner;
use super::section::Section;
use crate::error::{Error, Result};
use crate::flow::Input;
use crate::model::plan::{Plan, PlannedCell};
use crate::sequences::Sequences;
use crate::state::State;

impl Runner {
    /// The sections that run over the sequences of the input, and not over others within their time steps.
    pub(super) fn outer(&self) -> impl Iterator<Item = &Section> + Clone {
        self.sections.iter().filter(|section| !section.plan.is_inner)
    }

    /// The cells whose states last: those of inner sequences end with them.
    pub(super) fn cells(&self) -> impl Iterator<Item = &PlannedCell> + Clone {
        self.outer().flat_map(|section| &section.plan.cells)
    }

    /// The plan of the section that reads the input.
    fn first_plan(&self) -> Result<&Plan> {
        let first = self.sections.first().map(|section| &*section.plan);
        first.ok_or_else(|| Error::defect("a model without sections"))
    }

    /// Whether every layer that reads all time steps at once finds those that it wants.
    pub(super) fn check_time_steps(&self, sequences: &Sequences<'_>) -> Result<()> {
        let mut sections = self.sections.iter();
        sections.try_for_each(|section| steps_fit(&section.plan, sequences))
    }

    /// What the model reads of a batch, if it is the kind and the features that it takes.
    pub(super) fn check_input<'a>(&self, sequences: &'a Sequences<'_>) -> Result<Input<'a>> {
        input_of(self.first_plan()?, sequences)
    }

    /// Whether the states are those of this model, for this batch.
    pub(super) fn check_states(&self, states: &[State], batch: usize) -> Result<()> {
        states_fit(self.cells(), states, batch)
    }
}

/// Whether every layer of a plan that reads all time steps at once finds those that it wants.
pub(crate) fn steps_fit(plan: &Plan, sequences: &Sequences<'_>) -> Result<()> {
    plan.check_time_steps(match sequences.inner() {
        Some(inner) if plan.is_inner => inner.time_steps(),
        _ => sequences.time_steps(),
    })
}

/// What a plan, the first of a model, reads of a batch, if it is the kind and the features that it takes.
pub(crate) fn input_of<'a>(plan: &Plan, sequences: &'a Sequences<'_>) -> Result<Input<'a>> {
    const NESTED: &str =
        "sequences within sequences: numbers (batch, time_steps, inner_time_steps, features) or tokens";
    const FLAT: &str = "sequences without others in their time steps";
    match (plan.is_inner, sequences.inner()) {
        (false, None) => flat_input_of(plan, sequences),
        (true, Some(inner)) => flat_input_of(plan, inner),
        (true, None) => Err(Error::InputKind {
            layer: "layer 0 (TimeDistributed)".to_owned(),
            expected: NESTED,
            found: FLAT,
            repair: "pass `Sequences::nested(&values)?` of an Array4<f32>, or `Sequences::nested_tokens(&tokens)?` of an Array3<i32>"
                .to_owned(),
        }),
        (false, Some(_)) => Err(Error::InputKind {
            layer: plan.reader.clone(),
            expected: FLAT,
            found: NESTED,
            repair: "begin the model with a TimeDistributed of the layers that read the inner sequences, or run these as a batch of their \
                     own: `Sequences::inner` gives it"
                .to_owned(),
        }),
    }
}

fn flat_input_of<'a>(plan: &Plan, sequences: &'a Sequences<'_>) -> Result<Input<'a>> {
    match (plan.features, sequences.values(), sequences.tokens()) {
        (None, Some(values), _) if !plan.takes_tokens => Ok(Input::Values(values)),
        (None, _, Some(tokens)) if plan.takes_tokens => Ok(Input::Tokens(tokens)),
        (None, None, _) => Err(Error::InputKind {
            layer: plan.reader.clone(),
            expected: "numbers (batch, time_steps, features) of f32",
            found: "tokens (batch, time_steps) of i32",
            repair: "pass an Array3<f32>".to_owned(),
        }),
        (None, Some(_), _) => Err(Error::InputKind {
            layer: plan.reader.clone(),
            expected: "tokens (batch, time_steps) of i32",
            found: "numbers (batch, time_steps, features) of f32",
            repair: "pass an Array2<i32> of token numbers".to_owned(),
        }),
        (Some(expected), Some(values), _) => {
            let (_, time_steps, found) = values.dim();
            if found == expected {
                return Ok(Input::Values(values));
            }
            let repair = if time_steps == expected {
                "the axes look swapped (time_steps equals the features wanted): call \
                 `.permuted_axes([0, 2, 1])` to get (batch, time_steps, features)"
                    .to_owned()
            } else {
                format!("give every time step {expected} features, or make the layer for {found}")
            };
            let shape = values.shape().to_vec();
            Err(Error::Features {
                layer: plan.reader.clone(),
                expected,
                found,
                shape,
                repair,
            })
        }
        (Some(features), None, _) => Err(Error::InputKind {
            layer: plan.reader.clone(),
            expected: "numbers (batch, time_steps, features) of f32",
            found: "tokens (batch, time_steps) of i32",
            repair: format!(
                "put an Embedding first: `Model::builder().add(Embedding::new(vocabulary, {features}))`, or pass an \
                 Array3<f32>"
            ),
        }),
    }
}

/// Whether the states are those of these cells, which are all of a model, for this batch.
pub(crate) fn states_fit<'a>(
    cells: impl Iterator<Item = &'a PlannedCell> + Clone,
    states: &[State],
    batch: usize,
) -> Result<()> {
    let repair = || {
        format!(
            "begin with `runner.zero_state({batch})`, or make them fit: `states.select(&rows)` takes some sequences, \
             `States::concat(&[&states, &others])` joins batches"
        )
    };
    if states.len() != cells.clone().count() {
        return Err(Error::Size {
            argument: "states".to_owned(),
            expected: format!(
                "one state for each of the {} recurrent layers of the model",
                cells.clone().count()
            ),
            found: format!("{} states", states.len()),
            repair: format!(
                "begin with `runner.zero_state({batch})`; where that gives none, `runner.try_zero_state({batch})` says why"
            ),
        });
    }
    for (number, (state, planned)) in states.iter().zip(cells.clone()).enumerate() {
        let wanted = || planned.cell.state_widths().map(|width| [batch, width]);
        let found = || state.arrays().map(|array| array.shape());
        // a run allocates nothing for states that fit
        if !found().eq(wanted()) {
            let (wanted, found): (Vec<_>, Vec<_>) = (wanted().collect(), found().collect());
            return Err(Error::Size {
                argument: format!("states[{number}]"),
                expected: format!(
                    "arrays (batch, units) of shapes {wanted:?} for the {}",
                    planned.cell.class()
                ),
                found: format!("shapes {found:?}"),
                repair: repair(),
            });
        }
    }
    Ok(())
}
