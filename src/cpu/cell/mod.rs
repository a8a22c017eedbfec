//! What a cell computes: its weights as panels, and how a unit is finished from its lanes.

pub(crate) mod by_lane;
mod gru;
mod lstm;
pub(crate) mod rule;
mod simple_rnn;
pub(crate) mod storage;

use super::memory::buffer::Lines;
use super::product::panels::{Format, Panels, Shape};
use crate::cell::{self, Cell};
use crate::model::plan::PlannedCell;
use gru::Gru;
use lstm::Lstm;
use rule::{Rule, WithRule};
use simple_rnn::SimpleRnn;

/// The parameters of a unit that a rule reads: peepholes i f o, and one that is free.
const PARAMETERS: usize = 4;

/// The weights of one cell as panels, and its rule.
#[derive(Debug)]
pub(crate) struct Weights {
    pub(crate) units: usize,
    /// The sums of a unit.
    pub(crate) lanes: usize,
    pub(crate) has_cell_state: bool,
    pub(crate) kernel: Panels,
    pub(crate) recurrent_kernel: Panels,
    /// Panels of depth 1; zeros where there is no bias.
    pub(crate) bias: Panels,
    /// Panels of depth 1 with a lane for each parameter; empty where the rule reads none.
    pub(crate) parameters: Panels,
    rule: AnyRule,
}

/// The rule of one cell.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AnyRule {
    Lstm(Lstm),
    Gru(Gru),
    SimpleRnn(SimpleRnn),
}

impl AnyRule {
    pub(crate) fn new(cell: &Cell) -> Self {
        match cell.rule {
            cell::Rule::Lstm(options) => Self::Lstm(Lstm(options)),
            cell::Rule::Gru(options) => Self::Gru(Gru(options)),
            cell::Rule::SimpleRnn(options) => Self::SimpleRnn(SimpleRnn(options)),
        }
    }

    pub(crate) fn with(&self, work: impl WithRule) {
        match self {
            Self::Lstm(rule) => work.run::<_, 4>(rule),
            Self::Gru(rule) => work.run::<_, 4>(rule),
            Self::SimpleRnn(rule) => work.run::<_, 1>(rule),
        }
    }

    /// As [`Rule::leaves`].
    pub(crate) fn leaves(&self) -> bool {
        match self {
            Self::Lstm(rule) => rule.leaves(),
            Self::Gru(rule) => rule.leaves(),
            Self::SimpleRnn(rule) => rule.leaves(),
        }
    }
}

impl Weights {
    /// `width` is how many numbers a vector has.
    pub(crate) fn new(planned: &PlannedCell, width: usize, format: Format) -> Self {
        let PlannedCell { cell, .. } = planned;
        let lanes = cell.lanes().len();
        let shape = |depth, lanes| Shape {
            depth,
            lanes,
            units: cell.units,
            width,
        };
        let parameters = if cell.has_unit_parameters() { PARAMETERS } else { 0 };
        let mut made = Self {
            units: cell.units,
            lanes,
            has_cell_state: cell.has_cell_state(),
            kernel: Panels::zeros(shape(cell.features, lanes), format),
            recurrent_kernel: Panels::zeros(shape(cell.output, lanes), format),
            bias: Panels::zeros(shape(1, lanes), Format::Full),
            parameters: Panels::zeros(shape(1, parameters), Format::Full),
            rule: AnyRule::new(cell),
        };
        made.refill(planned);
        made
    }

    /// Other weights of the same cell, in the same memory.
    pub(crate) fn refill(&mut self, planned: &PlannedCell) {
        let PlannedCell { cell, weights } = planned;
        let units = |first: usize, span: &mut [f32], weight: &dyn Fn(usize) -> f32| {
            (first..).zip(span).for_each(|(unit, to)| *to = weight(unit));
        };
        self.kernel
            .refill(|k, lane, first, span| cell.kernel_span(weights, k, (lane, first), span));
        self.recurrent_kernel
            .refill(|k, lane, first, span| cell.recurrent_span(weights, k, (lane, first), span));
        self.bias.refill(|_, lane, first, span| {
            units(first, span, &|unit| cell.bias_lane(weights, lane, unit));
        });
        self.parameters.refill(|_, parameter, first, span| {
            units(first, span, &|unit| {
                let parameters = cell.unit_parameters(weights, unit);
                parameters.get(parameter).copied().unwrap_or(0.0)
            });
        });
    }

    /// How both kernels are kept.
    pub(crate) fn format(&self) -> Format {
        self.recurrent_kernel.format()
    }

    /// Whether units that are finished for a training leave in their lanes what the way back wants.
    pub(crate) fn leaves(&self) -> bool {
        self.rule.leaves()
    }

    /// Does something with the rule.
    pub(crate) fn with_rule(&self, work: impl WithRule) {
        self.rule.with(work);
    }
}

/// The parameters of all units, `[parameter][unit]`.
pub(crate) fn parameters_of(planned: &PlannedCell) -> Lines {
    let PlannedCell { cell, weights } = planned;
    if !cell.has_unit_parameters() {
        return Lines::default();
    }
    let mut parameters = Lines::zeros(PARAMETERS * cell.units);
    for (number, parameters) in parameters.chunks_exact_mut(cell.units.max(1)).enumerate() {
        for (unit, parameter) in parameters.iter_mut().enumerate() {
            let values = cell.unit_parameters(weights, unit);
            *parameter = values.get(number).copied().unwrap_or(0.0);
        }
    }
    parameters
}
