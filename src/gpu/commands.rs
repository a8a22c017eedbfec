//! A list of what the GPU is to do, made first and recorded then.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;

use super::device::Gpu;
use super::shader::Pipeline;
use crate::error::{Error, Result};

enum Command<'a> {
    Dispatch {
        pipeline: Arc<Pipeline>,
        bind_group: &'a wgpu::BindGroup,
        params: u32,
        workgroups: [u32; 3],
    },
    Copy {
        source: &'a wgpu::Buffer,
        source_start: u64,
        target: &'a wgpu::Buffer,
        target_start: u64,
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
}

/// The bytes from one record to the next.
pub(crate) fn record_bytes(gpu: &Gpu) -> u64 {
    u64::from(gpu.limits().min_uniform_buffer_offset_alignment).max(64)
}

impl<'a> Commands<'a> {
    /// An empty list whose parameters go to a buffer of `capacity` bytes.
    pub(crate) fn new(gpu: &Gpu, capacity: u64) -> Self {
        Self {
            list: Vec::new(),
            params: Vec::new(),
            record: record_bytes(gpu) as usize,
            capacity,
            most_workgroups: gpu.limits().max_compute_workgroups_per_dimension,
        }
    }

    /// Dispatches `across` × `items` workgroups; the items are spread over two axes where one is too short, and the
    /// shader folds them again.
    pub(crate) fn dispatch<P: Pod>(
        &mut self,
        pipeline: &Arc<Pipeline>,
        bind_group: &'a wgpu::BindGroup,
        params: P,
        workgroups: Workgroups,
    ) {
        let start = self.params.len();
        self.params.extend_from_slice(bytemuck::bytes_of(&params));
        self.params.resize(start + self.record, 0);
        let workgroups = workgroups.spread(self.most_workgroups);
        self.list.push(Command::Dispatch {
            pipeline: Arc::clone(pipeline),
            bind_group,
            params: start as u32,
            workgroups,
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

    /// Uploads the parameters and records everything. Submits nothing.
    pub(crate) fn record(self, gpu: &Gpu, params: &wgpu::Buffer, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        if self.params.len() as u64 > self.capacity {
            return Err(Error::defect("the number of dispatches"));
        }
        gpu.queue().write_buffer(params, 0, &self.params);
        let mut list = self.list.into_iter().peekable();
        while let Some(command) = list.next() {
            match command {
                Command::Copy {
                    source,
                    source_start,
                    target,
                    target_start,
                    bytes,
                } => {
                    encoder.copy_buffer_to_buffer(source, source_start, target, target_start, bytes);
                }
                Command::Dispatch { .. } => {
                    // as many dispatches as there are in a row share a pass: passes are dear
                    let descriptor = wgpu::ComputePassDescriptor {
                        label: Some("cellstate"),
                        timestamp_writes: None,
                    };
                    let mut pass = encoder.begin_compute_pass(&descriptor);
                    let mut current: Option<Arc<Pipeline>> = None;
                    let mut next = Some(command);
                    while let Some(Command::Dispatch {
                        pipeline,
                        bind_group,
                        params,
                        workgroups: [x, y, z],
                    }) = next
                    {
                        if !current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &pipeline)) {
                            pass.set_pipeline(&pipeline.pipeline);
                            current = Some(pipeline);
                        }
                        pass.set_bind_group(0, bind_group, &[params]);
                        pass.dispatch_workgroups(x, y, z);
                        next = list.next_if(|command| matches!(command, Command::Dispatch { .. }));
                    }
                }
            }
        }
        Ok(())
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
