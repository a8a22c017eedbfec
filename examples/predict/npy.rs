//! NumPy's `.npy` files, versions 1 to 3 of the format: a header in Python's words, then the numbers.
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use ndarray::{ArrayD, ArrayViewD, IxDyn, ShapeBuilder};

use crate::array::Numbers;

const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads the bytes of a file.
pub(crate) fn read(bytes: &[u8]) -> Result<Numbers, String> {
    let (header, data) = split(bytes)?;
    let descr = value(header, "descr")?.trim_matches(['\'', '"']).to_owned();
    let is_fortran = value(header, "fortran_order")? == "True";
    let shape = shape(value(header, "shape")?)?;
    let count = shape
        .iter()
        .try_fold(1_usize, |product, axis| product.checked_mul(*axis));
    let count = count.ok_or("expected a shape that memory can hold, got a larger one; save the array anew")?;
    if descr.starts_with('>') {
        return Err(format!(
            "expected little-endian numbers, got {descr}; in Python, save x.astype(x.dtype.newbyteorder('<'))"
        ));
    }
    let numbers = match descr.trim_start_matches(['<', '|', '=']) {
        "f4" => Numbers::Float(array(data, count, &shape, is_fortran, f32::from_le_bytes)?),
        "f8" => Numbers::Float(array(data, count, &shape, is_fortran, |b| {
            f64::from_le_bytes(b) as f32
        })?),
        "i8" => Numbers::Whole(array(data, count, &shape, is_fortran, i64::from_le_bytes)?),
        "i4" => Numbers::Whole(array(data, count, &shape, is_fortran, |b| {
            i32::from_le_bytes(b).into()
        })?),
        "u4" => Numbers::Whole(array(data, count, &shape, is_fortran, |b| {
            u32::from_le_bytes(b).into()
        })?),
        "i2" => Numbers::Whole(array(data, count, &shape, is_fortran, |b| {
            i16::from_le_bytes(b).into()
        })?),
        "u2" => Numbers::Whole(array(data, count, &shape, is_fortran, |b| {
            u16::from_le_bytes(b).into()
        })?),
        "i1" => Numbers::Whole(array(data, count, &shape, is_fortran, |b| i8::from_le_bytes(b).into())?),
        "u1" | "b1" => Numbers::Whole(array(data, count, &shape, is_fortran, |[byte]: [u8; 1]| byte.into())?),
        _ => {
            return Err(format!(
                "expected numbers of the type float32, float64 or an integer, got {descr:?}; in Python, save x.astype(\"float32\")"
            ));
        }
    };
    Ok(numbers)
}

/// The bytes of a file of float32.
pub(crate) fn write(array: ArrayViewD<'_, f32>) -> Vec<u8> {
    let axes: String = array.shape().iter().map(|axis| format!("{axis}, ")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({axes}), }}");
    // numbers begin at a multiple of 64, and the header ends with a new line
    let begin = MAGIC.len() + 4;
    while !(begin + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((header.len() as u16).to_le_bytes()); // a shape of a few axes: some dozens of letters
    bytes.extend(header.as_bytes());
    bytes.extend(array.iter().flat_map(|number| number.to_le_bytes()));
    bytes
}

/// The header's text, and the numbers behind.
fn split(bytes: &[u8]) -> Result<(&str, &[u8]), String> {
    let parts = || {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (version, rest) = rest.split_at_checked(2)?;
        let (length, rest) = match version {
            [1, _] => {
                let (length, rest) = rest.split_first_chunk()?;
                (usize::from(u16::from_le_bytes(*length)), rest)
            }
            _ => {
                let (length, rest) = rest.split_first_chunk()?;
                (usize::try_from(u32::from_le_bytes(*length)).ok()?, rest)
            }
        };
        let (header, data) = rest.split_at_checked(length)?;
        Some((std::str::from_utf8(header).ok()?, data))
    };
    parts().ok_or_else(|| "expected a .npy file, got something else; in Python, save it with numpy.save".to_owned())
}

