//! Says whether two arrays agree, and by how much they do not.

use ndarray::{ArrayViewD, Dimension};

/// How close two arrays are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Closeness {
    /// The largest error as a share of its bound: at most 1.
    pub(crate) share: f64,
    /// The largest absolute error.
    pub(crate) error: f64,
}

impl Closeness {
    /// The worse of the two, number by number.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            share: self.share.max(other.share),
            error: self.error.max(other.error),
        }
    }
}

impl std::fmt::Display for Closeness {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{:6.2} % of tolerance, error {:.1e}",
            self.share * 100.0,
            self.error
        )
    }
}

/// Compares element by element: `|got - want| <= atol + rtol * |want|`.
///
/// Written so that whatever is not provably close fails: a NaN on either side, an infinity unless both sides are the same
/// infinity, a NaN in the tolerances, another shape.
#[allow(
    clippy::neg_cmp_op_on_partial_ord,
    reason = "what cannot be compared must come out as a failure"
)]
pub(crate) fn compare(
    got: ArrayViewD<'_, f32>,
    want: ArrayViewD<'_, f32>,
    atol: f64,
    rtol: f64,
) -> Result<Closeness, String> {
    if got.shape() != want.shape() {
        return Err(format!("expected shape {:?}, got {:?}", want.shape(), got.shape()));
    }
    let elements = want.len();
    let mut closeness = Closeness::default();
    let mut wrong = 0;
    // Index, got, want, error, error as a share of the bound.
    let mut worst: Option<(Vec<usize>, f32, f32, f64, f64)> = None;
    for ((index, &want), &got) in want.indexed_iter().zip(got.iter()) {
        let (error, bound) = if got.is_infinite() && got == want {
            (0.0, atol)
        } else if got.is_finite() && want.is_finite() {
            let want = f64::from(want);
            ((f64::from(got) - want).abs(), atol + rtol * want.abs())
        } else {
            (f64::INFINITY, 0.0)
        };
        let share = if error == 0.0 { 0.0 } else { error / bound };
        // Not `error > bound`: no comparison with NaN is true.
        if !(error <= bound) {
            wrong += 1;
            if worst.as_ref().is_none_or(|worst| !(share <= worst.4)) {
                worst = Some((index.slice().to_vec(), got, want, error, share));
            }
        }
        closeness = closeness.and(Closeness { share, error });
    }
    match worst {
        None => Ok(closeness),
        Some((index, got, want, error, share)) => Err(format!(
            "{wrong} of {elements} elements are wrong; the worst is {index:?}: expected {want:?}, got {got:?} \
             (error {error:.3e}, {share:.3e} of atol {atol:e} + rtol {rtol:e} * |expected|)"
        )),
    }
}

/// Panics with everything [`compare`] has to say.
#[track_caller]
pub(crate) fn assert_close(
    name: &str,
    got: ArrayViewD<'_, f32>,
    want: ArrayViewD<'_, f32>,
    atol: f64,
    rtol: f64,
) -> Closeness {
    match compare(got, want, atol, rtol) {
        Ok(closeness) => closeness,
        Err(message) => panic!("{name}: {message}"),
    }
}

/// Panics unless both arrays have the same shape and the same bits.
#[track_caller]
pub(crate) fn assert_same_bits(name: &str, got: ArrayViewD<'_, f32>, want: ArrayViewD<'_, f32>) {
    assert_eq!(got.shape(), want.shape(), "{name}: shapes");
    for ((index, got), want) in got.indexed_iter().zip(want.iter()) {
        assert!(
            got.to_bits() == want.to_bits(),
            "{name}: {:?}: expected exactly {want:?}, got {got:?}",
            index.slice()
        );
    }
}
