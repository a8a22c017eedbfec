//! What the GPU is to do, as a list: made first, encoded then.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;

use crate::error::{Error, Result};
use crate::gpu::device::timer::Timer;
use crate::gpu::device::writes::Writes;
use crate::gpu::device::{Gpu, MOST_PARAMS};
use crate::gpu::groups::{Grouped, Groups, Walk};
use crate::gpu::shader::Pipeline;
use crate::gpu::workgroups;
pub(crate) use crate::gpu::workgroups::Workgroups;

#[derive(Debug, PartialEq)]
enum Command {
    Dispatch {
        /// Their numbers in the lists of `Commands`.
        pipeline: usize,
        bind_group: usize,
        /// Where its parameters begin, and how many bytes they have.
        params: (u32, u32),
        workgroups: [u32; 3],
        /// The rows that it runs, of a step or a launch.
        rows: usize,
    },
    Copy {
        source: wgpu::Buffer,
        source_start: u64,
        target: wgpu::Buffer,
        target_start: u64,
        bytes: u64,
    },
    Clear {
        target: wgpu::Buffer,
        start: u64,
        bytes: u64,
    },
}

/// Where a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// All states are zero.
    Zeros,
    /// The states are there.
    States,
}

/// Copies and clears. Between two dispatches they end a pass, which is dear.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Copies {
    /// Each with the one beginning for which it is, if it is not for both.
    list: Vec<(Option<Begin>, Command)>,
    /// For which beginning the next ones are.
    only: Option<Begin>,
}

impl Copies {
    fn push(&mut self, command: Command) {
        self.list.push((self.only, command));
    }

    /// What a run has of it that begins like this, each with its number in the list.
    fn wanted(&self, begin: Begin) -> impl Iterator<Item = (usize, &Command)> {
        let list = self.list.iter().enumerate();
        let wanted = list.filter(move |(_, (only, _))| only.is_none_or(|only| only == begin));
        wanted.map(|(number, (_, command))| (number, command))
    }

    /// Copies bytes from one buffer to another.
    pub(crate) fn copy(&mut self, source: &wgpu::Buffer, bytes: Range<u64>, target: &wgpu::Buffer, start: u64) {
        if bytes.end > bytes.start {
            self.push(Command::Copy {
                source: source.clone(),
                source_start: bytes.start,
                target: target.clone(),
                target_start: start,
                bytes: bytes.end - bytes.start,
            });
        }
    }

    /// What another list has, behind this one.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.list.append(&mut other.list);
    }

    /// Sets bytes of a buffer to zero.
    pub(crate) fn clear(&mut self, target: &wgpu::Buffer, bytes: Range<u64>) {
        if bytes.end > bytes.start {
            self.push(Command::Clear {
                target: target.clone(),
                start: bytes.start,
                bytes: bytes.end - bytes.start,
            });
        }
    }
}

/// What the GPU is to do, in order. It holds what it names, so it can be kept and be encoded later.
#[derive(Debug)]
pub(crate) struct Commands {
    /// Done before all else, and behind all else.
    pub(crate) first: Copies,
    pub(crate) last: Copies,
    pub(crate) list: Copies,
    groups: Groups,
    pipelines: Vec<Arc<Pipeline>>,
    bind_groups: Vec<wgpu::BindGroup>,
    params: Vec<u8>,
    /// Each dispatch has a record of its own, so many bytes apart.
    record: usize,
    most_workgroups: u32,
    immediates: bool,
    /// Whether workgroups wait for each other, so that the abort word says if all else counts.
    pub(crate) waits: bool,
    /// Where the run begins, if that is known when it is recorded.
    begin: Option<Begin>,
}

/// The most bytes from one record to the next, on any device.
pub(crate) const MOST_RECORD: u64 = 256;

/// The bytes from one record to the next in a uniform; none are needed where they are immediates.
pub(crate) fn record_bytes(gpu: &Gpu) -> u64 {
    if gpu.has_immediates() {
        return 0;
    }
    u64::from(MOST_PARAMS.next_multiple_of(gpu.limits().min_uniform_buffer_offset_alignment.max(1)))
}

/// The number of a thing at the end of a list, put there unless it is there already.
fn number_of<T: Clone>(list: &mut Vec<T>, thing: &T, same: impl Fn(&T, &T) -> bool) -> usize {
    if !list.last().is_some_and(|last| same(last, thing)) {
        list.push(thing.clone());
    }
    list.len() - 1
}

