//! The data: utterances of nine speakers, in `vowels.safetensors`.

use std::error::Error;

use cellstate::{Examples, Sequences};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use safetensors::{Dtype, SafeTensors};

const FILE: &[u8] = include_bytes!("vowels.safetensors");
/// The frames are whole numbers of this part.
const SCALE: f32 = 10_000.0;

/// The numbers of a frame, and the speakers.
pub(crate) const FEATURES: usize = 12;
pub(crate) const SPEAKERS: usize = 9;

/// Utterances of a word, each with its speaker.
#[derive(Clone, Debug)]
pub(crate) struct Utterances {
    /// Padded behind each utterance, and with a mask.
    padded: Sequences<'static>,
    /// From 0.
    speakers: Array1<i32>,
}

/// What was measured of the features of all frames that training sees.
#[derive(Clone, Debug)]
pub(crate) struct Scaling {
    mean: Array1<f32>,
    deviation: Array1<f32>,
}

impl Utterances {
    /// The utterances for training and those for the test.
    pub(crate) fn read() -> Result<[Self; 2], Box<dyn Error>> {
        let file = SafeTensors::deserialize(FILE)?;
        let training = frames(&file, "train")?;
        let scaling = Scaling::of(&training);
        Ok([
            Self::new(&file, "train", training, &scaling)?,
            Self::new(&file, "test", frames(&file, "test")?, &scaling)?,
        ])
    }

    fn new(
        file: &SafeTensors<'_>,
        part: &str,
        mut frames: Array2<f32>,
        scaling: &Scaling,
    ) -> Result<Self, Box<dyn Error>> {
        frames -= &scaling.mean;
        frames /= &scaling.deviation;
        let lengths = file.tensor(&format!("{part}.lengths"))?;
        let mut utterances = Vec::new();
        let mut rest = frames.view();
        for &length in lengths.data() {
            let (utterance, behind): (ArrayView2<'_, f32>, _) = rest.split_at(Axis(0), usize::from(length));
            utterances.push(utterance);
            rest = behind;
        }
        let speakers = file.tensor(&format!("{part}.speakers"))?;
        Ok(Self {
            padded: Sequences::pad(utterances)?,
            speakers: speakers.data().iter().map(|speaker| i32::from(*speaker)).collect(),
        })
    }

    pub(crate) fn sequences(&self) -> &Sequences<'static> {
        &self.padded
    }

    /// As examples, with the mask or as if the padding were frames too.
    pub(crate) fn examples(&self, masked: bool) -> Result<Examples<'static, '_>, Box<dyn Error>> {
        let sequences = match masked {
            true => self.padded.clone(),
            false => Sequences::from(self.padded.values().ok_or("expected frames, got tokens")?.to_owned()),
        };
        Ok(Examples::new(sequences, &self.speakers)?)
    }
}

impl Scaling {
    fn of(frames: &Array2<f32>) -> Self {
        let mean = frames.mean_axis(Axis(0)).unwrap_or_default();
        Self {
            mean,
            deviation: frames.std_axis(Axis(0), 0.0),
        }
    }
}

/// All frames of a part one behind the other, (frames, features).
fn frames(file: &SafeTensors<'_>, part: &str) -> Result<Array2<f32>, Box<dyn Error>> {
    let tensor = file.tensor(&format!("{part}.frames"))?;
    let (&[rows, FEATURES], Dtype::I16) = (tensor.shape(), tensor.dtype()) else {
        return Err(format!(
            "{part}.frames: expected I16 (frames, {FEATURES}), got {:?} {:?}",
            tensor.dtype(),
            tensor.shape()
        )
        .into());
    };
    let (numbers, _) = tensor.data().as_chunks::<2>();
    let numbers = numbers
        .iter()
        .map(|bytes| f32::from(i16::from_le_bytes(*bytes)) / SCALE);
    Ok(Array2::from_shape_vec((rows, FEATURES), numbers.collect())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_are_those_that_the_authors_describe() -> Result<(), Box<dyn Error>> {
        let [training, test] = Utterances::read()?;
        let counts = |utterances: &Utterances| {
            let mut counts = [0; SPEAKERS];
            utterances
                .speakers
                .iter()
                .for_each(|speaker| counts[*speaker as usize] += 1);
            counts
        };
        assert_eq!(counts(&training), [30; SPEAKERS]);
        assert_eq!(counts(&test), [31, 35, 88, 44, 29, 24, 40, 50, 29]);
        let lengths = |utterances: &Utterances| {
            let lengths = utterances.sequences().lengths();
            (lengths.iter().min().copied(), lengths.iter().max().copied())
        };
        assert_eq!(
            (lengths(&training), lengths(&test)),
            ((Some(7), Some(26)), (Some(7), Some(29)))
        );
        Ok(())
    }
}
