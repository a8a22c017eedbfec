//! The files that are changed, and how each format is changed.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use cellstate::{
    Activation, BatchNormalization, Bidirectional, Dense, Embedding, Gru, Layer, LayerNormalization, Lstm, Model,
    SimpleRnn,
};
use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::change;
use crate::split_mix::Random;
use crate::{json, message};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Format {
    Keras,
    Hdf5,
    Safetensors,
    Pytorch,
    Onnx,
}

impl Format {
    pub(crate) const ALL: [Self; 5] = [Self::Keras, Self::Hdf5, Self::Safetensors, Self::Pytorch, Self::Onnx];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Keras => "keras",
            Self::Hdf5 => "h5",
            Self::Safetensors => "safetensors",
            Self::Pytorch => "pt",
            Self::Onnx => "onnx",
        }
    }

    /// The golden files of the format, and what this crate writes in it.
    pub(crate) fn seeds(self) -> Vec<Seed> {
        let root = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
        let mut seeds = Vec::new();
        for folder in ["models", "onnx", "pytorch", "bad"] {
            let mut paths: Vec<PathBuf> = fs::read_dir(root.join("golden").join(folder))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            paths.sort();
            let is_expected = |name: &str| name.contains(".case.") || name.contains(".expected.");
            for path in paths {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                let bytes = fs::read(&path).unwrap();
                if name.ends_with(&format!(".{}", self.name())) && !is_expected(&name) && bytes.len() < 300_000 {
                    let into = into(&path, &bytes);
                    seeds.push(Seed { name, bytes, into });
                }
            }
        }
        for (number, model) in chains().into_iter().enumerate() {
            if let Ok(bytes) = model.to_bytes(&format!("own.{}", self.name())) {
                let name = format!("own_{number}.{}", self.name());
                let into = Some(model);
                seeds.push(Seed { name, bytes, into });
            }
        }
        seeds
    }
}

/// A file, and a model that its weights go into.
pub(crate) struct Seed {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) into: Option<Model>,
}

fn into(path: &Path, bytes: &[u8]) -> Option<Model> {
    let name = path.file_name()?.to_str()?;
    if let Ok(model) = Model::from_bytes(bytes, name) {
        return Some(model);
    }
    if let Some(stem) = name.strip_suffix(".weights.h5") {
        let stem = stem.strip_suffix(".wide").unwrap_or(stem);
        for ending in ["keras", "2_12.keras"] {
            if let Ok(model) = Model::open(path.with_file_name(format!("{stem}.{ending}"))) {
                return Some(model);
            }
        }
    }
    chains()
        .into_iter()
        .find(|chain| chain.clone().load_weights_from_bytes(bytes, name).is_ok())
}

fn chain<const N: usize>(layers: [Layer; N]) -> Model {
    let builder = layers
        .into_iter()
        .fold(Model::builder(), |builder, layer| builder.add(layer));
    builder.build().unwrap()
}

/// Those of the golden state dicts among them.
fn chains() -> Vec<Model> {
    let lstm = |features, units| Lstm::new(features, units).return_sequences(true);
    let gru = |features, units| Gru::new(features, units).return_sequences(true);
    let both = |features| Layer::from(Bidirectional::new(lstm(features, 5)));
    let norm = LayerNormalization::new(6).epsilon(1e-3);
    let batch_norm = BatchNormalization::new(6).epsilon(1e-5);
    vec![
        chain([gru(4, 6).into(), gru(6, 6).into()]),
        chain([gru(4, 6).into(), Dense::new(6, 2).into()]),
        chain([SimpleRnn::new(4, 6).activation(Activation::Relu).into()]),
        chain([Bidirectional::new(SimpleRnn::new(4, 6).return_sequences(true)).into()]),
        chain([lstm(4, 6).projection(3).into(), lstm(3, 6).projection(3).into()]),
        chain([both(3), both(10), both(10)]),
        chain([lstm(4, 6).use_bias(false).into()]),
        chain([lstm(4, 6).into()]),
        chain([gru(4, 6).into()]),
        chain([lstm(4, 6).into(), lstm(6, 6).into()]),
        chain([
            Bidirectional::new(lstm(4, 6)).into(),
            Bidirectional::new(lstm(12, 6)).into(),
        ]),
        chain([lstm(4, 6).into(), norm.into(), Dense::new(6, 2).into()]),
        chain([lstm(4, 6).into(), batch_norm.into(), Dense::new(6, 2).into()]),
        chain([Embedding::new(11, 4).into(), lstm(4, 6).into(), Dense::new(6, 3).into()]),
        chain([
            Layer::from(Embedding::new(9, 3).mask_zero(true)),
            lstm(3, 4).into(),
            cellstate::Flatten::new(3, 4).into(),
            Dense::new(12, 6).into(),
            cellstate::RepeatVector::new(2).into(),
            cellstate::Reshape::new([2, 6], [3, 4]).into(),
            Gru::new(4, 2).into(),
        ]),
    ]
}

