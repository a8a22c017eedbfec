//! A list of what the GPU is to do, made first and recorded then.

use std::ops::Range;

use bytemuck::Pod;

use crate::error::{Error, Result};
use crate::gpu::device::Gpu;
use crate::gpu::device::timer::Timer;
use crate::gpu::shader::Pipeline;

enum Command<'a> {
    Dispatch {
        pipeline: &'a Pipeline,
        bind_group: &'a wgpu::BindGroup,
        /// Where its parameters begin, and how many bytes they have.
        params: (u32, u32),
        workgroups: [u32; 3],
    },
    Copy {
        source: &'a wgpu::Buffer,
        source_start: u64,
        target: &'a wgpu::Buffer,
        target_start: u64,
        bytes: u64,
    },
    Clear {
        target: &'a wgpu::Buffer,
        bytes: u64,
    },
}

/// What the GPU is to do, in order.
pub(crate) struct Commands<'a> {
    list: Vec<Command<'a>>,
    params: Vec<u8>,
    /// Each dispatch has a record of its own, so many bytes apart.
    record: usize,
    capacity: u64,
    most_workgroups: u32,
    immediates: bool,
}

/// The bytes from one record to the next in a uniform; none are needed where they are immediates.
pub(crate) fn record_bytes(gpu: &Gpu) -> u64 {
    if gpu.has_immediates() {
        return 0;
    }
    u64::from(gpu.limits().min_uniform_buffer_offset_alignment).max(64)
}

impl<'a> Commands<'a> {
    /// An empty list whose parameters go to a buffer of `capacity` bytes, or into the commands themselves.
    pub(crate) fn new(gpu: &Gpu, capacity: u64) -> Self {
        Self {
            list: Vec::new(),
            params: Vec::new(),
            record: record_bytes(gpu) as usize,
            capacity,
            most_workgroups: gpu.limits().max_compute_workgroups_per_dimension,
            immediates: gpu.has_immediates(),
        }
    }

    /// Dispatches `across` × `items` workgroups; the items are spread over two axes where one is too short, and the
    /// shader folds them again.
    pub(crate) fn dispatch<P: Pod>(
        &mut self,
        pipeline: &'a Pipeline,
        bind_group: &'a wgpu::BindGroup,
        params: P,
        workgroups: Workgroups,
    ) {
        let start = self.params.len();
        self.params.extend_from_slice(bytemuck::bytes_of(&params));
        if !self.immediates {
            self.params.resize(start + self.record, 0);
        }
        self.list.push(Command::Dispatch {
            pipeline,
            bind_group,
            params: (start as u32, size_of::<P>() as u32),
            workgroups: workgroups.spread(self.most_workgroups),
        });
    }

    /// Copies bytes from one buffer to another.
    pub(crate) fn copy(&mut self, source: &'a wgpu::Buffer, bytes: Range<u64>, target: &'a wgpu::Buffer, start: u64) {
        if bytes.end > bytes.start {
            self.list.push(Command::Copy {
                source,
                source_start: bytes.start,
                target,
                target_start: start,
                bytes: bytes.end - bytes.start,
            });
        }
    }

    /// Sets the first bytes of a buffer to zero.
    pub(crate) fn clear(&mut self, target: &'a wgpu::Buffer, bytes: u64) {
        if bytes > 0 {
            self.list.push(Command::Clear { target, bytes });
        }
    }

    /// Uploads the parameters and records everything, with time stamps before the first dispatch and behind the last one if
    /// there is a timer. Submits nothing.
    pub(crate) fn record(
        &self,
        gpu: &Gpu,
        params: &wgpu::Buffer,
        timer: Option<&Timer>,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<()> {
        if !self.immediates {
            if self.params.len() as u64 > self.capacity {
                return Err(Error::defect("the number of dispatches"));
            }
            gpu.queue().write_buffer(params, 0, &self.params);
        }
        // as many dispatches as there are in a row share a pass: passes are dear
        let runs: Vec<&[Command<'a>]> = self
            .list
            .chunk_by(|one, next| one.is_dispatch() && next.is_dispatch())
            .collect();
        let mut passes = runs
            .iter()
            .filter(|run| run.first().is_some_and(Command::is_dispatch))
            .count();
        let mut first = true;
        for run in runs {
            match run {
                [
                    Command::Copy {
                        source,
                        source_start,
                        target,
                        target_start,
                        bytes,
                    },
                ] => encoder.copy_buffer_to_buffer(source, *source_start, target, *target_start, *bytes),
                [Command::Clear { target, bytes }] => encoder.clear_buffer(target, 0, Some(*bytes)),
                dispatches => {
                    passes -= 1;
                    let descriptor = wgpu::ComputePassDescriptor {
                        label: Some("cellstate"),
                        timestamp_writes: timer.and_then(|timer| timer.writes(first, passes == 0)),
                    };
                    first = false;
                    self.pass(dispatches, &mut encoder.begin_compute_pass(&descriptor));
                }
            }
        }
        if let Some(timer) = timer {
            timer.resolve(encoder, !first);
        }
        Ok(())
    }

    fn pass(&self, dispatches: &[Command<'a>], pass: &mut wgpu::ComputePass<'_>) {
        let mut current: Option<&Pipeline> = None;
        let mut bound: Option<&wgpu::BindGroup> = None;
        for dispatch in dispatches {
            let Command::Dispatch {
                pipeline,
                bind_group,
                params: (start, bytes),
                workgroups: [x, y, z],
            } = *dispatch
            else {
                continue;
            };
            if !current.is_some_and(|current| std::ptr::eq(current, pipeline)) {
                pass.set_pipeline(&pipeline.pipeline);
                current = Some(pipeline);
            }
            match self.immediates {
                true => {
                    if !bound.is_some_and(|bound| std::ptr::eq(bound, bind_group)) {
                        pass.set_bind_group(0, bind_group, &[]);
                        bound = Some(bind_group);
                    }
                    let start = start as usize;
                    let params = self.params.get(start..start + bytes as usize);
                    pass.set_immediates(0, params.unwrap_or_default());
                }
                false => pass.set_bind_group(0, bind_group, &[start]),
            }
            pass.dispatch_workgroups(x, y, z);
        }
    }
}

impl Command<'_> {
    fn is_dispatch(&self) -> bool {
        matches!(self, Self::Dispatch { .. })
    }
}

/// How many workgroups a dispatch has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Workgroups {
    /// So many, folded over x and y.
    Flat(u64),
    /// So many along x, and so many items folded over y and z.
    Across(u32, u64),
}

impl Workgroups {
    fn spread(self, most: u32) -> [u32; 3] {
        let fold = |count: u64| {
            let rows = count.div_ceil(u64::from(most)).max(1);
            (count.div_ceil(rows) as u32, rows as u32)
        };
        match self {
            Self::Flat(count) => {
                let (x, y) = fold(count);
                [x, y, 1]
            }
            Self::Across(x, count) => {
                let (y, z) = fold(count);
                [x, y, z]
            }
        }
    }
}
