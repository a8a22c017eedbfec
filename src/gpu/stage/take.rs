//! `take`: the steps that are read of an application's input become the rows of the input, by `gather`; tokens by `lookup` first.

use crate::error::Result;
use crate::flow::{Flow, Source};
use crate::gpu::commands::Commands;
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::{Use, buffer_bytes};
use crate::gpu::device::writes::Writes;
use crate::gpu::rows::{Rows, RowsSize, VALUE};
use crate::gpu::stage::gather::{GatherBuffers, Target, whole};
use crate::gpu::stage::interface::{Maker, Run, Scratch, Sizer, Stage, StageSize, at};
use crate::gpu::stage::lists::{index_bytes, make_list, upload_list};
use crate::gpu::stage::lookup::Lookup;
use crate::gpu::tensor::{End, Tensor, bytes_of, dense_rows};

/// What the input of an application takes.
#[derive(Debug)]
pub(crate) struct TakeSize {
    /// The rows that the first layers read.
    rows: RowsSize,
    /// Their most.
    entries: usize,
    /// The input of the application: all its steps.
    tensor: RowsSize,
    steps: usize,
    /// The table whose rows its tokens name; its number, its rows, and the buffers of it.
    table: Option<(usize, usize, usize)>,
}

impl TakeSize {
    pub(crate) fn new(sizer: &Sizer<'_>, steps: usize, table: Option<usize>) -> Result<Self> {
        let prepared = sizer.prepared;
        let table = table.map(|table| {
            let rows = *at(&prepared.table_rows, table)?;
            Ok((table, rows, at(&prepared.tables, table)?.size.buffers))
        });
        let table = table.transpose()?;
        let width = if table.is_some() { 1 } else { sizer.flow.features };
        Ok(Self {
            rows: sizer.input.clone(),
            entries: sizer.flow.input_rows,
            tensor: dense_rows(sizer.gpu, "the input", width, steps)?,
            steps,
            table,
        })
    }
}

impl StageSize for TakeSize {
    fn rows(&self) -> &[RowsSize] {
        &[] // the rows of the input belong to the workspace
    }

    fn sources(&self) -> Vec<Source> {
        Vec::new()
    }

    fn bytes(&self) -> u64 {
        let lists = if self.table.is_some() { 2 } else { 1 };
        buffer_bytes(bytes_of(&self.tensor, self.steps)) + lists * buffer_bytes(index_bytes(self.entries))
    }

    fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    fn dispatches(&self) -> usize {
        match self.table {
            None => self.rows.buffers * self.tensor.buffers,
            Some((_, _, buffers)) => self.tensor.buffers + self.rows.buffers * buffers,
        }
    }

    fn make(&self, maker: &Maker<'_>) -> Result<Box<dyn Stage>> {
        let gpu = maker.gpu;
        let tensor = Tensor {
            buffer: gpu.make_buffer("input.tensor", bytes_of(&self.tensor, self.steps), Use::Storage),
            offset: 0,
            size: self.tensor.clone(),
            rows: self.steps,
        };
        let index = make_list(gpu, "take", self.entries);
        let from = match self.table {
            None => From::Numbers {
                gather: gathered((gpu, maker.params), &index, &tensor, maker.input),
                index,
            },
            Some((table, table_rows, _)) => {
                let source = at(&maker.prepared.tables, table)?;
                From::Tokens {
                    lookup: Lookup::make((gpu, maker.params), self.entries, &tensor, &index, table_rows),
                    gather: GatherBuffers::by(maker, "take", index, source, &maker.input.buffers),
                    table_rows,
                }
            }
        };
        Ok(Box::new(Take {
            params: maker.params.clone(),
            rows: maker.input.clone(),
            tensor,
            from,
        }))
    }
}

fn gathered(of: (&Gpu, &wgpu::Buffer), index: &wgpu::Buffer, tensor: &Tensor, rows: &Rows) -> GatherBuffers {
    let from: Vec<_> = tensor.parts().collect();
    GatherBuffers::between(of, "take", index.clone(), (&tensor.size, &from), &whole(&rows.buffers))
}

/// The input of an application, and how its steps become rows.
#[derive(Debug)]
pub(crate) struct Take {
    params: wgpu::Buffer,
    /// The rows of the input.
    rows: Rows,
    tensor: Tensor,
    from: From,
}

#[derive(Debug)]
enum From {
    /// The steps themselves, by their numbers.
    Numbers { gather: GatherBuffers, index: wgpu::Buffer },
    /// The rows of a table that they name.
    Tokens {
        lookup: Lookup,
        gather: GatherBuffers,
        table_rows: usize,
    },
}

impl Stage for Take {
    fn upload_lists(&self, to: &mut dyn Writes, flow: &Flow) -> Result<()> {
        match &self.from {
            From::Numbers { index, .. } => upload_list(to, index, &flow.input_steps),
            From::Tokens { lookup, .. } => lookup.upload(to, &flow.input_steps),
        }
        Ok(())
    }

    fn record(&self, run: &Run<'_>, commands: &mut Commands) -> Result<()> {
        commands.begin_stage("take");
        let steps = run.flow.input_steps.len();
        let (gather, held) = match &self.from {
            From::Numbers { gather, .. } => (gather, self.tensor.size.held(self.tensor.rows)),
            From::Tokens {
                lookup,
                gather,
                table_rows,
            } => {
                lookup.record(commands, &self.tensor, steps);
                (gather, gather.source().held(*table_rows))
            }
        };
        let size = &self.rows.size;
        for (number, rows) in size.held(steps).into_iter().enumerate() {
            gather.record(commands, rows, &held, number, Target::rows(size.width, size.stride));
        }
        Ok(())
    }

    fn tensor(&self) -> Option<(End, &Tensor)> {
        Some((End::Input, &self.tensor))
    }

    fn bind(&mut self, gpu: &Gpu, tensor: Tensor) {
        match &mut self.from {
            From::Numbers { gather, index } => *gather = gathered((gpu, &self.params), index, &tensor, &self.rows),
            From::Tokens { lookup, .. } => lookup.bind((gpu, &self.params), &tensor),
        }
        self.tensor = tensor;
    }
}

const _: () = assert!(VALUE == size_of::<u32>() as u64, "a token is as large as a number");
