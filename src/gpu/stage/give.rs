//! `give`: the rows of an output of the model go to their (batch, time step) in a buffer of the application, by `gather`.

use crate::error::Result;
use crate::flow::size::OutputSize;
use crate::flow::{Flow, Placed, Source};
use crate::gpu::commands::Commands;
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::{Use, buffer_bytes};
use crate::gpu::device::writes::Writes;
use crate::gpu::rows::{Rows, RowsSize};
use crate::gpu::stage::gather::{GatherBuffers, Target, whole};
use crate::gpu::stage::interface::{Maker, Run, Scratch, Sizer, Stage, StageSize, at};
use crate::gpu::stage::lists::{index_bytes, make_list, upload_list};
use crate::gpu::tensor::{End, Tensor, bytes_of, dense_rows};

/// What an output of an application takes.
#[derive(Debug)]
pub(crate) struct GiveSize {
    /// Its number among the outputs.
    number: usize,
    output: OutputSize,
    tensor: RowsSize,
    source_buffers: usize,
}

impl GiveSize {
    pub(crate) fn new(sizer: &Sizer<'_>, number: usize) -> Result<Self> {
        let output = *at(&sizer.flow.outputs, number)?;
        Ok(Self {
            number,
            output,
            tensor: dense_rows(sizer.gpu, "the output", output.width, output.entries)?,
            source_buffers: sizer.source(output.source)?.buffers,
        })
    }
}

impl StageSize for GiveSize {
    fn rows(&self) -> &[RowsSize] {
        &[] // none that another stage reads
    }

    fn sources(&self) -> Vec<Source> {
        vec![self.output.source]
    }

    fn bytes(&self) -> u64 {
        buffer_bytes(bytes_of(&self.tensor, self.output.entries)) + buffer_bytes(index_bytes(self.output.entries))
    }

    fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    fn dispatches(&self) -> usize {
        self.tensor.buffers * self.source_buffers
    }

    fn make(&self, maker: &Maker<'_>) -> Result<Box<dyn Stage>> {
        let (gpu, entries) = (maker.gpu, self.output.entries);
        let tensor = Tensor {
            buffer: gpu.make_buffer("output.tensor", bytes_of(&self.tensor, entries), Use::Storage),
            offset: 0,
            size: self.tensor.clone(),
            rows: entries,
        };
        let source = maker.source(self.output.source)?.clone();
        let index = make_list(gpu, "give", entries);
        Ok(Box::new(Give {
            number: self.number,
            params: maker.params.clone(),
            gather: gathered((gpu, maker.params), &index, &source, &tensor),
            source,
            index,
            tensor,
        }))
    }
}

fn gathered(of: (&Gpu, &wgpu::Buffer), index: &wgpu::Buffer, source: &Rows, tensor: &Tensor) -> GatherBuffers {
    let to: Vec<_> = tensor.parts().collect();
    GatherBuffers::between(of, "give", index.clone(), (&source.size, &whole(&source.buffers)), &to)
}

/// An output in a buffer of the application.
#[derive(Debug)]
pub(crate) struct Give {
    number: usize,
    params: wgpu::Buffer,
    source: Rows,
    index: wgpu::Buffer,
    gather: GatherBuffers,
    tensor: Tensor,
}

impl Give {
    fn placed<'a>(&self, flow: &'a Flow) -> Result<&'a Placed> {
        at(&flow.outputs, self.number)
    }
}

impl Stage for Give {
    fn upload_lists(&self, to: &mut dyn Writes, flow: &Flow) -> Result<()> {
        upload_list(to, &self.index, &self.placed(flow)?.gather.index);
        Ok(())
    }

    fn record(&self, run: &Run<'_>, commands: &mut Commands) -> Result<()> {
        commands.begin_stage("give");
        let gather = &self.placed(run.flow)?.gather;
        let held = run.held(gather.source)?;
        let size = &self.tensor.size;
        for (number, rows) in size.held(gather.index.len()).into_iter().enumerate() {
            self.gather
                .record(commands, rows, held, number, Target::rows(size.width, size.stride));
        }
        Ok(())
    }

    fn tensor(&self) -> Option<(End, &Tensor)> {
        Some((End::Output(self.number), &self.tensor))
    }

    fn bind(&mut self, gpu: &Gpu, tensor: Tensor) {
        self.gather = gathered((gpu, &self.params), &self.index, &self.source, &tensor);
        self.tensor = tensor;
    }
}
