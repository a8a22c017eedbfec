//! Where to run: the CPU or a GPU.

use crate::error::{Error, Result};
use crate::gpu::device::Gpu;
use crate::gpu::device::adapter::Adapter;

/// Where to run: the CPU or a GPU. Cloning is cheap.
///
/// Both run every model, from the same schedules and with the same formulas, and agree with Keras 3.15 on TensorFlow, and
/// so with each other, to float32 rounding; each gives the same bits every time. All arithmetic of a model is done on its
/// device. Which steps run, in which order, and which row goes where is worked out by the host for both.
///
/// ```
/// use cellstate::Device;
///
/// let device = Device::auto(); // the best GPU there is, else the CPU
/// println!("running on {}", device.name());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Device {
    /// The CPU path: everything runs there, on all cores.
    Cpu,
    /// A GPU.
    Gpu(Gpu),
}

impl From<Gpu> for Device {
    fn from(gpu: Gpu) -> Self {
        Self::Gpu(gpu)
    }
}

impl Device {
    /// The CPU path: there is always one.
    ///
    /// It uses the vector instructions that the machine has, found out when a model is put on it. The environment variable
    /// `CELLSTATE_CPU` names others: `avx512`, `avx2`, `neon`, or `plain` for none.
    ///
    /// ```
    /// # use cellstate::Device;
    /// assert!(matches!(Device::cpu(), Device::Cpu));
    /// ```
    #[must_use]
    pub fn cpu() -> Self {
        Self::Cpu
    }

    /// The best GPU there is, else the CPU path.
    ///
    /// Only real GPUs count, discrete ones before integrated ones: a software adapter (llvmpipe, SwiftShader, WARP) is
    /// slower than the CPU path and has to be asked for by [`Device::named`]. A GPU that cannot be opened is passed over.
    ///
    /// A GPU is opened by the first call that gives it, on whatever thread, and shared by all later ones: see [`Gpu`].
    ///
    /// ```
    /// # use cellstate::Device;
    /// let device = Device::auto();
    /// assert!(device.gpu().is_some() || device.name() == "CPU");
    /// assert!(!device.name().contains("llvmpipe"));
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn auto() -> Self {
        pollster::block_on(Self::auto_async())
    }

    /// As [`Device::auto`].
    pub async fn auto_async() -> Self {
        let adapters = Adapter::all().await;
        let mut opened = Self::first_real(&adapters).await;
        if opened.is_none() && adapters.iter().any(Adapter::is_real) {
            // one that was lost may be back
            opened = Self::first_real(&Adapter::all_now().await).await;
        }
        opened.map_or(Self::Cpu, Self::Gpu)
    }

    /// The first GPU that can be opened.
    async fn first_real(adapters: &[Adapter]) -> Option<Gpu> {
        for adapter in adapters.iter().filter(|adapter| adapter.is_real()) {
            if let Ok(gpu) = adapter.open().await {
                return Some(gpu);
            }
        }
        None
    }

    /// The first device whose name contains `name`, whatever the case: `"nvidia"`, `"llvmpipe"`, `"metal"`, or `"cpu"` for
    /// the CPU path. [`Device::adapters`] lists the names.
    ///
    /// All calls that find the same adapter give the same [`Gpu`], which the first one opens and which stays open to the end of
    /// the process. If its device was lost or destroyed, the next call opens another. A device of one's own comes by
    /// [`Gpu::from_wgpu`].
    ///
    /// # Errors
    ///
    /// [`Error::NoDevice`] with the names there are, [`Error::Gpu`] if the GPU cannot be opened.
    ///
    /// ```
    /// use cellstate::Device;
    ///
    /// let error = Device::named("Voodoo 2").unwrap_err();
    /// assert!(error.to_string().contains("Voodoo 2"));
    /// assert_eq!(Device::named("cpu")?.name(), "CPU");
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn named(name: &str) -> Result<Self> {
        pollster::block_on(Self::named_async(name))
    }

    /// As [`Device::named`].
    ///
    /// # Errors
    ///
    /// As [`Device::named`].
    pub async fn named_async(name: &str) -> Result<Self> {
        if name.trim().eq_ignore_ascii_case("cpu") {
            return Ok(Self::Cpu);
        }
        let wanted = name.trim().to_lowercase();
        let find = |adapters: &[Adapter]| {
            let has_it = |adapter: &&Adapter| !wanted.is_empty() && adapter.name().to_lowercase().contains(&wanted);
            adapters.iter().find(has_it).cloned()
        };
        if let Some(adapter) = find(&Adapter::all().await)
            && let Ok(gpu) = adapter.open().await
        {
            return Ok(Self::Gpu(gpu));
        }
        // a GPU may have come, or come back, since the system was asked
        let adapters = Adapter::all_now().await;
        match find(&adapters) {
            Some(adapter) => Ok(Self::Gpu(adapter.open().await?)),
            None => Err(Error::NoDevice {
                wanted: format!("a GPU whose name contains \"{name}\""),
                available: adapters.iter().map(Adapter::name).collect(),
                repair: "pass a part of one of these names, \"cpu\" for the CPU path, or call Device::auto(); where a \
                         GPU is missing, its Vulkan, Metal or DX12 driver may not be installed"
                    .to_owned(),
            }),
        }
    }

    /// The names of all adapters that the system offers, the fastest kind first; software adapters stand at the end.
    ///
    /// The system is asked once in a process, and again while there is none, and where [`Device::named`] does not find a name
    /// or cannot open the GPU.
    ///
    /// ```
    /// # use cellstate::{Device, Error};
    /// let error = Device::named("Voodoo 2").unwrap_err();
    /// assert!(matches!(error, Error::NoDevice { available, .. } if available == Device::adapters()));
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn adapters() -> Vec<String> {
        pollster::block_on(Self::adapters_async())
    }

    /// As [`Device::adapters`].
    pub async fn adapters_async() -> Vec<String> {
        Adapter::all().await.iter().map(Adapter::name).collect()
    }

    /// The name: `CPU`, or the adapter's with its API.
    ///
    /// ```
    /// # use cellstate::Device;
    /// assert_eq!(Device::cpu().name(), "CPU");
    /// ```
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Cpu => "CPU".to_owned(),
            Self::Gpu(gpu) => gpu.name(),
        }
    }

    /// The GPU, if it is one.
    ///
    /// ```
    /// # use cellstate::Device;
    /// assert!(Device::cpu().gpu().is_none());
    /// ```
    #[must_use]
    pub fn gpu(&self) -> Option<&Gpu> {
        match self {
            Self::Cpu => None,
            Self::Gpu(gpu) => Some(gpu),
        }
    }
}
