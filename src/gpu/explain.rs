//! How a batch would be run, in words.

use crate::error::Result;
use crate::gpu::model::GpuModel;
use crate::gpu::stage::pieces::Pieces;
use crate::gpu::strategy::choice::{Asked, choose};
use crate::gpu::strategy::entry::Work;
use crate::gpu::strategy::recurrence::{Recurrence, difference};
use crate::gpu::strategy::tuned::Tuned;
use crate::model::plan::Operation;
use crate::settings::{Precision, Strategy};

/// A recurrence as messages name it.
pub(crate) struct Named<'a> {
    /// Which layer of the model it is, and its sizes.
    pub(crate) name: String,
    pub(crate) recurrence: &'a Recurrence,
    /// What there is to say of its directions.
    directions: Option<String>,
}

impl GpuModel {
    /// The recurrences, in the order in which they run.
    pub(crate) fn named(&self) -> Vec<Named<'_>> {
        let mut named = Vec::with_capacity(self.weights.recurrences.len());
        for (layer, operation) in (self.plan.begins_at.0..).zip(&self.plan.operations) {
            let mut push = |cell: usize, what: &str, directions: Option<String>| {
                let sizes = self.plan.cells.get(cell);
                let (features, units) = sizes.map_or((0, 0), |cell| (cell.features(), cell.units()));
                let recurrence = self.weights.recurrence(cell);
                named.extend(recurrence.map(|recurrence| Named {
                    name: format!(
                        "{} {layer} ({what}, {features} features, {units} units)",
                        self.plan.noun()
                    ),
                    recurrence,
                    directions,
                }));
            };
            match operation {
                Operation::Recurrent { cells, .. } => match cells.as_slice() {
                    [cell] => {
                        let class = self.plan.cells.get(*cell).map_or("", |planned| planned.cell.class());
                        push(*cell, class, None);
                    }
                    cells => {
                        for (number, &cell) in cells.iter().enumerate() {
                            push(cell, &format!("stacked cell {number}"), None);
                        }
                    }
                },
                Operation::Bidirectional { forward, backward, .. } => {
                    let cell = |cell: &usize| self.plan.cells.get(*cell);
                    match cell(forward)
                        .zip(cell(backward))
                        .and_then(|(one, other)| difference(one, other))
                    {
                        None => {
                            let together = "both directions in the same dispatches".to_owned();
                            push(*forward, "Bidirectional", Some(together));
                        }
                        Some(why) => {
                            let apart = format!("each direction in dispatches of its own, for {why}");
                            push(*forward, "Bidirectional, forward", Some(apart.clone()));
                            push(*backward, "Bidirectional, backward", Some(apart));
                        }
                    }
                }
                _ => {}
            }
        }
        named
    }

    /// How a batch of (batch, time_steps) is run if nothing of it is masked: lines for people, and the strategy of each
    /// recurrence.
    pub(crate) fn explain(&self, batch: usize, time_steps: usize) -> Result<(Vec<String>, Vec<Strategy>)> {
        let sizes = self.sizes((batch, time_steps))?;
        let mut lines = self.machine();
        lines.extend(self.matrices.line());
        lines.push(format!(
            "memory: {} bytes of buffers besides the weights",
            sizes.total()
        ));
        let mut strategies = Vec::new();
        let pieces = sizes.stages.iter().filter_map(|stage| stage.pieces());
        for (named, pieces) in self.named().into_iter().zip(pieces) {
            let work = Work {
                positions: pieces.positions(),
                steps: pieces.steps,
                rows: pieces.positions().saturating_mul(pieces.steps),
            };
            let choice = choose(&self.gpu, named.recurrence, self.asked, (pieces.batch, work));
            strategies.push(choice.strategy);
            lines.push(format!(
                "{}: strategy {}, for {}",
                named.name, choice.strategy, choice.reason
            ));
            lines.extend(refused(named.recurrence, self.asked, pieces.batch).map(|line| format!("  {line}")));
            lines.extend(estimates(named.recurrence, pieces.batch, work).map(|line| format!("  {line}")));
            lines.extend(named.recurrence.says(choice.strategy).map(|line| format!("  {line}")));
            lines.extend(named.directions.iter().map(|line| format!("  {line}")));
            lines.push(format!("  {}", cut(named.recurrence, choice.strategy, pieces)));
        }
        Ok((lines, strategies))
    }

    /// The GPU, and what holds for all layers.
    fn machine(&self) -> Vec<String> {
        let (info, limits) = (self.gpu.info(), self.gpu.limits());
        let stamps = match (self.gpu.has_timestamps(), self.settings.is_timed()) {
            (true, true) => "taken in every run",
            (true, false) => "offered, not asked for",
            (false, _) => "not offered",
        };
        let params = match self.gpu.has_immediates() {
            true => "within the commands (immediates)",
            false => "in a uniform, for immediates are not offered",
        };
        let precision = match self.asked.precision {
            Precision::Full => "full",
            Precision::Relaxed => "relaxed",
        };
        let asked = self.asked.strategy;
        let asked = asked.map_or("nothing".to_owned(), |(strategy, by)| {
            format!("the strategy {strategy}, by {by}")
        });
        let tuned = match self.gpu.shared::<Tuned>().count() {
            0 => "nothing".to_owned(),
            1 => "one answer is known on this GPU".to_owned(),
            count => format!("{count} answers are known on this GPU"),
        };
        let driver = format!("{} {}", info.driver, info.driver_info);
        vec![
            format!(
                "device: {}, {:?}, driver {}",
                self.gpu.name(),
                info.device_type,
                driver.trim()
            ),
            format!(
                "limits: {} bytes a binding, {} bytes a buffer, {} bytes of workgroup memory, {} invocations a workgroup",
                self.gpu.largest_binding(),
                limits.max_buffer_size,
                limits.max_compute_workgroup_storage_size,
                limits.max_compute_invocations_per_workgroup
            ),
            format!("parameters: {params}"),
            format!("time stamps: {stamps}"),
            format!("precision: {precision}"),
            format!("asked for by name: {asked}"),
            format!("tuned: {tuned}"),
            match &self.weights.numbers {
                Some(numbers) => format!("numbers: {numbers}"),
                None => "numbers: none, for a software adapter has thresholds instead".to_owned(),
            },
        ]
    }
}

