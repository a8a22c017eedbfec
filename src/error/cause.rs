//! The error behind an error.

use std::fmt;
use std::sync::Arc;

/// The error behind an [`Error`](crate::Error): one of the system, or of the GPU's driver.
///
/// [`source`](std::error::Error::source) of the [`Error`](crate::Error) gives the error itself, to be downcast. Cloning is cheap.
/// Two causes are equal if they say the same.
///
/// ```
/// use cellstate::Error;
/// use std::{error::Error as _, io};
///
/// fn is_denied(error: &Error) -> bool {
///     let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
///     cause.is_some_and(|cause| cause.kind() == io::ErrorKind::PermissionDenied)
/// }
/// ```
#[derive(Clone)]
pub struct Cause(Arc<dyn std::error::Error + Send + Sync + 'static>);

impl Cause {
    pub(crate) fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }

    /// That of an error of the GPU's driver. In a browser it may not leave its thread, and the message alone is kept.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn of_driver(error: impl std::error::Error + Send + Sync + 'static) -> Option<Self> {
        Some(Self::new(error))
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn of_driver(_: impl std::error::Error + 'static) -> Option<Self> {
        None
    }

    pub(super) fn error(&self) -> &(dyn std::error::Error + 'static) {
        &*self.0
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}
