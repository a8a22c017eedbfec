//! The buffers of an application: which there are, and whether others may take their place.

use std::ops::Range;

use super::GpuWorkspace;
use crate::error::{Error, Result};
use crate::gpu::stage::interface::{Stage, defect};
use crate::gpu::tensor::{End, Tensor, bytes_of, offset_alignment};

/// Buffers, and where in them the values are.
impl GpuWorkspace {
    /// The buffer with the input. The application writes it before what [`encode`](Self::encode) has written runs.
    ///
    /// It is made by the workspace, filled with zeros, until [`set_input`](Self::set_input) names another. It may be longer than the
    /// input: bind [`input_binding`](Self::input_binding).
    ///
    /// ```no_run
    /// # fn example(workspace: cellstate::GpuWorkspace, queue: wgpu::Queue, values: &[f32]) {
    /// queue.write_buffer(workspace.input(), 0, bytemuck::cast_slice(values)); // or a shader, or a copy
    /// # }
    /// ```
    #[must_use]
    pub fn input(&self) -> &wgpu::Buffer {
        self.input_binding().buffer
    }

    /// The buffer with the output: what [`encode`](Self::encode) has written leaves it there.
    ///
    /// It is made by the workspace until [`set_output`](Self::set_output) names another.
    ///
    /// ```no_run
    /// # fn example(workspace: cellstate::GpuWorkspace, mut encoder: wgpu::CommandEncoder, mine: wgpu::Buffer) -> cellstate::Result<()> {
    /// workspace.encode(&mut encoder)?;
    /// encoder.copy_buffer_to_buffer(workspace.output(), 0, &mine, 0, None);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn output(&self) -> &wgpu::Buffer {
        self.output_binding().buffer
    }

    /// The buffer with the backward layer's output, where the last layer is a `Bidirectional` with `MergeMode::Separate`;
    /// [`output`](Self::output) is then the forward layer's.
    ///
    /// ```no_run
    /// # fn example(runner: cellstate::Runner) -> cellstate::Result<()> {
    /// assert!(runner.workspace(3, 20)?.backward().is_none());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn backward(&self) -> Option<&wgpu::Buffer> {
        Some(self.backward_binding()?.buffer)
    }

    /// The bytes of the input, as a bind group of the application takes them.
    ///
    /// ```no_run
    /// # fn example(workspace: cellstate::GpuWorkspace, device: wgpu::Device, layout: wgpu::BindGroupLayout) {
    /// let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
    ///     label: None,
    ///     layout: &layout,
    ///     entries: &[wgpu::BindGroupEntry {
    ///         binding: 0,
    ///         resource: wgpu::BindingResource::Buffer(workspace.input_binding()),
    ///     }],
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn input_binding(&self) -> wgpu::BufferBinding<'_> {
        self.tensor(End::Input)
            .map_or_else(|| self.nothing(), |tensor| tensor.binding())
    }

    /// The bytes of the output, as a bind group of the application takes them.
    ///
    /// ```no_run
    /// # fn example(workspace: cellstate::GpuWorkspace) {
    /// let binding = workspace.output_binding();
    /// println!("{:?} bytes from byte {} on", binding.size, binding.offset);
    /// # }
    /// ```
    #[must_use]
    pub fn output_binding(&self) -> wgpu::BufferBinding<'_> {
        self.tensor(End::Output(0))
            .map_or_else(|| self.nothing(), |tensor| tensor.binding())
    }

    /// The bytes of the [backward](Self::backward) output, as a bind group of the application takes them.
    ///
    /// ```no_run
    /// # fn example(runner: cellstate::Runner) -> cellstate::Result<()> {
    /// assert!(runner.workspace(3, 20)?.backward_binding().is_none());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn backward_binding(&self) -> Option<wgpu::BufferBinding<'_>> {
        Some(self.tensor(End::Output(1))?.binding())
    }

    /// (batch, time_steps, features), or (batch, time_steps) of tokens.
    ///
    /// ```no_run
    /// # fn example(runner: cellstate::Runner) -> cellstate::Result<()> {
    /// assert_eq!(runner.workspace(3, 20)?.input_shape(), [3, 20, 2]); // of a layer of 2 features
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// (batch, time_steps, units) if the last layer gives a value at every step, else (batch, units).
    ///
    /// ```no_run
    /// # fn example(runner: cellstate::Runner) -> cellstate::Result<()> {
    /// assert_eq!(runner.workspace(3, 20)?.output_shape(), [3, 64]); // of a layer of 64 units
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn output_shape(&self) -> &[usize] {
        self.shape(End::Output(0))
    }

    /// Reads the input from a buffer of the application, from a byte on, in all that is encoded from now on. It makes bind
    /// groups, and writes the lists anew as [`set_lengths`](Self::set_lengths) does, so what alternates from frame to frame is better left to several workspaces.
    ///
    /// The buffer has the usage `STORAGE`, and begins at a multiple of the device's `min_storage_buffer_offset_alignment`. It
    /// may be the output's if their bytes are others. The buffer is one of the runner's device, and of the same `wgpu::Instance`: with
    /// one of another instance `wgpu` panics or takes another buffer. [`Gpu::from_wgpu`](crate::Gpu::from_wgpu) takes your device.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] for a buffer without that usage, an offset that is no such multiple, and bytes that an output has;
    /// [`Error::Size`] for a buffer that is too short; [`Error::Gpu`] if the driver refuses the buffer, as one of another device
    /// of the same instance. The workspace is then as it was.
    ///
    /// ```no_run
    /// # fn example(runner: cellstate::Runner, buffer: wgpu::Buffer) -> cellstate::Result<()> {
    /// let mut workspace = runner.workspace(3, 20)?;
    /// workspace.set_input(&buffer, 0)?;
    /// workspace.set_output(&buffer, 4096)?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn set_input(&mut self, buffer: &wgpu::Buffer, offset: u64) -> Result<()> {
        pollster::block_on(self.set_input_async(buffer, offset))
    }

    /// As [`set_input`](Self::set_input).
    ///
    /// # Errors
    ///
    /// As [`set_input`](Self::set_input).
    pub async fn set_input_async(&mut self, buffer: &wgpu::Buffer, offset: u64) -> Result<()> {
        self.set(End::Input, buffer, offset).await
    }

    /// Leaves the output in a buffer of the application, from a byte on, in all that is encoded from now on: as
    /// [`set_input`](Self::set_input).
    ///
    /// # Errors
    ///
    /// As [`set_input`](Self::set_input).
    ///
    /// ```no_run
    /// # fn example(mut workspace: cellstate::GpuWorkspace, buffer: wgpu::Buffer) -> cellstate::Result<()> {
    /// workspace.set_output(&buffer, 256)?;
    /// assert_eq!(workspace.output_binding().offset, 256);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn set_output(&mut self, buffer: &wgpu::Buffer, offset: u64) -> Result<()> {
        pollster::block_on(self.set_output_async(buffer, offset))
    }

    /// As [`set_output`](Self::set_output).
    ///
    /// # Errors
    ///
    /// As [`set_output`](Self::set_output).
    pub async fn set_output_async(&mut self, buffer: &wgpu::Buffer, offset: u64) -> Result<()> {
        self.set(End::Output(0), buffer, offset).await
    }

    /// Leaves the [backward](Self::backward) output in a buffer of the application: as [`set_input`](Self::set_input).
    ///
    /// # Errors
    ///
    /// As [`set_input`](Self::set_input); [`Error::Value`] also if the model has one output only.
    ///
    /// ```no_run
    /// # fn example(mut workspace: cellstate::GpuWorkspace, buffer: wgpu::Buffer) -> cellstate::Result<()> {
    /// if workspace.backward().is_some() {
    ///     workspace.set_backward(&buffer, 0)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn set_backward(&mut self, buffer: &wgpu::Buffer, offset: u64) -> Result<()> {
        pollster::block_on(self.set_backward_async(buffer, offset))
    }

    /// As [`set_backward`](Self::set_backward).
    ///
    /// # Errors
    ///
    /// As [`set_backward`](Self::set_backward).
    pub async fn set_backward_async(&mut self, buffer: &wgpu::Buffer, offset: u64) -> Result<()> {
        if self.tensor(End::Output(1)).is_none() {
            return Err(Error::Value {
                argument: "backward".to_owned(),
                expected: "a model that ends with `MergeMode::Separate`, which has two outputs".to_owned(),
                found: "one that has a single output".to_owned(),
                repair: "call `set_output`".to_owned(),
            });
        }
        self.set(End::Output(1), buffer, offset).await
    }

    fn tensors(&self) -> impl Iterator<Item = (End, &Tensor)> {
        self.workspace.stages.iter().filter_map(|stage| stage.tensor())
    }

    fn tensor(&self, end: End) -> Option<&Tensor> {
        let mut found = self.tensors().filter(|&(of, _)| of == end);
        found.next().map(|(_, tensor)| tensor)
    }

    /// Cannot be wanted: a model has an input and an output.
    fn nothing(&self) -> wgpu::BufferBinding<'_> {
        self.workspace.params.as_entire_buffer_binding()
    }

    fn shape(&self, end: End) -> &[usize] {
        match end {
            End::Input => &self.input_shape,
            End::Output(number) => {
                let placed = self.recorded.flow.outputs.get(number);
                placed.map_or(&[], |placed| &placed.shape)
            }
        }
    }

    async fn set(&mut self, end: End, buffer: &wgpu::Buffer, offset: u64) -> Result<()> {
        let before = self.tensor(end).ok_or_else(defect)?.clone();
        let tensor = Tensor {
            buffer: buffer.clone(),
            offset,
            ..before.clone()
        };
        self.check(end, &tensor)?;
        let bound = self.bind(end, tensor).await;
        if bound.is_err() {
            // what was bound before can be bound again
            drop(self.bind(end, before).await);
        }
        bound
    }

    async fn bind(&mut self, end: End, tensor: Tensor) -> Result<()> {
        let gpu = &self.model.gpu;
        let is_it = |stage: &&mut Box<dyn Stage>| stage.tensor().is_some_and(|(of, _)| of == end);
        let stage = self.workspace.stages.iter_mut().find(is_it).ok_or_else(defect)?;
        let bind = || {
            stage.bind(gpu, tensor);
            Ok(())
        };
        gpu.guarded("binding a buffer of the application", bind).await?;
        self.record(self.recorded.flow.clone()).await
    }

    /// Whether a tensor may be where it is.
    fn check(&self, end: End, tensor: &Tensor) -> Result<()> {
        let bytes = bytes_of(&tensor.size, tensor.rows);
        let needed = self.check_bytes((name(end), self.shape(end)), &tensor.buffer, (tensor.offset, bytes))?;
        let others = self.tensors().filter(|&(of, _)| of != end);
        let others = others.map(|(of, other)| (name(of), &other.buffer, other.bytes()));
        let mask = self.gpu_mask.as_ref().filter(|_| end != End::Input);
        let mask = mask.map(|mask| ("mask", &mask.buffer, mask.offset..mask.offset + mask.bytes));
        self.check_apart((name(end), &tensor.buffer, &needed), others.chain(mask))
    }

    /// Whether nothing else of the workspace has these bytes.
    fn check_apart<'a>(
        &self,
        (name, buffer, needed): (&str, &wgpu::Buffer, &Range<u64>),
        others: impl Iterator<Item = (&'a str, &'a wgpu::Buffer, Range<u64>)>,
    ) -> Result<()> {
        let mut in_it = others.filter(|(_, other, bytes)| *other == buffer && overlap(bytes, needed));
        match in_it.next() {
            Some((other, _, bytes)) => Err(Error::Value {
                argument: format!("the bytes of the {name}"),
                expected: format!("others than those of the {other} of this workspace, {bytes:?}"),
                found: format!("{needed:?} of the same buffer"),
                repair: format!(
                    "begin at byte {} or later, in a longer buffer if need be, or take another buffer",
                    bytes.end.next_multiple_of(offset_alignment(&self.model.gpu))
                ),
            }),
            None => Ok(()),
        }
    }

    /// Whether a mask may be where it is.
    pub(super) fn check_mask(
        &self,
        (what, shape): (&str, &[usize]),
        buffer: &wgpu::Buffer,
        (offset, bytes): (u64, u64),
    ) -> Result<()> {
        let needed = self.check_bytes((what, shape), buffer, (offset, bytes))?;
        let limit = self.model.gpu.largest_binding();
        if bytes > limit {
            return Err(Error::TooLarge {
                what: format!("the {what} of shape {shape:?}"),
                needed: bytes,
                limit,
                limit_name: "bytes, max_storage_buffer_binding_size",
                repair: "take a smaller batch, or set the mask by `set_mask`".to_owned(),
            });
        }
        let outputs = self.tensors().filter(|&(of, _)| of != End::Input);
        let outputs = outputs.map(|(of, output)| (name(of), &output.buffer, output.bytes()));
        self.check_apart((what, buffer, &needed), outputs)
    }

    /// Which bytes of a buffer these are, from one on, if they can be bound.
    fn check_bytes(
        &self,
        (name, shape): (&str, &[usize]),
        buffer: &wgpu::Buffer,
        (start, bytes): (u64, u64),
    ) -> Result<Range<u64>> {
        if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
            return Err(Error::Value {
                argument: format!("the buffer of the {name}"),
                expected: "the usage STORAGE".to_owned(),
                found: format!("{:?}", buffer.usage()),
                repair: "make the buffer with `wgpu::BufferUsages::STORAGE` among its usages".to_owned(),
            });
        }
        let alignment = offset_alignment(&self.model.gpu);
        if !start.is_multiple_of(alignment) {
            return Err(Error::Value {
                argument: format!("the offset of the {name}"),
                expected: format!("a multiple of {alignment} bytes, the device's min_storage_buffer_offset_alignment"),
                found: start.to_string(),
                repair: format!(
                    "begin at byte {}",
                    start.saturating_add(alignment) / alignment * alignment
                ),
            });
        }
        let end = start.checked_add(bytes).filter(|&end| end <= buffer.size());
        end.map(|end| start..end).ok_or_else(|| Error::Size {
            argument: format!("the buffer of the {name}"),
            expected: format!("{bytes} bytes for shape {shape:?} from byte {start} on"),
            found: format!("a buffer of {} bytes", buffer.size()),
            repair: "make the buffer larger, or begin nearer to its start".to_owned(),
        })
    }
}

fn name(end: End) -> &'static str {
    match end {
        End::Input => "input",
        End::Output(0) => "output",
        End::Output(_) => "backward output",
    }
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}