/// What stands behind a key of the header.
fn value<'a>(header: &'a str, key: &str) -> Result<&'a str, String> {
    let found = || {
        let (_, behind) = header.split_once(&format!("'{key}':"))?;
        let behind = behind.trim_start();
        let end = match behind.starts_with('(') {
            true => behind.find(')')? + 1,
            false => behind.find([',', '}'])?,
        };
        Some(behind.get(..end)?.trim())
    };
    found().ok_or_else(|| format!("expected {key} in the header, got none; in Python, save the file with numpy.save"))
}

fn shape(text: &str) -> Result<Vec<usize>, String> {
    let axes = text
        .trim_matches(['(', ')'])
        .split(',')
        .map(str::trim)
        .filter(|axis| !axis.is_empty());
    let axes: Result<Vec<usize>, _> = axes.map(str::parse).collect();
    axes.map_err(|_| format!("expected a shape like (3, 20, 2), got {text}; in Python, save the file with numpy.save"))
}

fn array<T, const SIZE: usize>(
    data: &[u8],
    count: usize,
    shape: &[usize],
    is_fortran: bool,
    number: impl Fn([u8; SIZE]) -> T,
) -> Result<ArrayD<T>, String> {
    let wrong = || {
        format!(
            "expected {count} numbers of {SIZE} bytes behind the header, got {} bytes; the file is not whole, save it anew",
            data.len()
        )
    };
    let (chunks, rest) = data.as_chunks::<SIZE>();
    if chunks.len() != count || !rest.is_empty() {
        return Err(wrong());
    }
    let numbers: Vec<T> = chunks.iter().map(|bytes| number(*bytes)).collect();
    ArrayD::from_shape_vec(IxDyn(shape).set_f(is_fortran), numbers).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn file(descr: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let mut bytes = [MAGIC, &[2, 0], &(header.len() as u32).to_le_bytes(), header.as_bytes()].concat();
        bytes.extend(data);
        bytes
    }

    #[test]
    fn what_is_written_is_read() -> Result<(), String> {
        let numbers = array![[1.5_f32, -2.0, f32::INFINITY], [0.0, 4.0, 5.0]].into_dyn();
        let bytes = write(numbers.view());
        assert_eq!(bytes.len() % 64, 6 * 4);
        assert_eq!(read(&bytes)?, Numbers::Float(numbers));
        Ok(())
    }

    #[test]
    fn types_and_orders_are_read() -> Result<(), String> {
        let columns = file("<i2", "True", "(2, 3)", &[1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 255, 255]);
        assert_eq!(
            read(&columns)?,
            Numbers::Whole(array![[1, 3, 5], [2, 4, -1]].into_dyn())
        );
        let one = file("|u1", "False", "(3,)", &[1, 2, 255]);
        assert_eq!(read(&one)?, Numbers::Whole(array![1, 2, 255].into_dyn()));
        let double = file("<f8", "False", "()", &2.5_f64.to_le_bytes());
        assert_eq!(read(&double)?, Numbers::Float(ndarray::arr0(2.5).into_dyn()));
        Ok(())
    }

    #[test]
    fn wrong_files_are_told_what_is_wrong() {
        for (bytes, expected) in [
            (b"".to_vec(), "expected a .npy file"),
            (b"\x93NUMPY\x01\x00\xff\xff{}".to_vec(), "expected a .npy file"),
            (file("<f4", "False", "(2,)", &[0; 7]), "expected 2 numbers of 4 bytes"),
            (file(">f4", "False", "(1,)", &[0; 4]), "expected little-endian"),
            (file("<c8", "False", "(1,)", &[0; 8]), "expected numbers of the type"),
            (file("<f4", "False", "(2, -1)", &[]), "expected a shape like"),
            (
                file("<f4", "False", "(99999999999, 99999999999)", &[]),
                "expected a shape that memory can hold",
            ),
            (b"\x93NUMPY\x01\x00\x02\x00{}".to_vec(), "expected descr in the header"),
        ] {
            let error = read(&bytes).err().unwrap_or_default();
            assert!(error.contains(expected), "{expected:?}: {error:?}");
        }
    }
}
