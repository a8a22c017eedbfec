//! A runner of plans on a device; and on another one, after the loss of a GPU, or because another one is better.

use std::sync::Arc;

use super::Runner;
use super::section::Section;
use crate::device::Device;
use crate::error::Result;
use crate::model::plan::Plan;
use crate::settings::Settings;
use crate::trace::spanned;

impl Runner {
    /// The same model with the same weights and settings on another device, or on the same one: what goes on after a GPU is lost, from any device to
    /// any other, the CPU included.
    ///
    /// The weights come from the host, which the runner shares with the [`Model`](crate::Model) and with other runners of it, so that they are there
    /// once more only on the new device. [`States`](crate::States) are values of the host and go on too. What was on the old GPU is lost with it:
    /// its buffers, its [`GpuWorkspace`](crate::GpuWorkspace)s, which are made anew, and what [`Runner::tune`] has measured there. So are
    /// [`GpuStates`](crate::GpuStates): a stream that must outlive its GPU [reads](crate::GpuStates::read) them now and then, and goes on from
    /// [`Runner::gpu_states`] of what was read last. This runner stays as it is.
    ///
    /// A device that was lost gives [`Error::Gpu`](crate::Error::Gpu) in every call; states and outputs are then as they were, so that the
    /// call can be made again here. [`Gpu::is_lost`](crate::Gpu::is_lost) says whether that was the reason. [`Device::auto`] and
    /// [`Device::named`] open a GPU anew whose device is lost; an application with a device of its own opens another.
    ///
    /// # Errors
    ///
    /// As [`Model::on_with`](crate::Model::on_with) with the settings of this runner: [`Error::Unsupported`](crate::Error::Unsupported) where they name
    /// what only the other kind of device has; [`Runner::rebuild_with`] takes others.
    ///
    /// ```
    /// use cellstate::{Device, Lstm, Sequences};
    /// use ndarray::Array3;
    ///
    /// let runner = Lstm::new(2, 8).on(&Device::auto())?;
    /// let mut states = runner.zero_state(3);
    /// let chunk = Array3::ones((3, 20, 2));
    /// runner.run_from(&Sequences::from(&chunk), &mut states)?;
    /// // … the GPU is lost
    /// let runner = runner.rebuild(&Device::cpu())?;
    /// runner.run_from(&Sequences::from(&chunk), &mut states)?; // goes on where the GPU had come to
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn rebuild(&self, device: &Device) -> Result<Self> {
        pollster::block_on(self.rebuild_async(device))
    }

    /// As [`Runner::rebuild`].
    ///
    /// # Errors
    ///
    /// As [`Runner::rebuild`].
    pub async fn rebuild_async(&self, device: &Device) -> Result<Self> {
        self.rebuild_with_async(device, &self.settings).await
    }

    /// As [`Runner::rebuild`], with other settings: where those that the runner has are of the other kind of device.
    ///
    /// # Errors
    ///
    /// As [`Model::on_with`](crate::Model::on_with).
    ///
    /// ```
    /// use cellstate::{Device, Instructions, Lstm, Model, Settings};
    ///
    /// let model = Model::builder().add(Lstm::new(2, 8)).build()?;
    /// let runner = model.on_with(&Device::cpu(), &Settings::new().instructions(Instructions::Plain))?;
    /// let runner = runner.rebuild_with(&Device::auto(), &Settings::new())?;
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn rebuild_with(&self, device: &Device, settings: &Settings) -> Result<Self> {
        pollster::block_on(self.rebuild_with_async(device, settings))
    }

    /// As [`Runner::rebuild_with`].
    ///
    /// # Errors
    ///
    /// As [`Runner::rebuild_with`].
    pub async fn rebuild_with_async(&self, device: &Device, settings: &Settings) -> Result<Self> {
        let plans = self.sections.iter().map(|section| &section.plan);
        Self::of(plans, device, settings).await
    }

    /// A runner of plans, one for each section.
    pub(super) async fn of(
        plans: impl Iterator<Item = &Arc<Plan>>,
        device: &Device,
        settings: &Settings,
    ) -> Result<Self> {
        let name: Arc<str> = device.name().into();
        settings.check_for(&name, device.gpu().is_some())?;
        let mut sections = Vec::new();
        for plan in plans {
            let made = Section::new(plan, device, settings, &name);
            sections.push(spanned!("prepare" { device = &*name }, made).await?);
        }
        Ok(Self {
            sections,
            device: device.clone(),
            settings: settings.clone(),
        })
    }
}
