#![no_main]

//! The `config.json` of a `.keras` file. In the file its checksum would stop nearly every change.

use libfuzzer_sys::fuzz_target;

const METADATA: &[u8] = br#"{"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}"#;
const WEIGHTS: &[u8] = include_bytes!("../../golden/models/keras_sentiment.weights.h5");

fuzz_target!(|config: &[u8]| {
    let members = [("metadata.json", METADATA), ("config.json", config), ("model.weights.h5", WEIGHTS)];
    if let Some(archive) = cellstate_fuzz::archive(&members) {
        cellstate_fuzz::open_and_load(&archive, "x.keras");
    }
});
