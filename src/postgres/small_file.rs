//! Reads small files of a data directory with a limit, so that a huge file in their place takes no memory.

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
            let what = format!("it has more than {bytes_max} bytes, as no such file of PostgreSQL");
            Err(io::Error::new(io::ErrorKind::FileTooLarge, what))
        }
    }
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
}
