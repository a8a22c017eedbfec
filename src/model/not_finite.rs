//! What the notes of a model say of weights that are NaN or infinite.

use super::Model;

const BEGINNING: &str = "Weights are NaN or infinite: ";

impl Model {
    /// Notes which weights are NaN or infinite, as they are now.
    #[allow(dead_code, reason = "only readers of files have notes, and each is behind a feature")]
    pub(crate) fn note_not_finite(&mut self) {
        self.notes.retain(|note| !note.starts_with(BEGINNING));
        let counted = self.parameters.iter().filter_map(|parameter| {
            let values = parameter.values();
            let count = values.iter().filter(|value| !value.is_finite()).count();
            (count > 0).then(|| format!("{count} of {} in {}", values.len(), parameter.path()))
        });
        let counted: Vec<String> = counted.collect();
        if !counted.is_empty() {
            self.notes.push(format!("{BEGINNING}{}.", counted.join(", ")));
        }
    }

    /// Where that was noted of earlier weights, notes it of those that are there now.
    pub(crate) fn renew_notes(&mut self) {
        if self.notes.iter().any(|note| note.starts_with(BEGINNING)) {
            self.note_not_finite();
        }
    }
}
