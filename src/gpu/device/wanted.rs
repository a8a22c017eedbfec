//! What makes models fast on a GPU, for an application that opens the device itself.

use super::{Gpu, MOST_PARAMS};

/// The optional features that are used where they are, each with a path without.
pub(super) const USED_FEATURES: wgpu::Features = wgpu::Features::IMMEDIATES
    .union(wgpu::Features::TIMESTAMP_QUERY)
    .union(wgpu::Features::SUBGROUP)
    .union(wgpu::Features::PIPELINE_CACHE);

impl Gpu {
    /// The features without which no model runs: none. [`Gpu::required_limits`] says what a model needs besides, and
    /// [`Gpu::wanted_features`] what makes it fast.
    ///
    /// ```
    /// assert!(cellstate::Gpu::required_features().is_empty());
    /// ```
    #[must_use]
    pub const fn required_features() -> wgpu::Features {
        wgpu::Features::empty()
    }

    /// The optional features that are used where a device has them, as far as an adapter offers them: `IMMEDIATES` (cheaper dispatches, with
    /// [`Gpu::wanted_limits`]), `SUBGROUP` (teams, and steps of many units on GPUs of NVIDIA; steps and training in software), `TIMESTAMP_QUERY`
    /// ([`Settings::timed`](crate::Settings::timed), [`Runner::tune`](crate::Runner::tune)), `PIPELINE_CACHE`
    /// ([`Gpu::set_pipeline_cache`]). Those of [`Settings::matrices`](crate::Settings::matrices) are not among them, for one of them is experimental:
    /// `SHADER_F16` and `EXPERIMENTAL_COOPERATIVE_MATRIX`.
    ///
    /// ```no_run
    /// # async fn example(adapter: wgpu::Adapter) -> Result<(), Box<dyn std::error::Error>> {
    /// use cellstate::{Gpu, Lstm, Model};
    ///
    /// let model = Model::builder().add(Lstm::new(2, 64)).build()?;
    /// let limits = Gpu::required_limits(&model, 32, 100)?;              // batch, time_steps
    /// let opened = adapter.request_device(&wgpu::DeviceDescriptor {
    ///     required_features: Gpu::wanted_features(&adapter),            // and your own
    ///     required_limits: Gpu::wanted_limits(&adapter, limits),        // or `limits`, which is enough
    ///     ..Default::default()
    /// });
    /// let (device, queue) = opened.await?;
    /// let runner = model.on(&Gpu::from_wgpu(&adapter, &device, &queue)?.into())?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn wanted_features(adapter: &wgpu::Adapter) -> wgpu::Features {
        USED_FEATURES & adapter.features()
    }

    /// Limits raised to what makes models fast, as far as an adapter has it: parameters within the commands, which belong to the feature
    /// `IMMEDIATES`, and buffers so large that nothing has to be cut. All others stay as they are.
    ///
    /// ```no_run
    /// # fn example(adapter: wgpu::Adapter) {
    /// let limits = cellstate::Gpu::wanted_limits(&adapter, wgpu::Limits::default());
    /// println!("tensors of {} bytes in one binding", limits.max_storage_buffer_binding_size);
    /// # }
    /// ```
    #[must_use]
    pub fn wanted_limits(adapter: &wgpu::Adapter, limits: wgpu::Limits) -> wgpu::Limits {
        let offered = adapter.limits();
        let immediates = match adapter.features().contains(wgpu::Features::IMMEDIATES) {
            true => MOST_PARAMS.min(offered.max_immediate_size),
            false => 0,
        };
        let binding = offered.max_storage_buffer_binding_size;
        wgpu::Limits {
            max_immediate_size: limits.max_immediate_size.max(immediates),
            max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size.max(binding),
            max_buffer_size: limits.max_buffer_size.max(offered.max_buffer_size),
            ..limits
        }
    }
}
