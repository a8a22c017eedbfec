//! How the weights of a model are named.

use crate::layer::Layer;

/// The paths of the layers: the class in snake case, from the second of a class on with a number, as in Keras's weight files.
pub(crate) fn paths(layers: &[Layer]) -> Vec<String> {
    let names = layers.iter().map(|layer| snake_case(layer.class()));
    let mut paths: Vec<String> = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for name in names {
        let before = seen.iter().filter(|seen| **seen == name).count();
        paths.push(match before {
            0 => name.clone(),
            number => format!("{name}_{number}"),
        });
        seen.push(name);
    }
    paths
}

/// The paths of the layers within a layer.
pub(crate) fn paths_within(path: &str, layers: &[Layer]) -> impl Iterator<Item = String> {
    let path = path.to_owned();
    paths(layers).into_iter().map(move |inner| format!("{path}/{inner}"))
}

/// `simple_rnn` for `SimpleRNN`, `rnn` for `RNN(StackedRNNCells)`: words begin at a capital behind a small letter.
fn snake_case(class: &str) -> String {
    let name = class.split('(').next().unwrap_or(class);
    let mut snake = String::new();
    let mut small_before = false;
    for letter in name.chars() {
        if letter.is_uppercase() && small_before {
            snake.push('_');
        }
        small_before = letter.is_lowercase();
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// The paths of both directions of a layer.
pub(crate) fn direction_paths(path: &str) -> [String; 2] {
    ["forward_layer", "backward_layer"].map(|direction| format!("{path}/{direction}"))
}

/// The paths of the cells of a layer.
pub(crate) fn inner_paths(path: &str) -> impl Iterator<Item = String> + '_ {
    (0..).map(move |number: usize| format!("{path}/cells_{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::dense::Dense;
    use crate::layer::masking::Masking;

    #[test]
    fn layers_of_a_class_are_numbered_from_the_second_on() {
        let dense = || Layer::from(Dense::new(1, 1));
        let layers = [Masking::new(0.0).into(), dense(), dense(), dense()];
        assert_eq!(paths(&layers), ["masking", "dense", "dense_1", "dense_2"]);
        let names = ["SimpleRNN", "RNN(StackedRNNCells)", "LSTM", "RepeatVector"].map(snake_case);
        assert_eq!(names, ["simple_rnn", "rnn", "lstm", "repeat_vector"]);
    }
}
