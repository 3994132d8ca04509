//! Directories as strangers may have left them. What needs a second user is in the integration tests.

use std::{
    fs::{self as files, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
};

use super::*;

fn directory(path: &Path) -> HostDirectory {
    HostDirectory::open(path).unwrap().unwrap().trusted().unwrap()
}

#[test]
fn a_link_in_the_place_of_a_file_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("pg_control");
    files::write(&target, "precious").unwrap();
    symlink(&target, dir.path().join("link.lock")).unwrap();
    let directory = directory(dir.path());
    let refused = directory.open_or_create("link.lock").unwrap_err();
    assert!(matches!(refused, Error::NotAFile { .. }), "{refused}");
    assert!(directory.append("link.lock").is_err());
    assert!(!directory.create_new("link.lock").unwrap());
    assert_eq!(files::read_to_string(&target).unwrap(), "precious");
}

#[test]
fn a_second_name_of_another_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    files::write(dir.path().join("precious"), "x").unwrap();
    files::hard_link(dir.path().join("precious"), dir.path().join("db.lock")).unwrap();
    let refused = directory(dir.path()).open_or_create("db.lock").unwrap_err();
    assert!(refused.to_string().contains("more than one hard link"), "{refused}");
}

#[test]
fn a_pipe_holds_nobody() {
    let dir = tempfile::tempdir().unwrap();
    fs::mknodat(fs::CWD, dir.path().join("db.lock"), FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .unwrap();
    assert!(directory(dir.path()).open_to_read("db.lock").is_err());
    assert!(directory(dir.path()).append("db.lock").is_err());
}

#[test]
fn a_directory_that_everybody_may_write_to_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o777, 0o1777, 0o702] {
        files::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
        let refused = HostDirectory::open(dir.path()).unwrap().unwrap().trusted().unwrap_err();
        assert!(matches!(refused, Error::Open { .. }), "{refused}");
    }
}

#[test]
fn links_of_this_user_and_of_root_lead_on() {
    let dir = tempfile::tempdir().unwrap();
    files::create_dir(dir.path().join("real")).unwrap();
    symlink("real", dir.path().join("link")).unwrap();
    directory(&dir.path().join("link")).create_new("x.stop").unwrap();
    assert!(dir.path().join("real/x.stop").exists());
}

#[test]
fn directories_are_made_with_their_mode() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b");
    HostDirectory::ensure(&path, 0o770).unwrap().trusted().unwrap();
    HostDirectory::ensure(&path, 0o770).unwrap();
    let made = files::metadata(&path).unwrap();
    assert_eq!(made.mode() & 0o7777, 0o770);
    assert_eq!(made.uid(), User::current().id());
    assert!(HostDirectory::open(&dir.path().join("none")).unwrap().is_none());
}

#[test]
fn a_file_in_the_way_is_an_error_and_no_absence() {
    let dir = tempfile::tempdir().unwrap();
    files::write(dir.path().join("file"), "").unwrap();
    assert!(HostDirectory::open(&dir.path().join("file")).is_err());
    assert!(HostDirectory::open(&dir.path().join("file/below")).is_err());
}
