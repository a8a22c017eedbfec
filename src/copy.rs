//! Values on their way from mapped memory into the caller's arrays: each is touched once, by several threads where there are many.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::error::Result;
use crate::memory::OUTPUT;

/// What one thread copies at a time. With less than two of them another thread is not worth waking.
pub(crate) const SHARE: usize = 256 << 10;

/// Values between two that lie on pages of their own: the smallest pages that a system has are 4 KiB.
const PAGE: usize = 4096 / size_of::<f32>();

/// Values whose pages one thread fetches at a time: 2 MiB.
const FETCHED: usize = (2 << 20) / size_of::<f32>();

/// Values that are copied as one: a list of them can be filled by several threads without being filled with zeros before.
type Block = [f32; 64];

const BLOCK: usize = size_of::<Block>();

/// A list without values, with room for so many that [`append`] copies there.
pub(crate) fn room(values: usize) -> Result<Vec<f32>> {
    let blocks = values.div_ceil(BLOCK / size_of::<f32>());
    OUTPUT.list(blocks.saturating_mul(BLOCK / size_of::<f32>()))
}

/// Has the system give the memory of an empty list, which it does page by page when something is written there: better while
/// there is nothing else to do.
pub(crate) fn fetch(list: &mut Vec<f32>) {
    let write = |values: &mut [MaybeUninit<f32>]| {
        for value in values.iter_mut().step_by(PAGE) {
            value.write(0.0);
        }
    };
    let spare = list.spare_capacity_mut();
    match spare.len() < 2 * FETCHED {
        true => write(spare),
        false => spare.par_chunks_mut(FETCHED).for_each(write),
    }
}

/// Copies values over others; what is longer than the other one is left out.
pub(crate) fn overwrite(values: &mut [f32], bytes: &[u8]) {
    let copy = |(to, from): (&mut [u8], &[u8])| {
        let length = to.len().min(from.len());
        if let (Some(to), Some(from)) = (to.get_mut(..length), from.get(..length)) {
            to.copy_from_slice(from);
        }
    };
    let to: &mut [u8] = bytemuck::cast_slice_mut(values);
    match bytes.len() < 2 * SHARE {
        true => copy((to, bytes)),
        false => to.par_chunks_mut(SHARE).zip(bytes.par_chunks(SHARE)).for_each(copy),
    }
}

/// Copies values behind those of a list, which has room for them. The threads share the work if the list comes from [`room`]
/// and has none or whole blocks of values so far.
pub(crate) fn append(list: Vec<f32>, bytes: &[u8]) -> Vec<f32> {
    if bytes.len() < 2 * SHARE {
        return append_alone(list, bytes);
    }
    match bytemuck::allocation::try_cast_vec::<f32, Block>(list) {
        Ok(mut blocks) => {
            let whole = bytes.par_chunks_exact(BLOCK);
            let rest = whole.remainder();
            blocks.par_extend(
                whole
                    .with_min_len(SHARE / BLOCK)
                    .map(bytemuck::pod_read_unaligned::<Block>),
            );
            append_alone(blocks.into_flattened(), rest)
        }
        Err((_, list)) => append_alone(list, bytes),
    }
}

fn append_alone(mut list: Vec<f32>, bytes: &[u8]) -> Vec<f32> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(values) => list.extend_from_slice(values),
        // a browser's copy of the memory may begin anywhere
        Err(_) => list.extend(
            bytes
                .chunks_exact(size_of::<f32>())
                .map(bytemuck::pod_read_unaligned::<f32>),
        ),
    }
    list
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    /// Of every length around the bounds, aligned or not, with values before it or without.
    #[test]
    fn all_values_arrive_in_their_places() {
        let blocks = BLOCK / size_of::<f32>();
        let large = 2 * SHARE / size_of::<f32>();
        for length in [
            0,
            1,
            blocks - 1,
            blocks,
            large - 1,
            large,
            large + 1,
            3 * large + blocks + 5,
        ] {
            let values: Vec<f32> = (0..length).map(|number| number as f32).collect();
            let mut shifted = vec![0_u8];
            shifted.extend_from_slice(bytemuck::cast_slice(&values));
            let mut over = vec![f32::NAN; length];
            overwrite(&mut over, &shifted[1..]);
            assert_eq!(over, values);
            for before in [0, 3, 2 * blocks] {
                let mut list = room(before + length).unwrap();
                fetch(&mut list);
                assert!(list.is_empty());
                let (capacity, address) = (list.capacity(), list.as_ptr());
                list.resize(before, -1.0);
                for bytes in [bytemuck::cast_slice(&values), &shifted[1..]] {
                    list = append(list, bytes);
                    assert_eq!(list[..before], vec![-1.0; before]);
                    assert_eq!(list[before..], values);
                    assert_eq!((list.capacity(), list.as_ptr()), (capacity, address), "no other memory");
                    list.truncate(before);
                }
            }
        }
    }

    /// Of every length around the bounds: nothing is written but in the room of the list.
    #[test]
    fn memory_is_fetched_and_nothing_else() {
        for length in [0, 1, PAGE, 2 * FETCHED - 1, 2 * FETCHED, 5 * FETCHED + 7] {
            let mut list = room(length).unwrap();
            let (capacity, address) = (list.capacity(), list.as_ptr());
            fetch(&mut list);
            assert_eq!((list.len(), list.capacity(), list.as_ptr()), (0, capacity, address));
            list.resize(length, 2.0);
            fetch(&mut list);
            assert!(list.iter().all(|&value| value == 2.0));
        }
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let mut values = [1.0, 2.0];
        overwrite(&mut values, bytemuck::cast_slice(&[3.0_f32]));
        assert_eq!(values, [3.0, 2.0]);
        overwrite(&mut values, bytemuck::cast_slice(&[4.0_f32, 5.0, 6.0]));
        assert_eq!(values, [4.0, 5.0]);
    }
}
