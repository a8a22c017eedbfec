//! What a file is, by its first bytes.

use super::file::File;
use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// `.keras`: a zip with `config.json`.
    KerasArchive,
    /// `.h5`, `.weights.h5`.
    Hdf5,
    Safetensors,
    /// `.pt`, `.pth`: a zip with a pickle.
    PytorchArchive,
    Onnx,
}

impl Kind {
    pub(crate) fn of(file: &File<'_>) -> Result<Self> {
        let bytes = file.bytes;
        let ending = file.path.extension().and_then(|ending| ending.to_str());
        let ending = ending.unwrap_or_default().to_ascii_lowercase();
        if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
            return Ok(match contains(bytes, b"data.pkl") {
                true => Self::PytorchArchive,
                false => Self::KerasArchive,
            });
        }
        if bytes.starts_with(b"\x89HDF\r\n\x1a\n") {
            return Ok(Self::Hdf5);
        }
        // eight bytes of length, then JSON
        if ending == "safetensors" || bytes.get(8) == Some(&b'{') {
            return Ok(Self::Safetensors);
        }
        if ending == "onnx" {
            return Ok(Self::Onnx);
        }
        if ["pt", "pth"].contains(&ending.as_str()) && bytes.starts_with(b"\x80") {
            return Err(file.content(
                "byte 0",
                "a zip, which `torch.save` writes since PyTorch 1.6",
                "a pickle alone, as PyTorch wrote before",
                "in Python, save the file anew: `torch.save(torch.load(path, weights_only=True), path)`",
            ));
        }
        let begin: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Err(file.content(
            "byte 0",
            "a zip (.keras, .pt, .pth), HDF5 (.h5), safetensors, or a file named .onnx",
            match begin.is_empty() {
                true => "an empty file".to_owned(),
                false => format!("the bytes {}", begin.join(" ")),
            },
            "check that the file is whole; an ONNX model needs a name that ends in .onnx",
        ))
    }

    /// The error where the format is compiled out.
    pub(crate) fn without_feature(self, file: &File<'_>) -> Error {
        let feature = match self {
            Self::KerasArchive | Self::Hdf5 => "keras",
            Self::Safetensors => "safetensors",
            Self::PytorchArchive => "pytorch",
            Self::Onnx => "onnx",
        };
        Error::Unsupported {
            layer: file.path.display().to_string(),
            option: format!("the format without the crate's feature `{feature}`"),
            instead: format!("compile cellstate with the feature `{feature}`"),
        }
    }
}

fn contains(bytes: &[u8], name: &[u8]) -> bool {
    bytes.windows(name.len()).any(|window| window == name)
}
