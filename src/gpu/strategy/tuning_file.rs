//! The file in which the answers of `Runner::tune` are kept.

use std::io;
use std::path::Path;

use crate::error::{Cause, Error, Result};
use crate::file;
use crate::gpu::strategy::tuned::{self, Key, SEPARATOR};
use crate::settings::Strategy;

/// A file that is longer was not written by this crate.
const LONGEST: u64 = 16 << 20;

/// The first line of a new file.
const HEAD: &str = "# written by cellstate's Runner::tune: crate | adapter | vendor | device | driver | API | precision | \
                    units | directions | sequences, up to | time steps, up to | the fastest strategy\n";

/// What a file says; nothing if there is none.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    file::read(path, LONGEST).map_err(|error| failed("a file that can be read, or none yet", path, error))
}

/// Puts answers into a file: they take the place of those to the same questions, and every other line stays as it is. The
/// new text is written beside it and then renamed, so that nobody ever reads half a file. Of two processes that write at the
/// same time the later one may forget what the earlier one has added.
pub(crate) fn write(path: &Path, gpu: &str, answers: &[(Key, Strategy)]) -> Result<()> {
    let old = read(path)?;
    let starts: Vec<String> = answers
        .iter()
        .map(|(key, _)| format!("{}{SEPARATOR}", tuned::line_start(gpu, key)))
        .collect();
    let answered = |line: &&[u8]| starts.iter().any(|start| line.starts_with(start.as_bytes()));
    let mut text = if old.is_empty() {
        HEAD.as_bytes().to_vec()
    } else {
        Vec::new()
    };
    let kept = tuned::lines(&old).filter(|line| !line.is_empty() && !answered(line));
    for line in kept {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    for (key, strategy) in answers {
        text.extend_from_slice(tuned::line(gpu, key, *strategy).as_bytes());
        text.push(b'\n');
    }
    let fitting = match text.len() as u64 <= LONGEST {
        true => file::replace(path, &text),
        // nothing that `read` would refuse, and with it every model that is given the file
        false => Err(io::Error::other(format!("it would be longer than {LONGEST} bytes"))),
    };
    fitting.map_err(|error| failed("a file that can be written", path, error))
}

fn failed(expected: &'static str, path: &Path, error: io::Error) -> Error {
    Error::File {
        argument: "tuning_file",
        expected,
        path: path.to_owned(),
        cause: Cause::new(error),
        repair: "name another file in Settings::tuning_file, or none".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nothing_but_the_same_questions_is_replaced() {
        let folder = std::env::temp_dir().join(format!("cellstate-tuning-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("tuning");
        let old = b"# mine\r\n\xff\xfe\nGPU | a | step\nGPU | ab | step\nother | a | step";
        fs::write(&path, old).unwrap();
        let key = |text: &str| tuned::tests_key(text);
        write(&path, "GPU", &[(key("a"), Strategy::Solo), (key("b"), Strategy::Step)]).unwrap();
        let want = b"# mine\n\xff\xfe\nGPU | ab | step\nother | a | step\nGPU | a | solo\nGPU | b | step\n";
        assert_eq!(read(&path).unwrap(), want);
        let names: Vec<_> = fs::read_dir(&folder).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        fs::remove_dir_all(&folder).unwrap();
    }
    #[test]
    fn what_could_not_be_read_again_is_not_written() {
        let folder = std::env::temp_dir().join(format!("cellstate-tuning-long-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("tuning");
        let old = vec![b'x'; LONGEST as usize];
        fs::write(&path, &old).unwrap();
        let error = write(&path, "GPU", &[(tuned::tests_key("a"), Strategy::Solo)]).unwrap_err();
        assert!(error.to_string().contains("it would be longer than"), "{error}");
        assert!(read(&path).unwrap() == old, "the file has changed");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_one_though_its_end_is_not_there_yet() {
        let folder = std::env::temp_dir().join(format!("cellstate-tuning-link-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(folder.join("elsewhere")).unwrap();
        let [first, second, lost] = ["first", "second", "lost"].map(|name| folder.join(name));
        let link = std::os::unix::fs::symlink::<&str, &Path>;
        link("second", &first).unwrap();
        link("elsewhere/tuning", &second).unwrap();
        link("nowhere/tuning", &lost).unwrap();
        let answers = [(tuned::tests_key("a"), Strategy::Solo)];
        write(&first, "GPU", &answers).unwrap();
        let error = write(&lost, "GPU", &answers).unwrap_err();
        assert!(error.to_string().contains("a file that can be written"), "{error}");
        for path in [&first, &second, &lost] {
            assert!(fs::symlink_metadata(path).unwrap().is_symlink(), "{}", path.display());
        }
        let written = read(&first).unwrap();
        assert!(written.ends_with(b"GPU | a | solo\n"), "{written:?}");
        assert_eq!(fs::read(folder.join("elsewhere/tuning")).unwrap(), written);
        fs::remove_dir_all(&folder).unwrap();
    }
}
