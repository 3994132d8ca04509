//! The hash of page checksums: 32 parallel FNV-1a hashes, one for each column of 32-bit words
//! (`src/include/storage/checksum_impl.h`).
//!
//! The compiler vectorizes one plain loop for the instructions enabled where it is inlined. The x86-64 baseline has no
//! 32-bit vector multiplication, so a second instance is compiled for AVX2 and selected at run time. That call is the
//! only unsafe code.

const COLUMNS: usize = 32;
pub(super) const ROW_BYTES: usize = COLUMNS * 4;
const PRIME: u32 = 16_777_619;

/// Start values of the columns, part of the on-disk format.
const START: [u32; COLUMNS] = [
    0x5B1F_36E9,
    0xB852_5960,
    0x02AB_50AA,
    0x1DE6_6D2A,
    0x79FF_467A,
    0x9BB9_F8A3,
    0x217E_7CD2,
    0x83E1_3D2C,
    0xF8D4_474F,
    0xE39E_B970,
    0x42C6_AE16,
    0x9932_16FA,
    0x7B09_3B5D,
    0x98DA_FF3C,
    0xF718_902A,
    0x0B1C_9CDB,
    0xE58F_764B,
    0x1876_36BC,
    0x5D7B_3BB1,
    0xE73D_E7DE,
    0x92BE_C979,
    0xCCA6_C0B2,
    0x304A_0979,
    0x85AA_43D4,
    0x7831_25BB,
    0x6CA8_EAA2,
    0xE407_EAC6,
    0x4B5C_FC3E,
    0x9FBF_8C76,
    0x15CA_20BE,
    0xF2CA_9FD3,
    0x959B_D756,
];

/// The hash of a page. The first row is separate, because the checksum field in it is zero for the computation.
pub(super) fn sum(first_row: &[u8; ROW_BYTES], rows: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        return avx2::sum(first_row, rows);
    }
    sum_rows(first_row, rows)
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod avx2 {
    use super::{ROW_BYTES, sum_rows};

    #[target_feature(enable = "avx2")]
    fn sum_with_avx2(first_row: &[u8; ROW_BYTES], rows: &[u8]) -> u32 {
        sum_rows(first_row, rows)
    }

    /// Only call it if AVX2 was detected.
    pub(super) fn sum(first_row: &[u8; ROW_BYTES], rows: &[u8]) -> u32 {
        // SAFETY: AVX2, the only requirement of the function, was detected just before.
        unsafe { sum_with_avx2(first_row, rows) }
    }
}

#[inline(always)]
fn sum_rows(first_row: &[u8; ROW_BYTES], rows: &[u8]) -> u32 {
    let mut sums = START;
    mix_row(&mut sums, first_row);
    for row in rows.as_chunks::<ROW_BYTES>().0 {
        mix_row(&mut sums, row);
    }
    // Two rounds of zeros mix the last row.
    mix_row(&mut sums, &[0; ROW_BYTES]);
    mix_row(&mut sums, &[0; ROW_BYTES]);
    sums.iter().fold(0, |all, sum| all ^ sum)
}

#[inline(always)]
fn mix_row(sums: &mut [u32; COLUMNS], row: &[u8; ROW_BYTES]) {
    for (sum, word) in sums.iter_mut().zip(row.as_chunks::<4>().0) {
        let mixed = *sum ^ u32::from_le_bytes(*word);
        *sum = mixed.wrapping_mul(PRIME) ^ (mixed >> 17);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_instance_gives_the_same(page in proptest::collection::vec(any::<u8>(), 8192)) {
            let first: [u8; ROW_BYTES] = page[..ROW_BYTES].try_into().unwrap();
            prop_assert_eq!(sum(&first, &page[ROW_BYTES..]), sum_rows(&first, &page[ROW_BYTES..]));
        }
    }
}
