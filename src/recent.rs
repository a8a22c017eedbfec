//! What is kept for later runs, and when it is given up: one rule for flows, CPU workspaces and GPU workspaces.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many are kept.
pub(crate) const MOST: usize = 4;

/// After so many runs in a row that need less than a quarter of what one is for, its memory is given back: one large batch
/// does not hold its memory for ever.
pub(crate) const SMALL_RUNS: usize = 16;

/// Something that was made for batches of (batch, time_steps).
#[derive(Debug)]
pub(crate) struct ForSize<T> {
    pub(crate) batch: usize,
    pub(crate) time_steps: usize,
    /// The runs since the last one that needed a quarter of it.
    small_runs: usize,
    pub(crate) value: T,
}

impl<T> ForSize<T> {
    pub(crate) fn new((batch, time_steps): (usize, usize), value: T) -> Self {
        Self {
            batch,
            time_steps,
            small_runs: 0,
            value,
        }
    }

    /// Notes a batch of this size, for memory that grows with the batches. Whether it may stay; else it is to be made anew for this batch.
    pub(crate) fn stays_for(&mut self, size: (usize, usize)) -> bool
    where
        T: Default,
    {
        let steps = size.0.saturating_mul(size.1);
        let stays = self.stays_after(steps);
        if !stays || steps > self.steps() {
            *self = Self::new(size, T::default());
        }
        stays
    }

    fn steps(&self) -> usize {
        self.batch.saturating_mul(self.time_steps)
    }

    fn holds(&self, (batch, time_steps): (usize, usize)) -> bool {
        self.batch >= batch && self.time_steps >= time_steps
    }

    /// Notes that a batch of so many steps was run. Whether it may stay.
    fn stays_after(&mut self, steps: usize) -> bool {
        self.small_runs = match steps < self.steps() / 4 {
            true => self.small_runs + 1,
            false => 0,
        };
        self.small_runs < SMALL_RUNS
    }
}

/// What the last runs have used, the latest at the end. What is in use is not among them.
///
/// The last four are kept. One is given up before that when sixteen runs in a row, whatever they used, were smaller than a
/// quarter of it.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    kept: Mutex<Vec<ForSize<T>>>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            kept: Mutex::new(Self::empty()),
        }
    }
}

