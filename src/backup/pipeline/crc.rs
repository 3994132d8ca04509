//! The CRC-32C of a file, joined from those of its chunks, which workers make in any order.

use std::sync::LazyLock;

use crate::repo::block_map::FRAME_RAW_MAX;

/// What a whole frame behind them makes of each bit of a CRC: joining is linear, and most chunks of large
/// files have this length. The library's own way takes tens of microseconds a chunk.
static BEHIND_A_FRAME: LazyLock<[u32; 32]> =
    LazyLock::new(|| std::array::from_fn(|bit| crc32c::crc32c_combine(1 << bit, 0, FRAME_RAW_MAX)));

/// The CRC-32C of the chunks so far.
#[derive(Debug, Default)]
pub(super) struct JoinedCrc {
    value: u32,
    len: u64,
}

impl JoinedCrc {
    /// Takes the CRC-32C of the next chunk, of `len` bytes, in.
    pub(super) fn join(&mut self, crc: u32, len: u32) {
        self.value = match len as usize {
            _ if self.len == 0 => crc,
            FRAME_RAW_MAX => {
                let bits = (0..32).filter(|bit| self.value >> bit & 1 == 1);
                bits.fold(crc, |joined, bit| joined ^ BEHIND_A_FRAME[bit])
            }
            len => crc32c::crc32c_combine(self.value, crc, len),
        };
        self.len += u64::from(len);
    }

    /// The CRC-32C of all chunks.
    pub(super) fn value(&self) -> u32 {
        self.value
    }

    /// The bytes of all chunks.
    pub(super) fn len(&self) -> u64 {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn chunks_have_the_checksum_of_the_whole(
            lens in prop::collection::vec(
                prop_oneof![Just(FRAME_RAW_MAX), 0..FRAME_RAW_MAX, 0..100_usize],
                0..6,
            ),
            seed: u8,
        ) {
            let size = lens.iter().sum();
            let whole: Vec<u8> = (0..size).map(|at: usize| ((at * 31) >> 3) as u8 ^ seed).collect();
            let mut joined = JoinedCrc::default();
            let mut rest = &whole[..];
            for len in lens {
                let (chunk, later) = rest.split_at(len);
                joined.join(crc32c::crc32c(chunk), len as u32);
                rest = later;
            }
            prop_assert_eq!((joined.value(), joined.len()), (crc32c::crc32c(&whole), size as u64));
        }
    }
}
