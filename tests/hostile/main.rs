//! What nobody should pass, and somebody will: every wrong argument is an error that says what to do, never a panic, a
//! hang or a wrong answer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod between;
#[path = "../support/devices.rs"]
mod devices;
mod empty;
mod layers;
mod layouts;
mod losses;
mod memory;
#[path = "../support/models.rs"]
#[allow(dead_code, reason = "each test binary uses a part of this")]
mod models;
mod names;
mod nested;
mod parameters;
mod running;
mod sections;
mod settings;
mod sizes;
mod states;
#[path = "../support/mod.rs"]
mod support;
mod threads;
mod tokens;
mod wrappers;
#[path = "../support/zoo.rs"]
#[allow(dead_code, reason = "each test binary uses a part of this")]
mod zoo;

/// The result is an error of this kind, whose message has all of these texts: the repairing call among them.
macro_rules! refused {
    ($result:expr, $variant:pat, $($text:expr),+ $(,)?) => {{
        let error = $result.err().unwrap_or_else(|| panic!("accepted: {}", stringify!($result)));
        assert!(matches!(error, $variant), "{}: {error:?}", stringify!($result));
        let message = error.to_string();
        $({
            let text: &str = &$text;
            assert!(message.contains(text), "{text:?} is not in: {message}");
        })+
    }};
}
pub(crate) use refused;
