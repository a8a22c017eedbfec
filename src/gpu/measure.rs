//! Measures what the GPU costs: the numbers from which the times of strategies are worked out.
//!
//! Small programs (`shaders/measure.wgsl`) run long enough to be timed by the GPU's own clock. What none of them measures stays
//! as it was assumed; what workgroups hand each other is measured with the strategy that does it.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::commands::{Commands, Workgroups, record_bytes};
use crate::gpu::device::buffer::Use;
use crate::gpu::device::timer::{self, Timer};
use crate::gpu::device::{Gpu, mapped};
use crate::gpu::recording::now;
use crate::gpu::shader::{Shader, writes};
use crate::gpu::strategy::numbers::{Measured, Numbers};

pub(crate) const SHADER: Shader = Shader {
    name: "measure",
    source: include_str!("../../shaders/measure.wgsl"),
    shared: &[],
    runs_cell: false,
    params: ("Measure", size_of::<Params>()),
    bindings: &[writes("words")],
    constants: &["KIND"],
};

/// The struct `Measure` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    count: u32,
    mask: u32,
}

/// The programs, by the constant `KIND` of the shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Dispatch,
    Products,
    Bytes,
}

/// vec4 of the buffer: 1 MiB, which the cache of a GPU holds and those of its cores do not.
const WORDS: usize = 1 << 16;

/// Invocations of a workgroup, multiplications with an addition of an invocation and pass, and bytes that it loads.
const INVOCATIONS: f64 = 256.0;
const PRODUCTS: f64 = 8.0 * 4.0;
const BYTES: f64 = 8.0 * 16.0;

/// Dispatches that depend on each other.
const DISPATCHES: usize = 200;

/// Of what registers alone reach, a product by tiles reaches so much: measured on the H200, 36.9 of 67 TFLOP/s.
const OF_TILES: f64 = 0.55;

/// Seconds that a program should take, and those after which the clocks of a GPU are taken to be up.
const LONG: f64 = 0.004;
const WARM: f64 = 0.3;

/// Passes of a loop, at most: an old software adapter leaves loops after 65,535.
const MOST_PASSES: f64 = 60_000.0;

/// How often each is measured.
const ROUNDS: usize = 3;

/// The buffers to measure with.
struct Bench<'a> {
    gpu: &'a Gpu,
    timer: Timer,
    words: wgpu::Buffer,
    params: wgpu::Buffer,
}

/// Measures the numbers of a GPU, once; models that are put on it later reckon with them. Nothing is measured on a software
/// adapter, nor where the GPU takes no time stamps.
pub(crate) async fn numbers(gpu: &Gpu) -> Result<()> {
    let measured = gpu.shared::<Measured>();
    let Some(assumed) = Numbers::of(gpu)?.filter(|_| measured.get().is_none()) else {
        return Ok(());
    };
    if let Some(numbers) = measure(gpu, assumed).await? {
        measured.set(numbers);
    }
    Ok(())
}

/// The numbers of a GPU; `None` where it has no clock.
async fn measure(gpu: &Gpu, assumed: Numbers) -> Result<Option<Numbers>> {
    let Some(timer) = Timer::make(gpu) else {
        return Ok(None);
    };
    let make = || {
        let words = gpu.make_buffer("measure", (WORDS * 16) as u64, Use::Storage);
        let record = record_bytes(gpu).max(16) * (DISPATCHES as u64);
        Ok((words, gpu.make_buffer("measure.params", record, Use::Uniform)))
    };
    let (words, params) = gpu.guarded("preparing to measure", make).await?;
    let bench = Bench {
        gpu,
        timer,
        words,
        params,
    };
    bench.measure(assumed).await
}

