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
        Err(file.content(
            "byte 0",
            "a zip (.keras, .pt, .pth), HDF5 (.h5), safetensors, or a file named .onnx",
            match bytes {
                [] => "an empty file".to_owned(),
                bytes => format!("the bytes {}", begin(bytes)),
            },
            "check that the file is whole; an ONNX model needs a name that ends in .onnx",
        ))
    }

    /// Whether a file of so many bytes can be of this kind by its first ones, so that what is not need not be read.
    pub(crate) fn check_begin(self, file: &File<'_>, size: u64) -> Result<()> {
        match (self, file.bytes) {
            (Self::Safetensors, bytes) => check_header(file, bytes, size),
            (Self::Onnx, [first, ..]) if !FIELDS_OF_ONNX.contains(first) => Err(file.content(
                "byte 0",
                "the first field of an ONNX model",
                format!("the bytes {}", begin(file.bytes)),
                "check that the file is an ONNX model and whole; a text or a download page is none",
            )),
            _ => Ok(()),
        }
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

/// The first bytes of the fields that `ModelProto` of ONNX has: number and wire type, of fields from 16 on their first byte alone.
const FIELDS_OF_ONNX: [u8; 12] = [0x08, 0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72, 0xa2, 0xca, 0xd2];

/// Eight bytes of length, then as much JSON. Shorter files are left to the reader.
fn check_header(file: &File<'_>, bytes: &[u8], size: u64) -> Result<()> {
    let Some((length, json)) = bytes.split_first_chunk() else {
        return Ok(());
    };
    let length = u64::from_le_bytes(*length);
    if length <= size.saturating_sub(8) && json.first() == Some(&b'{') {
        return Ok(());
    }
    Err(file.content(
        "the header",
        "a safetensors file: eight bytes with a length, and as much JSON",
        format!("{size} bytes that begin with {}", begin(bytes)),
        "copy or save the file again; it is cut off or damaged, or no safetensors file",
    ))
}

/// The first bytes of a file, as messages show them.
fn begin(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().take(9).map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

fn contains(bytes: &[u8], name: &[u8]) -> bool {
    bytes.windows(name.len()).any(|window| window == name)
}
