//! A size that is known, or that follows from the sizes of the input.

use std::fmt;

/// The axes of a model's input that sizes are counted in.
pub(super) const INPUT_AXES: usize = 3;

/// One number of a shape: `factor · (size of the input's axis 0) ^ powers[0] · …`, or something that nobody here has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dim {
    Of { factor: i64, powers: [u8; INPUT_AXES] },
    Unknown,
}

impl Dim {
    pub(super) fn number(factor: i64) -> Self {
        let powers = [0; INPUT_AXES];
        Self::Of { factor, powers }
    }

    pub(super) fn size(size: usize) -> Self {
        i64::try_from(size).map_or(Self::Unknown, Self::number)
    }

    /// The size of an axis of the input.
    pub(super) fn of_input(axis: usize) -> Self {
        let powers = std::array::from_fn(|number| u8::from(number == axis));
        Self::Of { factor: 1, powers }
    }

    /// The number, if it depends on nothing.
    pub(super) fn known(self) -> Option<i64> {
        match self {
            Self::Of { factor, powers } if factor == 0 || powers == [0; INPUT_AXES] => Some(factor),
            _ => None,
        }
    }

    pub(super) fn times(self, other: Self) -> Self {
        let (
            Self::Of { factor, powers },
            Self::Of {
                factor: by,
                powers: more,
            },
        ) = (self, other)
        else {
            return Self::Unknown;
        };
        let mut sums = powers;
        for (sum, more) in sums.iter_mut().zip(more) {
            match sum.checked_add(more) {
                Some(new) => *sum = new,
                None => return Self::Unknown,
            }
        }
        factor
            .checked_mul(by)
            .map_or(Self::Unknown, |factor| Self::Of { factor, powers: sums })
    }

    /// The quotient, where it is a whole one.
    pub(super) fn exactly_over(self, other: Self) -> Option<Self> {
        let (
            Self::Of { factor, powers },
            Self::Of {
                factor: by,
                powers: less,
            },
        ) = (self, other)
        else {
            return None;
        };
        let mut rest = powers;
        for (rest, less) in rest.iter_mut().zip(less) {
            *rest = rest.checked_sub(less)?;
        }
        let whole = factor.checked_rem(by)? == 0;
        whole.then_some(Self::Of {
            factor: factor.checked_div(by)?,
            powers: rest,
        })
    }

    /// ONNX's `Div` of integers.
    pub(super) fn over(self, other: Self) -> Self {
        if let Some(quotient) = self.exactly_over(other) {
            return quotient;
        }
        let quotient = self.known().zip(other.known());
        quotient
            .and_then(|(one, other)| one.checked_div(other))
            .map_or(Self::Unknown, Self::number)
    }

    pub(super) fn plus(self, other: Self) -> Self {
        match (self.known(), other.known()) {
            (Some(one), Some(other)) => one.checked_add(other).map_or(Self::Unknown, Self::number),
            (Some(0), None) => other,
            (None, Some(0)) => self,
            _ => Self::Unknown,
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        self.plus(other.times(Self::number(-1)))
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.known()) {
            (_, Some(number)) => write!(formatter, "{number}"),
            _ => formatter.write_str("?"),
        }
    }
}

/// A shape for messages.
pub(super) fn shape(dims: &[Dim]) -> String {
    let dims: Vec<String> = dims.iter().map(Dim::to_string).collect();
    format!("[{}]", dims.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_multiply_and_divide() {
        let (batch, time) = (Dim::of_input(0), Dim::of_input(1));
        let flat = batch.times(time).times(Dim::number(6));
        assert_eq!(flat.exactly_over(time), Some(batch.times(Dim::number(6))));
        assert_eq!(flat.exactly_over(Dim::number(4)), None);
        assert_eq!(batch.exactly_over(time), None);
        assert_eq!(Dim::number(7).over(Dim::number(2)), Dim::number(3));
        assert_eq!(Dim::number(7).over(Dim::number(0)), Dim::Unknown);
        assert_eq!(Dim::number(i64::MAX).times(Dim::number(2)), Dim::Unknown);
        assert_eq!(Dim::number(i64::MIN).minus(Dim::number(1)), Dim::Unknown);
        assert_eq!(batch.plus(Dim::number(0)), batch);
        assert_eq!(batch.plus(time), Dim::Unknown);
        assert_eq!(batch.times(Dim::number(0)).known(), Some(0));
    }
}