impl Bench<'_> {
    /// `None` where a clock stood still.
    async fn measure(&self, assumed: Numbers) -> Result<Option<Numbers>> {
        let start = now();
        while start.is_some_and(|start| start.elapsed().as_secs_f64() < WARM) {
            self.seconds(Kind::Products, (8 * assumed.workgroups, 1), 256).await?;
        }
        let all = (8 * assumed.workgroups) as f64 * INVOCATIONS;
        let dispatch = self
            .seconds(Kind::Dispatch, (assumed.workgroups, DISPATCHES), 1)
            .await?
            / DISPATCHES as f64;
        let products = all * PRODUCTS * OF_TILES / self.a_pass(Kind::Products, 8 * assumed.workgroups).await?;
        let cache_bytes = all * BYTES / self.a_pass(Kind::Bytes, 8 * assumed.workgroups).await?;
        let found = [dispatch, products, cache_bytes];
        Ok(found
            .iter()
            .all(|number| number.is_finite() && *number > 0.0)
            .then(|| assumed.with(dispatch, products, cache_bytes)))
    }

    /// The seconds of one pass of a loop, from a run that is long enough.
    async fn a_pass(&self, kind: Kind, workgroups: usize) -> Result<f64> {
        let first = self.seconds(kind, (workgroups, 1), 64).await?;
        let count = (64.0 * LONG / first.max(1e-6)).clamp(64.0, MOST_PASSES) as u32;
        Ok(self.seconds(kind, (workgroups, 1), count).await? / f64::from(count))
    }

    /// The least seconds of some runs of dispatches that follow each other.
    async fn seconds(&self, kind: Kind, (workgroups, dispatches): (usize, usize), count: u32) -> Result<f64> {
        let mut least = f64::INFINITY;
        for _ in 0..ROUNDS {
            least = least.min(self.run(kind, (workgroups, dispatches), count).await?);
        }
        Ok(least)
    }

    async fn run(&self, kind: Kind, (workgroups, dispatches): (usize, usize), count: u32) -> Result<f64> {
        let work = || {
            let pipeline = self.gpu.pipeline(&SHADER, &[kind as u32]);
            let group = self
                .gpu
                .make_bind_group(SHADER.name, &pipeline, &self.params, &[&self.words]);
            let params = Params {
                count,
                mask: WORDS as u32 - 1,
            };
            let mut commands = Commands::new(self.gpu);
            for _ in 0..dispatches {
                commands.dispatch(
                    &Arc::clone(&pipeline),
                    &group,
                    params,
                    Workgroups::Flat(workgroups as u64),
                );
            }
            commands.upload(self.gpu, &self.params)?;
            let mut encoder = self.gpu.encoder("measure");
            commands.encode(Some(&self.timer), &mut encoder);
            Ok(self.gpu.queue().submit([encoder.finish()]))
        };
        let submission = self.gpu.guarded("measuring the GPU", work).await?;
        let wanted = [(&self.timer.staging, timer::BYTES)];
        let read = mapped::read::<f32>(self.gpu, &wanted, Some(submission)).await?;
        let stamps = read.first().map_or(&[][..], |stamps| bytemuck::cast_slice(stamps));
        Ok(Timer::seconds(self.gpu, stamps))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::gpu::device::adapter::Adapter;
    use crate::gpu::strategy::numbers;

    #[test]
    fn each_number_is_measured() {
        for adapter in pollster::block_on(Adapter::all()) {
            let gpu = pollster::block_on(adapter.open_another()).unwrap();
            check(&gpu);
        }
    }

    fn check(gpu: &Gpu) {
        let assumed = Numbers {
            workgroups: 2,
            ..numbers::DISCRETE
        };
        let Some(found) = pollster::block_on(measure(gpu, assumed)).unwrap() else {
            println!("skipped: {} takes no time stamps", gpu.name());
            return;
        };
        println!("{}: {found}", gpu.name());
        assert_eq!((found.name, found.workgroups), ("measured", 2));
        assert!((1e-10..1.0).contains(&found.dispatch), "{found}");
        for (what, number) in [("products", found.products), ("cache", found.cache_bytes)] {
            assert!((1e6..1e16).contains(&number), "{what}: {number} a second");
        }
        // a loop that a compiler has dropped would take no time at all, whatever its count
        assert!(
            found.products < 1e12 || gpu.info().device_type != wgpu::DeviceType::Cpu,
            "{found}"
        );
    }
}