/// What is to be said where the strategy that is asked for cannot be done.
fn refused(recurrence: &Recurrence, asked: Asked, batch: usize) -> Option<String> {
    let (strategy, by) = asked.strategy?;
    let why = recurrence.can(strategy, Some(batch)).err()?;
    Some(format!("{by} asks for {strategy}, which cannot be done: {why}"))
}

/// What each strategy takes by the numbers of the GPU, where there are numbers.
fn estimates(recurrence: &Recurrence, batch: usize, work: Work) -> Option<String> {
    let estimates = recurrence.estimates(batch, work);
    let said: Vec<String> = estimates
        .map(|(strategy, seconds)| format!("{strategy} {:.0} µs", seconds * 1e6))
        .collect();
    (!said.is_empty()).then(|| format!("estimates of the recurrence: {}", said.join(", ")))
}

/// How the tensors of a recurrence are cut.
fn cut(recurrence: &Recurrence, strategy: Strategy, pieces: &Pieces) -> String {
    let count = |number: usize, [one, many]: [&str; 2]| format!("{number} {}", if number == 1 { one } else { many });
    let Pieces {
        segment_steps,
        chunk_steps,
        steps,
        ..
    } = *pieces;
    let positions = pieces.positions();
    let segments = steps.div_ceil(segment_steps);
    let chunks = |steps: usize| steps.div_ceil(chunk_steps);
    let all_chunks = steps / segment_steps * chunks(segment_steps) + chunks(steps % segment_steps);
    let dispatches = pieces.dispatches(recurrence, strategy);
    format!(
        "{} of {} in {}, projected in {} of at most {}, {}",
        count(steps, ["step", "steps"]),
        count(positions, ["sequence", "sequences"]),
        count(segments, ["segment", "segments"]),
        count(all_chunks, ["chunk", "chunks"]),
        count(chunk_steps, ["step", "steps"]),
        count(dispatches, ["dispatch", "dispatches"]),
    )
}