impl Commands {
    /// An empty list, of a run that may begin from zeros and from states: encoding says from which.
    pub(crate) fn new(gpu: &Gpu) -> Self {
        Self {
            first: Copies::default(),
            last: Copies::default(),
            list: Copies::default(),
            groups: Groups::default(),
            pipelines: Vec::new(),
            bind_groups: Vec::new(),
            params: Vec::new(),
            record: record_bytes(gpu) as usize,
            most_workgroups: workgroups::most(gpu),
            immediates: gpu.has_immediates(),
            waits: false,
            begin: None,
        }
    }

    /// From here on everything belongs to a layer,
    pub(crate) fn begin_layer(&mut self, layer: &Arc<str>) {
        self.groups.begin_layer(layer);
    }

    /// and to a stage of it.
    pub(crate) fn begin_stage(&mut self, stage: &'static str) {
        self.groups.begin_stage(stage, self.list.list.len());
    }

    /// The layers and their stages, in order.
    #[cfg(any(test, feature = "tracing"))]
    pub(crate) fn stages(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.groups.stages()
    }

    /// An empty list, of a run that begins like this.
    pub(crate) fn beginning(gpu: &Gpu, begin: Begin) -> Self {
        Self {
            begin: Some(begin),
            ..Self::new(gpu)
        }
    }

    /// Records what belongs to one beginning alone.
    pub(crate) fn only_from(&mut self, begin: Begin, record: impl FnOnce(&mut Self)) {
        match self.begin {
            Some(known) if known == begin => record(self),
            Some(_) => {}
            None => {
                self.set_only(Some(begin));
                record(self);
                self.set_only(None);
            }
        }
    }

    fn set_only(&mut self, begin: Option<Begin>) {
        [&mut self.first, &mut self.list, &mut self.last]
            .into_iter()
            .for_each(|copies| copies.only = begin);
    }

    /// Dispatches `across` × `items` workgroups; the items are spread over two axes where one is too short, and the
    /// shader folds them again.
    pub(crate) fn dispatch<P: Pod>(
        &mut self,
        pipeline: &Arc<Pipeline>,
        bind_group: &wgpu::BindGroup,
        params: P,
        workgroups: Workgroups,
    ) {
        self.dispatch_rows(0, pipeline, bind_group, params, workgroups);
    }

    /// The same of steps of a recurrence. `rows` is what the shader runs with these parameters and so many workgroups: worked
    /// out from them, not from what was to be run, so that a step too many or too few shows in [`Self::rows_run`].
    pub(crate) fn dispatch_rows<P: Pod>(
        &mut self,
        rows: usize,
        pipeline: &Arc<Pipeline>,
        bind_group: &wgpu::BindGroup,
        params: P,
        workgroups: Workgroups,
    ) {
        let start = self.params.len();
        self.params.extend_from_slice(bytemuck::bytes_of(&params));
        if !self.immediates {
            self.params.resize(start + self.record, 0);
        }
        self.list.push(Command::Dispatch {
            pipeline: number_of(&mut self.pipelines, pipeline, Arc::ptr_eq),
            bind_group: number_of(&mut self.bind_groups, bind_group, |one, other| one == other),
            params: (start as u32, size_of::<P>() as u32),
            workgroups: workgroups.spread(self.most_workgroups),
            rows,
        });
    }

    /// The rows that the steps run, of all dispatches in the list.
    pub(crate) fn rows_run(&self) -> usize {
        let rows = self.list.list.iter().map(|(_, command)| match command {
            Command::Dispatch { rows, .. } => *rows,
            Command::Copy { .. } | Command::Clear { .. } => 0,
        });
        rows.sum()
    }

    /// Uploads the parameters to a buffer of this recording alone, where they do not travel within the commands.
    pub(crate) fn upload(&self, gpu: &Gpu, params: &wgpu::Buffer) -> Result<()> {
        let mut queue = gpu;
        self.write_params(&mut queue, params)
    }

    /// Hands in the parameters, where they do not travel within the commands.
    pub(crate) fn write_params(&self, to: &mut dyn Writes, params: &wgpu::Buffer) -> Result<()> {
        if self.immediates || self.params.is_empty() {
            return Ok(());
        }
        if self.params.len() as u64 > params.size() {
            return Err(Error::defect("the number of dispatches"));
        }
        to.write(params, &self.params);
        Ok(())
    }

