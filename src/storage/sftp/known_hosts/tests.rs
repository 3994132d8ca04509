//! Lines as `ssh-keygen` and administrators write them.

use std::os::unix::fs::PermissionsExt;

use super::*;

const ONE: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
const TWO: &str = "AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";

fn key(text: &str) -> Vec<u8> {
    decode_base64(text).unwrap()
}

fn known(text: &str, host: &str, port: u16) -> KnownHosts {
    let mut known = KnownHosts::default();
    known.read(Path::new("f"), text, host, port);
    known
}

fn judged(text: &str, host: &str, port: u16, shown: &str) -> Verdict {
    known(text, host, port).judge(&key(shown))
}

#[test]
fn names_ports_patterns_and_comments() {
    let text = format!(
        "# a comment\n\nhost.example,192.0.2.1 ssh-ed25519 {ONE} a comment here\n\
         [host.example]:2222 ssh-ed25519 {TWO}\n*.wild.example,!not.wild.example ssh-ed25519 {ONE}\n\
         host? ssh-ed25519 {ONE}\n\t Spaced.Example \t ssh-ed25519   {ONE}\n"
    );
    let known_as_one = [
        ("host.example", 22),
        ("HOST.example", 22),
        ("192.0.2.1", 22),
        ("a.wild.example", 22),
        ("a.b.wild.example", 22),
        ("host1", 22),
        ("spaced.example", 22),
    ];
    for (host, port) in known_as_one {
        assert_eq!(judged(&text, host, port, ONE), Verdict::Known, "{host}");
    }
    assert_eq!(judged(&text, "host.example", 2222, TWO), Verdict::Known);
    for host in ["not.wild.example", "wild.example", "host", "host12", "example", "192.0.2.10"] {
        assert_eq!(judged(&text, host, 22, ONE), Verdict::Unknown, "{host}");
    }
}

#[test]
fn another_key_of_a_known_host_is_a_change() {
    let text = format!("#\nhost ssh-ed25519 {ONE}\n[host]:22000 ssh-ed25519 {ONE}");
    assert_eq!(judged(&text, "host", 22, TWO), Verdict::Changed("f".into(), 2));
    assert_eq!(judged(&text, "host", 22000, TWO), Verdict::Changed("f".into(), 3));
    // Several keys are all the host's.
    let both = format!("{text}\nhost ssh-ed25519 {TWO}");
    assert_eq!(judged(&both, "host", 22, TWO), Verdict::Known);
    assert_eq!(judged(&both, "host", 22, ONE), Verdict::Known);
}

#[test]
fn a_name_without_port_counts_where_nothing_is_said_of_the_port() {
    let text = format!("host ssh-ed25519 {ONE}");
    assert_eq!(judged(&text, "host", 2222, ONE), Verdict::Known);
    assert_eq!(judged(&text, "host", 2222, TWO), Verdict::Unknown);
    let text = format!("{text}\n[host]:2222 ssh-ed25519 {TWO}");
    assert_eq!(judged(&text, "host", 2222, ONE), Verdict::Changed("f".into(), 2));
}

#[test]
fn hashed_names_are_found() {
    // As `ssh-keygen -H` writes it for example.com.
    let text =
        format!("|1|O33ESRMWPVkMYIwJ1Uw+n877jTo=|nuuC5vEqXlEZ/8BXQR7m619W6Ak= ssh-ed25519 {TWO}");
    assert_eq!(judged(&text, "example.com", 22, TWO), Verdict::Known);
    assert_eq!(judged(&text, "example.com", 22, ONE), Verdict::Changed("f".into(), 1));
    assert_eq!(judged(&text, "example.org", 22, TWO), Verdict::Unknown);
    for broken in ["|1|", "|1||", "|1|O33E", "|1|O33E|!!", "|2|a|b"] {
        let line = format!("{broken} ssh-ed25519 {TWO}");
        assert_eq!(judged(&line, "example.com", 22, TWO), Verdict::Unknown, "{broken}");
    }
}

#[test]
fn a_revoked_key_is_never_good() {
    let text = format!("host ssh-ed25519 {ONE}\n@revoked * ssh-ed25519 {ONE}");
    assert_eq!(judged(&text, "host", 22, ONE), Verdict::Revoked("f".into(), 2));
    assert_eq!(judged(&text, "host", 2222, ONE), Verdict::Revoked("f".into(), 2));
    let text = format!("@revoked host ssh-ed25519 {ONE}");
    assert_eq!(judged(&text, "host", 2222, ONE), Verdict::Revoked("f".into(), 1));
    assert_eq!(judged(&text, "other", 22, ONE), Verdict::Unknown);
}

#[test]
fn lines_that_say_nothing_usable_are_passed_over() {
    let text = format!(
        "@cert-authority * ssh-ed25519 {ONE}\n@unknown host ssh-ed25519 {ONE}\nhost\nhost ssh-ed25519\n\
         host ssh-ed25519 %%%\n@revoked\n"
    );
    assert_eq!(judged(&text, "host", 22, ONE), Verdict::Unknown);
    assert_eq!(known(&text, "host", 22).key_types().count(), 0);
}

#[test]
fn a_new_key_is_added_to_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("new/known_hosts");
    append(&file, "Host", 2222, &format!("ssh-ed25519 {ONE}")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    fs::write(&file, fs::read_to_string(&file).unwrap().trim_end()).unwrap();
    append(&file, "other", 22, &format!("ssh-ed25519 {TWO}")).unwrap();
    let expected = format!("[host]:2222 ssh-ed25519 {ONE}\nother ssh-ed25519 {TWO}\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
    let files = [file, dir.path().join("missing")];
    let known = KnownHosts::load(&files, "host", 2222).unwrap();
    assert_eq!(known.judge(&key(ONE)), Verdict::Known);
    assert_eq!(known.key_types().collect::<Vec<_>>(), ["ssh-ed25519"]);
    let unreadable = [dir.path().to_owned()];
    assert!(KnownHosts::load(&unreadable, "host", 22).is_err());
}

proptest::proptest! {
    #[test]
    fn no_line_makes_it_panic(text in ".{0,200}", host in "[a-z.*]{0,9}") {
        known(&text, &host, 2222).judge(b"key");
        names_host(&text, &host);
    }

    #[test]
    fn a_pattern_of_its_own_text_matches(text in "[a-z0-9.-]{0,20}", at in 0usize..20) {
        let mut pattern = text.clone().into_bytes();
        pattern.insert(at.min(pattern.len()), b'*');
        proptest::prop_assert!(matches(&pattern, text.as_bytes()));
        proptest::prop_assert!(matches(text.as_bytes(), text.as_bytes()));
    }
}

#[test]
fn a_huge_file_is_refused_and_not_read_whole() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    // Sparse: it takes no room on the disk, and would take all memory.
    fs::File::create(&file).unwrap().set_len(4 << 40).unwrap();
    let (refused, error) = KnownHosts::load(std::slice::from_ref(&file), "h", 22).unwrap_err();
    assert_eq!((refused, error.kind()), (file, io::ErrorKind::FileTooLarge));
}

#[test]
fn a_key_is_added_on_a_line_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    for (before, expected) in
        [("", "h ssh-ed25519 K\n"), ("a\n", "a\nh ssh-ed25519 K\n"), ("a", "a\nh ssh-ed25519 K\n")]
    {
        fs::write(&file, before).unwrap();
        append(&file, "h", 22, "ssh-ed25519 K").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), expected);
    }
}
