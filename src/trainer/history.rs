//! What a training has reported, epoch by epoch.

use std::fmt::{self, Write as _};

use super::chart;
use super::scores::{Scores, short};

/// What one epoch has reported.
///
/// ```no_run
/// # fn history() -> cellstate::History { cellstate::History::default() }
/// for epoch in history().epochs() {
///     println!("{}: {}, {:.1} s", epoch.number(), epoch.training(), epoch.seconds());
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    pub(super) number: usize,
    pub(super) training: Scores,
    pub(super) validation: Option<Scores>,
    pub(super) learning_rate: f64,
    pub(super) seconds: f64,
}

impl Epoch {
    /// The number of the epoch, from 1.
    ///
    /// ```no_run
    /// # let history = cellstate::History::default();
    /// assert_eq!(history.epochs()[0].number(), 1);
    /// ```
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Loss and metrics of the training batches, each with the weights that it found, as Keras reports them: the weights of the end of
    /// the epoch are better than that.
    ///
    /// ```no_run
    /// # let history = cellstate::History::default();
    /// println!("{}", history.epochs()[0].training().loss());
    /// ```
    #[must_use]
    pub fn training(&self) -> &Scores {
        &self.training
    }

    /// Loss and metrics of the validation data after the epoch, if there are any.
    ///
    /// ```no_run
    /// # let history = cellstate::History::default();
    /// println!("{:?}", history.epochs()[0].validation().map(|scores| scores.loss()));
    /// ```
    #[must_use]
    pub fn validation(&self) -> Option<&Scores> {
        self.validation.as_ref()
    }

    /// The learning rate of the last batch.
    ///
    /// ```no_run
    /// # let history = cellstate::History::default();
    /// println!("{}", history.epochs()[0].learning_rate());
    /// ```
    #[must_use]
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// How long the epoch took, validation included.
    ///
    /// ```no_run
    /// # let history = cellstate::History::default();
    /// println!("{:.1} s", history.epochs()[0].seconds());
    /// ```
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Loss or a metric by its name in Keras: `loss`, `accuracy`, and with `val_` before it that of the validation data.
    ///
    /// ```no_run
    /// # let history = cellstate::History::default();
    /// println!("{:?}", history.epochs()[0].get("val_loss"));
    /// ```
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        match name.strip_prefix("val_") {
            Some(name) => self.validation.as_ref()?.get(name),
            None => self.training.get(name),
        }
    }
}

/// What a training has reported, epoch by epoch: Keras's `History`. Printed it is a table; [`to_csv`](Self::to_csv) and
/// [`to_svg`](Self::to_svg) are for others to read and to look at.
///
/// ```
/// use cellstate::{Adam, Dense, Device, Examples, Fit, Loss, Model, Sequences, Trainer};
/// use ndarray::Array3;
///
/// let model = Model::builder().add(Dense::new(2, 1)).build()?;
/// let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-2))?;
/// let data = Examples::new(Sequences::from(Array3::ones((8, 1, 2))), Array3::<f32>::zeros((8, 1, 1)))?;
/// let history = trainer.fit(&data, Fit::epochs(3))?;
/// assert!(history.values("loss").is_sorted_by(|one, next| one >= next));
/// println!("{history}");
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    pub(super) epochs: Vec<Epoch>,
    pub(super) best: Option<usize>,
    pub(super) ended_by: Ended,
}

/// Why a training ended.
///
/// ```
/// assert_eq!(cellstate::History::default().ended_by(), cellstate::Ended::Epochs);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// All epochs were run.
    #[default]
    Epochs,
    /// Nothing got better for as many epochs as early stopping waits.
    EarlyStopping,
    /// A callback said so.
    Callback,
    /// The stop flag was set: a further `fit` that resumes goes on behind the batch that ran last.
    StopFlag,
}

impl History {
    /// The epochs, the first one first.
    ///
    /// ```
    /// assert!(cellstate::History::default().epochs().is_empty());
    /// ```
    #[must_use]
    pub fn epochs(&self) -> &[Epoch] {
        &self.epochs
    }

    /// The number of the epoch, from 1, whose weights early stopping has restored or would have; `None` without early stopping.
    ///
    /// ```
    /// assert_eq!(cellstate::History::default().best_epoch(), None);
    /// ```
    #[must_use]
    pub fn best_epoch(&self) -> Option<usize> {
        self.best
    }

    /// Why the training ended.
    ///
    /// ```
    /// assert_eq!(cellstate::History::default().ended_by(), cellstate::Ended::Epochs);
    /// ```
    #[must_use]
    pub fn ended_by(&self) -> Ended {
        self.ended_by
    }

    /// Loss or a metric of all epochs, by its name in Keras: `loss`, `val_loss`, `accuracy`. Empty where there is none of that name.
    ///
    /// ```
    /// assert!(cellstate::History::default().values("val_loss").is_empty());
    /// ```
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<f64> {
        self.epochs.iter().filter_map(|epoch| epoch.get(name)).collect()
    }

