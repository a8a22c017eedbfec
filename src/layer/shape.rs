//! What stands between two layers.

use std::fmt;

/// What a layer finds before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Nothing yet: the first layer that computes says what the input is.
    Input,
    /// A value at every time step, of the input or of so many.
    Sequences { width: usize, time_steps: Option<usize> },
    /// One value for each sequence.
    Last { width: usize },
    /// The two outputs of a `Bidirectional` that are not merged: their widths, and whether there is one at every time step.
    Separate { widths: [usize; 2], sequences: bool },
}

impl Shape {
    /// The output of a recurrent layer.
    pub(crate) fn after(self, return_sequences: bool, width: usize) -> Self {
        match return_sequences {
            true => self.with_width(width),
            false => Self::Last { width },
        }
    }

    /// The same with another width.
    pub(crate) fn with_width(self, width: usize) -> Self {
        match self {
            Self::Last { .. } => Self::Last { width },
            Self::Sequences { time_steps, .. } => Self::Sequences { width, time_steps },
            Self::Input | Self::Separate { .. } => Self::Sequences {
                width,
                time_steps: None,
            },
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input => formatter.write_str("(batch, time_steps, features)"),
            Self::Sequences {
                width,
                time_steps: None,
            } => write!(formatter, "(batch, time_steps, {width})"),
            Self::Sequences {
                width,
                time_steps: Some(time_steps),
            } => write!(formatter, "(batch, {time_steps}, {width})"),
            Self::Last { width } => write!(formatter, "(batch, {width})"),
            Self::Separate { widths, sequences } => {
                let [one, other] = widths.map(|width| Self::Input.after(*sequences, width));
                write!(formatter, "{one} and {other}")
            }
        }
    }
}
