//! The bar of progress, and Ctrl-C.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cellstate::BatchReport;
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::SIGINT;
use signal_hook::flag;

/// A bar that shows the loss, the batches a second and the time that is left.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let bar = ProgressBar::new(0);
        bar.set_style(ProgressStyle::with_template("{bar:32} {pos:>4}/{len} batches  {msg}")?);
        Ok(Self(bar))
    }

    pub(crate) fn shows(&self, report: &BatchReport) {
        let before = (report.epoch - 1) * report.batches;
        let left = (report.epochs - report.epoch) * report.batches;
        let seconds = report.seconds_left + left as f64 / report.per_second;
        self.0.set_length((report.epochs * report.batches) as u64);
        self.0.set_position((before + report.batch) as u64);
        self.0.set_message(format!(
            "loss {:.4}  {:.1} batches/s  {seconds:.0} s left",
            report.mean_loss, report.per_second
        ));
    }

    /// Prints a line above the bar.
    pub(crate) fn says(&self, line: &str) {
        self.0.suspend(|| println!("{line}"));
    }

    pub(crate) fn ends(&self) {
        self.0.finish_and_clear();
    }
}

/// A flag that Ctrl-C sets, so that the training ends after its batch; the second Ctrl-C ends the program.
pub(crate) fn ctrl_c() -> std::io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    // in this order, so that the flag is up for the second one only
    flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(&flag))?;
    flag::register(SIGINT, Arc::clone(&flag))?;
    Ok(flag)
}
