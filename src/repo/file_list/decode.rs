//! Decodes a file list. Its entries are bounded by the manifest's totals and by the stored size, so that a small damaged
//! or hostile object cannot take much memory or time. It yields between steps, so that a signal can end the command.

use std::io::{BufRead, BufReader, Cursor, Read};

use bytes::Bytes;

use super::{BundleKind, EntryKind, FileEntry, FileList, LINE_MAX, Line};
use crate::{
    repo::{
        Error, limits,
        manifest::Totals,
        metadata,
        object_header::{HEADER_LEN, ObjectHeader, ObjectKind},
    },
    types::CompressType,
};

/// Lines decoded between two yields: about ten milliseconds.
const STEP_LINES: usize = 2048;

type Stream = BufReader<zstd::stream::read::Decoder<'static, BufReader<Cursor<Bytes>>>>;

pub(super) struct Decoding<'a> {
    object: &'a str,
    totals: &'a Totals,
    lines: Stream,
    line: Vec<u8>,
    counted: Counted,
    lines_max: u64,
    raw_max: u64,
    list: FileList,
}

/// Sums over the lines so far.
#[derive(Default)]
struct Counted {
    lines: u64,
    raw: u64,
    files: u64,
    size: u64,
    links: u64,
    bundles: u64,
}

impl<'a> Decoding<'a> {
    /// `data` is the whole object, its header included.
    pub(super) fn new(data: Bytes, object: &'a str, totals: &'a Totals) -> Result<Self, Error> {
        let header = ObjectHeader::decode(&data, ObjectKind::FileList, object)?;
        if header.compress != CompressType::Zst {
            return Err(Error::format(object, "a file list is compressed with zst"));
        }
        let stored = data.len() as u64;
        let bundles =
            u64::from(totals.bundles).saturating_add(totals.map_bundles.unwrap_or_default().into());
        let mut data = Cursor::new(data);
        data.set_position(HEADER_LEN as u64);
        let decoder = zstd::stream::read::Decoder::new(data)
            .map_err(|error| Error::format(object, error.to_string()))?;
        Ok(Self {
            object,
            totals,
            lines: BufReader::new(decoder),
            line: Vec::new(),
            counted: Counted::default(),
            lines_max: limits::lines_max(stored),
            raw_max: limits::list_raw_max(totals.files, bundles, stored),
            list: FileList::default(),
        })
    }

    pub(super) async fn finish(mut self) -> Result<FileList, Error> {
        while self.step()? {
            tokio::task::yield_now().await;
        }
        Ok(self.list)
    }

    /// Decodes [`STEP_LINES`]; `false` after the last line.
    fn step(&mut self) -> Result<bool, Error> {
        for _ in 0..STEP_LINES {
            if !self.read_line()? {
                return Ok(false);
            }
            match metadata::from_json(&self.line, self.object)? {
                Line::File(entry) => {
                    self.check_entry(&entry)?;
                    self.list.files.push(entry);
                }
                Line::Bundle(record) => {
                    self.counted.bundles += u64::from(record.bundle == BundleKind::Data);
                    self.within("data bundles", self.counted.bundles, self.totals.bundles.into())?;
                    self.list.bundles.push(record);
                }
            }
        }
        Ok(true)
    }

    /// Reads the next line without its line feed; `false` at the end.
    fn read_line(&mut self) -> Result<bool, Error> {
        self.line.clear();
        let read = (&mut self.lines).take(LINE_MAX).read_until(b'\n', &mut self.line);
        let read = read.map_err(|error| Error::format(self.object, error.to_string()))?;
        if read == 0 {
            return Ok(false);
        }
        if self.line.pop() != Some(b'\n') {
            return Err(Error::format(self.object, "a line is cut off or too long"));
        }
        self.counted.lines += 1;
        self.counted.raw += read as u64;
        let possible = self.counted.lines <= self.lines_max && self.counted.raw <= self.raw_max;
        if possible {
            Ok(true)
        } else {
            Err(Error::format(
                self.object,
                "it has more lines than its size and the manifest's totals allow",
            ))
        }
    }

