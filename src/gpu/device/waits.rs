//! How long a thread asks the GPU whether a run is over, before it sleeps.
#![cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "a browser cannot wait"))]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Gpu;
use super::waiters::Place;
use crate::error::Result;

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

/// Nobody sleeps longer without asking whether the device is lost: its driver may never say so to the one who sleeps.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// How long an answer may be on its way once the GPU is done: another thread may have it.
const LONGEST_ANSWER: Duration = Duration::from_millis(100);

/// What errors say was done.
pub(super) const DOING: &str = "waiting for the GPU";

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
    ) -> Result<()> {
        let start = Instant::now();
        let (nap, asking) = self.plan();
        let place = gpu.waiters().place(submission);
        // not within wgpu: a wait that is over too early is what wgpu may panic at
        thread::sleep(nap);
        let was_over = !nap.is_zero() && ask_once(gpu, &is_over)?;
        if !was_over && !ask(gpu, asking, &is_over)? {
            while !sleep(gpu, &place, LONGEST_SLEEP, &is_over)? {
                gpu.check_alive(DOING)?;
            }
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

/// Waits until the driver has answered, once the GPU is done, at most [`LONGEST_ANSWER`]; whether it has.
pub(super) fn settle(gpu: &Gpu, is_answered: impl Fn() -> bool) -> Result<bool> {
    let start = Instant::now();
    while !is_answered() {
        // most answers come at once, and asking costs more than one of these turns
        if start.elapsed() > SHORT {
            gpu.check_alive(DOING)?;
        }
        if start.elapsed() > LONGEST_ANSWER {
            return Ok(false);
        }
        ask_once(gpu, &is_answered)?;
        thread::yield_now();
    }
    Ok(true)
}

/// Sleeps until that which is waited for is over, at most so long; whether it is over.
fn sleep(gpu: &Gpu, place: &Place<'_>, longest: Duration, is_over: impl Fn() -> bool) -> Result<bool> {
    let start = Instant::now();
    loop {
        if place.is_over() || is_over() {
            return Ok(true);
        }
        let left = longest.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(false);
        }
        let wait = |submission_index| {
            let timeout = Some(left);
            poll(
                gpu,
                wgpu::PollType::Wait {
                    submission_index,
                    timeout,
                },
            )
        };
        match gpu.waiters().lead_for_first(wait) {
            Ok(heard) => heard?,
            Err(led) => gpu.waiters().follow(led, left),
        }
    }
}

/// Asks whether it is over, at most for so long; whether it is.
fn ask(gpu: &Gpu, limit: Duration, is_over: impl Fn() -> bool) -> Result<bool> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if ask_once(gpu, &is_over)? {
            return Ok(true);
        }
        (0..16).for_each(|_| std::hint::spin_loop());
    }
    Ok(false)
}

/// Lets the driver go on, unless another thread is about it (its answers reach everybody); whether it is over.
fn ask_once(gpu: &Gpu, is_over: impl Fn() -> bool) -> Result<bool> {
    if let Ok(heard) = gpu.waiters().lead(|| poll(gpu, wgpu::PollType::Poll)) {
        heard?;
    }
    Ok(is_over())
}

/// Lets the driver go on; whether that which was waited for is over.
fn poll(gpu: &Gpu, how: wgpu::PollType) -> Result<bool> {
    survived(gpu, || gpu.device().poll(how))
}

/// What a call of `wgpu` says that panics where the driver has lost the device. It holds no lock then.
fn survived(gpu: &Gpu, poll: impl FnOnce() -> std::result::Result<wgpu::PollStatus, wgpu::PollError>) -> Result<bool> {
    match catch_unwind(AssertUnwindSafe(poll)) {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(wgpu::PollError::Timeout)) => Ok(false),
        Ok(Err(error)) => Err(gpu.explained(DOING, gpu.failed(DOING, error.to_string()))),
        Err(panic) if is_mistaken(&*panic) => Ok(false), // asked again, it knows better
        Err(panic) => {
            gpu.check_alive(DOING)?;
            resume_unwind(panic) // a callback of the application, which is called in there
        }
    }
}

/// Whether `wgpu` has panicked because a thread of the application polled at the same time ([`super::waiters`]).
fn is_mistaken(panic: &(dyn Any + Send)) -> bool {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    message
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .is_some_and(|message| message.starts_with("If the queue is empty, the current submission index"))
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

    /// `wgpu` panics where the driver says that the device is lost; a panic of an application's callback is the application's.
    #[test]
    fn a_panic_is_an_error_only_on_a_lost_device() {
        for adapter in pollster::block_on(Adapter::all()) {
            let gpu = pollster::block_on(adapter.open_another()).unwrap();
            let panics = || survived(&gpu, || resume_unwind(Box::new("on purpose")));
            assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
            let mistaken = "If the queue is empty, the current submission index (1) should be";
            let mistakes = || survived(&gpu, || resume_unwind(Box::new(mistaken)));
            assert!(!mistakes().unwrap(), "asked again");
            gpu.device().destroy();
            let error = panics().unwrap_err();
            assert!(error.to_string().contains("lost or destroyed"), "{error}");
        }
    }

    #[test]
    fn an_answer_that_never_comes_is_waited_for_only_while_the_device_lives() {
        for adapter in pollster::block_on(Adapter::all()) {
            let gpu = pollster::block_on(adapter.open_another()).unwrap();
            assert!(settle(&gpu, || true).unwrap());
            assert!(!settle(&gpu, || false).unwrap());
            let destroy = thread::scope(|scope| {
                let settling = scope.spawn(|| settle(&gpu, || false));
                gpu.device().destroy();
                settling.join()
            });
            assert!(destroy.unwrap().is_err());
        }
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
                    let mut encoder = gpu.encoder("test");
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

    /// Threads that wait for one device at the same time: `wgpu` panicked now and then where two of them asked.
    #[test]
    fn threads_wait_for_one_device() {
        for adapter in pollster::block_on(Adapter::all()) {
            let gpu = pollster::block_on(adapter.open_another()).unwrap();
            thread::scope(|scope| {
                for number in 0..8_u8 {
                    let gpu = &gpu;
                    scope.spawn(move || wait_often(gpu, number));
                }
            });
        }
    }

    /// Some threads ask, some sleep, and some read nothing.
    fn wait_often(gpu: &Gpu, number: u8) {
        let bytes = 1 << (6 + 2 * u64::from(number % 4));
        let source = gpu.make_buffer("source", bytes, Use::Storage);
        let staging = gpu.make_buffer("staging", bytes, Use::Readback);
        let waits = Waits::new(number.is_multiple_of(2));
        for round in 0..400_u32 {
            let byte = number.wrapping_add(round as u8);
            gpu.queue().write_buffer(&source, 0, &vec![byte; bytes as usize]);
            let mut encoder = gpu.encoder("test");
            encoder.copy_buffer_to_buffer(&source, 0, &staging, 0, bytes);
            let submission = gpu.queue().submit([encoder.finish()]);
            let wanted = if round % 5 == 4 { 0 } else { bytes };
            let wanted_bytes = [(&staging, wanted)];
            let read = mapped::bytes(gpu, &wanted_bytes, Some(submission), &waits);
            let read = pollster::block_on(read).unwrap();
            assert_eq!(read[0].len() as u64, wanted);
            assert!(read[0].iter().all(|&read| read == byte), "{number}, {round}");
        }
    }
}
