//! Arrays into [`Sequences`]: without a copy where the axes are right, with a message that repairs where they are not.

use ndarray::{
    Array1, Array2, Array3, Array4, ArrayD, ArrayView1, ArrayView2, ArrayView3, ArrayView4, ArrayViewD, CowArray, Ix2,
    Ix3,
};

use super::{Data, Sequences};
use crate::Error;

const VALUE_AXES: &str = "(batch, time_steps, features)";
const TOKEN_AXES: &str = "(batch, time_steps)";

impl<'a> From<CowArray<'a, f32, Ix3>> for Sequences<'a> {
    fn from(values: CowArray<'a, f32, Ix3>) -> Self {
        Self {
            data: Data::Values(values),
            mask: None,
        }
    }
}

impl<'a> From<CowArray<'a, i32, Ix2>> for Sequences<'a> {
    fn from(tokens: CowArray<'a, i32, Ix2>) -> Self {
        Self {
            data: Data::Tokens(tokens),
            mask: None,
        }
    }
}

/// Arrays with the right axes: taken as they are, whatever their layout, without copying an element.
macro_rules! right_axes {
    ($($array:ty, $life:lifetime;)*) => {$(
        impl<'a> From<$array> for Sequences<$life> {
            fn from(array: $array) -> Self {
                CowArray::from(array).into()
            }
        }
    )*};
}

macro_rules! right_owned {
    ($($array:ty)*) => {$(
        impl From<$array> for Sequences<'static> {
            fn from(array: $array) -> Self {
                CowArray::from(array).into()
            }
        }
    )*};
}

right_owned! { Array3<f32> Array2<i32> }
right_axes! {
    ArrayView3<'a, f32>, 'a;
    &'a Array3<f32>, 'a;
    ArrayView2<'a, i32>, 'a;
    &'a Array2<i32>, 'a;
}

/// Arrays whose number of axes is known when the program runs.
macro_rules! any_axes {
    ($($array:ty, $fixed:ty, $rank:path;)*) => {$(
        impl<'a> TryFrom<$array> for Sequences<'a> {
            type Error = Error;

            fn try_from(array: $array) -> Result<Self, Error> {
                let shape = array.shape().to_vec();
                let array = CowArray::from(array).into_dimensionality::<$fixed>();
                array.map(Self::from).map_err(|_| $rank(&shape))
            }
        }
    )*};
}

any_axes! {
    ArrayD<f32>, Ix3, value_rank;
    ArrayViewD<'a, f32>, Ix3, value_rank;
    &'a ArrayD<f32>, Ix3, value_rank;
    ArrayD<i32>, Ix2, token_rank;
    ArrayViewD<'a, i32>, Ix2, token_rank;
    &'a ArrayD<i32>, Ix2, token_rank;
}

/// Arrays that always have the wrong number of axes: accepted by the compiler to say what would be right.
macro_rules! wrong_axes {
    ($($element:ty, $rank:path: $($owned:ident $view:ident),*;)*) => {$($(
        impl TryFrom<$owned<$element>> for Sequences<'static> {
            type Error = Error;

            fn try_from(array: $owned<$element>) -> Result<Self, Error> {
                Err($rank(array.shape()))
            }
        }

        impl<'a> TryFrom<$view<'a, $element>> for Sequences<'a> {
            type Error = Error;

            fn try_from(array: $view<'a, $element>) -> Result<Self, Error> {
                Err($rank(array.shape()))
            }
        }

        impl<'a> TryFrom<&'a $owned<$element>> for Sequences<'a> {
            type Error = Error;

            fn try_from(array: &'a $owned<$element>) -> Result<Self, Error> {
                Err($rank(array.shape()))
            }
        }
    )*)*};
}

wrong_axes! {
    f32, value_rank: Array1 ArrayView1, Array2 ArrayView2, Array4 ArrayView4;
    i32, token_rank: Array1 ArrayView1, Array3 ArrayView3, Array4 ArrayView4;
}

fn value_rank(shape: &[usize]) -> Error {
    let repair = match *shape {
        [] => "a single number is no sequence: make an array of these three axes".to_owned(),
        [n] => format!(
            "for one sequence of {n} time steps with one feature call insert_axis(Axis(0)).insert_axis(Axis(2)), \
             for one time step of {n} features insert_axis(Axis(0)).insert_axis(Axis(0))"
        ),
        [a, b] => format!(
            "for one sequence (time_steps, features) call insert_axis(Axis(0)), giving [1, {a}, {b}]; for a batch of \
             sequences with one feature (batch, time_steps) insert_axis(Axis(2)), giving [{a}, {b}, 1]; for one time \
             step of a batch (batch, features) insert_axis(Axis(1)), giving [{a}, 1, {b}]"
        ),
        _ => remove_axes(shape, 3).unwrap_or_else(|| fold_axes(shape)),
    };
    Error::Rank {
        argument: "sequences".to_owned(),
        axes: VALUE_AXES,
        shape: shape.to_vec(),
        repair,
    }
}