    /// Whether both have the GPU do the same, on the same buffers: the commands that one is encoded into serve the other.
    pub(crate) fn do_the_same(&self, other: &Self) -> bool {
        let Self {
            first,
            last,
            list,
            groups,
            pipelines,
            bind_groups,
            params,
            record,
            most_workgroups,
            immediates,
            waits,
            begin,
        } = self;
        let same = |(one, other): (&Arc<Pipeline>, &Arc<Pipeline>)| Arc::ptr_eq(one, other);
        pipelines.len() == other.pipelines.len()
            && pipelines.iter().zip(&other.pipelines).all(same)
            && (bind_groups, params, groups) == (&other.bind_groups, &other.params, &other.groups)
            && [first, list, last] == [&other.first, &other.list, &other.last]
            && (record, most_workgroups) == (&other.record, &other.most_workgroups)
            && (immediates, waits, begin) == (&other.immediates, &other.waits, &other.begin)
    }

    /// Encodes everything, with time stamps before the first dispatch and behind the last one if there is a timer. It
    /// uploads nothing, waits for nothing and submits nothing.
    pub(crate) fn encode(&self, timer: Option<&Timer>, encoder: &mut wgpu::CommandEncoder) {
        self.encode_from(self.begin.unwrap_or(Begin::Zeros), timer, encoder);
    }

    /// The same of a run that begins like this.
    pub(crate) fn encode_from(&self, begin: Begin, timer: Option<&Timer>, encoder: &mut wgpu::CommandEncoder) {
        copy_all("begin", self.first.wanted(begin), encoder);
        // as many dispatches as there are in a row share a pass: passes are dear
        let wanted: Vec<(usize, &Command)> = self.list.wanted(begin).collect();
        let runs = || wanted.chunk_by(|(_, one), (_, next)| one.is_dispatch() == next.is_dispatch());
        let is_pass = |run: &&[(usize, &Command)]| run.first().is_some_and(|(_, command)| command.is_dispatch());
        let last = runs().filter(is_pass).count();
        let mut passes = 0;
        let mut groups = self.groups.walk();
        for run in runs() {
            if is_pass(&run) {
                passes += 1;
                let descriptor = wgpu::ComputePassDescriptor {
                    label: Some("cellstate"),
                    timestamp_writes: timer.and_then(|timer| timer.writes(passes == 1, passes == last)),
                };
                self.pass(run, &mut groups, &mut encoder.begin_compute_pass(&descriptor));
                continue;
            }
            for (number, copy) in run {
                groups.go(*number, encoder);
                copy.encode(encoder);
            }
            groups.end(encoder);
        }
        copy_all("end", self.last.wanted(begin), encoder);
        if let Some(timer) = timer {
            timer.resolve(encoder, passes > 0);
        }
    }

    /// Encodes dispatches, each with its number.
    fn pass(&self, dispatches: &[(usize, &Command)], groups: &mut Walk<'_>, pass: &mut wgpu::ComputePass<'_>) {
        let (mut current, mut bound) = (None, None);
        for &(number, dispatch) in dispatches {
            let Command::Dispatch {
                pipeline,
                bind_group,
                params: (start, bytes),
                workgroups: [x, y, z],
                ..
            } = *dispatch
            else {
                continue;
            };
            groups.go(number, pass);
            if let Some(pipeline) = self.pipelines.get(pipeline).filter(|_| current != Some(pipeline)) {
                pass.set_pipeline(&pipeline.pipeline);
            }
            current = Some(pipeline);
            let group = self.bind_groups.get(bind_group);
            match self.immediates {
                true => {
                    if bound != Some(bind_group) {
                        pass.set_bind_group(0, group, &[]);
                        bound = Some(bind_group);
                    }
                    let start = start as usize;
                    let params = self.params.get(start..start + bytes as usize);
                    pass.set_immediates(0, params.unwrap_or_default());
                }
                false => pass.set_bind_group(0, group, &[start]),
            }
            pass.dispatch_workgroups(x, y, z);
        }
        groups.end(pass);
    }
}

/// Encodes copies and clears in a group of their own.
fn copy_all<'a>(label: &str, copies: impl Iterator<Item = (usize, &'a Command)>, encoder: &mut wgpu::CommandEncoder) {
    let mut copies = copies.peekable();
    if copies.peek().is_some() {
        encoder.open(label);
        copies.for_each(|(_, copy)| copy.encode(encoder));
        encoder.close();
    }
}

impl Command {
    fn is_dispatch(&self) -> bool {
        matches!(self, Self::Dispatch { .. })
    }

    /// Encodes a copy or a clear; a dispatch needs a pass.
    fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        match self {
            Self::Copy {
                source,
                source_start,
                target,
                target_start,
                bytes,
            } => encoder.copy_buffer_to_buffer(source, *source_start, target, *target_start, *bytes),
            Self::Clear { target, start, bytes } => encoder.clear_buffer(target, *start, Some(*bytes)),
            Self::Dispatch { .. } => {}
        }
    }
}
