//! Which Keras wrote a file.

use std::fmt;

use serde_json::Value;

/// The version of Keras that wrote a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Version {
    text: String,
    major: u32,
    minor: u32,
}

impl Version {
    /// `3.15.1`, `2.11.0`, `2.4.0-tf`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|part| part.parse::<u32>());
        Some(Self {
            text: text.to_owned(),
            major: numbers.next()?.ok()?,
            minor: numbers.next()?.ok()?,
        })
    }

    pub(super) fn of_metadata(metadata: &Value) -> Option<Self> {
        Self::parse(metadata.get("keras_version")?.as_str()?)
    }

    /// The one whose meaning this crate has, for files that say nothing.
    pub(super) fn assumed(text: &str) -> Self {
        let (major, minor) = (3, 15);
        Self::parse(text).unwrap_or(Self {
            text: text.to_owned(),
            major,
            minor,
        })
    }

    /// Keras 1 and 2, `tf.keras` before TensorFlow 2.16.
    pub(super) fn is_before_3(&self) -> bool {
        self.major < 3
    }

    /// Whether a recurrent layer hands its mask on to the next one. From 3.16 on it does not.
    pub(super) fn hands_masks_on(&self) -> bool {
        self.major < 3 || (self.major == 3 && self.minor < 16)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        let of = |text| Version::parse(text);
        assert!(of("2.4.0-tf").is_some_and(|version| version.is_before_3() && version.hands_masks_on()));
        assert!(of("3.15.1").is_some_and(|version| !version.is_before_3() && version.hands_masks_on()));
        assert!(of("3.16.0").is_some_and(|version| !version.hands_masks_on()));
        assert!(of("4.0.0").is_some_and(|version| !version.hands_masks_on()));
        assert_eq!(of("nightly"), None);
    }
}
