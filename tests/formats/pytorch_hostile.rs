//! Archives that nobody saves with PyTorch: pickles and zips made to harm.

use cellstate::{Error, Modules};

/// A zip of stored members.
fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let at = bytes.len() as u32;
        let length = content.len() as u32;
        let sizes = [0_u32.to_le_bytes(), length.to_le_bytes(), length.to_le_bytes()].concat(); // no checksum is looked at
        let name_length = (name.len() as u16).to_le_bytes();
        bytes.extend(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0");
        bytes.extend(&sizes);
        bytes.extend(name_length);
        bytes.extend([0, 0]);
        bytes.extend(name.as_bytes());
        bytes.extend(*content);
        directory.extend(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0");
        directory.extend(&sizes);
        directory.extend(name_length);
        directory.extend([0; 12]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (at, count) = (bytes.len() as u32, (members.len() as u16).to_le_bytes());
    let length = directory.len() as u32;
    bytes.extend(directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([count, count].concat());
    bytes.extend(length.to_le_bytes());
    bytes.extend(at.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

fn of_pickle(pickle: &[u8], storage: &[u8]) -> Result<Modules, Error> {
    Modules::from_bytes(&zip(&[("a/data.pkl", pickle), ("a/data/0", storage)]), "a.pt")
}

fn message(pickle: &[u8]) -> String {
    of_pickle(pickle, &[0; 96]).expect_err("accepted").to_string()
}

/// A number as pickles have it.
fn int(value: i64) -> Vec<u8> {
    [&[0x8a, 8][..], &value.to_le_bytes()].concat()
}

/// A tuple of numbers.
fn tuple(values: &[i64]) -> Vec<u8> {
    [
        &b"("[..],
        &values.iter().flat_map(|value| int(*value)).collect::<Vec<u8>>(),
        b"t",
    ]
    .concat()
}

/// A state dict with one tensor, `x.weight`.
fn one_tensor(class: &str, length: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let storage = [
        format!("ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\n{class}\nX\x01\0\0\00X\x03\0\0\0cpu")
            .into_bytes(),
        int(length),
        b"tQ".to_vec(),
    ]
    .concat();
    let rest = [int(offset), tuple(shape), tuple(strides), b"\x89}tR".to_vec()].concat();
    [b"\x80\x02}X\x08\0\0\0x.weight".to_vec(), storage, rest, b"s.".to_vec()].concat()
}

#[test]
fn a_tensor_made_by_hand_is_read() {
    let modules = of_pickle(&one_tensor("FloatStorage", 24, 0, &[4, 6], &[6, 1]), &[0; 96]).unwrap();
    assert_eq!(modules.iter().next().unwrap().parameter_count(), 24);
    assert!(of_pickle(&one_tensor("FloatStorage", 24, 3, &[4, 4], &[5, 1]), &[0; 96]).is_ok());
}

#[test]
fn tensors_beyond_their_storage_are_refused() {
    const FAR: i64 = i64::MAX;
    for (length, offset, shape, strides) in [
        (25, 0, &[4, 6][..], &[6, 1][..]),     // the pickle says more than there is
        (FAR, 0, &[4, 6], &[6, 1]),            //
        (-1, 0, &[4, 6], &[6, 1]),             //
        (24, 1, &[4, 6], &[6, 1]),             // by one
        (24, FAR, &[4, 6], &[6, 1]),           // sums that overflow
        (24, -1, &[4, 6], &[6, 1]),            //
        (24, 0, &[4, 6], &[7, 1]),             // strides that lead out
        (24, 0, &[4, 6], &[FAR, FAR]),         //
        (24, 0, &[4, 6], &[-6, 1]),            //
        (24, 0, &[4, -6], &[6, 1]),            //
        (24, 0, &[4, 6], &[6]),                // one for each axis
        (24, 0, &[1 << 40, 1 << 40], &[0, 0]), // a number repeated until the memory is full
        (24, 0, &[1 << 20, 1 << 20], &[0, 0]), //
        (24, 0, &[25], &[0]),                  //
        (24, 25, &[0, 6], &[FAR, FAR]),        // nothing, anywhere: this one is read
    ] {
        let read = of_pickle(&one_tensor("FloatStorage", length, offset, shape, strides), &[0; 96]);
        assert_eq!(
            read.is_ok(),
            shape.contains(&0),
            "{length} {offset} {shape:?} {strides:?}: {read:?}"
        );
    }
    // of numbers that no weight has, too
    assert!(of_pickle(&one_tensor("LongStorage", FAR, 0, &[4, 6], &[6, 1]), &[0; 96]).is_err());
    assert!(
        of_pickle(
            &one_tensor("LongStorage", 12, 0, &[1 << 60, 1 << 60], &[1, 1]),
            &[0; 96]
        )
        .is_ok()
    );
}

#[test]
fn pickles_that_run_something_are_refused_by_name() {
    for (pickle, text) in [
        (&b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R."[..], "os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
        (b"\x80\x02cbuiltins\neval\n.", "builtins.eval"),
        (b"\x80\x02c__main__\nNet\n)\x81}b.", "__main__.Net"),
        (b"\x80\x02ctorch\nload\n.", "torch.load"),
        (b"\x80\x02)\x81.", "NEWOBJ"),
        (b"\x80\x02(i__main__\nNet\n.", "INST"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02Pname\n.", "PERSID"),
        (b"\x80\x02\xff.", "0xff"),
    ] {
        let message = message(pickle);
        assert!(message.contains(text) && message.contains("state_dict()"), "{message}");
    }
}

#[test]
fn pickles_that_are_broken_are_refused() {
    let repeated = |unit: &[u8], count: usize| [&b"\x80\x02"[..], &unit.repeat(count), b"."].concat();
    for pickle in [
        b"".to_vec(),
        b".".to_vec(),
        b"\x80\x02".to_vec(),
        b"\x80\x02}".to_vec(),
        b"\x80\x02t.".to_vec(),
        b"\x80\x02(K\x01.".to_vec(),
        b"\x80\x02R.".to_vec(),
        b"\x80\x02}K\x01s.".to_vec(),
        b"\x80\x02}(K\x01u.".to_vec(),
        b"\x80\x02]K\x01u.".to_vec(),
        b"\x80\x02h\x07.".to_vec(),
        b"\x80\x02q\x07.".to_vec(),
        b"\x80\x02X\xff\xff\xff\xffa.".to_vec(),
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffa.".to_vec(),
        b"\x80\x02\x8a\xff".to_vec(),
        b"\x80\x02cno end".to_vec(),
        b"\x80\x02K\x01Q.".to_vec(),
        b"\x80\x02X\x02\0\0\0\xff\xff.".to_vec(),
        // more than a state dict has of anything: values, lists, dicts, marks, tuples in tuples, remembered values
        repeated(b"N", 3_000_000),
        repeated(b"]", 3_000_000),
        repeated(b"}", 3_000_000),
        repeated(b"(", 3_000_000),
        repeated(b")", 3_000_000),
        repeated(b"N\x94\x85", 3_000_000),
        [&b"\x80\x02)"[..], &b"\x85".repeat(900_000), b"."].concat(),
        [&b"\x80\x02]"[..], &b"q\x00h\x00a".repeat(900_000), b"."].concat(),
        [
            &b"\x80\x02N"[..],
            &(0..700_000_u32)
                .flat_map(|at| [&b"r"[..], &(at * 5000).to_le_bytes()].concat())
                .collect::<Vec<u8>>(),
            b".",
        ]
        .concat(),
    ] {
        message(&pickle);
    }
    // lists that hold each other twice over, thirty levels deep
    let doubled = [&b"\x80\x02]q\x00"[..], &b"]q\x01(h\x00h\x00eq\x00".repeat(1000), b"."].concat();
    assert!(message(&doubled).contains("a list"));
}

#[test]
fn zips_that_are_not_what_they_say_are_refused() {
    let pickle = one_tensor("FloatStorage", 24, 0, &[4, 6], &[6, 1]);
    let of = |members: &[(&str, &[u8])]| {
        Modules::from_bytes(&zip(members), "a.pt")
            .expect_err("accepted")
            .to_string()
    };
    let storage: &[u8] = &[0; 96];
    for (message, text) in [
        (
            of(&[("a/data.pkl", &pickle), ("a/data/0", storage), ("a/data/0", storage)]),
            "one member of each name",
        ),
        (of(&[("a/data.pkl", &pickle), ("a/data/1", storage)]), "data/0"),
        (of(&[("a/data.pkl", &pickle), ("b/data/0", storage)]), "data/0"),
        (of(&[("a/data.pkl", &pickle), ("a/data/0", &storage[..95])]), "95 bytes"),
        (
            of(&[
                ("a/data.pkl", &pickle),
                ("a/data/0", storage),
                ("a/byteorder", b"middle"),
            ]),
            "middle",
        ),
        (
            of(&[("a/data.pkl", &pickle), ("a/data/0", storage), ("a/version", b"11")]),
            "11",
        ),
        (of(&[("a/data.pkl.txt", &pickle), ("a/data/0", storage)]), "data.pkl"),
    ] {
        assert!(message.contains(text), "{message}");
    }
}

/// Members that say that they are larger than the file, or shorter than they are.
#[test]
fn sizes_of_members_that_lie_are_refused() {
    let whole = super::files::bytes("pytorch/gru_deflated.pt");
    let places: Vec<usize> = whole
        .windows(4)
        .enumerate()
        .filter(|(_, window)| *window == b"PK\x01\x02")
        .map(|(at, _)| at)
        .collect();
    assert!(places.len() > 8);
    for at in places {
        for size in [0_u32, 1, 1 << 20, u32::MAX - 1] {
            for field in [20, 24] {
                let mut lies = whole.clone();
                lies[at + field..at + field + 4].copy_from_slice(&size.to_le_bytes());
                super::pytorch_refused::read_all(&lies, "a.pt");
            }
        }
    }
}
