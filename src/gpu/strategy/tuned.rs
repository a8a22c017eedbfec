//! What was measured on a GPU: for each kind of recurrence and class of sizes the fastest strategy.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::gpu::strategy::recurrence::Recurrence;
use crate::settings::{Precision, Strategy};

/// What stands between two fields of a line.
pub(crate) const SEPARATOR: &str = " | ";

/// A kind of recurrence and a class of sizes, as a tuning file names them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(String);

impl Key {
    /// Sizes of the same powers of two, rounded up, are of one class.
    pub(crate) fn new(recurrence: &Recurrence, precision: Precision, (positions, steps): (usize, usize)) -> Self {
        let class = |size: usize| size.checked_next_power_of_two().unwrap_or(usize::MAX);
        let precision = match precision {
            Precision::Full => "full",
            Precision::Relaxed => "relaxed",
        };
        Self(format!(
            "{precision} | {} | units {} | directions {} | sequences {} | time steps {}",
            recurrence.cell.class(),
            recurrence.cell.units,
            recurrence.directions,
            class(positions),
            class(steps)
        ))
    }
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Measured,
    File,
}

impl Origin {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Measured => "Runner::tune has measured it to be the fastest for this size",
            Self::File => "the tuning file has it as the fastest for this size",
        }
    }
}

type Answers = HashMap<Key, (Strategy, Origin)>;

/// The answers known on a GPU.
#[derive(Debug, Default)]
pub(crate) struct Tuned {
    answers: Mutex<Answers>,
}

impl Tuned {
    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer for a key, which is made only if there is any answer at all: every run asks.
    pub(crate) fn of(&self, key: impl FnOnce() -> Key) -> Option<(Strategy, Origin)> {
        let answers = self.lock();
        (!answers.is_empty()).then(|| answers.get(&key()).copied()).flatten()
    }

    /// How many answers there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Remembers what was measured.
    pub(crate) fn remember(&self, key: Key, strategy: Strategy) {
        self.lock().insert(key, (strategy, Origin::Measured));
    }

    /// Remembers what the lines of a file say of this GPU, the later ones before the earlier ones; what was measured by this
    /// process stands. Lines that say nothing of it, or nothing at all, are passed over.
    pub(crate) fn read(&self, gpu: &str, text: &[u8]) {
        let mut answers = self.lock();
        for (key, strategy) in lines(text).filter_map(|line| parse(gpu, line)) {
            let known = answers.get(&key);
            if !known.is_some_and(|&(_, from)| from == Origin::Measured) {
                answers.insert(key, (strategy, Origin::File));
            }
        }
    }
}

/// The lines of a file.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.split(|&byte| byte == b'\n');
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// How a tuning file names a GPU: by this version of the crate, the adapter, its driver and the API.
pub(crate) fn gpu_fields(info: &wgpu::AdapterInfo) -> String {
    let clean = |text: &str| -> String {
        let harmless = |letter: char| {
            if letter.is_control() || letter == '|' {
                ' '
            } else {
                letter
            }
        };
        text.chars().map(harmless).collect()
    };
    let fields = [
        format!("cellstate {}", env!("CARGO_PKG_VERSION")),
        clean(&info.name),
        format!("vendor {:#06x}", info.vendor),
        format!("device {:#06x}", info.device),
        clean(&format!("driver {} {}", info.driver, info.driver_info)),
        format!("{:?}", info.backend),
    ];
    fields.join(SEPARATOR)
}

/// The line of an answer, without its end.
pub(crate) fn line(gpu: &str, key: &Key, strategy: Strategy) -> String {
    format!("{}{SEPARATOR}{strategy}", line_start(gpu, key))
}

/// What a line begins with that answers the same question.
pub(crate) fn line_start(gpu: &str, key: &Key) -> String {
    format!("{gpu}{SEPARATOR}{}", key.0)
}

fn parse(gpu: &str, line: &[u8]) -> Option<(Key, Strategy)> {
    let said = line.strip_prefix(gpu.as_bytes())?.strip_prefix(SEPARATOR.as_bytes())?;
    let said = std::str::from_utf8(said).ok()?;
    let (key, strategy) = said.rsplit_once(SEPARATOR)?;
    Some((Key(key.to_owned()), strategy.parse().ok()?))
}

/// A key of any text, for the tests of other files.
#[cfg(test)]
pub(crate) fn tests_key(text: &str) -> Key {
    Key(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::tests_key as key;
    use super::*;

    const GPU: &str = "cellstate 0.1.0 | some GPU | vendor 0x0001";

    #[test]
    fn a_line_is_read_back() {
        let line = line(GPU, &key("full | units 64"), Strategy::Solo);
        assert_eq!(
            line,
            "cellstate 0.1.0 | some GPU | vendor 0x0001 | full | units 64 | solo"
        );
        assert_eq!(
            parse(GPU, line.as_bytes()),
            Some((key("full | units 64"), Strategy::Solo))
        );
        assert_eq!(
            parse("cellstate 0.2.0 | some GPU | vendor 0x0001", line.as_bytes()),
            None
        );
        assert_eq!(parse(GPU, &line.as_bytes()[..line.len() - 1]), None, "half a name");
    }

    #[test]
    fn later_lines_stand_before_earlier_ones_and_measurements_before_both() {
        let tuned = Tuned::default();
        let [step, solo] = [Strategy::Step, Strategy::Solo].map(|strategy| line(GPU, &key("a"), strategy));
        tuned.read(GPU, format!("{step}\r\nrubbish\n\u{fffd}\n{solo}").as_bytes());
        assert_eq!(tuned.of(|| key("a")), Some((Strategy::Solo, Origin::File)));
        tuned.remember(key("a"), Strategy::Team);
        tuned.read(GPU, step.as_bytes());
        assert_eq!(tuned.of(|| key("a")), Some((Strategy::Team, Origin::Measured)));
        assert_eq!((tuned.count(), tuned.of(|| key("b"))), (1, None));
    }
}
