//! The recurrence: cells that run together, and the strategies that can run them behind one interface.

use crate::cell::Cell;
use crate::error::Result;
use crate::gpu::commands::Commands;
use crate::gpu::device::Gpu;
use crate::gpu::shader::Key;
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::entry::{Bound, Cells, Entry, Group, Prepared, Ready, Work};
use crate::gpu::strategy::exchange::ExchangeBuffers;
use crate::gpu::strategy::list;
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::weights::{Form, recurrent_weights};
use crate::model::plan::{Operation, Plan, PlannedCell};
use crate::settings::Strategy;

/// Which cells of a model run together. The two directions of a layer run in the same dispatches where the same shader can do
/// both: `wgpu` drains the GPU between two dispatches, so what is to run at the same time has to be one. `fits` says whether the
/// weights of several find room side by side.
pub(crate) fn together(parts: &Plan, fits: impl Fn(&[&PlannedCell]) -> bool) -> Vec<Vec<usize>> {
    let mut together = Vec::with_capacity(parts.cells.len());
    for operation in &parts.operations {
        match operation {
            Operation::Recurrent { cells, .. } => together.extend(cells.iter().map(|&cell| vec![cell])),
            Operation::Bidirectional { forward, backward, .. } => {
                let cells = parts.cells.get(*forward).zip(parts.cells.get(*backward));
                let alike = |(one, other)| difference(one, other).is_none() && fits(&[one, other]);
                match cells.is_some_and(alike) {
                    true => together.push(vec![*forward, *backward]),
                    false => together.extend([vec![*forward], vec![*backward]]),
                }
            }
            _ => {}
        }
    }
    together
}

/// Why one shader with one set of constants and sizes cannot run both; `None` where it can.
pub(crate) fn difference(one: &PlannedCell, other: &PlannedCell) -> Option<&'static str> {
    let (one, other) = (&one.cell, &other.cell);
    if one.units != other.units {
        return Some("they differ in units");
    }
    if one.class() != other.class() {
        return Some("they are different cells");
    }
    if one.activations() != other.activations() {
        return Some("they differ in activations");
    }
    if one.rule != other.rule {
        return Some("they differ in options");
    }
    one.obstacle()
}

/// The recurrent weights of one or both directions on the GPU, and the strategies that can run them.
#[derive(Debug)]
pub(crate) struct Recurrence {
    /// What the cells of both directions are.
    pub(crate) cell: Cell,
    pub(crate) directions: usize,
    /// Each strategy, or why it cannot run the cells; the first one can.
    strategies: Vec<(Strategy, Prepared)>,
    /// `[direction][k][unit]` by lane, in the form that the strategies read.
    pub(crate) recurrent_kernel: wgpu::Buffer,
    pub(crate) form: Form,
    /// Its columns, in units.
    pub(crate) kernel_width: usize,
}

/// The bind groups of a recurrence for one buffer of its rows: for each strategy that can run it.
#[derive(Debug)]
pub(crate) struct RecurrenceGroups {
    groups: Vec<Option<Group>>,
}

impl Recurrence {
    /// The cells are the directions of one layer, or a single cell; and the strategies those to be made ready.
    /// Of the recurrent kernel the strategies are given the rows from `first_k` on: where that is not all of it, only the one
    /// that runs everything can go on with a sum.
    pub(crate) fn make(
        (gpu, name): (&Gpu, &str),
        (form, first_k, kernel_width): (Form, usize, usize),
        cells: &[&PlannedCell],
        (wanted, numbers): (&[&Entry], Option<Numbers>),
    ) -> Option<Self> {
        let cell = &cells.first()?.cell;
        let label = format!("{name}.recurrent_kernel");
        let packed: Vec<f32> = cells
            .iter()
            .flat_map(|cell| recurrent_weights(cell, first_k, kernel_width))
            .collect();
        let together = Cells {
            cell,
            directions: cells.len(),
            form,
            first_k,
            kernel_width,
            numbers,
        };
        let prepare = |entry: &Entry| match wanted.iter().any(|wanted| wanted.name == entry.name) {
            _ if first_k > 0 && entry.name != list::EVERYTHING => Err("the recurrent kernel is larger than a binding"),
            true => (entry.prepare)(gpu, &together),
            false => Err(
                "it is made unasked only on discrete GPUs of NVIDIA and AMD, by Vulkan or DX12, where nobody names another: else by name, or for a tuning file",
            ),
        };
        Some(Self {
            cell: cell.clone(),
            directions: cells.len(),
            strategies: list::ALL.map(|entry| (entry.name, prepare(entry))).into(),
            recurrent_kernel: gpu.upload_weights(&label, form, &packed),
            form,
            kernel_width,
        })
    }

    pub(crate) fn groups(
        &self,
        (gpu, layer): (&Gpu, &str),
        params: &wgpu::Buffer,
        [projected, hidden, cell_state, starts]: [&wgpu::Buffer; 4],
        exchange: Option<&ExchangeBuffers>,
    ) -> RecurrenceGroups {
        let mut storage = vec![
            ("recurrent_kernel", &self.recurrent_kernel),
            ("projected", projected),
            ("hidden", hidden),
            ("cell_state", cell_state),
            ("starts", starts),
        ];
        let shared = exchange.map(|buffers| [("exchange", &buffers.exchange), ("control", &buffers.control)]);
        storage.extend(shared.into_iter().flatten());
        let bound = Bound {
            layer,
            params,
            storage: &storage,
        };
        let group = |ready: &Prepared| Group::make(gpu, &**ready.as_ref().ok()?, bound);
        RecurrenceGroups {
            groups: self.strategies.iter().map(|(_, ready)| group(ready)).collect(),
        }
    }

