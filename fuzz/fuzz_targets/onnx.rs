#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cellstate_fuzz::open_and_load(bytes, "x.onnx"));
