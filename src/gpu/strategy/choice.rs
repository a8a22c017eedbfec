//! Which strategy runs a recurrence: the one place where it is decided.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::gpu::device::Gpu;
use crate::gpu::strategy::recurrence::Recurrence;
use crate::gpu::strategy::tuned::{Key, Tuned};
use crate::settings::{Precision, Settings, Strategy};

/// A strategy, and why it was chosen.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) strategy: Strategy,
    pub(crate) reason: Cow<'static, str>,
}

/// What the caller asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// The strategy that the settings name, else the one that the environment names, and who names it.
    pub(crate) strategy: Option<(Strategy, &'static str)>,
    pub(crate) precision: Precision,
}

/// The environment variable that names a strategy to be taken wherever an LSTM can be run by it.
const STRATEGY_VARIABLE: &str = "CELLSTATE_STRATEGY";

/// For each direction, the products of a step (units² · positions) up to which `solo` is the faster on a software adapter.
///
/// Measured on llvmpipe (Mesa 25.0.7, 256 bits, 2 threads), one direction, time of `step` over that of `solo`, the least of
/// four or five rounds each, with other work on the machine; `step` is faster below 1:
///
/// | units |   1 |   2 |   4 |   8 |  16 |  32 | 128 | 512 positions |
/// |------:|----:|----:|----:|----:|----:|----:|----:|--------------:|
/// |     8 |  31 |  22 |  15 |  11 | 5.5 | 3.5 | 1.5 |           1.2 |
/// |    16 |  26 |  14 | 6.5 | 4.1 | 2.7 | 1.6 | 1.0 |           0.7 |
/// |    32 |  16 |  10 | 5.9 | 1.9 | 1.3 | 1.2 | 0.8 |           0.6 |
/// |    64 |  11 | 5.1 | 2.3 | 1.3 | 0.8 | 0.6 | 0.7 |           0.5 |
/// |    96 | 1.4 | 1.8 | 1.4 | 1.0 | 0.6 | 0.7 | 0.7 |           0.6 |
/// |   128 | 1.3 | 1.7 | 0.9 | 0.7 | 0.8 | 0.8 | 0.6 |           1.0 |
/// |   192 | 1.2 | 1.0 | 0.7 | 0.8 | 0.7 | 0.8 | 0.9 |           0.9 |
/// |   256 | 0.7 | 1.0 | 0.6 | 0.7 | 0.6 | 0.5 | 0.8 |           0.9 |
///
/// and of both directions in the same dispatches:
///
/// | units |   1 |   2 |   4 |   8 |  16 |  32 positions |
/// |------:|----:|----:|----:|----:|----:|-------------:|
/// |    32 |  12 |  10 | 4.2 | 2.7 | 2.5 |          1.7 |
/// |    64 | 5.5 | 4.4 | 2.6 | 2.1 | 1.5 |          1.2 |
/// |    96 | 3.4 | 2.9 | 1.9 | 1.0 | 0.9 |          0.9 |
/// |   128 | 1.1 | 2.4 | 1.2 | 1.1 | 0.9 |          0.7 |
/// |   192 | 0.7 | 0.8 | 0.7 | 0.6 | 0.7 |          0.7 |
///
/// A dispatch costs about 15 microseconds there, and `step` has both threads where `solo` has one for each workgroup. What
/// the two cost is even along 8² · 512 = 16² · 128 = 32² · 32 = 64² · 8 = 128² · 2 and 96² · 4 = 192². Two directions are two
/// workgroups more to share the threads, so each may be as large (too large for 192 units).
const SOLO_PRODUCTS: usize = 192 * 192;

impl Asked {
    /// # Errors
    ///
    /// [`Error::Value`] if the environment names a strategy that there is none of.
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let named = match settings.wanted_strategy() {
            Some(strategy) => Some((strategy, "Settings::strategy")),
            None => of_environment(std::env::var_os(STRATEGY_VARIABLE).as_deref())?
                .map(|strategy| (strategy, STRATEGY_VARIABLE)),
        };
        Ok(Self {
            strategy: named,
            precision: settings.wanted_precision(),
        })
    }
}

impl Asked {
    /// The strategy that is asked for.
    pub(crate) fn named(self) -> Option<Strategy> {
        self.strategy.map(|(strategy, _)| strategy)
    }
}

