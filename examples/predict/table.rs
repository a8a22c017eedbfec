//! CSV files: numbers in lines and columns.

use std::error::Error;

use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn};

use crate::array::Numbers;

/// Reads the text of a file, (lines, columns). A first line without any number names the columns.
pub(crate) fn read(bytes: &[u8]) -> Result<Numbers, String> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(bytes);
    let (mut numbers, mut columns, mut lines) = (Vec::<f64>::new(), 0, 0);
    for (index, record) in reader.records().enumerate() {
        let record =
            record.map_err(|error| format!("expected lines of numbers, got: {error}; save the file as UTF-8"))?;
        let line = record.position().map_or(0, csv::Position::line);
        if index == 0 && record.iter().all(|field| field.parse::<f64>().is_err()) {
            continue;
        }
        for field in &record {
            numbers.push(field.parse().map_err(|_| {
                let field: String = field.chars().take(40).collect();
                format!(
                    "line {line}: expected numbers with commas between them, got {field:?}; write numbers like 10.2"
                )
            })?);
        }
        if lines > 0 && record.len() != columns {
            return Err(format!(
                "line {line}: expected {columns} numbers as in the lines before, got {}; give every line as many",
                record.len()
            ));
        }
        (columns, lines) = (record.len(), lines + 1);
    }
    let shape = IxDyn(&[lines, columns]);
    let is_whole = numbers
        .iter()
        .all(|number| number.fract() == 0.0 && number.abs() < 1e15);
    let wrong = |error| format!("expected lines of numbers, got {error}; give every line as many numbers");
    Ok(match is_whole {
        true => Numbers::Whole(
            ArrayD::from_shape_vec(shape, numbers.iter().map(|number| *number as i64).collect()).map_err(wrong)?,
        ),
        false => Numbers::Float(
            ArrayD::from_shape_vec(shape, numbers.iter().map(|number| *number as f32).collect()).map_err(wrong)?,
        ),
    })
}

/// A line for each sequence, or for each time step of each: its number, then the values.
pub(crate) fn write(array: ArrayViewD<'_, f32>) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let units = array.shape().last().copied().unwrap_or(0);
    let names: &[&str] = if array.ndim() == 3 {
        &["sequence", "time_step"]
    } else {
        &["sequence"]
    };
    let names = names.iter().map(|name| (*name).to_owned());
    writer.write_record(names.chain((0..units).map(|unit| format!("unit_{unit}"))))?;
    for (sequence, rows) in array.axis_iter(Axis(0)).enumerate() {
        if array.ndim() == 3 {
            for (time_step, row) in rows.axis_iter(Axis(0)).enumerate() {
                let places = [sequence.to_string(), time_step.to_string()].into_iter();
                writer.write_record(places.chain(row.iter().map(f32::to_string)))?;
            }
        } else {
            let place = std::iter::once(sequence.to_string());
            writer.write_record(place.chain(rows.iter().map(f32::to_string)))?;
        }
    }
    Ok(writer.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn lines_are_read() -> Result<(), String> {
        let numbers = read("\u{feff}# about\na,b\n1, 2.5\r\n\n-3,1e-2\n".as_bytes())?;
        assert_eq!(numbers, Numbers::Float(array![[1.0, 2.5], [-3.0, 0.01]].into_dyn()));
        assert_eq!(read(b"3\n4\n")?, Numbers::Whole(array![[3], [4]].into_dyn()));
        Ok(())
    }

    #[test]
    fn wrong_lines_are_told() {
        for (text, expected) in [
            ("1,2\n3\n", "line 2: expected 2 numbers as in the lines before, got 1"),
            (
                "1,2\n3,x\n",
                "line 2: expected numbers with commas between them, got \"x\"",
            ),
            ("a,b\nc,d\n", "line 2: expected numbers"),
            ("1;2\n3;4\n", "line 2: expected numbers"),
        ] {
            let error = read(text.as_bytes()).err().unwrap_or_default();
            assert!(error.contains(expected), "{text:?} gave {error:?}");
        }
    }

    #[test]
    fn what_is_written_has_a_line_for_each_step() -> Result<(), Box<dyn Error>> {
        let bytes = write(array![[[1.0_f32, 2.0], [3.0, 4.5]]].into_dyn().view())?;
        let text = String::from_utf8(bytes)?;
        assert_eq!(text, "sequence,time_step,unit_0,unit_1\n0,0,1,2\n0,1,3,4.5\n");
        Ok(())
    }
}
