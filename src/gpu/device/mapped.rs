//! Waiting for the driver to let the host read a buffer.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

type Answer = Result<(), wgpu::BufferAsyncError>;

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
