use super::*;

fn number(a: usize, b: usize) -> f32 {
    ((a * 31 + b * 17) % 101) as f32 / 50.0 - 1.0
}

fn matrix(depth: usize, columns: usize, path: Path) -> Matrix {
    let mut matrix = Matrix::empty();
    let filled = matrix.refill_panels((depth, columns), path, |first, columns, panel| {
        let width = panel.len() / depth.max(1);
        for (k, row) in panel.chunks_exact_mut(width.max(1)).enumerate() {
            row.fill(0.0);
            (first..)
                .zip(&mut row[..columns])
                .for_each(|(column, to)| *to = number(k, column));
        }
    });
    filled.unwrap();
    matrix
}

/// Around the edges of panels and of parts, against a loop in f64. Panels and parts that are multiplied the other way round change no bit, and neither do
/// more rows.
#[test]
fn products_are_those_of_a_loop_and_the_order_of_panels_changes_no_bit() {
    for (depth, columns) in [
        (0, 3),
        (1, 1),
        (DEPTH, 64),
        (DEPTH + 1, 65),
        (3 * DEPTH - 5, 200),
        (TOGETHER + 300, 70),
        (PARTS * DEPTH, 17),
        (PARTS * DEPTH + 1, 130),
    ] {
        let rows: Vec<Vec<f32>> = (0..7)
            .map(|row| (0..depth).map(|k| number(row + 3, k)).collect())
            .collect();
        let rows: Vec<&[f32]> = rows.iter().map(|row| &row[..]).collect();
        for path in Path::all() {
            let matrix = matrix(depth, columns, path);
            let panels = columns.div_ceil(Matrix::panel_columns(path));
            let begin = |count: usize| (0..count * columns).map(|place| number(place, 1)).collect::<Vec<_>>();
            let mut of_all = begin(rows.len());
            matrix.multiply(path, &rows, None, &mut of_all, columns);
            for (place, (&sum, &begin)) in of_all.iter().zip(&begin(rows.len())).enumerate() {
                let row = rows[place / columns].iter().enumerate();
                let terms = row.map(|(k, &value)| f64::from(value) * f64::from(number(k, place % columns)));
                let wanted = f64::from(begin) + terms.sum::<f64>();
                assert!((f64::from(sum) - wanted).abs() < 1e-3, "{place}: {sum}, {wanted}");
            }
            for count in [1, 2, 3, 6, 7] {
                for backwards in [false, true] {
                    let mut sums = begin(count);
                    // by two who share the panels
                    for part in [0..panels / 2, panels / 2..usize::MAX] {
                        matrix.multiply_panels((path, part, backwards), &rows[..count], &mut sums, columns);
                    }
                    let bits = |sums: &[f32]| sums.iter().map(|sum| sum.to_bits()).collect::<Vec<_>>();
                    assert_eq!(
                        bits(&sums),
                        bits(&of_all[..count * columns]),
                        "({depth}, {columns}), {count} rows, {backwards}"
                    );
                }
            }
        }
    }
}
