//! What a GPU costs: the numbers from which the time of each strategy and tile is worked out.
//!
//! Those of the H200 are measured, or follow from what was measured there of sketches; an H100 is taken for one, and those of other GPUs are estimates by kind. A software
//! adapter has none: what costs there are instructions, and each strategy has a form and a threshold of its own for it.

use std::ffi::OsStr;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::gpu::device::Gpu;

/// What a GPU costs, in seconds, bytes a second, and multiplications with an addition a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Numbers {
    pub(crate) name: &'static str,
    /// A dispatch that reads what the one before has written.
    pub(crate) dispatch: f64,
    /// A round in which all workgroups of a team hand each other words,
    pub(crate) exchange: f64,
    /// and for each word that an invocation waits for in vain of the others, more.
    pub(crate) exchange_word: f64,
    /// A barrier of a workgroup with the trip through its memory around it.
    pub(crate) barrier: f64,
    /// A trip to a buffer in the cache and back.
    pub(crate) trip: f64,
    /// Multiplications with an addition, of the whole GPU, in f32, at a tile that keeps it busy.
    pub(crate) products: f64,
    /// Bytes a second from the cache, and from memory.
    pub(crate) cache_bytes: f64,
    pub(crate) memory_bytes: f64,
    /// Workgroups of 256 invocations with their registers full that run at the same time: the compute units.
    pub(crate) workgroups: usize,
    /// Whether halves may be multiplied by the matrix units: where the settings let them, and the GPU has passed a trial.
    pub(crate) by_matrices: bool,
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {:.2} µs a dispatch, {:.2} µs an exchange, {:.1} TFLOP/s, {:.2} TB/s from the cache, {:.2} TB/s from memory, {} compute units",
            self.name,
            self.dispatch * 1e6,
            self.exchange * 1e6,
            2.0 * self.products / 1e12,
            self.cache_bytes / 1e12,
            self.memory_bytes / 1e12,
            self.workgroups
        )
    }
}

/// One NVIDIA H200, driver 580.159.04, Vulkan. A dispatch, an exchange and the products of tiles were measured by sketches of one size; the
/// barrier, the trip and the caches are what makes the formulas fit the times of these sketches.
pub(crate) const H200: Numbers = Numbers {
    name: "h200",
    dispatch: 2.2e-6,
    exchange: 0.75e-6,
    exchange_word: 0.2e-6,
    barrier: 0.06e-6,
    trip: 0.5e-6,
    products: 18e12,
    cache_bytes: 5e12,
    memory_bytes: 4.3e12,
    workgroups: 132,
    by_matrices: false,
};

/// Estimates: no other discrete GPU was measured.
pub(crate) const DISCRETE: Numbers = Numbers {
    name: "discrete",
    dispatch: 4e-6,
    exchange: 1.2e-6,
    exchange_word: 0.25e-6,
    barrier: 0.08e-6,
    trip: 0.6e-6,
    products: 6e12,
    cache_bytes: 1.5e12,
    memory_bytes: 0.5e12,
    workgroups: 40,
    by_matrices: false,
};

/// Estimates: no integrated GPU was measured.
const INTEGRATED: Numbers = Numbers {
    name: "integrated",
    dispatch: 8e-6,
    exchange: 3e-6,
    exchange_word: 0.5e-6,
    barrier: 0.15e-6,
    trip: 1e-6,
    products: 0.7e12,
    cache_bytes: 0.2e12,
    memory_bytes: 0.06e12,
    workgroups: 8,
    by_matrices: false,
};

/// The numbers that were measured on a GPU.
#[derive(Debug, Default)]
pub(crate) struct Measured(Mutex<Option<Numbers>>);

impl Measured {
    pub(crate) fn get(&self) -> Option<Numbers> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, numbers: Numbers) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(numbers);
    }
}

/// The environment variable that names the numbers to reckon with. A software adapter then runs the forms of a GPU, which is
/// how tests reach them where there is none.
pub(crate) const VARIABLE: &str = "CELLSTATE_GPU_NUMBERS";

const KNOWN: [Numbers; 3] = [H200, DISCRETE, INTEGRATED];

impl Numbers {
    /// The numbers of a GPU; `None` for a software adapter.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if the environment names numbers that there are none of.
    pub(crate) fn of(gpu: &Gpu) -> Result<Option<Self>> {
        let named = named(std::env::var_os(VARIABLE).as_deref())?;
        let measured = || gpu.shared::<Measured>().get();
        Ok(named.or_else(measured).or_else(|| Self::by_kind(gpu.info())))
    }

    /// These with some of them measured.
    pub(crate) fn with(self, dispatch: f64, products: f64, cache_bytes: f64) -> Self {
        Self {
            name: "measured",
            dispatch,
            products,
            cache_bytes,
            ..self
        }
    }

    fn by_kind(info: &wgpu::AdapterInfo) -> Option<Self> {
        match info.device_type {
            wgpu::DeviceType::Cpu => None,
            wgpu::DeviceType::DiscreteGpu if info.name.contains("H100") || info.name.contains("H200") => Some(H200),
            wgpu::DeviceType::DiscreteGpu => Some(DISCRETE),
            _ => Some(INTEGRATED),
        }
    }
}

/// What the environment variable says; nothing where it is empty.
fn named(said: Option<&OsStr>) -> Result<Option<Numbers>> {
    let Some(name) = said.filter(|name| !name.is_empty()).map(OsStr::to_string_lossy) else {
        return Ok(None);
    };
    match KNOWN.into_iter().find(|numbers| numbers.name == name) {
        Some(numbers) => Ok(Some(numbers)),
        None => Err(Error::Value {
            argument: VARIABLE.to_owned(),
            expected: format!("one of {}", KNOWN.map(|numbers| numbers.name).join(", ")),
            found: format!("{name:?}"),
            repair: format!("name one of these, or unset the environment variable {VARIABLE}"),
        }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_name() {
        assert_eq!(named(None).unwrap(), None);
        assert_eq!(named(Some(OsStr::new(""))).unwrap(), None);
        assert_eq!(named(Some(OsStr::new("discrete"))).unwrap(), Some(DISCRETE));
        let error = named(Some(OsStr::new("h201"))).unwrap_err().to_string();
        assert!(
            error.contains("h200, discrete, integrated") && error.contains(VARIABLE),
            "{error}"
        );
    }
}
