//! `repo-key`: who can open an encrypted repository. Only key objects are written and removed; the data stays as it is.

mod report;

use std::{io::Write, sync::Arc};

use super::{
    Error, Result,
    context::{self, Repo},
    store::cipher,
};
use crate::{
    codec::encrypt::{DataKey, Kdf},
    config::{CipherConfig, Config, OutputFormat, PassSource, RepoConfig},
    repo::{
        encrypted::Keyring,
        recipient::{COMMENT_MAX, PassPhrase, RECIPIENTS_MAX, RecipientId},
    },
    types::{ErrorCode, Failure},
};

const LOST_HINT: &str = "the pass phrases of these recipients no longer unlock the repository: \
                         restore their objects from a copy of key/, or remove each with repo-key \
                         remove --recipient=<id> and add its pass phrase again";

/// Does what the word after the command says.
pub(super) async fn run(config: &Config, out: &mut dyn Write) -> Result<u8> {
    context::no_more_arguments(config, 1)?;
    let (repo, configured) = context::repo(config)?;
    let keyring = keyring(&repo).await?;
    match config.arguments.first().map_or("status", String::as_str) {
        "status" => status(&repo, keyring, config.output, out).await?,
        "change" => change(keyring, &Request::of(config, configured)?).await?,
        "add" => add(keyring, &Request::of(config, configured)?).await?,
        "remove" => remove(keyring, config).await?,
        word => {
            let word = word.escape_debug();
            let what = format!("'{word}' must be status, change, add or remove");
            return Err(invalid(what, ErrorCode::ParamInvalid));
        }
    }
    Ok(0)
}

/// What is asked for with a new pass phrase.
struct Request<'a> {
    pass: PassPhrase,
    comment: Option<&'a str>,
    dry_run: bool,
}

impl<'a> Request<'a> {
    fn of(config: &'a Config, repo: &RepoConfig) -> Result<Self> {
        let comment = config.repo_key.comment.as_deref();
        if comment.is_some_and(|text| text.len() > COMMENT_MAX || text.contains(char::is_control)) {
            let what = "the value is not valid for 'comment' option: it must be one short line of \
                        text";
            return Err(invalid(what.to_owned(), ErrorCode::OptionInvalidValue));
        }
        let pass = cipher::pass_phrase(&new_pass(config, repo)?, "cipher-pass-new-file")?;
        Ok(Self { pass, comment, dry_run: config.dry_run })
    }
}

fn new_pass(config: &Config, repo: &RepoConfig) -> Result<PassSource> {
    let given = match &repo.cipher {
        CipherConfig::Aes256Gcm { pass_new: Some(pass), .. } => Some(pass.clone()),
        CipherConfig::Aes256Gcm { .. } | CipherConfig::None => None,
    };
    match (&config.repo_key.pass_new_file, given) {
        // What is named on the command line counts more than what stands in a file.
        (Some(path), _) => Ok(PassSource::File(path.clone())),
        (None, Some(pass)) => Ok(PassSource::Given(pass)),
        (None, None) => Err(Error::OptionRequired {
            command: "repo-key",
            option: format!("cipher-pass-new-file or repo{}-cipher-pass-new", repo.key),
        }),
    }
}

/// The keyring of the repository; it must be an encrypted one, and have been used.
async fn keyring(repo: &Repo) -> Result<&Keyring> {
    match &repo.encrypted {
        Some(encrypted) => Ok(encrypted.keyring()),
        None => {
            repo.unlock().await?;
            let option = format!("repo{}-cipher-type", repo.key);
            Err(Error::OptionRequired { command: "repo-key", option })
        }
    }
}

/// Shows who can open the repository, then fails if the configured pass phrase does not, or if a key object is
/// damaged or another repository's: a way in is lost.
async fn status(
    repo: &Repo,
    keyring: &Keyring,
    output: OutputFormat,
    out: &mut dyn Write,
) -> Result<()> {
    let opened = keyring.data_key().await;
    if let Err(error) = &opened
        && error.code() != ErrorCode::Crypto
    {
        return opened.map(drop).map_err(Error::from);
    }
    let recipients = keyring.recipients(opened.as_deref().ok()).await?;
    let used = match &opened {
        Ok(_) => keyring.recipient().await?,
        Err(_) => None,
    };
    let text = match output {
        OutputFormat::Text => report::text(&recipients, used),
        OutputFormat::Json => report::json(repo.key, repo.cipher(), &recipients, used)?,
    };
    out.write_all(text.as_bytes())?;
    opened?;
    let lost = recipients.iter().filter(|(_, read)| read.is_err()).count();
    match lost {
        0 => Ok(()),
        lost => Err(Error::Check {
            what: format!("{lost} of {} key objects cannot be used", recipients.len()),
            code: ErrorCode::Checksum,
            hint: LOST_HINT.to_owned(),
        }),
    }
}