    /// The names of all columns but the first, in their order, and what each epoch has there.
    fn columns(&self) -> Vec<(String, Vec<Option<f64>>)> {
        let mut names = vec!["loss".to_owned()];
        let of = |scores: Option<&Scores>| scores.map(|scores| scores.metrics().to_vec()).unwrap_or_default();
        names.extend(
            of(self.epochs.first().map(Epoch::training))
                .into_iter()
                .map(|(name, _)| name),
        );
        if let Some(validation) = self.epochs.iter().find_map(Epoch::validation) {
            names.push("val_loss".to_owned());
            names.extend(of(Some(validation)).into_iter().map(|(name, _)| format!("val_{name}")));
        }
        let column = |name: String| {
            let values = self.epochs.iter().map(|epoch| epoch.get(&name)).collect();
            (name, values)
        };
        let mut columns: Vec<_> = names.into_iter().map(column).collect();
        let more = |value: fn(&Epoch) -> f64| self.epochs.iter().map(|epoch| Some(value(epoch))).collect();
        columns.push(("learning_rate".to_owned(), more(Epoch::learning_rate)));
        columns.push(("seconds".to_owned(), more(Epoch::seconds)));
        columns
    }

    /// The same as text with commas: a line of names (`epoch`, `loss`, …, `val_loss`, …, `learning_rate`, `seconds`), then a line for each
    /// epoch. Numbers have as many digits as bring them back.
    ///
    /// ```
    /// assert_eq!(cellstate::History::default().to_csv(), "epoch,loss,learning_rate,seconds\n");
    /// ```
    #[must_use]
    pub fn to_csv(&self) -> String {
        let columns = self.columns();
        let mut text = "epoch".to_owned();
        for (name, _) in &columns {
            // a name of the caller's may have commas
            match name.contains([',', '"', '\n']) {
                true => _ = write!(text, ",\"{}\"", name.replace('"', "\"\"")),
                false => _ = write!(text, ",{name}"),
            }
        }
        text.push('\n');
        for (row, epoch) in self.epochs.iter().enumerate() {
            _ = write!(text, "{}", epoch.number);
            for (_, values) in &columns {
                match values.get(row).copied().flatten() {
                    Some(value) => _ = write!(text, ",{value}"),
                    None => text.push(','),
                }
            }
            text.push('\n');
        }
        text
    }

    /// A picture of the curves: loss and validation loss over the epochs, on a logarithmic scale where they fall by more than a
    /// hundredfold.
    ///
    /// ```no_run
    /// # let history = cellstate::History::default();
    /// std::fs::write("loss.svg", history.to_svg())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn to_svg(&self) -> String {
        let curve = |name: &str, colour: &'static str| chart::Curve {
            name: name.to_owned(),
            colour,
            points: self
                .epochs
                .iter()
                .filter_map(|epoch| Some((epoch.number as f64, epoch.get(name)?)))
                .collect(),
        };
        let curves = [curve("loss", "#1f6fb4"), curve("val_loss", "#d1603d")];
        chart::svg(&curves, "epoch")
    }
}

/// A table, a line for each epoch.
impl fmt::Display for History {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.columns();
        let heads = std::iter::once("epoch").chain(columns.iter().map(|(name, _)| name.as_str()));
        let widths: Vec<usize> = heads.clone().map(|head| head.chars().count().max(10)).collect();
        for (head, &width) in heads.zip(&widths) {
            write!(formatter, "{head:>width$}")?;
            formatter.write_str("  ")?;
        }
        for (row, epoch) in self.epochs.iter().enumerate() {
            writeln!(formatter)?;
            write!(formatter, "{:>10}  ", epoch.number)?;
            for ((_, values), &width) in columns.iter().zip(widths.iter().skip(1)) {
                let text = values.get(row).copied().flatten().map(short).unwrap_or_default();
                write!(formatter, "{text:>width$}  ")?;
            }
            if self.best == Some(epoch.number) {
                formatter.write_str("best")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> History {
        let epoch = |number: usize, validation: Option<f64>| Epoch {
            number,
            training: Scores::new(1.0 / number as f64, vec![("accuracy".to_owned(), 0.5)]),
            validation: validation.map(|loss| Scores::new(loss, vec![("accuracy".to_owned(), 0.25)])),
            learning_rate: 1e-3,
            seconds: 0.125,
        };
        History {
            epochs: vec![epoch(1, Some(2.0)), epoch(2, None)],
            best: Some(1),
            ended_by: Ended::EarlyStopping,
        }
    }

    #[test]
    fn a_history_is_text_with_commas() {
        let expected = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds\n\
                        1,1,0.5,2,0.25,0.001,0.125\n2,0.5,0.5,,,0.001,0.125\n";
        assert_eq!(history().to_csv(), expected);
        assert_eq!(history().values("val_accuracy"), [0.25]);
    }

    #[test]
    fn a_history_is_a_table() {
        let text = history().to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(
            lines[0].contains("val_accuracy") && lines[1].contains("2.0000") && lines[1].ends_with("best"),
            "{text}"
        );
        assert!(!lines[2].contains("best"), "{text}");
    }

    #[test]
    fn a_history_is_a_picture() {
        let svg = history().to_svg();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 1, "{svg}"); // one point alone is no line
        assert!(svg.contains(">val_loss<") && svg.contains("<circle"), "{svg}");
        assert!(History::default().to_svg().starts_with("<svg"));
    }
}