fn token_rank(shape: &[usize]) -> Error {
    let numbers = "for numbers rather than token ids call mapv(|x| x as f32)";
    let repair = match *shape {
        [] => "a single token is no sequence: make an array of these two axes".to_owned(),
        [n] => format!(
            "for one sequence of {n} tokens call insert_axis(Axis(0)), for one token of each of {n} sequences \
             insert_axis(Axis(1))"
        ),
        _ => match remove_axes(shape, 2) {
            Some(repair) => format!("{repair}; {numbers}"),
            None => {
                let shorter = join_first(shape, 2);
                format!(
                    "token ids have no features: choose one with index_axis(Axis(2), index), or, for sequences within \
                     sequences (characters in words), call Sequences::nested_tokens(array), for a model that begins with \
                     TimeDistributed, or make every inner one a sequence of its own with {shorter}; {numbers}"
                )
            }
        },
    };
    Error::Rank {
        argument: "tokens".to_owned(),
        axes: TOKEN_AXES,
        shape: shape.to_vec(),
        repair,
    }
}

/// The calls that remove axes of size 1 until `wanted` axes are left, if there are enough of them.
///
/// The last ones go first: an axis too many is mostly one added at the end (NumPy's `expand_dims(x, -1)` called twice),
/// and in this order the numbers of the axes before stay right.
fn remove_axes(shape: &[usize], wanted: usize) -> Option<String> {
    let surplus = shape.len().checked_sub(wanted)?;
    let single: Vec<usize> = (0..shape.len())
        .rev()
        .filter(|&axis| shape.get(axis) == Some(&1))
        .take(surplus)
        .collect();
    if single.len() < surplus {
        return None;
    }
    let calls: Vec<String> = single.iter().map(|axis| format!("remove_axis(Axis({axis}))")).collect();
    let left: Vec<usize> = shape
        .iter()
        .enumerate()
        .filter(|(axis, _)| !single.contains(axis))
        .map(|(_, &size)| size)
        .collect();
    let noun = if surplus == 1 { "an axis" } else { "axes" };
    Some(format!(
        "drop {noun} of size 1 with {}, giving {left:?}",
        calls.join(".")
    ))
}

/// What to do with too many axes, none of them superfluous.
fn fold_axes(shape: &[usize]) -> String {
    let (steps, features) = shape.split_at_checked(2).unwrap_or((shape, &[]));
    let folded = features
        .iter()
        .fold(1_usize, |product, &size| product.saturating_mul(size));
    let axis = shape.len().saturating_sub(1);
    let joined: Vec<String> = steps.iter().chain([&folded]).map(ToString::to_string).collect();
    let shorter = join_first(shape, 3);
    format!(
        "not enough axes of size 1 to drop: for sequences within sequences (characters in words) call Sequences::nested(array), for a model \
         that begins with TimeDistributed, or make every inner one a sequence of its own with {shorter}; to read all axes after the second as features call \
         to_shape(({})); for one entry of an axis call, say, index_axis(Axis({axis}), index)",
        joined.join(", ")
    )
}

/// The call that makes one axis of the first ones, so that `wanted` are left.
fn join_first(shape: &[usize], wanted: usize) -> String {
    let (first, last) = shape
        .split_at_checked((shape.len() + 1).saturating_sub(wanted))
        .unwrap_or((shape, &[]));
    let joined = first
        .iter()
        .fold(1_usize, |product, &size| product.saturating_mul(size));
    let sizes: Vec<String> = std::iter::once(&joined).chain(last).map(ToString::to_string).collect();
    format!("to_shape(({}))", sizes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axes_to_remove_are_named_last_first() {
        assert_eq!(
            remove_axes(&[3, 4, 1, 1], 3).as_deref(),
            Some("drop an axis of size 1 with remove_axis(Axis(3)), giving [3, 4, 1]")
        );
        assert!(
            remove_axes(&[1, 3, 4, 5, 1], 3)
                .is_some_and(|text| { text.contains("remove_axis(Axis(4)).remove_axis(Axis(0)), giving [3, 4, 5]") })
        );
        assert_eq!(remove_axes(&[2, 3, 4, 1, 5], 3), None);
        let folded = fold_axes(&[2, 7, 5, 3]);
        assert!(
            folded.contains("TimeDistributed") && folded.contains("to_shape((14, 5, 3))"),
            "{folded}"
        );
        assert!(folded.contains("to_shape((2, 7, 15))"), "{folded}");
        assert_eq!(join_first(&[2, 3, 4, 5, 6], 3), "to_shape((24, 5, 6))");
        assert_eq!(join_first(&[2, 7, 5], 2), "to_shape((14, 5))");
    }
}
