//! How Keras names the layers of a model in a file of weights.

use std::collections::BTreeMap;

/// A class in snake case, by the two rules of `keras.utils.naming.to_snake_case`: a word begins at a capital before a small letter,
/// and at a capital behind a small letter.
pub(super) fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class
        .chars()
        .filter(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect();
    let mut snake = String::new();
    for (position, letter) in letters.iter().enumerate() {
        let before = position.checked_sub(1).and_then(|before| letters.get(before));
        let next = letters.get(position + 1);
        let begins = letter.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase() || (*before != '_' && next.is_some_and(char::is_ascii_lowercase))
            });
        if begins {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// Names that are numbered from the second of a class on: `lstm`, `lstm_1`.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbered {
    seen: BTreeMap<String, usize>,
}

impl Numbered {
    /// Where one of a class has been.
    pub(super) fn after(class: &str) -> Self {
        let mut numbered = Self::default();
        numbered.next(class);
        numbered
    }

    pub(super) fn next(&mut self, class: &str) -> String {
        let name = snake_case(class);
        match self.seen.get_mut(&name) {
            Some(number) => {
                *number += 1;
                format!("{name}_{number}")
            }
            None => {
                self.seen.insert(name.clone(), 0);
                name
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_written_as_keras_writes_them() {
        let written = [
            ("LSTM", "lstm"),
            ("SimpleRNN", "simple_rnn"),
            ("LSTMCell", "lstm_cell"),
            ("SimpleRNNCell", "simple_rnn_cell"),
            ("StackedRNNCells", "stacked_rnn_cells"),
            ("SpatialDropout1D", "spatial_dropout1d"),
            ("LeakyReLU", "leaky_re_lu"),
            ("ReLU", "re_lu"),
            ("ELU", "elu"),
            ("TimeDistributed", "time_distributed"),
            ("BatchNormalization", "batch_normalization"),
        ];
        for (class, name) in written {
            assert_eq!(snake_case(class), name);
        }
    }

    #[test]
    fn the_second_of_a_class_has_a_number() {
        let mut numbered = Numbered::default();
        let names = ["LSTM", "Dense", "LSTM", "LSTM"].map(|class| numbered.next(class));
        assert_eq!(names, ["lstm", "dense", "lstm_1", "lstm_2"]);
    }
}
