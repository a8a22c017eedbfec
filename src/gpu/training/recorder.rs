//! The commands of one way back, as they are recorded.

use bytemuck::Pod;

use crate::error::Result;
use crate::gpu::commands::{Begin, Commands, Workgroups, record_bytes};
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;
use crate::gpu::shader::Shader;
use crate::gpu::training::bound::Groups;
use crate::gpu::training::buffers::{Buffers, Name};

#[cfg(test)]
thread_local! {
    /// Whether this thread records in software what a GPU would run.
    pub(super) static AS_ON_A_GPU: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// The invocations of a workgroup that does a value each.
const INVOCATIONS: u64 = 256;

/// The values of a workgroup that leaves sums of them, as chunk.wgsl has them.
pub(super) const CHUNK: usize = 4096;

/// The buffer of what the host tells each dispatch.
pub(super) const PARAMETERS: Name = ("parameters", 0);

/// How much that is of so many dispatches, in values of four bytes.
pub(super) fn parameters(gpu: &Gpu, dispatches: usize) -> u64 {
    (dispatches as u64).saturating_mul(record_bytes(gpu)).div_ceil(4)
}

/// A shader with the values of its constants.
pub(super) type Made<'a> = (&'static Shader, &'a [u32]);

/// Values row by row in a buffer: where the first one stands, and how many lie from one row to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix<'a> {
    pub(super) buffer: &'a wgpu::Buffer,
    pub(super) first: usize,
    pub(super) stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of so many values, without gaps.
    pub(super) fn tight(buffer: &'a wgpu::Buffer, width: usize) -> Self {
        Self {
            buffer,
            first: 0,
            stride: width,
        }
    }

    /// The same from a value on.
    pub(super) fn from(self, first: usize) -> Self {
        Self {
            first: self.first + first,
            ..self
        }
    }
}

/// Values row by row without gaps, in a buffer that others may share.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) buffer: wgpu::Buffer,
    pub(super) first: usize,
    pub(super) width: usize,
}

impl Block {
    pub(super) fn matrix(&self) -> Matrix<'_> {
        Matrix::tight(&self.buffer, self.width).from(self.first)
    }
}

/// One way back, as it is recorded.
pub(super) struct Recorder<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) buffers: &'a mut Buffers,
    pub(super) commands: Commands,
    params: wgpu::Buffer,
    /// Bound where a shader reads nothing, and where one writes nothing; no dispatch binds one twice that it writes.
    nothing: [wgpu::Buffer; 3],
    /// What dispatches have bound by now: those of one step after the other bind the same,
    bound: Groups,
    /// and those of one batch after the other.
    keeps_bound: bool,
}

impl<'a> Recorder<'a> {
    /// For so many dispatches at most.
    pub(super) fn new(gpu: &'a Gpu, buffers: &'a mut Buffers, dispatches: usize) -> Result<Self> {
        let values = usize::try_from(parameters(gpu, dispatches)).unwrap_or(usize::MAX);
        let params = buffers.get(gpu, PARAMETERS, values, Use::Uniform)?;
        let nothing = [
            buffers.get(gpu, ("nothing", 0), 4, Use::Storage)?,
            buffers.get(gpu, ("nothing", 1), 4, Use::Storage)?,
            buffers.get(gpu, ("nothing", 2), 4, Use::Storage)?,
        ];
        Ok(Self {
            commands: Commands::beginning(gpu, Begin::Zeros),
            gpu,
            buffers,
            params,
            nothing,
            bound: Groups::default(),
            keeps_bound: false,
        })
    }

    /// The same, with what the last one like this has bound.
    pub(super) fn going_on(gpu: &'a Gpu, buffers: &'a mut Buffers, dispatches: usize) -> Result<Self> {
        let mut made = Self::new(gpu, buffers, dispatches)?;
        made.bound = std::mem::take(&mut made.buffers.groups).begun();
        made.keeps_bound = true;
        Ok(made)
    }

    /// Where a CPU does what it records, what that has.
    pub(super) fn software(&self) -> Option<Software> {
        Software::of(self.gpu)
    }

    /// A buffer for so many values or entries.
    pub(super) fn buffer(&mut self, name: Name, count: usize) -> Result<wgpu::Buffer> {
        self.buffers.get(self.gpu, name, count, Use::Storage)
    }

    /// A buffer of zeros.
    pub(super) fn zeros(&mut self, name: Name, count: usize) -> Result<wgpu::Buffer> {
        let buffer = self.buffer(name, count)?;
        self.commands.first.clear(&buffer, 0..4 * count as u64);
        Ok(buffer)
    }

