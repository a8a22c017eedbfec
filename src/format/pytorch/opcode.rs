//! The operations of pickles, by their bytes.

/// The names of all operations of Python's pickles, for messages.
pub(super) fn name(opcode: u8) -> &'static str {
    let found = NAMES.iter().find(|(known, _)| *known == opcode);
    found.map_or("no operation of pickles", |(_, name)| name)
}

const NAMES: [(u8, &str); 40] = [
    (b'0', "POP"),
    (b'1', "POP_MARK"),
    (b'2', "DUP"),
    (b'F', "FLOAT"),
    (b'I', "INT"),
    (b'L', "LONG"),
    (b'P', "PERSID"),
    (b'S', "STRING"),
    (b'T', "BINSTRING"),
    (b'U', "SHORT_BINSTRING"),
    (b'V', "UNICODE"),
    (b'd', "DICT"),
    (b'g', "GET"),
    (b'i', "INST"),
    (b'l', "LIST"),
    (b'o', "OBJ"),
    (b'p', "PUT"),
    (b'B', "BINBYTES"),
    (b'C', "SHORT_BINBYTES"),
    (0x81, "NEWOBJ"),
    (0x82, "EXT1"),
    (0x83, "EXT2"),
    (0x84, "EXT4"),
    (0x8b, "LONG4"),
    (0x8e, "BINBYTES8"),
    (0x8f, "EMPTY_SET"),
    (0x90, "ADDITEMS"),
    (0x91, "FROZENSET"),
    (0x92, "NEWOBJ_EX"),
    (0x96, "BYTEARRAY8"),
    (0x97, "NEXT_BUFFER"),
    (0x98, "READONLY_BUFFER"),
    (b'R', "REDUCE"),
    (b'b', "BUILD"),
    (b'c', "GLOBAL"),
    (0x93, "STACK_GLOBAL"),
    (b'Q', "BINPERSID"),
    (b's', "SETITEM"),
    (b'u', "SETITEMS"),
    (b'a', "APPEND"),
];
