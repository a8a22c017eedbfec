//! Changes of protobuf messages that leave the lengths around them right.

use crate::change;
use crate::split_mix::Random;

struct Field {
    key: u64,
    content: Content,
}

enum Content {
    Varint(u64),
    Fixed(Vec<u8>),
    Bytes(Vec<u8>),
}

/// A changed message, or the bytes if they are none.
pub(crate) fn changed(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        bytes = once(&bytes, random, 0).unwrap_or(bytes);
    }
    bytes
}

fn once(bytes: &[u8], random: &mut Random, depth: usize) -> Option<Vec<u8>> {
    let mut fields = parse(bytes)?;
    if fields.is_empty() {
        return None;
    }
    let at = random.below(fields.len());
    // mostly deep within
    let is_within = depth == 0 || !random.one_in(3);
    if let (true, Content::Bytes(inner)) = (is_within, &mut fields[at].content) {
        match once(inner, random, depth + 1) {
            Some(changed) => *inner = changed,
            None => match random.below(6) {
                0 => inner.clear(),
                1 => *inner = change::number(random).to_le_bytes().to_vec(),
                2 => *inner = b"x".to_vec(),
                _ => change::bytes(inner, random),
            },
        }
        return Some(write(&fields));
    }
    match random.below(6) {
        0 => drop(fields.remove(at)),
        1 => {
            let other = random.below(fields.len());
            fields.swap(at, other);
        }
        2 => {
            let most = 1 << random.below(8);
            let times = 1 + random.below(most);
            let copy = write(&fields[at..=at]);
            for _ in 0..times {
                fields.extend(parse(&copy)?);
            }
        }
        3 => {
            let other = random.below(fields.len());
            let copy = parse(&write(&fields[other..=other]))?.pop()?;
            if copy.key & 7 == fields[at].key & 7 {
                fields[at].content = copy.content;
            }
        }
        4 => fields[at].key = (fields[at].key & 7) | (random.below(16) as u64) << 3,
        _ => match &mut fields[at].content {
            Content::Varint(value) => *value = change::number(random),
            Content::Fixed(bytes) => {
                let value = *random.pick(&[f32::NAN, f32::INFINITY, 0.0, -1.0, 1e38, 1e-45]);
                bytes[..4].copy_from_slice(&value.to_le_bytes());
            }
            Content::Bytes(bytes) => change::bytes(bytes, random),
        },
    }
    Some(write(&fields))
}

fn parse(mut bytes: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        if key == 0 || key >> 3 > 64 {
            return None;
        }
        let mut take = |length: usize| {
            let (taken, rest) = bytes.split_at_checked(length)?;
            bytes = rest;
            Some(taken.to_vec())
        };
        let content = match key & 7 {
            0 => Content::Varint(varint(&mut bytes)?),
            1 => Content::Fixed(take(8)?),
            5 => Content::Fixed(take(4)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (taken, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Content::Bytes(taken.to_vec())
            }
            _ => return None,
        };
        fields.push(Field { key, content });
    }
    Some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 127) << shift;
        if byte & 128 == 0 {
            return Some(value);
        }
    }
    None
}

fn write(fields: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        write_varint(&mut bytes, field.key);
        match &field.content {
            Content::Varint(value) => write_varint(&mut bytes, *value),
            Content::Fixed(content) => bytes.extend(content),
            Content::Bytes(content) => {
                write_varint(&mut bytes, content.len() as u64);
                bytes.extend(content);
            }
        }
    }
    bytes
}

fn write_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 128 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
}
