//! A runner within the commands of an application.

use std::sync::Arc;

use super::Runner;
use super::section::Prepared;
use crate::error::{Error, Result};
use crate::gpu::{GpuModel, GpuWorkspace};
use crate::trace::spanned;

impl Runner {
    /// Everything that the model needs to run batches of (batch, time_steps) within the application's own commands: from a
    /// buffer of the GPU to another, without the host. [`GpuWorkspace`] says how.
    ///
    /// It makes the buffers, pipelines and lists, which is slow, so that [`GpuWorkspace::encode`] has nothing to do of
    /// that. Any number of workspaces may be made. They keep the weights, and the runner may be dropped.
    ///
    /// The application's buffers and encoders have to be of the runner's device, and of the same `wgpu::Instance`: hand your device over by
    /// [`Gpu::from_wgpu`](crate::Gpu::from_wgpu). `wgpu` panics, or takes another buffer, where they are of another instance.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] on the CPU, which has no command encoder, and for a model whose masks the host reads off values
    /// that only the GPU has: with a `Masking` layer, or `mask_zero` of an `Embedding`; also where the settings name
    /// [`Strategy::Team`](crate::Strategy::Team). [`Error::TooLarge`] if no such batch can be run, [`Error::Memory`] if its lists do not
    /// fit into memory, [`Error::Gpu`] if the driver fails.
    ///
    /// ```no_run
    /// # async fn example(adapter: wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> cellstate::Result<()> {
    /// use cellstate::{Gpu, Lstm};
    ///
    /// let gpu = Gpu::from_wgpu(&adapter, &device, &queue)?;
    /// let workspace = Lstm::new(2, 64).on(&gpu.into())?.workspace(3, 20)?;
    /// let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    /// workspace.encode(&mut encoder)?;
    /// queue.submit([encoder.finish()]);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn workspace(&self, batch: usize, time_steps: usize) -> Result<GpuWorkspace> {
        pollster::block_on(self.workspace_async(batch, time_steps))
    }

    /// As [`Runner::workspace`].
    ///
    /// # Errors
    ///
    /// As [`Runner::workspace`].
    pub async fn workspace_async(&self, batch: usize, time_steps: usize) -> Result<GpuWorkspace> {
        self.outer()
            .try_for_each(|section| section.plan.check_time_steps(time_steps))?;
        let model = self.gpu_model("running within the application's commands")?;
        let made = GpuWorkspace::make(model, (batch, time_steps));
        spanned!("workspace" { batch, time_steps }, made).await
    }

    /// The model on a GPU, where the host need not do anything in the middle of a run.
    pub(super) fn gpu_model(&self, option: &'static str) -> Result<&Arc<GpuModel>> {
        let unsupported = |layer: &str, instead: &str| Error::Unsupported {
            layer: layer.to_owned(),
            option: option.to_owned(),
            instead: instead.to_owned(),
        };
        match self.sections.as_slice() {
            _ if self.gpu().is_none() => Err(unsupported(
                "a model on the CPU",
                "call `run`, `run_into` or `run_from`, which take and give arrays, or put the model on a GPU: that of `Device::auto()`, or the \
                 application's by `model.on(&Gpu::from_wgpu(&adapter, &device, &queue)?.into())`",
            )),
            [section] => match &section.prepared {
                Prepared::Gpu(model) => Ok(model),
                Prepared::Cpu(_) | Prepared::Nothing => Err(unsupported(
                    "a model that computes nothing",
                    "call `run`, which the host does alone",
                )),
            },
            [first, ..] if first.plan.is_inner => Err(unsupported(
                "a TimeDistributed, whose inner layers run over other sequences,",
                "call `run` or `run_from`, or build the inner layers and the others as two models",
            )),
            _ => Err(unsupported(
                "a Masking layer behind one that computes, whose values the host reads,",
                "call `run` or `run_from`, or build the model without the layer",
            )),
        }
    }
}
