//! Keys of the role of a container or a pod, from the service beside it.

use std::path::Path;

use super::{
    super::super::{Result, http::HttpOptions},
    Fetched, answer, ask, failure,
    instance::ANSWER_WITHIN,
};
use crate::{host::read_small_text, types::Secret};

/// The largest token file that is read, in bytes.
const TOKEN_FILE_BYTES_MAX: u64 = 64 << 10;

pub(super) async fn fetch(
    address: &str,
    token_file: Option<&Path>,
    token: Option<&Secret>,
) -> Result<Fetched> {
    let token = match token_file {
        Some(file) => Some(read_token(file)?),
        None => token.cloned(),
    };
    let plain = address.starts_with("http://");
    let client = HttpOptions { plain, ..HttpOptions::default() }.client()?;
    let mut request = client.get(address).timeout(ANSWER_WITHIN);
    if let Some(token) = token {
        request = request.header("Authorization", token.reveal());
    }
    answer::from_json(address, &ask(address, request).await?)
}

/// The file is rewritten while the program runs, so it is read each time.
pub(super) fn read_token(file: &Path) -> Result<Secret> {
    match read_small_text(file, TOKEN_FILE_BYTES_MAX) {
        Ok(text) => Ok(Secret::new(text.trim())),
        Err(error) => Err(failure(&file.display().to_string()).caused_by(error).with_hint(
            "the file must hold the token alone, as the service that issues it wrote it",
        )),
    }
}
