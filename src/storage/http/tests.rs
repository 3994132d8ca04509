//! What a client is made with.

use super::*;

#[test]
fn files_of_authorities_are_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let options = |ca_file: Option<&str>, ca_path: Option<&str>| HttpOptions {
        ca_file: ca_file.map(|name| directory.path().join(name)),
        ca_path: ca_path.map(|name| directory.path().join(name)),
        ..HttpOptions::default()
    };
    let message = |options: HttpOptions| options.client().unwrap_err().to_string();
    assert!(message(options(Some("none"), None)).contains("none': No such file"));
    fs::write(directory.path().join("text"), "no certificate").unwrap();
    let text = message(options(Some("text"), None));
    assert!(text.contains("it contains no certificate"), "{text}");
    let text = message(options(None, Some("")));
    assert!(text.contains("no file in it contains a certificate"), "{text}");
    let broken = "-----BEGIN CERTIFICATE-----\nYnJva2Vu\n-----END CERTIFICATE-----\n";
    fs::write(directory.path().join("broken"), broken).unwrap();
    let text = message(options(Some("broken"), None));
    assert!(text.contains("broken': a certificate in it is broken"), "{text}");
    assert!(message(options(None, Some(""))).contains("no file in it contains a certificate"));
    // Nothing is read where nothing is verified.
    HttpOptions { verify_tls: false, ..options(Some("none"), None) }.client().unwrap();
    HttpOptions { plain: true, ..options(Some("none"), None) }.client().unwrap();
}
