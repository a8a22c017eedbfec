//! Labels: what each object of the driver is, in the words of this crate. Captures and messages of the driver show them.

use super::Gpu;

/// The labels that were given on a device.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Given(pub(crate) std::sync::Mutex<Vec<String>>);

impl Gpu {
    /// The label of an object: `cellstate`, the layer where the object belongs to one, and what it is, with points between.
    pub(crate) fn label(&self, what: &str) -> String {
        let label = format!("cellstate.{what}");
        #[cfg(test)]
        super::life::lock(&self.shared::<Given>().0).push(label.clone());
        label
    }
}
