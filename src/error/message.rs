//! The messages: what was expected, what came, what repairs it.

use std::fmt;

use super::Error;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rank { .. }
            | Self::Features { .. }
            | Self::InputKind { .. }
            | Self::Length { .. }
            | Self::Token { .. } => self.of_input(f),
            Self::Size { .. }
            | Self::Value { .. }
            | Self::NotFinite { .. }
            | Self::File { .. }
            | Self::Content { .. }
            | Self::Unsupported { .. }
            | Self::Chain { .. } => self.of_model(f),
            Self::NoDevice { .. } | Self::TooLarge { .. } | Self::Memory { .. } | Self::Gpu { .. } => self.of_device(f),
            Self::Defect { what } => {
                let repair = "this is a defect of cellstate, not of its caller: please report it with this message";
                say(f, what, "to belong to this model", "something else", repair)
            }
        }
    }
}

/// The three parts of a message, after what it is about.
fn say(
    f: &mut fmt::Formatter<'_>,
    what: impl fmt::Display,
    expected: impl fmt::Display,
    found: impl fmt::Display,
    repair: impl fmt::Display,
) -> fmt::Result {
    write!(f, "{what}: expected {expected}, got {found}; {repair}")
}

/// The messages in groups; one that is in none of them says at least what it has.
impl Error {
    /// What a run is given.
    fn of_input(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rank {
                argument,
                axes,
                shape,
                repair,
            } => {
                let count = shape.len();
                let found = format_args!("shape {shape:?} with {count} axes");
                say(f, argument, format_args!("axes {axes}"), found, repair)
            }
            Self::Features {
                layer,
                expected,
                found,
                shape,
                repair,
            } => {
                let found = format_args!("{found}{}", of_shape(shape));
                say(f, layer, format_args!("{expected} features"), found, repair)
            }
            Self::InputKind {
                layer,
                expected,
                found,
                repair,
            } => say(f, layer, expected, found, repair),
            Self::Length {
                sequence,
                length,
                time_steps,
                repair,
            } => {
                let what = format_args!("lengths[{sequence}]");
                say(
                    f,
                    what,
                    format_args!("at most {time_steps} (time_steps)"),
                    length,
                    repair,
                )
            }
            Self::Token {
                layer,
                sequence,
                time_step,
                token,
                input_dim,
            } => {
                let expected = format_args!("tokens from 0 to {}", input_dim.saturating_sub(1));
                let found = format_args!("{token} in sequence {sequence} at time step {time_step}");
                say(f, layer, expected, found, of_token(*token))
            }
            other => write!(f, "{other:?}"),
        }
    }

    /// What layers, weights and models are made of, and arguments of any kind.
    fn of_model(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size {
                argument,
                expected,
                found,
                repair,
            }
            | Self::Value {
                argument,
                expected,
                found,
                repair,
            } => say(f, argument, expected, found, repair),
            Self::NotFinite {
                tensor,
                index,
                value,
                repair,
            } => {
                let what = format_args!("{tensor} at {index:?}");
                say(f, what, "a finite number", value, repair)
            }
            Self::File {
                argument,
                expected,
                path,
                cause,
                repair,
            } => {
                let found = format_args!("{}: {cause}", path.display());
                say(f, argument, expected, found, repair)
            }
            Self::Content {
                path,
                place,
                expected,
                found,
                repair,
            } => say(f, format_args!("{}, {place}", path.display()), expected, found, repair),
            Self::Unsupported { layer, option, instead } => write!(f, "{layer}: {option} is not supported; {instead}"),
            Self::Chain {
                position,
                layer,
                expected,
                found,
                repair,
            } => {
                let what = format_args!("layer {position} ({layer})");
                say(f, what, expected, found, repair)
            }
            other => write!(f, "{other:?}"),
        }
    }

    /// What devices and memory have room for, and what drivers say.
    fn of_device(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDevice {
                wanted,
                available,
                repair,
            } => match available.as_slice() {
                [] => write!(f, "expected {wanted}, got no GPU at all; {repair}"),
                _ => write!(f, "expected {wanted}, got only {}; {repair}", available.join(", ")),
            },
            Self::TooLarge {
                what,
                needed,
                limit,
                limit_name,
                repair,
            } => write!(
                f,
                "{what}: needs {needed}, the limit is {limit} ({limit_name}); {repair}"
            ),
            Self::Memory {
                what,
                shape,
                bytes,
                repair,
            } => write!(
                f,
                "{what}: shape {shape:?} needs {bytes} bytes of memory, more than can be had; {repair}"
            ),
            Self::Gpu {
                doing,
                adapter,
                message,
                ..
            } => {
                let repair = "if memory ran out, Runner::gpu_memory says what a batch takes, else try Device::cpu() and a \
                              newer driver";
                let expected = format_args!("the GPU {adapter} to do it");
                write!(f, "{doing}: expected {expected}, got: {message}; {repair}")
            }
            other => write!(f, "{other:?}"),
        }
    }
}

fn of_shape(shape: &[usize]) -> String {
    if shape.is_empty() {
        String::new()
    } else {
        format!(" (input shape {shape:?})")
    }
}

/// A token below 0 is padding that nothing marks as such: a larger table would not help.
fn of_token(token: i32) -> &'static str {
    if token < 0 {
        "a negative token is no row of any table: where it is padding, leave it out with `Sequences::with_lengths` or \
         `with_mask`, and it is never looked up"
    } else {
        "map unknown tokens to a row of their own, or make the embedding larger"
    }
}
