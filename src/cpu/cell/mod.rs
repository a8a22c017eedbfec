//! What a cell computes: its weights as panels, and how a unit is finished from its lanes.

pub(crate) mod lstm;
pub(crate) mod storage;

use super::product::panels::{Format, Panels, Shape};
use super::product::simd::Simd;
use crate::layer::weights::GATES;
use crate::model::parts::Cell;
use lstm::Lstm;

/// The weights of one cell as panels, and its rule.
#[derive(Debug)]
pub(crate) struct Weights {
    pub(crate) units: usize,
    /// The sums of a unit.
    pub(crate) lanes: usize,
    pub(crate) kernel: Panels,
    pub(crate) recurrent_kernel: Panels,
    /// Panels of depth 1; zeros where there is no bias.
    pub(crate) bias: Panels,
    rule: AnyRule,
}

#[derive(Debug)]
enum AnyRule {
    Lstm(Lstm),
}

/// How the units of one panel are finished from their lanes.
pub(crate) trait Rule {
    fn finish<S: Simd>(&self, simd: S, units: Units<'_>);
}

/// The units of one row and one panel.
#[derive(Debug)]
pub(crate) struct Units<'a> {
    /// The sums, `[lane][unit]`; the rule may write there.
    pub(crate) lanes: &'a mut [f32],
    /// The state beside h, which becomes the one after the step.
    pub(crate) state: &'a mut [f32],
    /// h after the step.
    pub(crate) next: &'a mut [f32],
}

/// Something to do with a rule and the number of its lanes.
pub(crate) trait WithRule {
    fn run<R: Rule, const L: usize>(self, rule: &R);
}

impl Weights {
    /// `width` is how many numbers a vector has.
    pub(crate) fn new(cell: &Cell, width: usize, format: Format) -> Self {
        let units = cell.units();
        let shape = |depth| Shape {
            depth,
            lanes: GATES,
            units,
            width,
        };
        let column = |lane: usize, unit: usize| lane * units + unit;
        let (kernel, recurrent_kernel) = (&cell.weights.kernel, &cell.weights.recurrent_kernel);
        let bias = |lane, unit| {
            let bias = cell.weights.bias.as_ref();
            bias.and_then(|bias| bias.get(column(lane, unit)))
                .copied()
                .unwrap_or(0.0)
        };
        let of = |weights: &ndarray::Array2<f32>, row, lane, unit| {
            weights.get((row, column(lane, unit))).copied().unwrap_or(0.0)
        };
        Self {
            units,
            lanes: GATES,
            kernel: Panels::new(shape(cell.features()), format, |row, lane, unit| {
                of(kernel, row, lane, unit)
            }),
            recurrent_kernel: Panels::new(shape(units), format, |row, lane, unit| {
                of(recurrent_kernel, row, lane, unit)
            }),
            bias: Panels::new(shape(1), Format::Full, |_, lane, unit| bias(lane, unit)),
            rule: AnyRule::Lstm(Lstm {
                activation: cell.activation,
                recurrent_activation: cell.recurrent_activation,
            }),
        }
    }

    /// How both kernels are kept.
    pub(crate) fn format(&self) -> Format {
        self.recurrent_kernel.format()
    }

    /// Does something with the rule.
    #[inline(always)]
    pub(crate) fn with_rule(&self, work: impl WithRule) {
        match &self.rule {
            AnyRule::Lstm(rule) => work.run::<_, 4>(rule),
        }
    }
}