/// What the environment variable says; nothing where it is empty. Bytes that are no text are no name either.
fn of_environment(said: Option<&OsStr>) -> Result<Option<Strategy>> {
    let Some(name) = said.filter(|name| !name.is_empty()).map(OsStr::to_string_lossy) else {
        return Ok(None);
    };
    let strategy = name.parse().map_err(|error| match error {
        Error::Value { expected, found, .. } => Error::Value {
            argument: STRATEGY_VARIABLE.to_owned(),
            expected,
            found,
            repair: format!(
                "name one of these, or unset the environment variable {STRATEGY_VARIABLE}, and one is chosen"
            ),
        },
        other => other,
    });
    strategy.map(Some)
}

/// Whether the strategy team is to be made ready. The table never takes it, for no adapter was measured on which it is the
/// fastest: it is there for who names it, and for `Runner::tune` where answers are kept. On a software adapter it is never
/// the fastest.
pub(crate) fn wants_team(gpu: &Gpu, settings: &Settings, asked: Asked) -> bool {
    let tuned = settings.wanted_tuning_file().is_some() && gpu.info().device_type != wgpu::DeviceType::Cpu;
    tuned || asked.named() == Some(Strategy::Team)
}

/// The strategy for `positions` sequences of at most `steps` steps: what is asked for by name, else what was measured, else
/// what the table says.
pub(crate) fn choose(gpu: &Gpu, recurrence: &Recurrence, asked: Asked, size: (usize, usize)) -> Choice {
    let can = |strategy| recurrence.can(strategy).is_ok();
    if let Some((strategy, by)) = asked.strategy.filter(|&(strategy, _)| can(strategy)) {
        return Choice {
            strategy,
            reason: format!("{by} asks for it").into(),
        };
    }
    let tuned = gpu.shared::<Tuned>().of(|| Key::new(recurrence, asked.precision, size));
    // a team that once waited in vain may do so again
    let trusted = |strategy| strategy != Strategy::Team || gpu.counters().aborted_teams() == 0;
    if let Some((strategy, from)) = tuned.filter(|&(strategy, _)| can(strategy) && trusted(strategy)) {
        return Choice {
            strategy,
            reason: from.reason().into(),
        };
    }
    by_table(gpu, recurrence, size.0)
}

/// The strategy by limits and sizes alone.
fn by_table(gpu: &Gpu, recurrence: &Recurrence, positions: usize) -> Choice {
    let choice = |strategy, reason: &'static str| Choice {
        strategy,
        reason: reason.into(),
    };
    let can = |strategy| recurrence.can(strategy).is_ok();
    if gpu.info().device_type == wgpu::DeviceType::Cpu {
        let products = (recurrence.units * recurrence.units).saturating_mul(positions);
        return match can(Strategy::Solo) && products <= SOLO_PRODUCTS * recurrence.directions {
            true => choice(
                Strategy::Solo,
                "on a software adapter dispatching so small a step costs more than running it",
            ),
            false => choice(
                Strategy::Step,
                "on a software adapter so large a step is worth all threads",
            ),
        };
    }
    // estimates: no GPU was measured
    if can(Strategy::Solo) {
        return choice(
            Strategy::Solo,
            "the weights should find room in the registers of a workgroup, so they are read once and no step is dispatched",
        );
    }
    choice(Strategy::Step, "every GPU and every size can be run by it")
}

/// Refuses a strategy that the settings name and a recurrence cannot do.
pub(crate) fn check(gpu: &Gpu, recurrences: &[Arc<Recurrence>], forced: Option<Strategy>) -> Result<()> {
    let Some(strategy) = forced else { return Ok(()) };
    for recurrence in recurrences {
        if let Err(why) = recurrence.can(strategy) {
            return Err(Error::Unsupported {
                layer: format!("LSTM with {} units", recurrence.units),
                option: format!("the strategy {strategy} on {}: {why}", gpu.name()),
                instead: "leave it out of the settings, and another is chosen".to_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_a_strategy_or_is_refused() {
        let said = |name: &str| of_environment(Some(OsStr::new(name)));
        assert_eq!(of_environment(None).unwrap(), None);
        assert_eq!(said("").unwrap(), None);
        assert_eq!(said("Team ").unwrap(), Some(Strategy::Team));
        for nonsense in ["warp", "step,solo", " "] {
            let error = said(nonsense).unwrap_err().to_string();
            for part in [STRATEGY_VARIABLE, "step, solo, team", nonsense, "unset"] {
                assert!(error.contains(part), "{error}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_name_nothing() {
        use std::os::unix::ffi::OsStrExt;
        assert!(of_environment(Some(OsStr::from_bytes(b"\xff"))).is_err());
    }
}
