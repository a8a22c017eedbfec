//! `dropout`: in training, rows some of whose values are left out. They are gathered, and changed in place.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::flow::size::StageSize as FlowStageSize;
use crate::flow::{Flow, Source, Stage as FlowStage};
use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::buffer::buffer_bytes;
use crate::gpu::device::writes::Writes;
use crate::gpu::rows::{RowsSize, padded};
use crate::gpu::shader::{Shader, reads, writes};
use crate::gpu::stage::gather::{GatherBuffers, Target};
use crate::gpu::stage::interface::{Maker, Run, Scratch, Sizer, Stage, StageSize, at, defect};
use crate::gpu::stage::lists::{index_bytes, make_list, upload_list};
use crate::model::planned_dropout::PlannedDropout;
use crate::random::{Noise, ROUNDS, kept_factor};

pub(crate) const SHADER: Shader = Shader {
    name: "dropout",
    source: include_str!("../../../shaders/dropout.wgsl"),
    shared: &[include_str!("../../../shaders/shared/philox.wgsl")],
    runs_cell: false,
    params: ("Dropout", size_of::<Params>()),
    bindings: &[reads("numbers"), writes("rows")],
    constants: &[],
};

/// The struct `Dropout` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    pub(crate) first_entry: u32,
    pub(crate) count: u32,
    pub(crate) width: u32,
    pub(crate) stride: u32,
    pub(crate) rate: u32,
    pub(crate) kept: u32,
    pub(crate) first_key: u32,
    pub(crate) second_key: u32,
    pub(crate) layer_word: u32,
    pub(crate) batch_word: u32,
    pub(crate) rounds: u32,
}

impl Params {
    /// Over rows of which the first has this entry of the numbers, and how many workgroups that takes.
    pub(crate) fn new(
        dropout: &PlannedDropout,
        noise: Noise,
        (first, count): (usize, usize),
        (width, stride): (usize, usize),
    ) -> (Self, u64) {
        const INVOCATIONS: u64 = 256;
        let [_, _, layer_word, batch_word] = noise.counter(dropout.layer, 0, 0);
        let [first_key, second_key] = noise.key();
        let params = Self {
            first_entry: first as u32,
            count: count as u32,
            width: width as u32,
            stride: stride as u32,
            rate: dropout.rate.to_bits(),
            kept: kept_factor(dropout.rate).to_bits(),
            first_key,
            second_key,
            layer_word,
            batch_word,
            rounds: ROUNDS as u32,
        };
        (params, (count as u64 * width.div_ceil(4) as u64).div_ceil(INVOCATIONS))
    }
}

/// What a Dropout layer takes.
#[derive(Debug)]
pub(crate) struct DropoutSize {
    /// Its number among the stages of the flow.
    number: usize,
    rows: RowsSize,
    entries: usize,
    input: Source,
    source_buffers: usize,
    dropout: PlannedDropout,
}

/// A Dropout layer.
#[derive(Debug)]
pub(crate) struct Dropout {
    number: usize,
    rows: RowsSize,
    gather: GatherBuffers,
    dropout: PlannedDropout,
    numbers: wgpu::Buffer,
    /// For each buffer of the rows.
    groups: Vec<wgpu::BindGroup>,
}

impl DropoutSize {
    pub(crate) fn new(sizer: &Sizer<'_>, stage: &FlowStageSize, dropout: usize, input: Source) -> Result<Self> {
        Ok(Self {
            number: sizer.stages.len(),
            rows: RowsSize::new(stage.width, padded(stage.width), stage.rows, sizer.limit),
            entries: stage.rows,
            input,
            source_buffers: sizer.source(input)?.buffers,
            dropout: *at(&sizer.prepared.dropouts, dropout)?,
        })
    }
}

impl StageSize for DropoutSize {
    fn rows(&self) -> &[RowsSize] {
        std::slice::from_ref(&self.rows)
    }

    fn sources(&self) -> Vec<Source> {
        vec![self.input]
    }

    fn bytes(&self) -> u64 {
        2 * buffer_bytes(index_bytes(self.entries))
    }

    fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    fn dispatches(&self) -> usize {
        self.rows.buffers * (self.source_buffers + 1)
    }

    fn make(&self, maker: &Maker<'_>) -> Result<Box<dyn Stage>> {
        let rows = maker.source(Source::Stage(self.number))?;
        let source = maker.source(self.input)?;
        let label = maker.label("dropout");
        let numbers = make_list(maker.gpu, &label, self.entries);
        let pipeline = maker.gpu.pipeline(&SHADER, &[]);
        let group = |rows| {
            maker
                .gpu
                .make_bind_group(&label, &pipeline, maker.params, &[&numbers, rows])
        };
        Ok(Box::new(Dropout {
            number: self.number,
            rows: self.rows.clone(),
            gather: GatherBuffers::make(maker, "dropout", self.entries, source, &rows.buffers),
            dropout: self.dropout,
            groups: rows.buffers.iter().map(group).collect(),
            numbers,
        }))
    }
}

impl Stage for Dropout {
    fn upload_lists(&self, to: &mut dyn Writes, flow: &Flow) -> Result<()> {
        let FlowStage::Dropout { input, noise, .. } = flow.stage(self.number)? else {
            return Err(defect());
        };
        self.gather.upload(to, input);
        upload_list(to, &self.numbers, noise);
        Ok(())
    }

    fn record(&self, run: &Run<'_>, commands: &mut Commands) -> Result<()> {
        commands.begin_stage("dropout");
        let input = run.flow.stage(self.number)?.input();
        let held = run.held(input.source)?;
        let (width, stride) = (self.rows.width, self.rows.stride);
        for (number, rows) in self.rows.held(input.index.len()).into_iter().enumerate() {
            self.gather
                .record(commands, rows.clone(), held, number, Target::rows(width, stride));
            if let Some(noise) = run.noise.filter(|_| !rows.is_empty() && width > 0) {
                let counted = (rows.start, rows.len());
                let (params, workgroups) = Params::new(&self.dropout, noise, counted, (width, stride));
                let pipeline = run.gpu.pipeline(&SHADER, &[]);
                let group = at(&self.groups, number)?;
                commands.dispatch(&pipeline, group, params, Workgroups::Flat(workgroups));
            }
        }
        Ok(())
    }
}
