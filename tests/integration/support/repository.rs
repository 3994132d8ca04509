//! Damage done to a repository on purpose.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::give_to_server_user;

/// One way to harm a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// One bit is not what it was, at a position in thousandths of the length.
    FlipAt(usize),
    /// All bits of the 32 bytes from there on are what they were not. One bit alone may mean nothing: a
    /// copy of zeros from another place is the same zeros.
    InvertedAt(usize),
    /// The last byte is gone.
    CutLastByte,
    /// The second half is gone.
    CutHalf,
    /// Nothing is left.
    Empty,
    /// The length is right, the bytes are zero.
    Zeroed,
    /// The file is gone.
    Gone,
}

impl Damage {
    /// Every kind of damage.
    pub(crate) const ALL: [Self; 8] = [
        Self::FlipAt(0),
        Self::FlipAt(500),
        Self::FlipAt(999),
        Self::CutLastByte,
        Self::CutHalf,
        Self::Empty,
        Self::Zeroed,
        Self::Gone,
    ];

    /// Harms the file, runs `test`, and puts the file back as it was.
    pub(crate) fn during(self, path: &Path, test: impl FnOnce()) {
        let intact = fs::read(path).expect("repository file can be read");
        let mode = fs::metadata(path).expect("it is there").permissions().mode();
        fs::remove_file(path).expect("repository is writable");
        if let Some(bytes) = self.apply(&intact) {
            restore_file(path, &bytes, mode);
        }
        test();
        let _ = fs::remove_file(path);
        restore_file(path, &intact, mode);
    }

    /// The harmed bytes; `None` for no file at all.
    fn apply(self, intact: &[u8]) -> Option<Vec<u8>> {
        let length = intact.len();
        let mut bytes = intact.to_vec();
        match self {
            Self::FlipAt(thousandth) => {
                let position = length.saturating_sub(1) * thousandth / 999;
                bytes[position] ^= 0x10;
            }
            Self::InvertedAt(thousandth) => {
                let position = length.saturating_sub(1) * thousandth / 999;
                bytes.iter_mut().skip(position).take(32).for_each(|byte| *byte = !*byte);
            }
            Self::CutLastByte => bytes.truncate(length.saturating_sub(1)),
            Self::CutHalf => bytes.truncate(length / 2),
            Self::Empty => bytes.clear(),
            Self::Zeroed => bytes.fill(0),
            Self::Gone => return None,
        }
        Some(bytes)
    }
}

fn restore_file(path: &Path, bytes: &[u8], mode: u32) {
    fs::write(path, bytes).expect("repository is writable");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("own file");
    give_to_server_user(path);
}
