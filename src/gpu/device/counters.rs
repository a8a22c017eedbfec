//! Counts of what is made on a device.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What has been made on a device by this crate since it was opened or handed over: they only grow.
///
/// All runners on the device count, and all of the process that use one adapter by its name are on one device. Those that are to
/// count alone need a device of the application's own ([`Gpu::from_wgpu`](crate::Gpu::from_wgpu)).
///
/// What is made by the application, or by `wgpu` itself, is not counted. In a program of 32 bits a count begins again at 2³².
///
/// ```no_run
/// use cellstate::{Device, Lstm, Sequences};
/// use ndarray::Array3;
///
/// let runner = Lstm::new(2, 64).on(&Device::named("llvmpipe")?)?;
/// let made = || runner.gpu().map(|gpu| (gpu.counters().buffers(), gpu.counters().pipelines()));
/// let batch = Sequences::from(Array3::zeros((3, 20, 2)));
/// runner.run(&batch)?;
/// let before = made();
/// runner.run(&batch)?;
/// assert_eq!(made(), before); // the second run of a size makes nothing
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Counters {
    buffers: AtomicUsize,
    bytes: AtomicUsize,
    bind_groups: AtomicUsize,
    pipelines: AtomicUsize,
    aborted_teams: AtomicUsize,
}

impl Counters {
    /// Buffers made, those that are freed already included.
    ///
    /// ```no_run
    /// # use cellstate::{Device, Lstm};
    /// let runner = Lstm::new(2, 64).on(&Device::named("llvmpipe")?)?;
    /// assert!(runner.gpu().is_some_and(|gpu| gpu.counters().buffers() > 0));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn buffers(&self) -> u64 {
        self.buffers.load(Ordering::Relaxed) as u64
    }

    /// Bytes of the buffers made: what was asked for, without what the driver adds to each.
    ///
    /// ```no_run
    /// # use cellstate::{Device, Lstm};
    /// let lstm = Lstm::new(2, 64);
    /// let runner = lstm.on(&Device::named("llvmpipe")?)?;
    /// assert!(runner.gpu().is_some_and(|gpu| gpu.counters().bytes() >= 4 * lstm.parameter_count() as u64));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed) as u64
    }

    /// Bind groups made, those that are freed already included.
    ///
    /// ```no_run
    /// # use cellstate::{Device, Lstm, Sequences};
    /// # use ndarray::Array3;
    /// let runner = Lstm::new(2, 64).on(&Device::named("llvmpipe")?)?;
    /// runner.run(&Sequences::from(Array3::zeros((3, 20, 2))))?;
    /// assert!(runner.gpu().is_some_and(|gpu| gpu.counters().bind_groups() > 0));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn bind_groups(&self) -> u64 {
        self.bind_groups.load(Ordering::Relaxed) as u64
    }

    /// Compute pipelines made; models on one device share those that they have in common.
    ///
    /// ```no_run
    /// # use cellstate::{Device, Lstm};
    /// let runner = Lstm::new(2, 64).on(&Device::named("llvmpipe")?)?;
    /// assert!(runner.gpu().is_some_and(|gpu| gpu.counters().pipelines() > 0));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn pipelines(&self) -> u64 {
        self.pipelines.load(Ordering::Relaxed) as u64
    }

    /// Runs in which workgroups of [`Strategy::Team`](crate::Strategy::Team) gave up waiting for each other. Each was run again by
    /// another strategy before anything was given out, and since the first one that strategy is only taken where it is named.
    ///
    /// ```no_run
    /// # use cellstate::{Device, Lstm, Sequences};
    /// # use ndarray::Array3;
    /// let runner = Lstm::new(2, 64).on(&Device::auto())?;
    /// runner.run(&Sequences::from(Array3::zeros((3, 20, 2))))?;
    /// if let Some(gpu) = runner.gpu() {
    ///     println!("{} runs were made twice", gpu.counters().aborted_teams());
    /// }
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn aborted_teams(&self) -> u64 {
        self.aborted_teams.load(Ordering::Relaxed) as u64
    }

    pub(crate) fn count_aborted_team(&self) {
        self.aborted_teams.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_pipeline(&self) {
        self.pipelines.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_buffer(&self, bytes: u64) {
        self.buffers.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as usize, Ordering::Relaxed);
    }

    pub(super) fn count_bind_group(&self) {
        self.bind_groups.fetch_add(1, Ordering::Relaxed);
    }
}
