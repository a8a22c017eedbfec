//! What metrics are called where a training reports them, and the one that it looks at.

use super::history::Epoch;
use crate::error::{Error, Result};
use crate::metric::Metric;

/// What metrics are called, each by a name of its own: as in Keras 3.15 a weighted one whose name another has is called `weighted_accuracy`; what
/// is then still called the same is numbered, `accuracy_1`.
pub(super) fn names(metrics: &[Metric]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for metric in metrics {
        let is_taken = |name: &str, names: &[String]| names.iter().any(|known| known == name);
        let mut name = metric.name().to_owned();
        if metric.is_weighted() && is_taken(&name, &names) {
            name = format!("weighted_{name}");
        }
        let numbered = (1..).map(|number| format!("{name}_{number}"));
        let mut all = std::iter::once(name.clone()).chain(numbered);
        names.extend(all.find(|name| !is_taken(name, &names)));
    }
    names
}

/// Whether larger is better, of what is called so: of accuracies.
pub(super) fn rises(name: &str, metrics: &[Metric]) -> bool {
    let name = name.strip_prefix("val_").unwrap_or(name);
    let mut named = names(metrics).into_iter().zip(metrics);
    named.any(|(known, metric)| known == name && metric.rises())
}

/// Whether the epochs report what is to be looked at.
pub(super) fn check(name: Option<&str>, metrics: &[Metric], is_validated: bool) -> Result<()> {
    let mut names = names(metrics);
    names.insert(0, "loss".to_owned());
    if is_validated {
        names.extend(names.clone().iter().map(|name| format!("val_{name}")));
    }
    match name {
        Some(name) if !names.iter().any(|known| known == name) => Err(Error::Value {
            argument: "monitor".to_owned(),
            expected: format!("one of {}", names.join(", ")),
            found: format!("{name:?}"),
            repair: "name what the epochs report; what begins with `val_` needs validation data".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// The number that is looked at, which has been checked: by default the loss of the validation data, else of the training.
pub(super) fn value(name: Option<&str>, epoch: &Epoch) -> Result<f64> {
    let value = match name {
        Some(name) => epoch.get(name),
        None => Some(epoch.validation().unwrap_or(epoch.training()).loss()),
    };
    value.ok_or_else(|| Error::defect("the number that a training looks at"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_metrics_have_one_name() {
        let accuracy = Metric::accuracy;
        let metrics = [
            accuracy(),
            Metric::binary_accuracy(0.0),
            Metric::binary_accuracy(0.5),
            accuracy().weighted(),
            accuracy().weighted(),
            Metric::mean_absolute_error().weighted(),
        ];
        let expected = [
            "accuracy",
            "binary_accuracy",
            "binary_accuracy_1",
            "weighted_accuracy",
            "weighted_accuracy_1",
            "mean_absolute_error",
        ];
        assert_eq!(names(&metrics), expected);
        assert!(rises("val_binary_accuracy_1", &metrics) && !rises("val_mean_absolute_error", &metrics));
        assert!(!rises("loss", &metrics) && check(Some("weighted_accuracy_1"), &metrics, false).is_ok());
        assert!(check(Some("accuracy_1"), &metrics, false).is_err());
    }
}
