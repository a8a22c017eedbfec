//! Spans around what takes time, for an application that listens by `tracing`. Without that feature nothing of them is compiled.

/// A future within a span: `spanned!("run" { batch = 3 }, future)`.
#[cfg(feature = "tracing")]
macro_rules! spanned {
    ($name:literal { $($fields:tt)* }, $future:expr) => {
        ::tracing::Instrument::instrument($future, ::tracing::debug_span!(target: "cellstate", $name, $($fields)*))
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! spanned {
    ($name:literal { $($fields:tt)* }, $future:expr) => {
        $future
    };
}

/// An expression within a span: `within!("encode" { rows = 60 }, expression)`.
#[cfg(feature = "tracing")]
macro_rules! within {
    ($name:literal { $($fields:tt)* }, $work:expr) => {{
        let span = ::tracing::debug_span!(target: "cellstate", $name, $($fields)*).entered();
        let done = $work;
        drop(span);
        done
    }};
}

#[cfg(not(feature = "tracing"))]
macro_rules! within {
    ($name:literal { $($fields:tt)* }, $work:expr) => {
        $work
    };
}

/// An event: `said!("ran" { rows = 60 })`.
#[cfg(feature = "tracing")]
macro_rules! said {
    ($name:literal { $($fields:tt)* }) => {
        ::tracing::debug!(target: "cellstate", $($fields)*, $name)
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! said {
    ($name:literal { $($fields:tt)* }) => {};
}

pub(crate) use {said, spanned, within};