impl<T> Recent<T> {
    /// There is room for one more than are kept, so that keeping one allocates nothing.
    fn empty() -> Vec<ForSize<T>> {
        Vec::with_capacity(MOST + 1)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ForSize<T>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the smallest of those that hold a batch of this size.
    pub(crate) fn take(&self, size: (usize, usize)) -> Option<ForSize<T>> {
        self.take_smallest(|one| one.holds(size))
    }

    /// Takes the smallest of those that hold a batch of this size and no more sequences.
    pub(crate) fn take_alike(&self, size: (usize, usize)) -> Option<ForSize<T>> {
        self.take_smallest(|one| one.holds(size) && one.batch == size.0)
    }

    fn take_smallest(&self, fits: impl Fn(&ForSize<T>) -> bool) -> Option<ForSize<T>> {
        let mut kept = self.lock();
        let fitting = kept.iter().enumerate().filter(|(_, one)| fits(one));
        let (place, _) = fitting.min_by_key(|(_, one)| one.steps())?;
        Some(kept.remove(place))
    }

    /// Takes the latest of those that `is_it`.
    pub(crate) fn take_if(&self, is_it: impl Fn(&T) -> bool) -> Option<ForSize<T>> {
        let mut kept = self.lock();
        let place = kept.iter().rposition(|one| is_it(&one.value))?;
        Some(kept.remove(place))
    }

    /// Keeps one after a run of a batch of size `ran`, and gives up those whose time has come.
    pub(crate) fn keep(&self, latest: ForSize<T>, ran: (usize, usize)) {
        let steps = ran.0.saturating_mul(ran.1);
        let mut given_up = [const { None }; MOST + 1];
        let mut places = given_up.iter_mut();
        let mut kept = self.lock();
        kept.push(latest);
        let mut number = 0;
        while let Some(one) = kept.get_mut(number) {
            if one.stays_after(steps) {
                number += 1;
            } else if let Some(place) = places.next() {
                *place = Some(kept.remove(number));
            }
        }
        // there is never more than one too many: the one that was used longest ago
        if let Some(place) = places.next().filter(|_| kept.len() > MOST) {
            *place = Some(kept.remove(0));
        }
        drop(kept);
        drop(given_up); // large memory is freed after the lock
    }

    /// Gives all of them up; whether there were any.
    pub(crate) fn clear(&self) -> bool {
        let given_up = std::mem::replace(&mut *self.lock(), Self::empty());
        !given_up.is_empty()
    }
}

impl<T: Clone> Recent<T> {
    /// All that are kept, the latest first; nobody is locked out while they are looked at.
    pub(crate) fn all(&self) -> [Option<T>; MOST] {
        let mut all = [const { None }; MOST];
        for (place, one) in all.iter_mut().zip(self.lock().iter().rev()) {
            *place = Some(one.value.clone());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(recent: &Recent<u8>) -> Vec<(usize, usize)> {
        recent.lock().iter().map(|one| (one.batch, one.time_steps)).collect()
    }

    fn run(recent: &Recent<u8>, size: (usize, usize)) {
        let taken = recent.take(size).unwrap_or_else(|| ForSize::new(size, 0));
        recent.keep(taken, size);
    }

    #[test]
    fn the_last_four_sizes_are_kept() {
        let recent = Recent::default();
        // none holds another
        for size in [(1, 50), (2, 40), (3, 30), (4, 20), (5, 10)] {
            run(&recent, size);
        }
        assert_eq!(sizes(&recent), [(2, 40), (3, 30), (4, 20), (5, 10)]);
        run(&recent, (2, 30)); // the smallest that holds it
        assert_eq!(sizes(&recent), [(3, 30), (4, 20), (5, 10), (2, 40)]);
        let taken = [recent.take((3, 30)), recent.take((3, 20))];
        assert_eq!(sizes(&recent), [(5, 10), (2, 40)]);
        for one in taken.into_iter().flatten() {
            recent.keep(one, (3, 20));
        }
        assert_eq!(sizes(&recent).len(), 4);
        assert!(recent.clear() && sizes(&recent).is_empty() && !recent.clear());
    }

    #[test]
    fn a_large_one_is_given_up_after_small_runs() {
        let recent = Recent::default();
        run(&recent, (100, 100));
        for _ in 1..SMALL_RUNS {
            run(&recent, (10, 10));
        }
        run(&recent, (50, 50)); // a quarter, so it begins again
        assert_eq!(sizes(&recent), [(100, 100)]);
        for _ in 0..SMALL_RUNS {
            run(&recent, (10, 10));
        }
        assert!(sizes(&recent).is_empty());
        run(&recent, (10, 10));
        assert_eq!(sizes(&recent), [(10, 10)]);
    }

    #[test]
    fn what_grows_is_given_up_after_small_runs_too() {
        let mut grown: ForSize<()> = ForSize::new((0, 0), ());
        assert!(grown.stays_for((10, 10)) && grown.stays_for((100, 100)));
        for _ in 1..SMALL_RUNS {
            assert!(grown.stays_for((10, 10)));
        }
        assert!(grown.stays_for((50, 50)), "a quarter, so it begins again");
        let stayed = (0..SMALL_RUNS).filter(|_| grown.stays_for((10, 10))).count();
        assert_eq!((stayed, grown.batch), (SMALL_RUNS - 1, 10));
        assert!((0..100).all(|_| grown.stays_for((10, 10))));
    }

    /// Small runs that have a small one of their own count as well.
    #[test]
    fn a_large_one_that_nobody_uses_is_given_up() {
        let recent = Recent::default();
        run(&recent, (10, 10));
        run(&recent, (100, 100));
        for _ in 0..SMALL_RUNS {
            assert!(sizes(&recent).contains(&(100, 100)));
            run(&recent, (10, 10));
        }
        assert_eq!(sizes(&recent), [(10, 10)]);
    }

    #[test]
    fn the_latest_that_is_meant_is_taken() {
        let recent = Recent::default();
        for (size, value) in [((1, 1), 7), ((2, 2), 8), ((3, 3), 7)] {
            recent.keep(ForSize::new(size, value), size);
        }
        assert_eq!(recent.all(), [Some(7), Some(8), Some(7), None]);
        assert_eq!(recent.take_if(|&value| value == 7).map(|one| one.batch), Some(3));
        assert_eq!(recent.all(), [Some(8), Some(7), None, None]);
        assert!(recent.take_if(|&value| value == 9).is_none());
    }
}
