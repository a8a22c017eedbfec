//! Lists of a run, whose memory is kept for the next one.

use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

use crate::cpu::buffer::Buffer;
use crate::cpu::exchange::Block;
use crate::cpu::share::Share;
use crate::cpu::slots::Slots;
use crate::cpu::team::Team;
use crate::error::Result;
use crate::memory::RUN;

/// What lists are made of.
pub(super) trait Listed: Sized {
    /// The same type for ever: what the memory of an empty list is kept as.
    type Kept;

    fn slots(lists: &Lists) -> &Slots<Vec<Self::Kept>>;
}

macro_rules! lists {
    ($($name:ident: <$($lifetime:lifetime)?> $listed:ty = $kept:ty;)*) => {
        /// The memory of the lists that no run uses at the moment.
        #[derive(Debug, Default)]
        pub(super) struct Lists {
            $($name: Slots<Vec<$kept>>,)*
        }

        impl Lists {
            pub(super) fn rewind(&self) {
                $(self.$name.rewind();)*
            }
        }

        $(impl<$($lifetime)?> Listed for $listed {
            type Kept = $kept;

            fn slots(lists: &Lists) -> &Slots<Vec<$kept>> {
                &lists.$name
            }
        })*
    };
}

lists! {
    blocks: <> Block = Block;
    buffers: <'a> Buffer<'a> = Buffer<'static>;
    rows: <'a> &'a [f32] = &'static [f32];
    rows_to_write: <'a> &'a mut [f32] = &'static mut [f32];
    shares: <'a> Mutex<Share<'a>> = Mutex<Share<'static>>;
    teams: <'a> Team<'a> = Team<'static>;
}

impl Lists {
    /// An empty list with room for so many. Its memory comes back when it is dropped.
    pub(super) fn take<T: Listed>(&self, room: usize) -> Result<List<'_, T>> {
        let (place, kept) = T::slots(self).take();
        let mut list = emptied(kept);
        list.try_reserve_exact(room).map_err(|_| RUN.too_large::<T>(room))?;
        Ok(List {
            list,
            place,
            owner: self,
        })
    }
}

/// A list of a run.
#[derive(Debug)]
pub(super) struct List<'a, T: Listed> {
    list: Vec<T>,
    place: usize,
    owner: &'a Lists,
}

impl<T: Listed> Deref for List<'_, T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.list
    }
}

impl<T: Listed> DerefMut for List<'_, T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.list
    }
}

impl<T: Listed> Drop for List<'_, T> {
    fn drop(&mut self) {
        let kept = emptied(std::mem::take(&mut self.list));
        T::slots(self.owner).give_back(self.place, kept);
    }
}

/// The memory of a list as an empty list of another type.
///
/// The standard library collects into the memory that the items came from, where both types are of one size; here they
/// differ in their lifetimes alone. It does not promise that; if it stopped doing so, nothing would be kept, and the test
/// below and `tests/allocations.rs` would fail.
fn emptied<A, B>(list: Vec<A>) -> Vec<B> {
    list.into_iter().filter_map(|_| None).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_list_keeps_its_memory() {
        let numbers = [1.0_f32, 2.0];
        let mut list: Vec<&[f32]> = Vec::with_capacity(100);
        list.extend(numbers.chunks(1));
        let (memory, room) = (list.as_ptr() as usize, list.capacity());
        let kept: Vec<&'static [f32]> = emptied(list);
        assert!(kept.is_empty());
        assert_eq!((kept.as_ptr() as usize, kept.capacity()), (memory, room));
    }

    #[test]
    fn the_next_run_finds_the_lists_of_the_last() {
        let lists = Lists::default();
        let take = || {
            let [few, many] = [10, 1000].map(|room| lists.take::<&[f32]>(room).unwrap());
            lists.rewind();
            [few.as_ptr() as usize, many.as_ptr() as usize]
        };
        let first = take();
        assert_eq!(take(), first);
    }
}
