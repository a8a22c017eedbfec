//! `Sequences`, its padding, masks and windows: the ordinary cases and the hostile ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot build its input has failed"
)]

mod conversion;
#[path = "../support/devices.rs"]
mod devices;
mod masks;
mod padding;
mod time_major;
mod windows;

use cellstate::{Error, Sequences};
use ndarray::Array2;

/// Numbers of steps that no memory holds.
pub(crate) const HUGE: [usize; 4] = [usize::MAX, usize::MAX - 1, isize::MAX as usize, 1 << 61];

/// An array whose elements tell where they are.
pub(crate) fn counting(time_steps: usize, features: usize) -> Array2<f32> {
    Array2::from_shape_fn((time_steps, features), |(step, feature)| {
        1.0 + (step * features + feature) as f32
    })
}

pub(crate) fn assert_rank(result: Result<Sequences<'_>, Error>, shape: &[usize], says: &[&str]) {
    let error = result.expect_err("another number of axes is an error");
    let Error::Rank { shape: found, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(found, shape);
    let text = error.to_string();
    for part in says.iter().chain([&"(batch, time_steps"]) {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

/// The three parts of a message: what was expected, what came, what repairs it.
pub(crate) fn assert_size<T: std::fmt::Debug>(result: Result<T, Error>, says: &[&str]) {
    let error = result.expect_err("the wrong size is an error");
    assert!(matches!(error, Error::Size { .. }), "{error:?}");
    for part in says {
        assert!(error.to_string().contains(part), "{part:?} is missing in: {error}");
    }
}
