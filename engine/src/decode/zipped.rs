//! `ZipfileDecoder`: the files of an archive, in its order, each read by the decoder within.

use std::borrow::Cow;
use std::io::{BufReader, Cursor};

use zip::ZipArchive;
use zip::result::ZipError;

use super::{Decoder, Limited, Meter, Sink, Undecoded};

/// Files of one archive.
const MOST_FILES: usize = 10_000;

/// `limit` is how many bytes all files may have together.
pub(super) fn decode(
    archive: &[u8],
    inner: &Decoder,
    limit: usize,
    meter: &Meter,
    sink: &mut Sink<'_>,
) -> Result<(), Undecoded> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).map_err(|error| broken(&error))?;
    if archive.len() > MOST_FILES {
        let message = format!("the archive has more than {MOST_FILES} files, which is the limit");
        return Err(Undecoded::Broken(message));
    }
    let mut left = limit;
    for index in 0..archive.len() {
        let file = archive.by_index(index).map_err(|error| broken(&error))?;
        if file.is_dir() {
            continue;
        }
        let name = file.name().map(Cow::into_owned).unwrap_or_default();
        let mut limited = Limited {
            inner: file,
            left,
            limit,
        };
        let outcome = inner.rows(BufReader::new(&mut limited), limit, meter, sink);
        left = limited.left;
        outcome.map_err(|error| match error {
            Undecoded::Broken(message) => {
                Undecoded::Broken(format!("the file \"{name}\" of the archive: {message}"))
            }
            other => other,
        })?;
    }
    Ok(())
}

fn broken(error: &ZipError) -> Undecoded {
    Undecoded::Broken(format!("the answer is no readable zip archive: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use serde_json::json;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::super::Undecoded;
    use super::super::tests::decoder;

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in files {
            writer
                .start_file(*name, SimpleFileOptions::default())
                .unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn the_files_of_an_archive_are_read_one_after_the_other_up_to_the_limit_of_all() {
        let decoder = decoder("{type: ZipfileDecoder, decoder: {type: CsvDecoder}}");
        let packed = archive(&[("a.csv", "id\n1\n"), ("d/b.csv", "id,n\n2,x\n")]);
        let expected = json!([{"id": "1"}, {"id": "2", "n": "x"}]);
        assert_eq!(decoder.decode(&packed, 14).unwrap(), expected);
        assert!(matches!(
            decoder.decode(&packed, 13),
            Err(Undecoded::TooLarge(13))
        ));
        let bomb = archive(&[("a.csv", &" ".repeat(100_000))]);
        assert!(matches!(
            decoder.decode(&bomb, 5_000),
            Err(Undecoded::TooLarge(5_000))
        ));
        assert!(matches!(
            decoder.decode(b"no archive", 100),
            Err(Undecoded::Broken(_))
        ));
    }
}
