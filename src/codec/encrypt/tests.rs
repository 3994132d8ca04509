//! The promises of the encryption: what was sealed opens, and nothing else does.

use proptest::prelude::*;

use super::*;
use crate::types::test_vectors;

const CHEAP: Kdf = Kdf { memory_kib: 8, passes: 1, lanes: 1 };

fn key() -> DataKey {
    DataKey::generate().unwrap()
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

/// Encrypts a whole object.
fn encrypt(key: &DataKey, path: &str, plain: &[u8]) -> Vec<u8> {
    let header = CipherHeader::new(key.id()).unwrap();
    let cipher = ObjectCipher::new(key, &header, path).unwrap();
    let mut stored = cipher.header().to_vec();
    let count = chunk_count(plain.len() as u64);
    for number in 0..count {
        let from = number as usize * CHUNK_LEN;
        let start = stored.len();
        stored.extend_from_slice(&plain[from..plain.len().min(from + CHUNK_LEN)]);
        cipher.seal(number, number + 1 == count, &mut stored, start).unwrap();
    }
    stored
}

/// Decrypts a whole object.
fn decrypt(key: &DataKey, path: &str, stored: &[u8]) -> Result<Vec<u8>> {
    let header = CipherHeader::decode(stored)?;
    let cipher = ObjectCipher::new(key, &header, path)?;
    let mut plain = Vec::new();
    let body = &stored[HEADER_LEN..];
    let count = body.len().div_ceil(SEALED_LEN).max(1);
    for number in 0..count {
        let sealed = &body[number * SEALED_LEN..body.len().min((number + 1) * SEALED_LEN)];
        cipher.open(number as u64, number + 1 == count, sealed, &mut plain)?;
    }
    Ok(plain)
}

#[test]
fn every_flipped_bit_is_found() {
    let key = key();
    let stored = encrypt(&key, "a/b", &bytes(100));
    for at in 0..stored.len() {
        for bit in 0..8 {
            let mut wrong = stored.clone();
            wrong[at] ^= 1 << bit;
            assert!(decrypt(&key, "a/b", &wrong).is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn every_truncation_and_extension_is_found() {
    let key = key();
    let stored = encrypt(&key, "a", &bytes(2 * CHUNK_LEN + 50));
    let near = |at: usize| at.saturating_sub(40)..(at + 40).min(stored.len());
    let ends = [HEADER_LEN, HEADER_LEN + SEALED_LEN, HEADER_LEN + 2 * SEALED_LEN, stored.len()];
    for len in ends.into_iter().flat_map(near).chain(0..HEADER_LEN) {
        assert!(decrypt(&key, "a", &stored[..len]).is_err(), "{len} bytes");
    }
    for more in [1, TAG_LEN, SEALED_LEN, 2 * SEALED_LEN] {
        let longer = [&stored[..], &vec![0; more]].concat();
        assert!(decrypt(&key, "a", &longer).is_err(), "{more} bytes more");
    }
    let repeated = [&stored[..], &stored[HEADER_LEN..]].concat();
    assert!(decrypt(&key, "a", &repeated).is_err());
}

#[test]
fn swapped_chunks_are_found() {
    let key = key();
    let stored = encrypt(&key, "a", &vec![7; 3 * CHUNK_LEN]);
    let chunk = |n: usize| &stored[HEADER_LEN + n * SEALED_LEN..HEADER_LEN + (n + 1) * SEALED_LEN];
    assert_ne!(chunk(0), chunk(1), "equal chunks do not look equal");
    for order in [[1, 0, 2], [0, 2, 1], [2, 1, 0], [0, 0, 2], [1, 1, 2]] {
        let mut wrong = stored[..HEADER_LEN].to_vec();
        order.iter().for_each(|n| wrong.extend_from_slice(chunk(*n)));
        assert!(decrypt(&key, "a", &wrong).is_err(), "{order:?}");
    }
}

#[test]
fn a_moved_object_does_not_open() {
    let key = key();
    let stored = encrypt(&key, "archive/db/1", b"text");
    assert_eq!(decrypt(&key, "archive/db/1", &stored).unwrap(), b"text");
    for other in ["archive/db/2", "archive/db/", "", "archive/db/10"] {
        let error = decrypt(&key, other, &stored).unwrap_err();
        assert_eq!(error, Error::Tampered { chunk: 0 }, "{other}");
    }
    assert!(matches!(decrypt(&self::key(), "archive/db/1", &stored), Err(Error::OtherKey { .. })));
}

#[test]
fn the_same_object_never_looks_the_same() {
    let key = key();
    let (one, two) = (encrypt(&key, "a", b"text"), encrypt(&key, "a", b"text"));
    assert_ne!(one[HEADER_LEN..], two[HEADER_LEN..]);
}

#[test]
fn what_is_not_proven_is_not_given_out() {
    let key = key();
    let header = CipherHeader::new(key.id()).unwrap();
    let cipher = ObjectCipher::new(&key, &header, "a").unwrap();
    let mut sealed = b"text".to_vec();
    cipher.seal(0, true, &mut sealed, 0).unwrap();
    let mut plain = b"before".to_vec();
    for (number, last) in [(0, false), (1, true), (1, false)] {
        assert!(cipher.open(number, last, &sealed, &mut plain).is_err());
        assert!(cipher.open(number, last, &sealed[..15], &mut plain).is_err());
        assert_eq!(plain, b"before");
    }
    cipher.open(0, true, &sealed, &mut plain).unwrap();
    assert_eq!(plain, b"beforetext");
}

#[test]
fn a_wrapped_key_opens_with_its_pass_phrase_and_its_facts_alone() {
    let (key, salt) = (key(), Kdf::salt().unwrap());
    let under = CHEAP.derive(b"pass", &salt).unwrap();
    let wrapped = key.wrap(&under, b"facts").unwrap();
    let open = |under: &PassKey, wrapped: &WrappedKey, facts: &[u8]| {
        DataKey::unwrap_with(under, key.id(), wrapped, facts).unwrap()
    };
    assert_eq!(open(&under, &wrapped, b"facts"), Some(key.clone()));
    assert!(open(&under, &wrapped, b"Facts").is_none());
    for (pass, salt) in [(b"Pass".as_slice(), salt), (b"pass", [0; SALT_LEN]), (b"", salt)] {
        assert!(open(&CHEAP.derive(pass, &salt).unwrap(), &wrapped, b"facts").is_none());
    }
    for at in 0..WRAPPED_LEN {
        let mut wrong = wrapped.clone();
        wrong.sealed[at] ^= 1;
        assert!(open(&under, &wrong, b"facts").is_none(), "byte {at}");
    }
}

// The vector was made with the reference implementation: argon2-cffi,
// hash_secret_raw(b"pass", b"0123456789abcdef", 2, 19456, 1, 32, Type.ID).
#[test]
fn a_key_is_derived_as_others_derive_it() {
    let key = Kdf::DEFAULT.derive(b"pass", b"0123456789abcdef").unwrap();
    assert_eq!(
        hex::encode(key.secret()),
        "34bd7666dd767a5e130d2f2bd0228b971394109764fc3a802e1a3dde1a896f72"
    );
}

#[test]
fn a_hostile_cost_is_refused() {
    let kdf = |memory_kib, passes, lanes| Kdf { memory_kib, passes, lanes };
    for wrong in [
        kdf(u32::MAX, 1, 1),
        kdf((1 << 20) + 1, 1, 1),
        kdf(1 << 20, 5, 1),
        kdf(8, 65, 1),
        kdf(1024, 1, 65),
        kdf(8, 1, 2),
        kdf(7, 1, 1),
        kdf(8, 0, 1),
        kdf(8, 1, 0),
    ] {
        assert_eq!(wrong.check(), Err(wrong.refused()));
        assert!(wrong.derive(b"pass", &[0; SALT_LEN]).is_err());
    }
    for fine in [Kdf::DEFAULT, kdf(1 << 20, 4, 4), CHEAP] {
        fine.check().unwrap();
    }
}

#[test]
fn secrets_do_not_show() {
    let key = key();
    let shown = format!("{key:?}");
    assert!(!shown.contains(&hex::encode(key.secret())), "{shown}");
}

#[test]
fn sizes_at_the_edges() {
    let (header, chunk, tag) = (HEADER_LEN as u64, CHUNK_LEN as u64, TAG_LEN as u64);
    assert_eq!(stored_size(0), header + tag);
    assert_eq!(stored_size(chunk), header + chunk + tag);
    assert_eq!(stored_size(chunk + 1), header + chunk + 1 + 2 * tag);
    for impossible in
        [0, 1, header, header + tag - 1, header + chunk + 2 * tag, header + chunk + tag + 1]
    {
        assert_eq!(plain_size(impossible), None, "{impossible}");
        assert!(plain_size_at_most(impossible) <= impossible);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn any_length_comes_back(len in prop_oneof![0..200usize, CHUNK_LEN - 2..CHUNK_LEN + 3, 2 * CHUNK_LEN - 2..3 * CHUNK_LEN + 3]) {
        let (key, plain) = (key(), bytes(len));
        let stored = encrypt(&key, "some/object", &plain);
        prop_assert_eq!(stored.len() as u64, stored_size(len as u64));
        prop_assert!(decrypt(&key, "some/object", &stored).unwrap() == plain);
    }

    #[test]
    fn any_flipped_byte_is_found(len in 0..3 * CHUNK_LEN, at: prop::sample::Index, mask in 1..=255u8) {
        let key = key();
        let mut stored = encrypt(&key, "o", &bytes(len));
        let at = at.index(stored.len());
        stored[at] ^= mask;
        prop_assert!(decrypt(&key, "o", &stored).is_err());
    }

    #[test]
    fn sizes_go_both_ways(plain in 0..u64::MAX / 2) {
        prop_assert_eq!(plain_size(stored_size(plain)), Some(plain));
    }

    #[test]
    fn a_stored_size_is_one_plain_size_or_none(stored in 0..1u64 << 40) {
        match plain_size(stored) {
            Some(plain) => prop_assert_eq!(stored_size(plain), stored),
            None => prop_assert!(plain_size_at_most(stored) <= stored),
        }
    }

    #[test]
    fn any_bytes_are_a_header_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let with_magic = [CIPHER_MAGIC.as_slice(), &bytes].concat();
        for bytes in [&bytes, &with_magic] {
            if let Ok(header) = CipherHeader::decode(bytes) {
                prop_assert_eq!(&header.encode()[..], &bytes[..HEADER_LEN]);
            }
        }
    }
}

#[test]
fn keys_are_derived_as_the_format_specifies() {
    let salt = *b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff";
    let pass = test_vectors::text("pass-phrase");
    for (name, kdf) in [
        ("argon2id-19456-2-1", Kdf::DEFAULT),
        ("argon2id-64-2-1", Kdf { memory_kib: 64, passes: 2, lanes: 1 }),
    ] {
        let key = kdf.derive(pass.as_bytes(), &salt).unwrap();
        assert_eq!(key.secret(), test_vectors::bytes(name), "{name}");
    }
}