/// Adds the new pass phrase, proves that it opens the repository, and only then removes the old one. Interrupted in
/// between, both open it, and the command can be run again.
async fn change(keyring: &Keyring, request: &Request<'_>) -> Result<()> {
    let key = keyring.data_key().await?;
    let Some(old) = keyring.recipient().await? else { return Ok(()) };
    let added = match keyring.find(&request.pass, &key).await? {
        Some(id) if id == old => {
            let what = format!("the new pass phrase is already that of recipient {old}");
            return Err(invalid(what, ErrorCode::OptionInvalidValue));
        }
        Some(id) => id,
        None => {
            let comment = match request.comment {
                Some(comment) => comment.to_owned(),
                None => comment_of(keyring, old).await?,
            };
            wrap(keyring, request, &comment, &key).await?
        }
    };
    if request.dry_run {
        tracing::info!("would replace recipient {old}");
        return Ok(());
    }
    keyring.remove(old).await?;
    tracing::info!("pass phrase changed: recipient {added} replaces {old}");
    Ok(())
}

async fn add(keyring: &Keyring, request: &Request<'_>) -> Result<()> {
    let key = keyring.data_key().await?;
    if let Some(id) = keyring.find(&request.pass, &key).await? {
        let what = format!("the new pass phrase already unlocks the repository, as recipient {id}");
        return Err(invalid(what, ErrorCode::OptionInvalidValue));
    }
    let id = wrap(keyring, request, request.comment.unwrap_or_default(), &key).await?;
    match request.dry_run {
        true => tracing::info!("would add a recipient"),
        false => tracing::info!("recipient {id} was added"),
    }
    Ok(())
}

/// Makes a recipient, and makes sure that its pass phrase opens the repository as it is stored.
async fn wrap(
    keyring: &Keyring,
    request: &Request<'_>,
    comment: &str,
    key: &Arc<DataKey>,
) -> Result<RecipientId> {
    let id = RecipientId::random();
    if keyring.recipients(None).await?.len() >= RECIPIENTS_MAX {
        return Err(Error::Check {
            what: format!("the repository has {RECIPIENTS_MAX} recipients, which is the maximum"),
            code: ErrorCode::Crypto,
            hint: "remove one of them first".to_owned(),
        });
    }
    if request.dry_run {
        return Ok(id);
    }
    keyring.add(id, comment, request.pass.clone(), key, Kdf::DEFAULT).await?;
    match keyring.find(&request.pass, key).await? {
        Some(found) if found == id => Ok(id),
        _ => Err(Error::Check {
            what: format!("recipient {id} was added, but does not unlock the repository"),
            code: ErrorCode::Crypto,
            hint: "the pass phrase in use was not changed; run verify".to_owned(),
        }),
    }
}

async fn comment_of(keyring: &Keyring, id: RecipientId) -> Result<String> {
    let recipients = keyring.recipients(None).await?;
    let found = recipients.into_iter().find_map(|(_, read)| read.ok().filter(|r| r.id == id));
    Ok(found.map(|recipient| recipient.comment).unwrap_or_default())
}

/// Removes the recipient that the command line names.
async fn remove(keyring: &Keyring, config: &Config) -> Result<()> {
    let required = || Error::OptionRequired { command: "repo-key", option: "recipient".to_owned() };
    let id: RecipientId = config.repo_key.recipient.as_deref().ok_or_else(required)?.parse()?;
    let (key, used) = (keyring.data_key().await?, keyring.recipient().await?);
    let recipients = keyring.recipients(Some(&key)).await?;
    let refused = |what: String, hint: &str| {
        Err(Error::Check { what, code: ErrorCode::Crypto, hint: hint.to_owned() })
    };
    if !recipients.iter().any(|(known, _)| *known == id) {
        return refused(format!("there is no recipient {id}"), "repo-key status lists them");
    }
    if !recipients.iter().any(|(known, read)| *known != id && read.is_ok()) {
        let what = format!("recipient {id} is the last one: nothing could be decrypted without it");
        return refused(what, "add another recipient first, or change the pass phrase");
    }
    if used == Some(id) && !config.force {
        let what = format!("the configured pass phrase is that of recipient {id}");
        return refused(what, "use --force to remove it anyway, or use change");
    }
    if config.dry_run {
        tracing::info!("would remove recipient {id}");
        return Ok(());
    }
    keyring.remove(id).await?;
    tracing::info!("recipient {id} was removed");
    Ok(())
}

fn invalid(what: String, code: ErrorCode) -> Error {
    Error::Parameter { what, code }
}

#[cfg(test)]
mod tests;
