//! The buffers of one (batch, time_steps), kept for the next run of that size.

use std::sync::{Mutex, PoisonError};

use super::buffer::Lines;
use crate::error::Result;

/// How many sizes keep their workspaces, as on the GPU.
const WORKSPACES: usize = 4;

/// After so many runs in a row that need less than a quarter of a workspace its memory is given back: one large batch does
/// not hold its memory for ever.
const SMALL_RUNS: usize = 16;

/// The memory of one run. Each part keeps its size, so that the second run of a batch allocates nothing here.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    batch: usize,
    time_steps: usize,
    small_runs: usize,
    /// The input row by row, where the caller's does not lie so.
    pub(crate) input: Lines,
    /// What a row reads that is none.
    pub(crate) zeros: Lines,
    /// The states of all cells: hidden, and the cell state, which is empty where there is none.
    pub(crate) states: Vec<Lines>,
    /// The rows of each stage.
    pub(crate) stages: Vec<StageRows>,
    /// What the threads need during one stage: the next stage takes it again.
    pub(crate) scratch: Vec<Scratch>,
}

/// The rows that a stage has made.
#[derive(Debug, Default)]
pub(crate) struct StageRows {
    pub(crate) values: Lines,
    /// Row r is row `places[r]` of `values`; without places it is row r.
    pub(crate) places: Vec<u32>,
}

impl StageRows {
    /// Room for rows that lie in order.
    pub(crate) fn in_order(&mut self, length: usize) -> Result<&mut [f32]> {
        self.places.clear();
        self.values.resize(length)
    }
}

/// What one thread needs during one stage.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The cell state of its sequences.
    pub(crate) cell_state: Lines,
    pub(crate) projected: Lines,
    /// The rows of the input that are read together.
    pub(crate) inputs: Vec<u32>,
    /// h of all units, where others make a part of it.
    pub(crate) hidden: Lines,
    /// h of its own units after each step, where others make a part of it.
    pub(crate) outputs: Lines,
}

impl Workspace {
    fn steps(&self) -> usize {
        self.batch.saturating_mul(self.time_steps)
    }
}

/// The workspaces of the sizes that were run last, the latest at the end. One that is in use is not among them.
#[derive(Debug)]
pub(crate) struct Workspaces {
    kept: Mutex<Vec<Workspace>>,
}

impl Default for Workspaces {
    fn default() -> Self {
        Self {
            // room for one more than are kept, so that keeping one allocates nothing
            kept: Mutex::new(Vec::with_capacity(WORKSPACES + 1)),
        }
    }
}

impl Workspaces {
    /// A workspace for the batch: the smallest of those kept that holds it, else a new one.
    pub(crate) fn take(&self, batch: usize, time_steps: usize) -> Workspace {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |workspace: &Workspace| workspace.batch >= batch && workspace.time_steps >= time_steps;
        let fitting = kept.iter().enumerate().filter(|(_, workspace)| fits(workspace));
        let smallest = fitting.min_by_key(|(_, workspace)| workspace.steps());
        let mut workspace = match smallest.map(|(place, _)| place) {
            Some(place) => kept.remove(place),
            None => Workspace {
                batch,
                time_steps,
                ..Workspace::default()
            },
        };
        drop(kept);
        workspace.small_runs = match batch.saturating_mul(time_steps) < workspace.steps() / 4 {
            true => workspace.small_runs + 1,
            false => 0,
        };
        workspace
    }

    /// Keeps one after its run, and gives up the one that was used longest ago.
    pub(crate) fn keep(&self, workspace: Workspace) {
        if workspace.small_runs >= SMALL_RUNS {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(workspace);
        let surplus = kept.len().saturating_sub(WORKSPACES).min(1); // there is never more than one
        let given_up = kept.drain(..surplus).next();
        drop(kept);
        drop(given_up); // large memory is freed after the lock
    }

    /// Gives the memory of all of them back.
    pub(crate) fn clear(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let given_up = std::mem::replace(&mut *kept, Vec::with_capacity(WORKSPACES + 1));
        drop(kept);
        drop(given_up);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(workspaces: &Workspaces) -> Vec<(usize, usize)> {
        let kept = workspaces.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter()
            .map(|workspace| (workspace.batch, workspace.time_steps))
            .collect()
    }

    fn run(workspaces: &Workspaces, (batch, time_steps): (usize, usize)) {
        workspaces.keep(workspaces.take(batch, time_steps));
    }

    #[test]
    fn the_last_four_sizes_are_kept() {
        let workspaces = Workspaces::default();
        // none holds another
        for size in [(1, 50), (2, 40), (3, 30), (4, 20), (5, 10)] {
            run(&workspaces, size);
        }
        assert_eq!(sizes(&workspaces), [(2, 40), (3, 30), (4, 20), (5, 10)]);
        run(&workspaces, (2, 30)); // the smallest that holds it
        assert_eq!(sizes(&workspaces), [(3, 30), (4, 20), (5, 10), (2, 40)]);
        let taken = [workspaces.take(3, 30), workspaces.take(3, 30)];
        assert_eq!(sizes(&workspaces).len(), 3);
        taken.into_iter().for_each(|workspace| workspaces.keep(workspace));
        assert_eq!(sizes(&workspaces).len(), 4);
        workspaces.clear();
        assert!(sizes(&workspaces).is_empty());
    }

    #[test]
    fn a_large_one_that_only_small_runs_use_is_given_up() {
        let workspaces = Workspaces::default();
        run(&workspaces, (100, 100));
        for _ in 1..SMALL_RUNS {
            run(&workspaces, (10, 10));
        }
        run(&workspaces, (50, 50)); // a quarter, so it begins again
        assert_eq!(sizes(&workspaces), [(100, 100)]);
        for _ in 0..SMALL_RUNS {
            run(&workspaces, (10, 10));
        }
        assert!(sizes(&workspaces).is_empty());
        run(&workspaces, (10, 10));
        assert_eq!(sizes(&workspaces), [(10, 10)]);
    }
}
