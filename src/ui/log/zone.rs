//! The time zone of this host, found without looking at the whole time zone database.

use jiff::tz::TimeZone;

/// Where the system keeps the rules of its own zone.
const LOCALTIME: &str = "/etc/localtime";

/// The zone that log lines are written in: that of `TZ`, else of the host, else UTC.
///
/// `TimeZone::system` finds the zone's name by the database, which takes a millisecond and more:
/// too long for a program that runs once for every WAL segment. The name is not needed here.
pub(super) fn local() -> TimeZone {
    if std::env::var_os("TZ").is_some() {
        return TimeZone::system();
    }
    let rules = std::fs::read(LOCALTIME).ok();
    rules.and_then(|rules| TimeZone::tzif("Local", &rules).ok()).unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_zone_of_the_system() {
        let now = jiff::Timestamp::now();
        assert_eq!(local().to_offset(now), TimeZone::system().to_offset(now));
    }
}
