//! How long a thread asks the GPU whether a run is over, before it sleeps.
#![cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "a browser cannot wait"))]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::Gpu;

/// The waits for the runs of a workspace.
///
/// A thread that sleeps is woken late: in a virtual machine with an H200 by some hundredths of a millisecond. Where a run is expected to be
/// short, the thread sleeps through most of it and asks again and again for the rest; if the run takes much longer than the one
/// before, the thread sleeps after all.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// Whether a thread may ask at all: a software adapter needs the cores itself.
    asks: bool,
    /// The microseconds that the next run is expected to be waited for; 0 if nobody knows.
    expected: AtomicU32,
}

/// The longest wait that ends with asking: beyond it a late end does not matter.
const LONGEST: Duration = Duration::from_millis(4);

/// Shorter waits have no sleep before the asking.
const SHORT: Duration = Duration::from_micros(200);

impl Waits {
    /// Waits that end with asking, or asleep.
    pub(crate) fn new(asks: bool) -> Self {
        Self {
            asks,
            expected: AtomicU32::new(0),
        }
    }

    /// Waits until a submission is over, or the device is lost.
    pub(crate) fn wait(
        &self,
        gpu: &Gpu,
        submission: Option<wgpu::SubmissionIndex>,
        is_over: impl Fn() -> bool,
    ) -> Result<(), wgpu::PollError> {
        let start = Instant::now();
        let (nap, asking) = self.plan();
        let was_over = !nap.is_zero() && sleep(gpu, submission.clone(), Some(nap))?;
        if !was_over && !ask(gpu, asking, is_over)? {
            sleep(gpu, submission, None)?;
        }
        self.learn(start.elapsed(), was_over);
        Ok(())
    }

    /// How long to sleep, and how long to ask then.
    fn plan(&self) -> (Duration, Duration) {
        let expected = Duration::from_micros(self.expected.load(Ordering::Relaxed).into());
        match self.asks && expected <= LONGEST {
            false => (Duration::ZERO, Duration::ZERO),
            true if expected < SHORT => (Duration::ZERO, expected),
            true => (expected * 7 / 10, expected),
        }
    }

    /// Notes what a wait took. Who was still asleep when the run was over has not seen its end, and sleeps less next time.
    fn learn(&self, took: Duration, was_over: bool) {
        let expected = if was_over { took / 2 } else { took };
        let micros = u32::try_from(expected.as_micros()).unwrap_or(u32::MAX);
        self.expected.store(micros.max(1), Ordering::Relaxed);
    }
}

/// Sleeps until a submission is over, at most so long; whether it is over.
fn sleep(
    gpu: &Gpu,
    submission_index: Option<wgpu::SubmissionIndex>,
    timeout: Option<Duration>,
) -> Result<bool, wgpu::PollError> {
    let wait = wgpu::PollType::Wait {
        submission_index,
        timeout,
    };
    match gpu.device().poll(wait) {
        Ok(_) => Ok(true),
        Err(wgpu::PollError::Timeout) if timeout.is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Asks whether it is over, at most for so long; whether it is.
fn ask(gpu: &Gpu, limit: Duration, is_over: impl Fn() -> bool) -> Result<bool, wgpu::PollError> {
    let start = Instant::now();
    while start.elapsed() < limit {
        gpu.device().poll(wgpu::PollType::Poll)?;
        if is_over() {
            return Ok(true);
        }
        (0..16).for_each(|_| std::hint::spin_loop());
    }
    Ok(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::gpu::device::adapter::Adapter;
    use crate::gpu::device::buffer::Use;
    use crate::gpu::device::mapped;

    fn micros(number: u64) -> Duration {
        Duration::from_micros(number)
    }

    #[test]
    fn short_waits_end_with_asking() {
        let waits = Waits::new(true);
        assert_eq!(waits.plan(), (micros(0), micros(0)), "nothing is known yet");
        for (took, plan) in [
            (100, (0, 100)),
            (1000, (700, 1000)),
            (4000, (2800, 4000)),
            (4001, (0, 0)),
            (u64::MAX, (0, 0)),
            (0, (0, 1)),
        ] {
            waits.learn(micros(took), false);
            assert_eq!(waits.plan(), (micros(plan.0), micros(plan.1)), "{took}");
        }
        waits.learn(micros(1000), true);
        assert_eq!(waits.plan(), (micros(350), micros(500)), "its end was not seen");
    }

    #[test]
    fn who_may_not_ask_sleeps() {
        let waits = Waits::new(false);
        waits.learn(micros(1000), false);
        assert_eq!(waits.plan(), (micros(0), micros(0)));
    }

    /// Whatever was expected, what is read is what the GPU has written by then.
    #[test]
    fn the_end_is_waited_for_whatever_was_expected() {
        for adapter in pollster::block_on(Adapter::all()) {
            let gpu = pollster::block_on(adapter.open_another()).unwrap();
            let bytes = 1 << 16;
            let source = gpu.make_buffer("source", bytes, Use::Storage);
            let staging = gpu.make_buffer("staging", bytes, Use::Readback);
            let waits = Waits::new(true);
            for (round, expected) in [0, 1, 150, 300, 3000, 3_900, 5_000, u32::MAX].into_iter().enumerate() {
                let round = round as u8 + 1;
                for wanted in [bytes, 0] {
                    gpu.queue().write_buffer(&source, 0, &vec![round; bytes as usize]);
                    let mut encoder = gpu
                        .device()
                        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                    encoder.copy_buffer_to_buffer(&source, 0, &staging, 0, bytes);
                    let submission = gpu.queue().submit([encoder.finish()]);
                    waits.expected.store(expected, Ordering::Relaxed);
                    let wanted_bytes = [(&staging, wanted)];
                    let read = mapped::bytes(&gpu, &wanted_bytes, Some(submission), &waits);
                    let read = pollster::block_on(read).unwrap();
                    assert!(read[0].iter().all(|&byte| byte == round), "{expected}");
                    assert_eq!(read[0].len() as u64, wanted);
                    assert_ne!(waits.expected.load(Ordering::Relaxed), 0);
                }
            }
        }
    }
}
