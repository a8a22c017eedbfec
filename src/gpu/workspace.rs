//! The buffers and bind groups of one (batch, time_steps) on the GPU, made once.

use std::sync::{Arc, Weak};

use crate::error::Result;
use crate::flow::Flow;
use crate::gpu::ahead::Ahead;
use crate::gpu::commands::Commands;
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;
use crate::gpu::device::timer::Timer;
use crate::gpu::device::waits::Waits;
use crate::gpu::device::writes::Writes;
use crate::gpu::rows::Rows;
use crate::gpu::sizes::Sizes;
use crate::gpu::stage::home::Home;
use crate::gpu::stage::interface::{Fitting, HostReads, Maker, Run, Stage, Tunable, defect};
use crate::gpu::stage::lists::ScheduleLists;
use crate::gpu::stage::prepared::Prepared;
use crate::gpu::strategy::choice::Asked;
use crate::gpu::strategy::exchange::ExchangeBuffers;
use crate::random::Noise;

/// Everything that a batch of one size needs on the GPU besides the weights. One recording at a time uses it.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) params: wgpu::Buffer,
    pub(crate) input: Rows,
    /// For each stage of the flow its rows.
    pub(crate) rows: Vec<Rows>,
    pub(crate) stages: Vec<Box<dyn Stage>>,
    /// The layer of each.
    layers: Vec<Arc<str>>,
    pub(crate) schedules: Vec<ScheduleLists>,
    pub(crate) exchange: Option<ExchangeBuffers>,
    pub(crate) timer: Option<Timer>,
    pub(crate) waits: Waits,
    pub(crate) ahead: Ahead,
    /// What Dropout leaves out in the next run; nothing in inference.
    pub(crate) noise: Option<Noise>,
    /// The flow whose lists are here already.
    lists_of: Weak<Flow>,
}

impl Workspace {
    pub(crate) fn make(gpu: &Gpu, prepared: &Prepared, sizes: &Sizes, is_timed: bool) -> Result<Self> {
        let storage = |label: &str, bytes| gpu.make_buffer(label, bytes, Use::Storage);
        let shared: Vec<wgpu::Buffer> = (sizes.shared.bytes.iter())
            .map(|&bytes| storage("rows", bytes))
            .collect();
        let rows = sizes.rows.iter().zip(&sizes.shared.of_stage);
        let rows: Vec<Rows> = rows
            .map(|(size, buffers)| Rows {
                size: size.clone(),
                buffers: buffers
                    .iter()
                    .filter_map(|&number| shared.get(number).cloned())
                    .collect(),
            })
            .collect();
        let params = gpu.make_buffer("params", sizes.params, Use::Uniform);
        let input = Rows::make(gpu, "input", &sizes.input, Use::Storage);
        let schedules: Vec<ScheduleLists> = (sizes.schedules.iter())
            .map(|&steps| ScheduleLists::make(gpu, sizes.batch, steps))
            .collect();
        let exchange = sizes.scratch.exchange.map(|bytes| ExchangeBuffers::make(gpu, bytes));
        let maker = Maker {
            gpu,
            layer: "",
            prepared,
            params: &params,
            input: &input,
            rows: &rows,
            fresh: &sizes.shared.fresh,
            schedules: &schedules,
            gathered: &storage("gathered", sizes.scratch.gathered),
            projected: &storage("projected", sizes.scratch.projected),
            exchange: exchange.as_ref(),
        };
        let stages = sizes.stages.iter().zip(&sizes.layers);
        let stages = stages.map(|(size, layer)| size.make(&Maker { layer, ..maker }));
        let stages = stages.collect::<Result<_>>()?;
        Ok(Self {
            stages,
            layers: sizes.layers.clone(),
            params,
            input,
            rows,
            schedules,
            exchange,
            timer: is_timed.then(|| Timer::make(gpu)).flatten(),
            waits: Waits::new(prepared.numbers.is_some()),
            ahead: Ahead::default(),
            noise: None,
            lists_of: Weak::new(),
        })
    }

    /// Uploads the lists of a flow, unless they are here already: which rows are read, where each step begins, what goes
    /// where.
    pub(crate) fn upload_lists(&mut self, gpu: &Gpu, flow: &Arc<Flow>) -> Result<()> {
        // nothing else may be in its place while it is held, so the same address is the same flow
        if std::ptr::eq(self.lists_of.as_ptr(), Arc::as_ptr(flow)) {
            return Ok(());
        }
        self.forget_lists();
        let mut queue = gpu;
        self.write_lists(&mut queue, flow)?;
        self.lists_of = Arc::downgrade(flow);
        Ok(())
    }

    /// Hands in the lists of a flow.
    pub(crate) fn write_lists(&self, to: &mut dyn Writes, flow: &Flow) -> Result<()> {
        for stage in &self.stages {
            stage.upload_lists(to, flow)?;
        }
        if self.schedules.len() != flow.schedules.len() {
            return Err(defect());
        }
        for (lists, schedule) in self.schedules.iter().zip(&flow.schedules) {
            lists.upload(to, schedule)?;
        }
        Ok(())
    }

    /// What lists there are belong to no flow.
    pub(crate) fn forget_lists(&mut self) {
        self.lists_of = Weak::new();
    }

    /// A run of a flow, as the stages see it.
    pub(crate) fn run<'a>(
        &self,
        (gpu, prepared): (&'a Gpu, &Prepared),
        flow: &'a Flow,
        asked: Asked,
        (has_states, reads): (bool, HostReads),
        input_fits: bool,
    ) -> Run<'a> {
        let tables = prepared.tables.iter().zip(&prepared.table_rows);
        let stages = self.rows.iter().zip(&flow.stages);
        Run {
            gpu,
            flow,
            asked,
            noise: self.noise,
            reads,
            input: self.input.size.held(flow.input_steps.len()),
            tables: tables.map(|(table, &rows)| table.size.held(rows)).collect(),
            stages: stages.map(|(rows, stage)| rows.size.held_of(stage)).collect(),
            fits: Fitting::of(flow, &prepared.fits, has_states, input_fits),
        }
    }

    /// Records a run, stage by stage.
    pub(crate) fn record(&self, run: &Run<'_>, commands: &mut Commands) -> Result<()> {
        for (stage, layer) in self.stages.iter().zip(&self.layers) {
            commands.begin_layer(layer);
            stage.record(run, commands)?;
        }
        Ok(())
    }

    /// Where the states of the cells are before and behind a run, each with the number of its cell.
    pub(crate) fn homes(&self) -> impl Iterator<Item = (usize, &Home)> {
        self.stages.iter().flat_map(|stage| stage.homes())
    }

    /// An output of the model as the caller gets it, by its number; `None` where several buffers have it.
    pub(crate) fn output(&self, number: usize) -> Option<&wgpu::Buffer> {
        self.stages.iter().find_map(|stage| stage.output(number))
    }

    /// The recurrences, in order.
    pub(crate) fn recurrences(&self) -> impl Iterator<Item = Tunable<'_>> {
        self.stages.iter().filter_map(|stage| stage.tunable())
    }
}