    /// Makes the pipelines that a workspace for so many sequences needs.
    pub(crate) fn make_for(&self, gpu: &Gpu, sequences: usize) {
        self.ready().for_each(|(_, ready)| ready.make_for(gpu, sequences));
    }

    /// Forgets the pipelines that were made for workspaces, but for those that are known: some of them may have failed.
    pub(crate) fn forget(&self, known: &[Key]) {
        self.ready().for_each(|(_, ready)| ready.forget(known));
    }

    /// The strategies that were made ready.
    pub(crate) fn ready(&self) -> impl DoubleEndedIterator<Item = (Strategy, &dyn Ready)> {
        let ready = self.strategies.iter();
        ready.filter_map(|(name, ready)| Some((*name, &**ready.as_ref().ok()?)))
    }

    /// Those of them that can run the batches of a workspace with room for so many sequences.
    pub(crate) fn able(&self, batch: usize) -> impl DoubleEndedIterator<Item = (Strategy, &dyn Ready)> {
        self.ready().filter(move |(_, ready)| ready.has_failed(batch).is_none())
    }

    /// Makes what the strategies lack for a workspace with room for so many sequences.
    /// Those whose workgroups wait for each other lack nothing where they may not.
    pub(crate) async fn make_room(&self, gpu: &Gpu, batch: usize, may_wait: bool) -> Result<()> {
        let wanted = self.ready().filter(|&(name, _)| may_wait || !list::waits(name));
        for making in wanted.filter_map(|(_, ready)| ready.make_room(gpu, batch)) {
            making.await?;
        }
        Ok(())
    }

    fn named(&self, strategy: Strategy) -> Option<&dyn Ready> {
        let mut ready = self.ready().filter(|&(name, _)| name == strategy);
        ready.next().map(|(_, ready)| ready)
    }

    /// Whether a strategy can run it, in a workspace with room for so many sequences if that is known, and why not.
    pub(crate) fn can(&self, strategy: Strategy, batch: Option<usize>) -> std::result::Result<(), &'static str> {
        let found = self.strategies.iter().find(|(name, _)| *name == strategy);
        match found {
            Some((_, Ok(ready))) => batch.and_then(|batch| ready.has_failed(batch)).map_or(Ok(()), Err),
            Some((_, Err(why))) => Err(why),
            None => Err("it is not among the strategies of a GPU"),
        }
    }

    /// The seconds that each strategy takes for a batch by the numbers of the GPU, in a workspace with room for so many sequences; nothing
    /// where there are no numbers.
    pub(crate) fn estimates(&self, batch: usize, work: Work) -> impl Iterator<Item = (Strategy, f64)> {
        self.able(batch)
            .filter_map(move |(name, ready)| Some((name, ready.seconds(work)?)))
    }

    /// The strategy that runs steps of so many positions if nobody names another and nothing was measured, of those that may, and why; in a
    /// workspace with room for so many sequences.
    pub(crate) fn suited(
        &self,
        gpu: &Gpu,
        (batch, positions): (usize, usize),
        may: impl Fn(Strategy) -> bool,
    ) -> (Strategy, &'static str) {
        let suits = |(name, ready): (Strategy, &dyn Ready)| Some((name, ready.suits(gpu, positions)?));
        let suited = self.able(batch).rev().filter(|&(name, _)| may(name)).find_map(suits);
        suited.unwrap_or((list::EVERYTHING, "it is the only one"))
    }

    /// The bytes that workgroups hand each other in a workspace for (batch, time_steps), if some do.
    pub(crate) fn exchange_bytes(&self, batch: usize, time_steps: usize) -> Option<u64> {
        let bytes = self
            .ready()
            .filter_map(|(_, ready)| ready.exchange_bytes(batch, time_steps));
        bytes.max()
    }

    /// The dispatches for so many steps of at most so many positions by a strategy.
    pub(crate) fn dispatches(&self, strategy: Strategy, positions: usize, steps: usize) -> usize {
        self.named(strategy)
            .map_or(0, |ready| ready.dispatches(positions, steps))
    }

    /// What is to be said of how a strategy runs steps.
    pub(crate) fn says(&self, strategy: Strategy) -> Option<String> {
        self.named(strategy)?.says()
    }

    /// Runs steps by a strategy that [`can`](Self::can) run them.
    pub(crate) fn record(
        &self,
        commands: &mut Commands,
        groups: &RecurrenceGroups,
        chunk: &Chunk<'_>,
        strategy: Strategy,
    ) {
        let strategies = self.strategies.iter().zip(&groups.groups);
        for ((name, ready), group) in strategies {
            if let (true, Ok(ready), Some(group)) = (*name == strategy, ready, group) {
                ready.record(commands, group, chunk);
            }
        }
    }

    /// Puts another make of a strategy in its place.
    #[cfg(test)]
    pub(crate) fn replace(&mut self, strategy: Strategy, ready: Box<dyn Ready>) {
        let ready = Ok(ready);
        self.strategies.retain(|(name, _)| *name != strategy);
        self.strategies.push((strategy, ready));
    }
}
