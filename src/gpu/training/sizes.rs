//! How much a way back takes: each of its buffers by name, from the sizes of a flow alone.
//!
//! It says the same as `way`, `stages` and `recurrence`, which ask for these buffers: a test holds the two together.

use std::collections::HashMap;

use crate::activation::Activation;
use crate::cell::Cell;
use crate::flow::Source;
use crate::flow::size::{FlowSize, StageKind, StageSize};
use crate::gpu::device::buffer::Use;
use crate::gpu::training::buffers::Name;
use crate::gpu::training::by_gate::leaves_out;
use crate::gpu::training::dispatches::dispatches;
use crate::gpu::training::loss::buffers;
use crate::gpu::training::places::Place;
use crate::gpu::training::product::most_sums_of;
use crate::gpu::training::recorder::Software;
use crate::gpu::training::rule::separates;
use crate::gpu::training::solo_back::SoloBack;
use crate::gpu::training::step_back::{can_be_turned, turned_values};
use crate::gpu::training::sums::most_sums;
use crate::gpu::training::tensors::{STAGED_WEIGHT, trained};
use crate::layer::bidirectional::MergeMode;
use crate::loss::elsewhere::DeviceRule;
use crate::model::plan::{Plan, PlannedCell};
use crate::model::planned_weight::Owner;
use crate::model::transform::Transform;
use crate::parameters::Role;

/// What a way back takes.
#[derive(Debug, Default)]
pub(super) struct WaySizes {
    /// The values or entries of each buffer, of four bytes each, and what it is for.
    pub(super) buffers: HashMap<Name, (u64, Use)>,
    /// The most dispatches.
    pub(super) dispatches: usize,
}

/// What the sizes follow from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) plan: &'a Plan,
    /// How the steps of each cell may go back many at once.
    pub(super) solos: &'a [Option<SoloBack>],
    /// Which of them go back together.
    pub(super) places: &'a [Place],
    /// The sequences that the workspace of the forward pass has room for.
    pub(super) room: usize,
    pub(super) wants_input: bool,
    pub(super) software: Option<Software>,
    /// How the loss is computed here, if it is.
    pub(super) judges_by: Option<DeviceRule>,
}

impl WaySizes {
    /// Of a flow of these sizes.
    pub(super) fn new(size: &FlowSize, wanted: Wanted<'_>) -> Self {
        let mut counting = Counting {
            wanted,
            size,
            sizes: Self::default(),
            readings: 0,
        };
        counting.weights();
        for (number, output) in size.outputs.iter().enumerate() {
            counting.want(("upstream", number), &[output.entries, output.width]);
            counting.loss((output.entries, output.width));
            counting.reading(output.source, output.entries);
        }
        for (number, stage) in size.stages.iter().enumerate().rev() {
            counting.rows_gradient(number, stage);
            counting.stage(number, stage);
        }
        counting.read_back();
        let Counting {
            mut sizes, readings, ..
        } = counting;
        let of_stages = size.stages.iter().map(|stage| dispatches(size, wanted.plan, stage));
        // a gradient that stays has a penalty added and its size found, and the loss may be computed here
        let others = readings + 2 * wanted.plan.weights.len() + 1;
        sizes.dispatches = of_stages.fold(others, usize::saturating_add);
        sizes
    }

    /// The values of a buffer.
    pub(super) fn count(&self, name: &Name) -> u64 {
        self.buffers.get(name).map_or(0, |&(count, _)| count)
    }
}

struct Counting<'a> {
    wanted: Wanted<'a>,
    size: &'a FlowSize,
    sizes: WaySizes,
    /// How many lists there were by now.
    readings: usize,
}

