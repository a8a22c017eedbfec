//! Numbers with a shape, as a file keeps them: whether they are values or tokens, the model says.

use ndarray::ArrayD;

/// The numbers of a file.
#[derive(Debug, PartialEq)]
pub(crate) enum Numbers {
    /// As float32.
    Float(ArrayD<f32>),
    /// As whole numbers.
    Whole(ArrayD<i64>),
}

impl Numbers {
    /// As float32, which is what networks read.
    pub(crate) fn into_floats(self) -> ArrayD<f32> {
        match self {
            Self::Float(array) => array,
            Self::Whole(array) => array.mapv(|number| number as f32),
        }
    }

    /// As tokens: whole numbers that i32 holds.
    pub(crate) fn into_tokens(self) -> Result<ArrayD<i32>, String> {
        let wrong = |found: String| {
            format!("expected tokens, whole numbers of 32 bits, got {found}; give the numbers of the words")
        };
        let whole = match self {
            Self::Whole(array) => array,
            Self::Float(array) => {
                if let Some(number) = array.iter().find(|number| number.fract() != 0.0 || number.abs() > 1e9) {
                    return Err(wrong(number.to_string()));
                }
                array.mapv(|number| number as i64)
            }
        };
        match whole.iter().find(|number| i32::try_from(**number).is_err()) {
            Some(number) => Err(wrong(number.to_string())),
            None => Ok(whole.mapv(|number| number as i32)),
        }
    }
}

/// `(3, 20, 2)`, as Python writes shapes.
pub(crate) fn shape_text(shape: &[usize]) -> String {
    match shape {
        [one] => format!("({one},)"),
        shape => {
            let axes: Vec<String> = shape.iter().map(usize::to_string).collect();
            format!("({})", axes.join(", "))
        }
    }
}
