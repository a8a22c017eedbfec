//! The messages: what was expected, what came, what repairs it.

use std::fmt;

use super::Error;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rank {
                argument,
                axes,
                shape,
                repair,
            } => {
                let count = shape.len();
                write!(
                    f,
                    "{argument}: expected axes {axes}, got shape {shape:?} with {count} axes; {repair}"
                )
            }
            Self::Features {
                layer,
                expected,
                found,
                shape,
                repair,
            } => {
                write!(
                    f,
                    "{layer}: expected {expected} features, got {found}{}; {repair}",
                    of_shape(shape)
                )
            }
            Self::InputKind {
                layer,
                expected,
                found,
                repair,
            } => {
                write!(f, "{layer}: expected {expected}, got {found}; {repair}")
            }
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
            } => {
                write!(f, "{argument}: expected {expected}, got {found}; {repair}")
            }
            Self::Length {
                sequence,
                length,
                time_steps,
                repair,
            } => {
                let expected = format_args!("expected at most {time_steps} (time_steps), got {length}");
                write!(f, "lengths[{sequence}]: {expected}; {repair}")
            }
            Self::Token {
                layer,
                sequence,
                time_step,
                token,
                input_dim,
            } => {
                let last = input_dim.saturating_sub(1);
                let place = format_args!("sequence {sequence} at time step {time_step}");
                let repair = of_token(*token);
                write!(
                    f,
                    "{layer}: expected tokens from 0 to {last}, got {token} in {place}; {repair}"
                )
            }
            Self::NotFinite {
                tensor,
                index,
                value,
                repair,
            } => {
                write!(
                    f,
                    "{tensor} at {index:?}: expected a finite number, got {value}; {repair}"
                )
            }
            Self::File {
                argument,
                expected,
                path,
                cause,
                repair,
            } => {
                write!(
                    f,
                    "{argument}: expected {expected}, got {}: {cause}; {repair}",
                    path.display()
                )
            }
            Self::Unsupported { layer, option, instead } => write!(f, "{layer}: {option} is not supported; {instead}"),
            Self::Chain {
                position,
                layer,
                expected,
                found,
                repair,
            } => {
                write!(
                    f,
                    "layer {position} ({layer}): expected {expected}, got {found}; {repair}"
                )
            }
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
            } => {
                write!(
                    f,
                    "{what}: needs {needed}, the limit is {limit} ({limit_name}); {repair}"
                )
            }
            Self::Memory {
                what,
                shape,
                bytes,
                repair,
            } => {
                write!(
                    f,
                    "{what}: shape {shape:?} needs {bytes} bytes of memory, more than can be had; {repair}"
                )
            }
            Self::Gpu {
                doing,
                adapter,
                message,
                ..
            } => {
                let repair = "if memory ran out, Runner::gpu_memory says what a batch takes, else try Device::cpu() and a \
                              newer driver";
                write!(
                    f,
                    "{doing}: expected the GPU {adapter} to do it, got: {message}; {repair}"
                )
            }
            Self::Defect { what } => {
                let repair = "this is a defect of cellstate, not of its caller: please report it with this message";
                write!(
                    f,
                    "{what}: expected to belong to this model, got something else; {repair}"
                )
            }
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
