//! With little memory the way back goes piece by piece of time: through one or several, the gradients are those of the whole.

use super::support::cell_kinds::CellKind;
use super::support::golden;
use super::support::layers::{LayerSpec, Merge, RecurrentOptions};
use super::support::masks::Pattern;
use super::support::random::Random;
use super::*;

/// Sums over rows are added up in another order, and a cell by rows begins a piece with the cell state of the forward pass.
fn assert_alike(found: &PlanGradients, expected: &PlanGradients, what: &str) {
    for ((name, found), (other, expected)) in lists(found).iter().zip(&lists(expected)) {
        assert_eq!((name, found.len()), (other, expected.len()), "{what}");
        let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        for (found, expected) in found.iter().zip(expected) {
            let far = (found - expected).abs();
            assert!(far <= 2e-6 * largest, "{what}, {name}: {found} instead of {expected}");
        }
    }
}

fn check(
    what: &str,
    layers: Vec<LayerSpec>,
    (batch, time_steps): (usize, usize),
    pattern: Pattern,
    random: &mut Random,
) {
    let what = format!("{what}, {batch} sequences of {time_steps}");
    let mask = pattern.mask(batch, time_steps, random);
    let input = golden::Input::Values(random.array3((batch, time_steps, 5), 1.0));
    let trial = Trial::new(layers, (input, mask), random);
    for noise in [None, Some(Noise { seed: 5, batch: 2 })] {
        assert_alike(
            &trial.gradients_in(noise, true),
            &trial.gradients_in(noise, false),
            &what,
        );
    }
}

const SEQUENCES: RecurrentOptions = RecurrentOptions {
    return_sequences: true,
    return_state: false,
    go_backwards: false,
    zero_output_for_mask: false,
};

#[test]
fn every_cell_goes_back_through_pieces() {
    let random = &mut Random::new(21);
    for kind in CellKind::ALL {
        // 12 pieces of 13 steps; three of at most 128; and one, as there are fewer steps
        for (batch, time_steps) in [(23, 150), (1, 300), (2, 9)] {
            let layers = vec![LayerSpec::Recurrent {
                cell: kind.cell(random, 5, 7),
                options: SEQUENCES,
            }];
            check(
                &format!("{kind:?}"),
                layers,
                (batch, time_steps),
                Pattern::Mixed,
                random,
            );
        }
    }
}

/// Both directions, layers above each other with other schedules, last outputs, and gates that leave something out.
#[test]
fn layers_go_back_through_pieces_one_after_the_other() {
    let random = &mut Random::new(22);
    for kind in [CellKind::Lstm, CellKind::Gru, CellKind::SimpleRnn] {
        let both = LayerSpec::Bidirectional {
            forward: kind.cell(random, 5, 6),
            backward: kind.cell(random, 5, 6),
            options: SEQUENCES,
            merge: Merge::Concat,
        };
        let last = LayerSpec::Recurrent {
            cell: kind.cell(random, 12, 4),
            options: RecurrentOptions::default(),
        };
        check(
            &format!("{kind:?}"),
            vec![both, last],
            (19, 120),
            Pattern::Mixed,
            random,
        );
    }
}

/// A few sequences of many units: crews run a piece as they run the whole.
#[test]
fn crews_go_back_through_pieces() {
    let random = &mut Random::new(23);
    let layers = vec![LayerSpec::Recurrent {
        cell: CellKind::Peepholes.cell(random, 5, 150),
        options: SEQUENCES,
    }];
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool(3).install(|| check("crews", layers.clone(), (3, 200), Pattern::Mixed, random));
    let mask = Pattern::Mixed.mask(3, 200, random);
    let input = golden::Input::Values(random.array3((3, 200, 5), 1.0));
    let trial = Trial::new(layers, (input, mask), random);
    let [one, three] = [1, 3].map(|threads| pool(threads).install(|| lists(&trial.gradients_in(None, true))));
    assert_eq!(one, three);
}

/// Sequences without any step, and a batch without any.
#[test]
fn nothing_goes_back_through_pieces() {
    let random = &mut Random::new(24);
    for (batch, pattern) in [(5, Pattern::WholeRow), (1, Pattern::WholeRow)] {
        let layers = vec![LayerSpec::Recurrent {
            cell: CellKind::Lstm.cell(random, 5, 6),
            options: SEQUENCES,
        }];
        check("no step", layers, (batch, 300), pattern, random);
    }
}
