//! The forms of a step on a GPU: what a workgroup has of positions, units and k, what that takes, and which form is made for which
//! number of positions.

use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::strategy::step_layer::{Allowed, INVOCATIONS, Layer, POSITIONS};
use crate::gpu::strategy::step_wide::Wide;

/// Units of a workgroup of the split form.
const SPLIT_TILES: [usize; 3] = [4, 8, 16];

/// Positions of a workgroup of the split form.
const SPLIT_ROWS: [usize; 4] = [1, 4, 8, 16];

/// Positions of an invocation of the tile form.
const TILE_ROWS: [usize; 2] = [4, 8];

/// Units of a workgroup of the tile form.
const TILE_UNITS: usize = 16;

/// A form is left out if another takes at most so much longer: each is a pipeline to be compiled.
const SLACK: f64 = 1.08;

/// Which text a form is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `recurrent_step_split`
    Split {
        /// Positions whose sums find room in the memory of a workgroup at once.
        kept: usize,
    },
    /// `recurrent_step_tile`
    Tile,
    /// `recurrent_step_wide`
    Wide(Wide),
}

/// A form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepForm {
    pub(crate) kind: Kind,
    /// Positions of a workgroup,
    pub(crate) rows: usize,
    /// its units,
    pub(crate) tile: usize,
    /// and the parts of k.
    pub(crate) parts: usize,
}

impl StepForm {
    /// All that a device allows.
    pub(crate) fn all(layer: Layer, allowed: Allowed) -> Vec<Self> {
        let mut forms = Vec::new();
        for tile in SPLIT_TILES.into_iter().filter(|tile| layer.width.is_multiple_of(*tile)) {
            // each part has as many fours of k
            let fours = layer.width / 4;
            let most = (allowed.invocations / tile).min(fours);
            let Some(parts) = (1..=most).rev().find(|parts| fours.is_multiple_of(*parts)) else {
                continue;
            };
            for rows in SPLIT_ROWS.into_iter().filter(|rows| *rows <= parts) {
                let form = |kept| Self {
                    kind: Kind::Split { kept },
                    rows,
                    tile,
                    parts,
                };
                let kept = [16, 8, 4, 2, 1].into_iter().filter(|kept| *kept <= rows);
                let mut fitting = kept.map(form).filter(|form| form.bytes(layer) <= allowed.bytes);
                forms.extend(fitting.next());
            }
        }
        let tiles = TILE_ROWS.map(|rows| Self {
            kind: Kind::Tile,
            rows: 8 * rows,
            tile: TILE_UNITS,
            parts: rows,
        });
        let fits = |form: &Self| {
            layer.width.is_multiple_of(TILE_UNITS)
                && layer.width.is_multiple_of(4 * form.parts)
                && form.invocations() <= allowed.invocations
                && form.bytes(layer) <= allowed.bytes
        };
        forms.extend(tiles.into_iter().filter(fits));
        forms
    }

    /// The wide ones; none without lanes of a subgroup.
    pub(crate) fn wide(layer: Layer, allowed: Allowed, lanes: Option<usize>) -> Vec<Self> {
        Wide::all(layer, allowed, lanes).into_iter().map(Self::of).collect()
    }

    pub(crate) fn of(wide: Wide) -> Self {
        Self {
            kind: Kind::Wide(wide),
            rows: wide.block,
            tile: wide.slice(),
            parts: wide.split,
        }
    }

    /// The constants of its text, in the order in which `step.rs` names them.
    pub(crate) fn constants(self, layer: Layer) -> Vec<u32> {
        let constants = match self.kind {
            Kind::Split { kept } => {
                let length = layer.width / self.parts;
                let most = match self.rows {
                    1 => 4,
                    2..=8 => 2,
                    _ => 1,
                };
                let quads = [4, 2, 1]
                    .into_iter()
                    .find(|quads| *quads <= most && length.is_multiple_of(4 * quads));
                let group = self.rows.min(4);
                let groups = self.rows / group;
                vec![
                    layer.width,
                    self.tile,
                    self.parts,
                    quads.unwrap_or(1),
                    (groups * layer.width).div_ceil(self.invocations()),
                    kept,
                    self.parts / 4,
                    self.parts % 4,
                    groups,
                    group,
                    usize::from(group == 1),
                    usize::from(group == 4),
                ]
            }
            Kind::Tile => vec![layer.width, self.parts, self.parts / 4],
            Kind::Wide(wide) => wide.constants(layer),
        };
        constants.into_iter().map(|constant| constant as u32).collect()
    }

    /// The invocations of a workgroup,
    pub(crate) fn invocations(self) -> usize {
        match self.kind {
            Kind::Split { .. } => self.tile * self.parts,
            Kind::Tile => 32 * self.parts,
            Kind::Wide(wide) => wide.invocations(),
        }
    }

    /// and the bytes of its memory.
    pub(crate) fn bytes(self, layer: Layer) -> usize {
        let [h, sums] = match self.kind {
            Kind::Split { kept } => [4 * self.rows * layer.width, kept * self.invocations() * 4 * layer.lanes],
            // two slabs each
            Kind::Tile => [
                2 * 16 * self.parts * self.rows,
                2 * 4 * self.parts * self.tile * 4 * layer.lanes,
            ],
            Kind::Wide(wide) => wide.bytes(layer),
        };
        // WebGPU counts every variable up to 16 bytes
        h.next_multiple_of(16) + sums.next_multiple_of(16)
    }

