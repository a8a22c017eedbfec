//! How a batch would be run, in words.

use std::fmt;

use super::Runner;
use super::section::Prepared;
use crate::error::Result;
use crate::schedule::check_steps;
use crate::settings::Strategy;

/// How a batch would be run, from [`Runner::explain`]. It prints as its lines.
///
/// ```
/// # use cellstate::{Device, Lstm};
/// let explanation = Lstm::new(2, 64).on(&Device::cpu())?.explain(8, 100)?;
/// println!("{explanation}");
/// assert!(explanation.lines()[0].starts_with("device: CPU"));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    lines: Vec<String>,
    strategies: Vec<Strategy>,
}

impl Explanation {
    /// The lines, for people: their wording may change with every version.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm};
    /// let explanation = Lstm::new(2, 64).on(&Device::cpu())?.explain(8, 100)?;
    /// assert_eq!(explanation.lines().join("\n"), explanation.to_string());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The strategy of each cell, in the order in which they run, one for both directions that run together. None on the
    /// CPU.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm};
    /// let explanation = Lstm::new(2, 64).on(&Device::cpu())?.explain(8, 100)?;
    /// assert_eq!(explanation.strategies(), []);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn strategies(&self) -> &[Strategy] {
        &self.strategies
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.lines.join("\n"))
    }
}

impl Runner {
    /// Says how a batch of (batch, time_steps) would be run if nothing of it is masked, without running it: on which device,
    /// and for each recurrent layer by which strategy and why, how its tensors are cut and in how many dispatches it runs. Of the layers within a
    /// [`TimeDistributed`](crate::TimeDistributed) it says nothing: a model of these alone does.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`](crate::Error::TooLarge) if no such batch can be run.
    ///
    /// ```
    /// use cellstate::{Device, Lstm};
    ///
    /// let runner = Lstm::new(2, 64).on(&Device::cpu())?;
    /// println!("{}", runner.explain(8, 100)?);
    /// assert!(runner.explain(1 << 31, 100).is_err());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn explain(&self, batch: usize, time_steps: usize) -> Result<Explanation> {
        let (mut lines, mut strategies) = (Vec::new(), Vec::new());
        if self.sections.iter().any(|section| section.plan.is_inner) {
            lines.push(
                "TimeDistributed: its layers run over batch · time_steps sequences; how many steps these have a batch says".to_owned(),
            );
        }
        for section in self.outer() {
            let time_steps = section.plan.input_steps(time_steps)?;
            match &section.prepared {
                Prepared::Cpu(model) => {
                    check_steps(batch, time_steps)?;
                    lines.push("device: CPU".to_owned());
                    lines.extend(model.explain(batch, time_steps));
                }
                Prepared::Gpu(model) => {
                    let (said, chosen) = model.explain(batch, time_steps)?;
                    lines.extend(said);
                    strategies.extend(chosen);
                }
                Prepared::Nothing => {
                    check_steps(batch, time_steps)?;
                    lines.push("nothing to compute: the host does it".to_owned());
                }
            }
        }
        Ok(Explanation { lines, strategies })
    }
}