    fn check_entry(&mut self, entry: &FileEntry) -> Result<(), Error> {
        match &entry.kind {
            EntryKind::File { size, map, base } => {
                self.counted.files += 1;
                self.within("files", self.counted.files, self.totals.files)?;
                self.counted.size = self.counted.size.saturating_add(*size);
                self.within("bytes of files", self.counted.size, self.totals.size)?;
                if (*size > 0) != map.is_some() || (base.is_some() && map.is_none()) {
                    return Err(self.contradicts(entry));
                }
                Ok(())
            }
            EntryKind::Link { .. } => {
                self.counted.links += 1;
                self.within("links", self.counted.links, limits::LINKS_MAX)
            }
            EntryKind::Dir => Ok(()),
        }
    }

    /// An entry whose size and block map contradict each other: a file with a size and no map would be restored empty.
    fn contradicts(&self, entry: &FileEntry) -> Error {
        let what = match entry.size() {
            0 => "is empty and has a block map",
            _ => "has a size and no block map",
        };
        Error::format(self.object, format!("file '{}' {what}", entry.path))
    }

    fn within(&self, what: &str, listed: u64, max: u64) -> Result<(), Error> {
        if listed <= max {
            Ok(())
        } else {
            Err(Error::format(
                self.object,
                format!("it lists {listed} or more {what}, but at most {max} are possible"),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::types::Failure;

    /// The list with these lines, as it would be stored.
    fn stored(lines: &str) -> Bytes {
        let mut data = ObjectHeader::new(ObjectKind::FileList, CompressType::Zst).encode().to_vec();
        data.extend(zstd::bulk::compress(lines.as_bytes(), 3).unwrap());
        data.into()
    }

    async fn decode(lines: &str, totals: Totals) -> Result<FileList, Error> {
        Decoding::new(stored(lines), "files", &totals)?.finish().await
    }

    fn file(path: &str, size: u64, rest: &str) -> String {
        format!(
            "{{\"path\":\"{path}\",\"kind\":\"file\",\"size\":{size}{rest},\"mode\":384,\
             \"mtime\":1795264565,\"uid\":101,\"gid\":104}}\n"
        )
    }

    const MAP: &str = r#","map":{"bundle":1,"offset":16,"len":57,"digest":"0c2f000000000000000a"}"#;
    const ROOMY: Totals = Totals {
        files: 100_000_000,
        size: u64::MAX,
        size_delta: 0,
        repo_size: 0,
        repo_size_delta: 0,
        map_size: 0,
        bundles: 9,
        map_bundles: None,
    };

    #[tokio::test]
    async fn a_file_with_a_size_and_no_map_is_refused() {
        let refused = decode(&file("base/5/1", 8192, ""), ROOMY).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "'files' is not valid: file 'base/5/1' has a size and no block map"
        );
        assert_eq!(refused.code(), crate::types::ErrorCode::Format);
        let base = MAP.replace("map", "base").replace("\"len\"", "\"size\":8192,\"len\"");
        assert!(decode(&file("a", 8192, &base), ROOMY).await.is_err(), "a base alone");
        assert!(decode(&file("a", 0, &base), ROOMY).await.is_err(), "a base of an empty file");
        assert!(decode(&file("a", 0, MAP), ROOMY).await.is_err(), "a map of an empty file");
        let good = file("a", 8192, MAP) + &file("b", 0, "");
        assert_eq!(decode(&good, ROOMY).await.unwrap().files.len(), 2);
    }

    #[tokio::test]
    async fn more_than_the_manifest_counts_is_refused() {
        let two = file("a", 8192, MAP) + &file("b", 8192, MAP);
        let totals = Totals { files: 2, size: 2 * 8192, ..ROOMY };
        assert!(decode(&two, totals).await.is_ok());
        assert!(decode(&two, Totals { files: 1, ..totals }).await.is_err());
        assert!(decode(&two, Totals { size: 8192 * 2 - 1, ..totals }).await.is_err());
        let huge = file("a", u64::MAX, MAP) + &file("b", u64::MAX, MAP);
        assert!(decode(&huge, totals).await.is_err());
        let bundle = "{\"bundle\":\"data\",\"number\":1,\"size\":1,\"sha256\":\"00\"}\n"
            .replace("00", &"00".repeat(32));
        assert!(decode(&bundle, Totals { bundles: 0, ..totals }).await.is_err());
    }

    #[tokio::test]
    async fn a_small_list_of_very_many_lines_is_refused_early() {
        let line = file("a", 0, "");
        let lines = line.repeat(1_000_000);
        let data = stored(&lines);
        assert!(data.len() < 100_000, "{}", data.len());
        let refused = Decoding::new(data, "files", &ROOMY).unwrap().finish().await.unwrap_err();
        assert!(refused.to_string().contains("more lines than its size"), "{refused}");
    }

    /// A directory is not counted in the totals: its line is bounded by the number of files.
    #[tokio::test]
    async fn a_small_list_of_very_long_lines_is_refused_by_the_number_of_files() {
        let path = format!("base/{}", "d".repeat(4000));
        let lines: String = (0..8_000)
            .map(|n| {
                file(&format!("{path}{n}"), 0, "")
                    .replace("\"file\"", "\"dir\"")
                    .replace("\"size\":0,", "")
            })
            .collect();
        let roomy = decode(&lines, ROOMY).await.unwrap();
        assert_eq!(roomy.files.len(), 8_000);
        let refused = decode(&lines, Totals { files: 100, ..ROOMY }).await.unwrap_err();
        assert!(refused.to_string().contains("the manifest's totals allow"), "{refused}");
    }

    /// The most uniform list that a cluster can have: empty relations, made in one second.
    #[tokio::test]
    async fn a_list_of_empty_relations_is_within_the_bounds() {
        let lines: String =
            (0..300_000).map(|n| file(&format!("base/5/{}", 16_384 + n), 0, "")).collect();
        let list = decode(&lines, ROOMY).await.unwrap();
        assert_eq!(list.files.len(), 300_000);
    }

    #[tokio::test]
    async fn decoding_lets_other_tasks_run() {
        let lines: String = (0..20_000).map(|n| file(&format!("base/5/{n}"), 0, "")).collect();
        let data = stored(&lines);
        let decoding = Decoding::new(data, "files", &ROOMY).unwrap().finish();
        // As a signal does: it is heard only when the other branch waits.
        let won = tokio::select! {
            biased;
            decoded = decoding => decoded.map(|_| "decoding"),
            () = std::future::ready(()) => Ok("signal"),
        };
        assert_eq!(won.unwrap(), "signal");
    }

    proptest! {
        /// The body of the fuzz target `file_list`.
        #[test]
        fn any_bytes_are_a_list_or_an_error(
            lines in vec(prop_oneof![
                "[ -~]{0,80}",
                (0..4u64).prop_map(|size| file("base/5/1", size, "").trim_end().to_owned()),
                (0..4u64).prop_map(|size| file("a", size, MAP).trim_end().to_owned()),
            ], 0..8),
            cut in any::<prop::sample::Index>(),
            flip in any::<(prop::sample::Index, u8)>(),
        ) {
            let mut data = stored(&(lines.join("\n") + "\n")).to_vec();
            let (at, bits) = flip;
            let at = at.index(data.len());
            data[at] ^= bits;
            data.truncate(cut.index(data.len() + 1));
            let totals = Totals { files: 3, size: 9, ..ROOMY };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let decoding = FileList::decode(data.into(), "files", &totals);
            if let Ok(list) = runtime.block_on(decoding) {
                prop_assert!(list.files.iter().map(FileEntry::size).sum::<u64>() <= 9);
            }
        }
    }

    #[tokio::test]
    async fn links_are_bounded() {
        let link = |n| {
            format!(
                "{{\"path\":\"l{n}\",\"kind\":\"link\",\"target\":\"/x{n}\",\"mode\":511,\
                 \"mtime\":0,\"uid\":0,\"gid\":0}}\n"
            )
        };
        let lines: String = (0..=limits::LINKS_MAX).map(link).collect();
        assert!(decode(&lines, ROOMY).await.is_err());
    }
}
