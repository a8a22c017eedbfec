//! The list of the golden cases that the library cannot run yet, `golden/not_yet.txt`.

use super::golden::Case;

/// Where a case is not run yet.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Everywhere,
    /// The CPU path has it.
    Gpu,
}

/// The list: a line for each case, `case | everywhere or GPU | reason`, and comments behind `#`.
#[derive(Debug)]
pub(crate) struct NotYet(Vec<(String, Place, String)>);

impl NotYet {
    /// The list in the repository. Panics at a line that is none.
    pub(crate) fn read() -> Self {
        Self::from_text(include_str!("../../golden/not_yet.txt"))
    }

    pub(crate) fn from_text(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let lines = lines.map(|line| {
            let mut fields = line.split('|').map(|field| field.trim().to_owned());
            let (case, place, reason) = (fields.next(), fields.next(), fields.next());
            let place = match place.as_deref() {
                Some("everywhere") => Some(Place::Everywhere),
                Some("GPU") => Some(Place::Gpu),
                _ => None,
            };
            match (case, place, reason, fields.next()) {
                (Some(case), Some(place), Some(reason), None) if !reason.is_empty() => (case, place, reason),
                _ => panic!("golden/not_yet.txt: expected `case | everywhere or GPU | reason`, got {line:?}"),
            }
        });
        Self(lines.collect())
    }

    /// Why the case is not run on this device, if the list has it.
    pub(crate) fn reason(&self, case: &str, device: &str) -> Option<&str> {
        let mut lines = self.0.iter();
        let here = |place: Place| place == Place::Everywhere || device != "CPU";
        lines
            .find(|(name, place, _)| name == case && here(*place))
            .map(|(_, _, reason)| reason.as_str())
    }

    /// What is wrong with the list itself: names that are no cases, and names that stand there twice. Cases of another folder
    /// than the repository's need not be those of the list.
    pub(crate) fn unknown(&self, cases: &[Case]) -> Vec<String> {
        if std::env::var_os("CELLSTATE_GOLDEN").is_some() {
            return Vec::new();
        }
        let of_name = |name: &str| self.0.iter().filter(|(other, _, _)| other == name).count();
        let mut wrong = Vec::new();
        for (name, _, _) in &self.0 {
            if !cases.iter().any(|case| case.name == *name) {
                wrong.push(format!("golden/not_yet.txt: there is no case {name}"));
            }
            if of_name(name) > 1 {
                wrong.push(format!("golden/not_yet.txt: {name} stands there more than once"));
            }
        }
        wrong
    }
}
