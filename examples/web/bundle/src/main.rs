//! bundle FILE.wasm FOLDER: writes FILE_bg.wasm and FILE.js for a browser into the folder.
//!
//! What the program `wasm-bindgen` does, as a library of the same version that Cargo.lock has, so that nobody has to install a
//! program that fits.

use std::error::Error;
use std::{env, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [wasm, folder] = arguments.as_slice() else {
        return Err("expected two arguments: bundle FILE.wasm FOLDER".into());
    };
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    bindgen
        .input_path(wasm)
        .omit_default_module_path(false)
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true);
    bindgen.web(true)?.generate(folder)?;
    Ok(())
}