impl Counting<'_> {
    /// A buffer with room for the product of these.
    fn want(&mut self, name: Name, sizes: &[usize]) {
        self.want_values(name, product(sizes), Use::Storage);
    }

    fn want_values(&mut self, name: Name, count: u64, purpose: Use) {
        let (most, _) = self.sizes.buffers.entry(name).or_insert((0, purpose));
        *most = count.max(*most);
    }

    /// The rows of a source, the width of each, and whether anybody wants their gradients.
    fn source(&self, source: Source) -> (usize, usize, bool) {
        let plan = self.wanted.plan;
        match source {
            Source::Input => (self.size.input_rows, self.size.features, self.wants_input()),
            Source::Table(table) => {
                let (rows, width) = plan.tables.get(table).map_or((0, 0), |table| table.dim());
                (rows, width, true)
            }
            Source::Stage(stage) => {
                let stage = self.size.stages.get(stage);
                stage.map_or((0, 0, true), |stage| (stage.rows, stage.width, true))
            }
        }
    }

    fn wants_input(&self) -> bool {
        self.wanted.wants_input && !self.wanted.plan.takes_tokens
    }

    fn weights(&mut self) {
        let plan = self.wanted.plan;
        for (number, weight) in plan.weights.iter().enumerate() {
            self.want(("gradient", number), &weight.shape);
        }
        if self.wants_input() {
            self.want(("input gradient", 0), &[self.size.input_rows, self.size.features]);
        }
        for number in 0..3 {
            self.want(("nothing", number), &[4]);
        }
    }

    /// What the loss takes of so many steps, of so many features each.
    fn loss(&mut self, steps: (usize, usize)) {
        let rule = self.wanted.judges_by.into_iter();
        for (name, count, purpose) in rule.flat_map(|rule| buffers(rule, steps)) {
            self.want_values(name, count, purpose);
        }
    }

    /// The list of those who read a source, by the number of the reading.
    fn reading(&mut self, source: Source, entries: usize) {
        let (rows, _, is_wanted) = self.source(source);
        let number = self.readings;
        self.readings += 1;
        if is_wanted {
            self.want(("starts of readers", number), &[rows.saturating_add(1)]);
            self.want(("readers", number), &[entries]);
        }
    }

    fn rows_gradient(&mut self, number: usize, stage: &StageSize) {
        let place = match stage.kind {
            StageKind::Recurrent { cell, .. } => self.place(cell),
            _ => Place::alone(0),
        };
        let name = ("rows gradient", place.first_stage(number));
        self.want(name, &[place.directions, stage.rows, stage.width]);
    }

    fn place(&self, cell: usize) -> Place {
        let known = self.wanted.places.get(cell);
        known.copied().unwrap_or_else(|| Place::alone(cell))
    }

    fn stage(&mut self, number: usize, stage: &StageSize) {
        let (rows, width) = (stage.rows, stage.width);
        match stage.kind {
            StageKind::Recurrent { cell, input, schedule } => {
                self.reading(input, rows);
                let steps = self.size.schedules.get(schedule).copied().unwrap_or(0);
                let first = self.place(cell).first_stage(number);
                self.want(("starts", first), &[steps.saturating_add(1)]);
                self.want(("rows before", first), &[rows]);
                self.want(("list", number), &[rows]);
                let planned = self.wanted.plan.cells.get(cell);
                if let Some(planned) = planned {
                    self.recurrent(cell, planned, (input, rows));
                }
            }
            StageKind::Dense { dense, input } => {
                self.reading(input, rows);
                self.want(("list", number), &[rows]);
                self.dense(dense, (input, rows));
            }
            StageKind::Transform { transform, input } => {
                self.reading(input, rows);
                self.want(("list", number), &[rows]);
                self.transform(transform, [rows, width]);
            }
            StageKind::Dropout { input, .. } => {
                self.reading(input, rows);
                self.want(("numbers", number), &[rows]);
            }
            StageKind::Reshape { input, entries } => self.reading(input, entries),
            StageKind::Merge {
                merge,
                forward,
                backward,
            } => {
                self.reading(forward, rows);
                self.reading(backward, rows);
                if merge == MergeMode::Multiply {
                    self.want(("list of forward", number), &[rows]);
                    self.want(("list of backward", number), &[rows]);
                    self.want(("gathered gradient", 0), &[rows, width]);
                }
            }
        }
    }

    fn recurrent(&mut self, number: usize, planned: &PlannedCell, (input, rows): (Source, usize)) {
        let cell = &planned.cell;
        let (units, output, features) = (cell.units, cell.output, cell.features);
        let columns = cell.gates() * units;
        let place = self.place(number);
        let together = place.directions;
        self.want(("carry", place.first_cell), &[together, 3, self.size.batch, units]);
        if rows == 0 {
            return;
        }
        if together > 1 {
            self.want(("recurrent kernels", place.first_cell), &[together, units, columns]);
            if cell.has_unit_parameters() {
                self.want(("peepholes", place.first_cell), &[together, 3, units]);
            }
        }
        self.want(("lanes", 0), &[together, rows, columns]);
        if separates(cell) {
            self.want(("recurrent lanes", 0), &[together, rows, columns]);
        }
        self.sums([features, columns, rows]);
        let mut of_hidden = columns;
        if cell.multiplies_reset() {
            of_hidden = columns - units;
            self.want(("reset states", 0), &[rows, units]);
            self.sums([units, units, rows]);
        }
        self.sums([output, of_hidden, rows]);
        if cell.has_projection() {
            self.want(("unprojected", 0), &[rows, units]);
            self.sums([units, output, rows]);
        }
        if cell.has_cell_state() {
            let states = self.wanted.room.saturating_add(rows);
            self.want(("cell states", 0), &[together, states, units]);
        }
        let is_masked = leaves_out(self.wanted.plan, number);
        let by_gate = [features, output].into_iter().filter(|_| is_masked);
        by_gate.for_each(|high| self.sums([high, units, rows]));
        if is_masked || cell.obstacle().is_some() {
            self.want(("between", 0), &[self.size.batch, units]);
        }
        self.turned_kernel(number, cell);
        self.column_sums([rows, columns]);
        if cell.has_unit_parameters() {
            self.column_sums([rows, units]);
        }
        if self.source(input).2 {
            self.want(("gathered gradient", place.direction), &[rows, features]);
        }
    }

    fn turned_kernel(&mut self, number: usize, cell: &Cell) {
        let together = self.place(number).directions;
        if let Some(Some(solo)) = self.wanted.solos.get(number) {
            let values = [solo.kernel_values().as_slice(), &[together]].concat();
            self.want(("turned kernel", 0), &values);
        }
        let largest = self.wanted.software.map_or(0, |software| software.largest_binding);
        // (also of a cell whose gates leave values out: in some trainings they leave out none)
        if cell.obstacle().is_none() && can_be_turned(cell, together, largest) {
            self.want(("turned kernel", 0), &turned_values(cell, together));
        }
    }

    fn dense(&mut self, number: usize, (input, rows): (Source, usize)) {
        let Some(planned) = self.wanted.plan.denses.get(number) else {
            return;
        };
        let (features, units) = planned.weights.kernel.dim();
        if planned.activation != Activation::Linear {
            self.want(("activation gradient", 0), &[rows, units]);
            if !planned.activation.is_rowwise() {
                self.want(("arguments", 0), &[rows, units]);
            }
        }
        self.want(("rows that count", 0), &[rows]);
        self.sums([features, units, rows]);
        if planned.weights.bias.is_some() {
            self.column_sums([rows, units]);
        }
        if self.source(input).2 {
            self.want(("gathered gradient", 0), &[rows, features]);
        }
    }

    fn transform(&mut self, number: usize, [rows, width]: [usize; 2]) {
        let plan = self.wanted.plan;
        let Some(transform) = plan.transforms.get(number) else {
            return;
        };
        let batch = matches!(transform, Transform::Scale { by: Some(_), .. });
        let activation = transform.activation();
        let has_own = !batch && !matches!(transform, Transform::Normalize { .. });
        if activation.is_rowwise() || (has_own && activation != Activation::Linear) {
            self.want(("activation gradient", 0), &[rows, width]);
        }
        if has_own {
            return;
        }
        self.want(("gathered gradient", 0), &[rows, width]);
        self.want(("gamma by row", 0), &[rows, width]);
        self.column_sums([rows, width]);
        if !batch {
            self.want(("beta by row", 0), &[rows, width]);
            return;
        }
        // of one that is frozen
        self.want(("moving moments", number), &[2, width]);
        self.want(("scale", number), &[width]);
        self.want(("shift", number), &[width]);
        let is_there = |role| {
            let mut weights = plan.weights.iter();
            weights.any(|weight| (weight.owner, weight.role) == (Owner::Transform(number), role))
        };
        for (place, role) in [Role::Gamma, Role::Beta].into_iter().enumerate() {
            if !is_there(role) {
                self.want(("sums of a batch", place), &[width]);
            }
        }
    }

    /// The parts of a sum over the rows of a product, where there are several.
    fn sums(&mut self, size: [usize; 3]) {
        match most_sums_of(size) {
            0 => {}
            most => self.want_values(("parts", 0), most, Use::Storage),
        }
    }

    fn column_sums(&mut self, size: [usize; 2]) {
        self.want_values(("parts", 0), most_sums(size), Use::Storage);
    }

    /// What the host reads, in its order.
    fn read_back(&mut self) {
        let (plan, size) = (self.wanted.plan, self.size);
        for (weight, planned) in trained(plan) {
            self.want_values((STAGED_WEIGHT, weight), product(&planned.shape), Use::Readback);
        }
        for (number, stage) in size.stages.iter().enumerate() {
            match stage.kind {
                StageKind::Recurrent { cell, .. } => {
                    let planned = plan.cells.get(cell);
                    let states = planned.map(|of| [of.cell.state_widths().len(), size.batch, of.units()]);
                    let values = product(&states.unwrap_or_default());
                    self.want_values(("staged state", cell), values, Use::Readback);
                }
                StageKind::Transform { transform, .. } => {
                    if let Some(Transform::Scale { by: Some(_), .. }) = plan.transforms.get(transform) {
                        self.want_values(("staged moments", number), product(&[2, stage.width]), Use::Readback);
                    }
                }
                _ => {}
            }
        }
        if self.wants_input() {
            let input = product(&[size.input_rows, size.features]);
            self.want_values(("staged input", 0), input, Use::Readback);
        }
    }
}

fn product(sizes: &[usize]) -> u64 {
    sizes
        .iter()
        .fold(1, |product, &size| u64::saturating_mul(product, size as u64))
}
