//! Asks a replication session for the facts of its cluster before a backup begins.

use super::ClusterFacts;
use crate::{
    postgres::{Error, ReplicationClient, Result as PgResult},
    types::{PgVersion, TimeLine, WalSegmentSize},
};

/// Asks what the cluster is, and which timeline it is on.
pub(super) async fn read_facts(
    client: &mut ReplicationClient,
) -> PgResult<(ClusterFacts, TimeLine)> {
    let version_num = client.version_num().await?;
    let unsupported = |_| Error::Version((version_num / 10_000).to_string());
    let version = PgVersion::new((version_num / 10_000) as u16).map_err(unsupported)?;
    let identity = client.identify_system().await?;
    let segment_size = client.show("wal_segment_size").await?;
    let facts = ClusterFacts {
        system_id: identity.system_id,
        version,
        version_num,
        wal_segment_size: WalSegmentSize::new(size(&segment_size)?)?,
        page_size: size(&client.show("block_size").await?)?,
        page_checksums: client.show("data_checksums").await? == "on",
        data_directory_mode: mode(&client.show("data_directory_mode").await?)?,
        in_recovery: client.in_recovery(version).await?,
    };
    Ok((facts, identity.timeline))
}

/// Permission bits as SHOW writes them: four octal digits.
fn mode(text: &str) -> PgResult<u32> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| Error::Protocol(format!("'{text}' is not a mode")))
}

/// A size as SHOW writes it: a number and, perhaps, B, kB, MB or GB.
fn size(text: &str) -> PgResult<u32> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "B" => Some(1_u32),
        "kB" => Some(1 << 10),
        "MB" => Some(1 << 20),
        "GB" => Some(1 << 30),
        _ => None,
    };
    let value = digits.parse::<u32>().ok().zip(unit).and_then(|(n, unit)| n.checked_mul(unit));
    value.ok_or_else(|| Error::Protocol(format!("'{text}' is not a size")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_show_writes_them() {
        assert_eq!(size("16MB").unwrap(), 16 << 20);
        assert_eq!(size("1GB").unwrap(), 1 << 30);
        assert_eq!(size("8192").unwrap(), 8192);
        for text in ["", "MB", "16 MB", "16TB", "9GB", "é"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
