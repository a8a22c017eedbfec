//! Changes of bytes, whatever they mean.

use crate::split_mix::Random;

const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    127,
    255,
    65_535,
    1 << 24,
    i32::MAX as u64,
    u32::MAX as u64,
    1 << 32,
    1 << 40,
    1 << 62,
    i64::MAX as u64,
    u64::MAX,
];

/// A number that is often forgotten.
pub(crate) fn number(random: &mut Random) -> u64 {
    match random.one_in(4) {
        true => random.next() >> random.below(64),
        false => *random.pick(&NUMBERS),
    }
}

/// One to a few changes.
pub(crate) fn bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        once(bytes, random);
    }
}

fn once(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        bytes.push(0);
    }
    // headers are more interesting than weights
    let end = match random.below(3) {
        0 => bytes.len(),
        1 => bytes.len().min(512),
        _ => bytes.len().min(4096),
    };
    let at = match random.one_in(5) {
        true => bytes.len() - end + random.below(end),
        false => random.below(end),
    };
    let longest = 1 << (1 + random.below(10));
    let until = at + random.below((bytes.len() - at).min(longest));
    match random.below(9) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.next() as u8,
        2 | 3 => {
            let width = 1 << random.below(4);
            let value = number(random);
            let wide = match random.one_in(4) {
                true => value.to_be_bytes()[8 - width..].to_vec(),
                false => value.to_le_bytes()[..width].to_vec(),
            };
            let till = (at + width).min(bytes.len());
            bytes[at..till].copy_from_slice(&wide[..till - at]);
        }
        4 => bytes.truncate(at),
        5 => drop(bytes.drain(at..until)),
        6 => {
            let copy = bytes[at..until].to_vec();
            let to = random.below(bytes.len());
            bytes.splice(to..to, copy);
        }
        7 => {
            // over what is there, so that nothing moves
            let copy = bytes[at..until].to_vec();
            let to = random.below(bytes.len() - copy.len());
            bytes[to..to + copy.len()].copy_from_slice(&copy);
        }
        _ => {
            // counting up or down from what is there
            let up = random.below(17) as u8;
            bytes[at] = bytes[at].wrapping_add(up).wrapping_sub(8);
        }
    }
}
