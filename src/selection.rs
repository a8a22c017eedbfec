//! Some of the parameters of a model.

use crate::error::Result;
use crate::parameters::{Parameters, Role};

/// Some of the parameters of a model: those of a role, or those of a layer. Weight decay, regularisers and frozen layers are told
/// so whom they concern.
///
/// ```
/// use cellstate::{Adam, ParameterSelection, Regularizer, Role};
///
/// let optimizer = Adam::new(1e-3).weight_decay(0.01).exclude_from_weight_decay(Role::Bias);
/// let regularizer = Regularizer::l2(1e-4).on("lstm/recurrent_kernel");
/// assert_eq!(ParameterSelection::from(Role::Bias), ParameterSelection::Role(Role::Bias));
/// # let _ = (optimizer, regularizer);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParameterSelection {
    /// All parameters of that role.
    Role(Role),
    /// The parameter with that path (`lstm/kernel`), or all parameters of the layer with that path (`lstm`).
    Path(String),
}

impl ParameterSelection {
    /// Whether a parameter is one of them.
    ///
    /// ```
    /// use cellstate::{ParameterSelection, Role};
    ///
    /// let layer = ParameterSelection::from("lstm");
    /// assert!(layer.selects("lstm/kernel", Role::Kernel));
    /// assert!(!layer.selects("lstm_1/kernel", Role::Kernel));
    /// ```
    #[must_use]
    pub fn selects(&self, path: &str, role: Role) -> bool {
        match self {
            Self::Role(selected) => *selected == role,
            Self::Path(selected) => path
                .strip_prefix(selected.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }

    /// A path must be one of the model; a role may be absent, so that one list does for several models.
    pub(crate) fn check(&self, parameters: &Parameters) -> Result<()> {
        let Self::Path(path) = self else {
            return Ok(());
        };
        let mut all = parameters.iter();
        if all.any(|parameter| self.selects(parameter.path(), parameter.role())) {
            return Ok(());
        }
        parameters.get(path).map(drop)
    }
}

impl From<Role> for ParameterSelection {
    fn from(role: Role) -> Self {
        Self::Role(role)
    }
}

impl From<&str> for ParameterSelection {
    fn from(path: &str) -> Self {
        Self::Path(path.to_owned())
    }
}

impl From<String> for ParameterSelection {
    fn from(path: String) -> Self {
        Self::Path(path)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot build its model has failed")]
mod tests {
    use super::*;
    use ndarray::{ArcArray, IxDyn};

    #[test]
    fn a_path_that_selects_nothing_is_refused() {
        let mut parameters = Parameters::default();
        parameters.push("lstm/kernel".to_owned(), Role::Kernel, ArcArray::zeros(IxDyn(&[1, 4])));
        for good in ["lstm", "lstm/kernel"] {
            ParameterSelection::from(good).check(&parameters).unwrap();
        }
        ParameterSelection::from(Role::Peepholes).check(&parameters).unwrap();
        for bad in ["", "lst", "lstm/", "lstm/bias", "dense"] {
            let error = ParameterSelection::from(bad.to_owned()).check(&parameters).unwrap_err();
            assert!(error.to_string().contains("lstm/kernel"), "{error}");
        }
    }
}
