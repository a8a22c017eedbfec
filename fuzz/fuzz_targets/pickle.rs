#![no_main]

//! The pickle of a `.pt` file. In the file its checksum would stop nearly every change.

use libfuzzer_sys::fuzz_target;

const NUMBERS: &[u8] = &[0; 4096];

fuzz_target!(|pickle: &[u8]| {
    let members = [
        ("x/data.pkl", pickle),
        ("x/byteorder", b"little"),
        ("x/data/0", NUMBERS),
        ("x/data/1", NUMBERS),
        ("x/data/2", NUMBERS),
        ("x/data/3", NUMBERS),
        ("x/version", b"3\n"),
    ];
    if let Some(archive) = cellstate_fuzz::archive(&members) {
        cellstate_fuzz::open_and_load(&archive, "x.pt");
    }
});