    /// A buffer with these entries or values.
    pub(super) fn upload<T: Pod>(&mut self, name: Name, values: &[T]) -> Result<wgpu::Buffer> {
        self.upload_part(name, (0, 1), values)
    }

    /// The same for one of several parts of a buffer, which are as long as each other.
    pub(super) fn upload_part<T: Pod>(
        &mut self,
        name: Name,
        (part, parts): (usize, usize),
        values: &[T],
    ) -> Result<wgpu::Buffer> {
        let buffer = self.buffer(name, parts * values.len())?;
        let first = 4 * (part * values.len()) as u64;
        self.gpu
            .queue()
            .write_buffer(&buffer, first, bytemuck::cast_slice(values));
        Ok(buffer)
    }

    /// Copies buffers of so many values into one, behind each other, before anything runs.
    pub(super) fn side_by_side(&mut self, name: Name, count: usize, parts: &[&wgpu::Buffer]) -> Result<wgpu::Buffer> {
        let buffer = self.buffer(name, parts.len() * count)?;
        let bytes = 4 * count as u64;
        for (number, part) in parts.iter().enumerate() {
            self.commands.first.copy(part, 0..bytes, &buffer, number as u64 * bytes);
        }
        Ok(buffer)
    }

    /// What is bound where a shader reads nothing.
    pub(super) fn nothing(&self) -> wgpu::Buffer {
        self.nothing[0].clone()
    }

    /// What is bound where it writes nothing, in one place or in two.
    pub(super) fn nothing_written(&self) -> [wgpu::Buffer; 2] {
        let [_, one, other] = &self.nothing;
        [one.clone(), other.clone()]
    }

    /// A dispatch over buffers of its own.
    pub(super) fn dispatch<P: Pod>(&mut self, shader: Made<'_>, storage: &[&wgpu::Buffer], params: P, workgroups: u64) {
        self.dispatches(shader, storage, std::iter::once((params, workgroups)));
    }

    /// Dispatches over the same buffers, one behind the other.
    pub(super) fn dispatches<P: Pod>(
        &mut self,
        (shader, constants): Made<'_>,
        storage: &[&wgpu::Buffer],
        each: impl Iterator<Item = (P, u64)>,
    ) {
        let buffers = storage.iter().map(|&buffer| buffer.clone()).collect();
        let bound = (shader.name, constants.to_vec(), buffers);
        let (pipeline, group) = self.bound.get_or_make(bound, || {
            let pipeline = self.gpu.pipeline(shader, constants);
            let group = self.gpu.make_bind_group(shader.name, &pipeline, &self.params, storage);
            (pipeline, group)
        });
        for (params, workgroups) in each.filter(|(_, workgroups)| *workgroups > 0) {
            self.commands
                .dispatch(pipeline, group, params, Workgroups::Flat(workgroups));
        }
    }

    /// Uploads the parameters and submits everything.
    pub(super) fn submit(self) -> Result<wgpu::SubmissionIndex> {
        let gpu = self.gpu;
        self.recorded().submit(gpu)
    }

    /// All of it, to be submitted later.
    pub(super) fn recorded(self) -> Recorded {
        if self.keeps_bound {
            self.buffers.groups = self.bound.ended();
        }
        Recorded {
            commands: self.commands,
            params: self.params,
        }
    }
}

/// What is recorded and not yet submitted: nothing has to be made for it any more.
#[derive(Debug)]
pub(super) struct Recorded {
    commands: Commands,
    params: wgpu::Buffer,
}

impl Recorded {
    pub(super) fn submit(&self, gpu: &Gpu) -> Result<wgpu::SubmissionIndex> {
        self.commands.upload(gpu, &self.params)?;
        let mut encoder = gpu.encoder("back");
        self.commands.encode(None, &mut encoder);
        Ok(gpu.queue().submit([encoder.finish()]))
    }
}

/// What texts reckon with that are made for a CPU.
#[derive(Clone, Copy, Debug)]
pub(super) struct Software {
    pub(super) largest_binding: u64,
    /// The values that a subgroup reads at once for all of its invocations: 4 or 8.
    pub(super) block: usize,
}

impl Software {
    /// Of an adapter that is one and has subgroups. (What has none runs the texts of GPUs.)
    pub(super) fn of(gpu: &Gpu) -> Option<Self> {
        #[cfg(test)]
        if AS_ON_A_GPU.get() {
            return None;
        }
        let block = gpu.shared_in_software()? as usize;
        Some(Self {
            largest_binding: gpu.largest_binding(),
            block,
        })
    }
}

/// The workgroups of a shader whose invocations do one value each.
pub(super) fn for_values(values: usize) -> u64 {
    (values as u64).div_ceil(INVOCATIONS)
}
