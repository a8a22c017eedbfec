//! `place`: the rows of an output of the model go to their (batch, time step), by `gather`, and from there to the host.

use ndarray::{ArrayD, IxDyn};

use crate::copy::{append, overwrite};
use crate::error::Result;
use crate::flow::size::OutputSize;
use crate::flow::{Flow, Placed, Ran, Source};
use crate::gpu::commands::Commands;
use crate::gpu::device::buffer::{Use, buffer_bytes};
use crate::gpu::device::mapped::Bytes;
use crate::gpu::device::writes::Writes;
use crate::gpu::rows::{Rows, RowsSize, VALUE};
use crate::gpu::stage::gather::{GatherBuffers, Target};
use crate::gpu::stage::interface::{HostReads, Maker, Run, Scratch, Sizer, Stage, StageSize, at, defect};
use crate::gpu::stage::lists::index_bytes;

/// What an output takes.
#[derive(Debug)]
pub(crate) struct PlaceSize {
    /// Its number among the outputs.
    number: usize,
    output: OutputSize,
    rows: RowsSize,
    source_buffers: usize,
}

/// An output in the shape that the caller gets, and the buffers that the host reads.
#[derive(Debug)]
pub(crate) struct Place {
    number: usize,
    rows: Rows,
    gather: GatherBuffers,
    staging: Rows,
}

impl PlaceSize {
    pub(crate) fn new(sizer: &Sizer<'_>, number: usize) -> Result<Self> {
        let output = *at(&sizer.flow.outputs, number)?;
        Ok(Self {
            number,
            output,
            rows: RowsSize::new(output.width, output.width, output.entries, sizer.limit),
            source_buffers: sizer.source(output.source)?.buffers,
        })
    }
}

impl StageSize for PlaceSize {
    fn rows(&self) -> &[RowsSize] {
        &[] // none that another stage reads
    }

    fn sources(&self) -> Vec<Source> {
        vec![self.output.source]
    }

    fn bytes(&self) -> u64 {
        2 * self.rows.bytes().sum::<u64>() + buffer_bytes(index_bytes(self.output.entries))
    }

    fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    fn dispatches(&self) -> usize {
        self.rows.buffers * self.source_buffers
    }

    fn make(&self, maker: &Maker<'_>) -> Result<Box<dyn Stage>> {
        let rows = Rows::make(maker.gpu, "output", &self.rows, Use::Storage);
        let source = maker.source(self.output.source)?;
        Ok(Box::new(Place {
            number: self.number,
            gather: GatherBuffers::make(maker, "place", self.output.entries, source, &rows.buffers),
            rows,
            staging: Rows::make(maker.gpu, "output.staging", &self.rows, Use::Readback),
        }))
    }
}

impl Place {
    fn placed<'a>(&self, flow: &'a Flow) -> Result<&'a Placed> {
        at(&flow.outputs, self.number)
    }
}

impl Stage for Place {
    fn upload_lists(&self, to: &mut dyn Writes, flow: &Flow) -> Result<()> {
        self.gather.upload(to, &self.placed(flow)?.gather);
        Ok(())
    }

    fn record(&self, run: &Run<'_>, commands: &mut Commands) -> Result<()> {
        commands.begin_stage("place");
        let gather = &self.placed(run.flow)?.gather;
        let held = run.held(gather.source)?;
        let size = &self.rows.size;
        let copies = self.rows.buffers.iter().zip(&self.staging.buffers);
        let filled = size.held(gather.index.len()).into_iter().zip(copies);
        for (number, (rows, (made, staging))) in filled.enumerate() {
            let bytes = rows.len() as u64 * size.row_bytes();
            let target = Target::rows(size.width, size.stride);
            self.gather.record(commands, rows, held, number, target);
            if run.reads.outputs {
                commands.last.copy(made, 0..bytes, staging, 0);
            }
        }
        Ok(())
    }

    fn wanted(&self, flow: &Flow, reads: HostReads) -> Result<Vec<(&wgpu::Buffer, u64)>> {
        if !reads.outputs {
            return Ok(Vec::new());
        }
        let size = &self.staging.size;
        let held = size.held(self.placed(flow)?.gather.index.len());
        let bytes = held.into_iter().map(|rows| rows.len() as u64 * size.row_bytes());
        Ok(self.staging.buffers.iter().zip(bytes).collect())
    }

    fn take(&self, flow: &Flow, read: &mut dyn Iterator<Item = Bytes>, ran: &mut Ran) -> Result<()> {
        let shape = &self.placed(flow)?.shape;
        // without a place to put it, nobody wanted it and nothing was read
        let Some(output) = ran.outputs.get_mut(self.number) else {
            return Ok(());
        };
        let pieces: Vec<Bytes> = read.take(self.staging.buffers.len()).collect();
        *output = filled(std::mem::take(output), shape, &pieces)?;
        Ok(())
    }

    fn output(&self, number: usize) -> Option<&wgpu::Buffer> {
        match &self.rows.buffers[..] {
            [whole] if number == self.number => Some(whole),
            _ => None,
        }
    }
}

/// The array of this shape with the values of all pieces: in the memory of `room`, which has the shape or is empty.
fn filled(mut room: ArrayD<f32>, shape: &[usize], pieces: &[Bytes]) -> Result<ArrayD<f32>> {
    if let (true, Some(mut rest)) = (room.shape() == shape, room.as_slice_mut()) {
        for piece in pieces {
            let (values, behind) = rest
                .split_at_mut_checked(piece.len() / VALUE as usize)
                .ok_or_else(defect)?;
            overwrite(values, piece);
            rest = behind;
        }
        return match rest {
            [] => Ok(room),
            _ => Err(defect()),
        };
    }
    let (mut list, _) = room.into_raw_vec_and_offset();
    list.clear();
    let list = pieces.iter().fold(list, |list, piece| append(list, piece));
    ArrayD::from_shape_vec(IxDyn(shape), list).map_err(|_| defect())
}
