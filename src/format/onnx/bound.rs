//! What a file becomes in memory, worked out before anything is decoded: two bytes are a whole message.

use super::messages::{AttributeProto, NodeProto, StringStringEntryProto, TensorProto, ValueInfoProto};
use crate::error::{Error, Result};
use crate::format::file::File;

/// How many times as large as the file its messages may be. A list of small numbers is eight times as large.
const TIMES: usize = 24;

/// The messages that hold others.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Leaf,
}

impl Message {
    /// The message in a field, and its size in memory.
    fn field(self, number: u64) -> Option<(Self, usize)> {
        Some(match (self, number) {
            (Self::Model, 7) => (Self::Graph, 0),
            (Self::Model, 8) => (Self::Leaf, 32),
            (Self::Graph, 1) => (Self::Node, size_of::<NodeProto>()),
            (Self::Graph, 5) | (Self::Attribute, 5) => (Self::Tensor, size_of::<TensorProto>()),
            (Self::Graph, 11 | 12) => (Self::Leaf, size_of::<ValueInfoProto>()),
            (Self::Node, 5) => (Self::Attribute, size_of::<AttributeProto>()),
            (Self::Tensor, 13) => (Self::Leaf, size_of::<StringStringEntryProto>()),
            _ => return None,
        })
    }

    /// Whether a field holds numbers of a byte or more each.
    fn is_numbers(self, number: u64) -> bool {
        match self {
            Self::Attribute => number == 8,
            Self::Tensor => matches!(number, 1 | 5 | 7),
            _ => false,
        }
    }
}

/// Refuses files whose messages are much larger in memory than in the file.
pub(super) fn check(file: &File<'_>) -> Result<()> {
    let most = file.bytes.len().saturating_mul(TIMES).saturating_add(1 << 20);
    let mut open = vec![(Message::Model, file.bytes)];
    let mut size = 0_usize;
    while let Some((message, bytes)) = open.pop() {
        let mut rest = bytes;
        while let Some((number, content)) = field(&mut rest) {
            let inner = message.field(number);
            size = size.saturating_add(match inner {
                Some((_, size)) => size,
                None if message.is_numbers(number) => content.len().saturating_mul(8),
                None => content.len().saturating_add(24),
            });
            if size > most {
                return Err(too_much(file));
            }
            open.extend(inner.map(|(inner, _)| (inner, content)));
        }
    }
    Ok(())
}

fn too_much(file: &File<'_>) -> Error {
    file.content(
        "the protobuf message",
        format!("messages that are at most {TIMES} times as large in memory as in the file"),
        "a file of next to empty messages",
        "export the model again",
    )
}

/// The next field: its number, and its content. What is no field is left to the decoder.
fn field<'b>(rest: &mut &'b [u8]) -> Option<(u64, &'b [u8])> {
    let key = varint(rest)?;
    let length = match key & 7 {
        0 => {
            let before = *rest;
            varint(rest)?;
            return Some((key >> 3, before.get(..1)?));
        }
        1 => 8,
        2 => usize::try_from(varint(rest)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (content, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some((key >> 3, content))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
