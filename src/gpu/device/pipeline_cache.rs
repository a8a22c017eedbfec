//! What a driver has compiled, kept from one start of a program to the next.

use std::sync::Mutex;

use super::Gpu;
use super::life::lock;

/// The cache by which pipelines are made on a device.
#[derive(Debug, Default)]
struct Kept(Mutex<Option<wgpu::PipelineCache>>);

impl Gpu {
    /// Makes all further pipelines on this GPU by a cache of the application's. What the cache then has, the application keeps where
    /// it keeps its own: `wgpu::PipelineCache::get_data`. The device was opened with the feature `PIPELINE_CACHE`, and the cache
    /// was made on it; another one is an error of every model that is put on the GPU.
    ///
    /// ```no_run
    /// # fn example(gpu: cellstate::Gpu, cache: wgpu::PipelineCache) -> cellstate::Result<()> {
    /// use cellstate::Lstm;
    ///
    /// gpu.set_pipeline_cache(&cache);
    /// let runner = Lstm::new(2, 64).on(&gpu.into())?;
    /// let data = cache.get_data(); // the application's to keep
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_pipeline_cache(&self, cache: &wgpu::PipelineCache) {
        *lock(&self.shared::<Kept>().0) = Some(cache.clone());
    }

    /// The cache by which pipelines are made.
    pub(crate) fn pipeline_cache(&self) -> Option<wgpu::PipelineCache> {
        lock(&self.shared::<Kept>().0).clone()
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod file {
    use std::io;
    use std::path::Path;

    use super::Gpu;
    use crate::error::{Cause, Error, Result};
    use crate::file;

    /// A file that is longer was not written by this crate.
    const LONGEST: u64 = 256 << 20;

    /// How a file begins; the sum of its data follows, and then these.
    const HEAD: &[u8] = b"cellstate pipeline cache 1\n";

    impl Gpu {
        /// Makes all further pipelines on this GPU by a cache that begins with what a file has: what
        /// [`Gpu::save_pipeline_cache`] has written when the program ran the last time. Without the file it begins empty. `false` where the
        /// device has no pipeline caches: only Vulkan has, and a device of the application's only with the feature `PIPELINE_CACHE`.
        ///
        /// A file that is damaged, of another GPU, or of another version of the driver or of this crate is passed over, and pipelines are then compiled
        /// as without it. What a driver has compiled is code, so the file belongs where nobody else may write.
        ///
        /// # Errors
        ///
        /// [`Error::File`] if there is something by that name that cannot be read; [`Error::Gpu`] if the device is lost.
        ///
        /// ```no_run
        /// use cellstate::{Device, Lstm};
        ///
        /// let device = Device::auto();
        /// if let Some(gpu) = device.gpu() {
        ///     gpu.load_pipeline_cache("cellstate.pipelines")?;
        /// }
        /// let runner = Lstm::new(2, 64).on(&device)?; // quicker from the second start on
        /// if let Some(gpu) = device.gpu() {
        ///     gpu.save_pipeline_cache("cellstate.pipelines")?;
        /// }
        /// # Ok::<(), cellstate::Error>(())
        /// ```
        pub fn load_pipeline_cache(&self, path: impl AsRef<Path>) -> Result<bool> {
            if !self.device().features().contains(wgpu::Features::PIPELINE_CACHE) {
                return Ok(false);
            }
            let path = path.as_ref();
            let bytes = file::read(path, LONGEST)
                .map_err(|error| failed("a file that can be read, or none yet", path, error))?;
            let data = unpacked(&bytes);
            let make = || Ok(self.make_pipeline_cache(data));
            let cache = pollster::block_on(self.guarded("making a pipeline cache", make))?;
            self.set_pipeline_cache(&cache);
            Ok(true)
        }

        /// Writes what the cache of [`Gpu::load_pipeline_cache`] or [`Gpu::set_pipeline_cache`] has into a file: after the models of a program were
        /// put on the GPU and have run, for the first run of a size makes pipelines too. The bytes are written beside the file and then renamed. `false` if there is no cache.
        ///
        /// # Errors
        ///
        /// [`Error::File`] if the file cannot be written; [`Error::Gpu`] if the device is lost.
        ///
        /// ```no_run
        /// # fn example(gpu: cellstate::Gpu) -> cellstate::Result<()> {
        /// if !gpu.save_pipeline_cache("cellstate.pipelines")? {
        ///     println!("{} has no pipeline cache", gpu.name());
        /// }
        /// # Ok(())
        /// # }
        /// ```
        pub fn save_pipeline_cache(&self, path: impl AsRef<Path>) -> Result<bool> {
            self.check_alive("reading a pipeline cache")?;
            let Some(data) = self.pipeline_cache().and_then(|cache| cache.get_data()) else {
                return Ok(false);
            };
            let path = path.as_ref();
            let written = file::replace(path, &packed(&data));
            written.map_err(|error| failed("a file that can be written", path, error))?;
            Ok(true)
        }
    }

    fn packed(data: &[u8]) -> Vec<u8> {
        [HEAD, &sum(data).to_le_bytes(), data].concat()
    }

    /// The data of a file that is as it was written.
    pub(super) fn unpacked(bytes: &[u8]) -> Option<&[u8]> {
        let (said, data) = bytes.strip_prefix(HEAD)?.split_first_chunk()?;
        (u64::from_le_bytes(*said) == sum(data) && !data.is_empty()).then_some(data)
    }

    /// FNV-1a, which tells what was damaged, not what was forged.
    fn sum(data: &[u8]) -> u64 {
        let seed = 0xcbf2_9ce4_8422_2325;
        data.iter().fold(seed, |sum, &byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    fn failed(expected: &'static str, path: &Path, error: io::Error) -> Error {
        Error::File {
            argument: "pipeline_cache",
            expected,
            path: path.to_owned(),
            cause: Cause::new(error),
            repair: "name another file, or go on without: pipelines are then compiled at every start".to_owned(),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn only_what_was_written_is_read() {
            let data: Vec<u8> = (0..200).collect();
            let whole = packed(&data);
            assert_eq!(unpacked(&whole), Some(&data[..]));
            for length in 0..whole.len() {
                assert_eq!(unpacked(&whole[..length]), None, "cut off at {length}");
            }
            for place in 0..whole.len() {
                let mut damaged = whole.clone();
                damaged[place] ^= 1 << (place % 8);
                assert_eq!(unpacked(&damaged), None, "damaged at {place}");
            }
        }
    }
}
