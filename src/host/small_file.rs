//! Reads small files, such as a private key or `postmaster.pid`, with a limit: a huge file in their place takes no memory.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Reads a file of at most `bytes_max` bytes whole; a longer one is an error.
pub fn read_small_file(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 <= bytes_max {
        true => Ok(bytes),
        false => {
            let what = format!("it has more than {bytes_max} bytes, the most that are read of it");
            Err(io::Error::new(io::ErrorKind::FileTooLarge, what))
        }
    }
}

/// [`read_small_file`] as text. The error does not hold the bytes, which may be a secret.
pub fn read_small_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    let bytes = read_small_file(path, bytes_max)?;
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_the_file_may_have() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("postmaster.pid");
        std::fs::write(&path, [7; 10]).unwrap();
        assert_eq!(read_small_file(&path, 10).unwrap(), [7; 10]);
        let refused = read_small_file(&path, 9).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
        // Sparse: it takes no room on the disk, and would take all memory.
        File::create(&path).unwrap().set_len(4 << 40).unwrap();
        assert!(read_small_file(&path, 16 << 10).is_err());
        assert!(read_small_file(&dir.path().join("none"), 9).is_err());
    }

    #[test]
    fn an_error_of_text_does_not_show_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, b"SECRET\xff").unwrap();
        let refused = read_small_text(&path, 9).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        assert!(!format!("{refused:?}").contains("83"), "{refused:?}");
        std::fs::write(&path, "token").unwrap();
        assert_eq!(read_small_text(&path, 9).unwrap(), "token");
    }
}
