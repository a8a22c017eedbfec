//! Waiting for the driver to let the host read a buffer.

use std::borrow::Cow;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytemuck::Pod;

use super::Gpu;
#[cfg(not(target_arch = "wasm32"))]
use super::waits;
use super::waits::Waits;
use crate::error::Result;
use crate::memory::OUTPUT;
#[cfg(not(target_arch = "wasm32"))]
use crate::trace::within;

/// The first bytes of a buffer that the host reads, where the driver has put them. Dropping it gives the buffer back to the GPU.
#[derive(Debug)]
pub(crate) struct Bytes {
    /// `None` where there is nothing to read.
    view: Option<(wgpu::BufferView, wgpu::Buffer, wgpu::Device)>,
}

impl Bytes {
    /// The values that the bytes are.
    pub(crate) fn values(&self) -> Cow<'_, [f32]> {
        match bytemuck::try_cast_slice(self) {
            Ok(values) => Cow::Borrowed(values),
            // a browser's copy of the memory may begin anywhere
            Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(self)),
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.view.as_ref().map(|(view, ..)| &**view).unwrap_or_default()
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if let Some((view, buffer, device)) = self.view.take() {
            drop(view); // what is looked at cannot be given back
            // a device that is lost meanwhile has taken the buffer away
            let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
            buffer.unmap();
            drop(scope.pop());
        }
    }
}

/// The values of buffers that the host reads, in lists of their own; as [`bytes`], which copies nothing.
pub(crate) async fn read<T: Pod + Default>(
    gpu: &Gpu,
    wanted: &[(&wgpu::Buffer, u64)],
    submission: Option<wgpu::SubmissionIndex>,
) -> Result<Vec<Vec<T>>> {
    let read = bytes(gpu, wanted, submission, &Waits::default()).await?;
    let list = |bytes: Bytes| {
        let mut values: Vec<T> = OUTPUT.zeros(bytes.len() / size_of::<T>())?;
        let whole = bytes.get(..size_of_val(&*values)).unwrap_or_default();
        bytemuck::cast_slice_mut::<T, u8>(&mut values).copy_from_slice(whole);
        Ok(values)
    };
    read.into_iter().map(list).collect()
}

/// The bytes of buffers that the host reads, once the GPU has finished a submission; what an application has submitted
/// behind it is not waited for. `waits` says how the thread waits.
#[cfg_attr(target_arch = "wasm32", allow(unused_variables, reason = "a browser cannot wait"))]
pub(crate) async fn bytes(
    gpu: &Gpu,
    wanted: &[(&wgpu::Buffer, u64)],
    submission: Option<wgpu::SubmissionIndex>,
    waits: &Waits,
) -> Result<Vec<Bytes>> {
    const DOING: &str = "reading back";
    let failed = |message: String| gpu.explained(DOING, gpu.failed(DOING, message));
    let request = |&(buffer, bytes): &(&wgpu::Buffer, u64)| (bytes > 0).then(|| Mapped::request(buffer, bytes));
    let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
    #[cfg_attr(target_arch = "wasm32", allow(unused_mut, reason = "a browser cannot wait"))]
    let mut mapped: Vec<Option<Mapped>> = wanted.iter().map(request).collect();
    drop(scope.pop()); // what was refused is answered by an error
    #[cfg(not(target_arch = "wasm32"))]
    {
        let questions = || mapped.iter().flatten();
        // where nothing is read only the submission itself can be waited for
        let is_over = || questions().next().is_some() && questions().all(Mapped::is_answered);
        within!("wait" {}, waits.wait(gpu, submission, is_over))?;
        settle(gpu, wanted, &mut mapped)?;
    }
    let mut read = Vec::with_capacity(wanted.len());
    for (&(buffer, bytes), mapped) in wanted.iter().zip(mapped) {
        let Some(mapped) = mapped else {
            read.push(Bytes { view: None });
            continue;
        };
        mapped.await.map_err(|error| failed(error.to_string()))?;
        let view = buffer
            .slice(..bytes)
            .get_mapped_range()
            .map_err(|error| failed(error.to_string()))?;
        read.push(Bytes {
            view: Some((view, buffer.clone(), gpu.device().clone())),
        });
    }
    Ok(read)
}

/// Waits for the answers, which come once the GPU is done: another thread that waits on the device may have been given one, and
/// is about to pass it on. One that `wgpu` has lost in a panic ([`super::waiters`]) is asked for again.
#[cfg(not(target_arch = "wasm32"))]
fn settle(gpu: &Gpu, wanted: &[(&wgpu::Buffer, u64)], mapped: &mut [Option<Mapped>]) -> Result<()> {
    /// How often: a driver that never answers is an error.
    const TIMES: usize = 50;
    let is_answered = |mapped: &Option<Mapped>| mapped.as_ref().is_none_or(Mapped::is_answered);
    for _ in 0..TIMES {
        if waits::settle(gpu, || mapped.iter().all(is_answered))? {
            return Ok(());
        }
        let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
        for (mapped, &(buffer, bytes)) in mapped.iter_mut().zip(wanted) {
            if !is_answered(mapped) {
                buffer.unmap();
                *mapped = Some(Mapped::request(buffer, bytes));
            }
        }
        drop(scope.pop());
    }
    Err(gpu.failed(waits::DOING, "the driver does not say whether memory can be read"))
}

type Answer = std::result::Result<(), wgpu::BufferAsyncError>;

#[derive(Debug, Default)]
struct Shared {
    answer: Option<Answer>,
    waker: Option<Waker>,
}

/// The wish to read a buffer, which the driver grants once the GPU is done with it.
#[derive(Debug, Default)]
pub(crate) struct Mapped {
    shared: Arc<Mutex<Shared>>,
}

impl Mapped {
    /// Asks for the first `bytes` of a buffer.
    pub(crate) fn request(buffer: &wgpu::Buffer, bytes: u64) -> Self {
        let mapped = Self::default();
        let shared = Arc::clone(&mapped.shared);
        buffer.slice(..bytes).map_async(wgpu::MapMode::Read, move |answer| {
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            shared.answer = Some(answer);
            if let Some(waker) = shared.waker.take() {
                waker.wake();
            }
        });
        mapped
    }

    /// Whether the driver has said something.
    #[cfg(not(target_arch = "wasm32"))]
    fn is_answered(&self) -> bool {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.answer.is_some()
    }
}

impl Future for Mapped {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match shared.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                shared.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
