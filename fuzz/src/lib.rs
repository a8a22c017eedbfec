//! What every target does with the bytes: open them as a model, and load them as weights into a model that is there.
//!
//! A target fails where the library panics, hangs (`-timeout`), or takes memory out of proportion to the file (`-rss_limit_mb` and
//! `-malloc_limit_mb`).

use std::io::{Cursor, Write};

use cellstate::{Bidirectional, Dense, Embedding, Gru, Lstm, Model, OpenOptions};

/// Opens the bytes under a name, and loads them as weights.
pub fn open_and_load(bytes: &[u8], name: &str) {
    // weights that are not finite get as far as others
    let options = OpenOptions::new().allow_not_finite(true);
    if let Ok(model) = options.from_bytes(bytes, name) {
        // what was read has a table, and can be written
        let _ = model.to_string();
        let _ = model.to_bytes("again.safetensors");
    }
    for mut model in models().into_iter().flatten() {
        let _ = options.load_weights_from_bytes(&mut model, bytes, name);
    }
}

/// Chains of the golden models, so that some seeds are loaded to the end: `keras_sentiment` and `torch_bilstm`; and a chain of a
/// recurrent layer alone.
fn models() -> [cellstate::Result<Model>; 3] {
    let sentiment = Model::builder()
        .add(Embedding::new(20, 8).mask_zero(true))
        .add(Lstm::new(8, 32))
        .add(Dense::new(32, 1));
    let bidirectional = |features| Bidirectional::new(Lstm::new(features, 16).return_sequences(true));
    let bilstm = Model::builder()
        .add(bidirectional(5))
        .add(bidirectional(32))
        .add(Dense::new(32, 3));
    [sentiment.build(), bilstm.build(), Model::builder().add(Gru::new(2, 3)).build()]
}

/// A zip of these members, not compressed.
pub fn archive(members: &[(&str, &[u8])]) -> Option<Vec<u8>> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in members {
        zip.start_file(*name, options).ok()?;
        zip.write_all(bytes).ok()?;
    }
    Some(zip.finish().ok()?.into_inner())
}