/// A changed file.
pub(crate) fn changed(format: Format, seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = match (format, random.below(4)) {
        (_, 0) => {
            let mut bytes = seed.to_vec();
            change::bytes(&mut bytes, random);
            bytes
        }
        (Format::Keras | Format::Pytorch, _) => archive(seed, random),
        (Format::Onnx, _) => message::changed(seed, random),
        (Format::Safetensors, _) => safetensors(seed, random),
        (Format::Hdf5, _) => hdf5(seed, random),
    };
    if random.one_in(25) {
        change::bytes(&mut bytes, random);
    }
    bytes
}

/// The header is changed, and its length is right.
fn safetensors(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let length = seed.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    let end = usize::try_from(length).ok().and_then(|length| length.checked_add(8));
    let Some(header) = end.and_then(|end| seed.get(8..end)) else {
        return seed.to_vec();
    };
    let data = &seed[8 + header.len()..];
    let mut header = match random.one_in(2) {
        true => json::changed(header, random),
        false => within(header, random),
    };
    if random.one_in(8) {
        change::bytes(&mut header, random);
    }
    [&(header.len() as u64).to_le_bytes()[..], &header, data].concat()
}

/// The chain, which is a text within a text, is changed.
fn within(header: &[u8], random: &mut Random) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<Value>(header) else {
        return header.to_vec();
    };
    let text = &mut value["__metadata__"]["cellstate"];
    if let Some(inner) = text.as_str() {
        *text = String::from_utf8_lossy(&json::changed(inner.as_bytes(), random)).into();
        return value.to_string().into_bytes();
    }
    json::changed(header, random)
}

/// The configuration within is changed where it stands, as long as it was.
fn hdf5(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    let begin = seed
        .windows(2)
        .position(|window| window == b"{\"")
        .filter(|_| random.one_in(2));
    let Some(begin) = begin else {
        change::bytes(&mut bytes, random);
        return bytes;
    };
    let mut values = serde_json::Deserializer::from_slice(&seed[begin..]).into_iter::<Value>();
    if let Some(Ok(_)) = values.next() {
        let end = begin + values.byte_offset();
        let mut text = json::changed(&seed[begin..end], random);
        if text.len() <= end - begin {
            text.resize(end - begin, b' ');
            bytes[begin..end].copy_from_slice(&text);
        }
    }
    bytes
}

/// One member of an archive is changed, and its checksum is right.
fn archive(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let Ok(mut zip) = ZipArchive::new(Cursor::new(seed)) else {
        return seed.to_vec();
    };
    let mut members = Vec::new();
    for index in 0..zip.len() {
        let Ok(member) = zip.by_index(index) else {
            return seed.to_vec();
        };
        let name = member.name().unwrap_or_default().into_owned();
        let mut bytes = Vec::new();
        let _ = member.take(1 << 20).read_to_end(&mut bytes);
        members.push((name, bytes));
    }
    change_member(&mut members, random);
    let method = match random.one_in(6) {
        true => CompressionMethod::Deflated,
        false => CompressionMethod::Stored,
    };
    let mut written = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let options = SimpleFileOptions::default().compression_method(method);
        // two members of one name are refused here; the changes of bytes make them
        if written.start_file(name.as_str(), options).is_ok() {
            written.write_all(&bytes).unwrap();
        }
    }
    written.finish().unwrap().into_inner()
}

fn change_member(members: &mut Vec<(String, Vec<u8>)>, random: &mut Random) {
    if members.is_empty() {
        return;
    }
    let is_program = |name: &str| name.ends_with("config.json") || name.ends_with("data.pkl");
    let program = members.iter().position(|(name, _)| is_program(name));
    let at = match (program, random.one_in(3)) {
        (Some(at), false) => at,
        _ => random.below(members.len()),
    };
    let other = random.below(members.len());
    match random.below(16) {
        0 => drop(members.remove(at)),
        1 => {
            let (name, bytes) = (members[other].0.clone(), members[at].1.clone());
            members[at].0 = name;
            members[other].1 = bytes;
        }
        2 => members.swap(at, other),
        3 => members[at].0.push('x'),
        4 => members[at].1 = members[other].1.clone(),
        _ => {
            let (name, bytes) = &mut members[at];
            match name.ends_with(".json") && !random.one_in(10) {
                true => *bytes = json::changed(bytes, random),
                false if name.ends_with(".h5") => *bytes = hdf5(bytes, random),
                false => change::bytes(bytes, random),
            }
        }
    }
}
