//! What a run takes and gives back, kept for the next run.

use std::sync::{Mutex, PoisonError};

/// Things in the order in which a run takes them. The next run takes them in the same order, so that the second run of a
/// batch finds each as large as it needs it.
///
/// A run takes from one thread, so that the order is the same every time; any thread may give back.
#[derive(Debug)]
pub(super) struct Slots<T> {
    slots: Mutex<Row<T>>,
}

/// What is taken leaves its place behind, with a thing that holds nothing.
#[derive(Debug)]
struct Row<T> {
    next: usize,
    places: Vec<T>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            slots: Mutex::new(Row {
                next: 0,
                places: Vec::new(),
            }),
        }
    }
}

impl<T: Default> Slots<T> {
    /// The next one, with the place to which it goes back.
    pub(super) fn take(&self) -> (usize, T) {
        let mut row = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let place = row.next;
        row.next += 1;
        match row.places.get_mut(place) {
            Some(thing) => (place, std::mem::take(thing)),
            None => {
                row.places.push(T::default());
                (place, T::default())
            }
        }
    }

    pub(super) fn give_back(&self, place: usize, thing: T) {
        let mut row = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = row.places.get_mut(place) {
            *entry = thing;
        }
    }

    /// From now on they are taken from the first one again. All must have been given back; one that is still taken is
    /// replaced by an empty one.
    pub(super) fn rewind(&self) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).next = 0;
    }
}