    /// The seconds of a step of so many positions.
    pub(crate) fn seconds(self, numbers: &Numbers, layer: Layer, positions: usize) -> f64 {
        let barriers = match self.kind {
            Kind::Split { kept } => 2 * self.rows / kept,
            Kind::Tile => layer.width / (4 * self.parts) + 2 * self.parts,
            Kind::Wide(wide) => return wide.seconds(numbers, layer, positions),
        };
        let cost = Cost {
            rows: self.rows,
            tile: self.tile,
            invocations: self.invocations(),
            barriers,
        };
        cost.seconds(numbers, layer, positions)
    }
}

/// What the time of a step depends on besides the layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Positions of a workgroup, its units and its invocations,
    pub(crate) rows: usize,
    pub(crate) tile: usize,
    pub(crate) invocations: usize,
    /// and how often these meet.
    pub(crate) barriers: usize,
}

impl Cost {
    /// The seconds of a step of so many positions: the dispatch, the wait for the first weights and h, the barriers; and for each
    /// workgroup that a compute unit has, what it reads and what it multiplies, one after the other.
    pub(crate) fn seconds(self, numbers: &Numbers, layer: Layer, positions: usize) -> f64 {
        let workgroups = layer.directions * positions.div_ceil(self.rows) * layer.units.div_ceil(self.tile);
        let units = numbers.workgroups.max(1);
        let waves = workgroups.div_ceil(units) as f64;
        let bytes = layer.width * (self.tile * layer.weight_bytes + 4 * self.rows);
        let products = self.rows * self.tile * layer.width * layer.lanes;
        // few invocations do not keep a compute unit busy
        let busy = (self.invocations as f64 * waves / INVOCATIONS as f64).min(1.0);
        let one = units as f64 * (bytes as f64 / numbers.cache_bytes + products as f64 / (busy * numbers.products));
        numbers.dispatch + numbers.trip + self.barriers as f64 * numbers.barrier + waves * one
    }
}

/// The forms that are made for a layer, and which of them runs a step.
#[derive(Clone, Debug)]
pub(crate) struct StepForms {
    layer: Layer,
    numbers: Numbers,
    forms: Vec<StepForm>,
    /// From so many positions on this form, until the next.
    plan: Vec<(usize, usize)>,
}

impl StepForms {
    /// Few of these: one more for each number of positions that those before are too slow for, and wide ones last: those that all
    /// others are too slow for. `None` where there are none.
    pub(crate) fn few(layer: Layer, numbers: Numbers, all: &[StepForm]) -> Option<Self> {
        let mut forms: Vec<StepForm> = Vec::new();
        let (wide, others): (Vec<StepForm>, Vec<StepForm>) =
            (all.iter()).partition(|form| matches!(form.kind, Kind::Wide(_)));
        for all in [others, wide] {
            for positions in (0..=POSITIONS.ilog2()).map(|power| 1 << power) {
                let least = |forms: &[StepForm]| {
                    let timed = (forms.iter()).map(|&form| (form, form.seconds(&numbers, layer, positions)));
                    timed.min_by(|(_, one), (_, other)| one.total_cmp(other))
                };
                let Some((form, best)) = least(&all) else {
                    break;
                };
                if least(&forms).is_none_or(|(_, has)| has > SLACK * best) {
                    forms.push(form);
                }
            }
        }
        (!forms.is_empty()).then(|| Self::of(layer, numbers, forms))
    }

    /// All of these.
    pub(crate) fn of(layer: Layer, numbers: Numbers, forms: Vec<StepForm>) -> Self {
        let mut made = Self {
            layer,
            numbers,
            forms,
            plan: Vec::new(),
        };
        for positions in 1..=POSITIONS {
            let seconds = (made.forms.iter()).map(|form| form.seconds(&numbers, layer, positions));
            let best = seconds.enumerate().min_by(|(_, one), (_, other)| one.total_cmp(other));
            let best = best.map_or(0, |(number, _)| number);
            if made.plan.last().is_none_or(|&(_, last)| last != best) {
                made.plan.push((positions, best));
            }
        }
        made
    }

    pub(crate) fn layer(&self) -> Layer {
        self.layer
    }

    pub(crate) fn all(&self) -> &[StepForm] {
        &self.forms
    }

    /// The number of the form for steps of so many positions, the form, and the positions from which on it is another.
    pub(crate) fn by_positions(&self, positions: usize) -> Option<(usize, StepForm)> {
        let after = self.plan.partition_point(|&(first, _)| first <= positions.max(1));
        let &(_, number) = self.plan.get(after.checked_sub(1)?)?;
        Some((number, *self.forms.get(number)?))
    }

    /// For each form whether a batch of so many sequences can have a step by it.
    pub(crate) fn needed(&self, batch: usize) -> Vec<bool> {
        let needed = |number| {
            let mut of_form = self.plan.iter().filter(|&&(_, form)| form == number);
            of_form.any(|&(first, _)| first <= batch)
        };
        (0..self.forms.len()).map(needed).collect()
    }

    /// The seconds of a step of so many positions.
    pub(crate) fn seconds(&self, positions: usize) -> Option<f64> {
        let (_, form) = self.by_positions(positions)?;
        Some(form.seconds(&self.numbers, self.layer, positions))
    }
}

#[cfg(test)]
#[path = "step_forms_tests.rs"]
mod tests;
