//! `verify`: reads everything in the repositories of a stanza and tells what is wrong. Unlike a backup
//! or an expire it takes no lock: it changes nothing, and what is removed while it reads is no fault.

mod report;

use std::io::Write;

use jiff::tz::TimeZone;

use super::{
    Error, Result, branches,
    context::{self, Repo},
    expire,
    failures::Failures,
    signal::Signals,
};
use crate::{
    config::{Config, VerifyReport},
    types::{ErrorCode, StanzaName},
    ui::Ui,
    verify::{self, Fault, FaultKind, Options, Report},
};

/// What came of one repository.
struct Verified {
    repo: u16,
    result: std::result::Result<Report, verify::Error>,
}

/// Verifies every repository, or the one that `--repo` names.
pub(super) async fn run(config: &Config, ui: &Ui, out: &mut dyn Write) -> Result<u8> {
    let stanza = context::stanza(config)?;
    let repos = context::repos(config)?;
    let mut signals = Signals::listen()?;
    let verified =
        signals.guard(async { Ok(verify_all(config, ui, stanza, &repos).await) }).await?;
    match config.verify.report {
        VerifyReport::None => verified.iter().for_each(log),
        VerifyReport::Json => out.write_all(report::json(stanza, &verified).as_bytes())?,
        VerifyReport::Text => {
            let verbose = config.verify.verbose;
            let text = report::text(stanza, &verified, verbose, &TimeZone::system());
            out.write_all(text.as_bytes())?;
        }
    }
    conclude(verified)
}

async fn verify_all(
    config: &Config,
    ui: &Ui,
    stanza: &StanzaName,
    repos: &[Repo],
) -> Vec<Verified> {
    let mut verified = Vec::with_capacity(repos.len());
    for repo in repos {
        let options = |data_key| Options {
            set: config.set.clone(),
            retention: expire::settings(config, repo),
            threads: config.process_max.max(1),
            data_key,
            claims_max: Options::CLAIMS_MAX,
        };
        let progress = ui.progress("verify");
        let result = match repo.data_key().await {
            Ok(key) => verify::verify(&repo.storage, stanza, &options(key), &*progress).await,
            Err(error) => Err(error.into()),
        };
        if let Ok(report) = &result {
            tracing::info!("repo{}: {}", repo.key, report::summary(report));
        }
        verified.push(Verified { repo: repo.key, result });
    }
    verified
}

/// Writes to the log what is wrong with a repository, and what is remarkable.
fn log(verified: &Verified) {
    let Ok(report) = &verified.result else { return };
    for fault in &report.faults {
        let (code, hint) = (u64::from(fault.kind.code().exit_code()), fault.hint.as_str());
        let text = report::fault(fault, "").trim_end().to_owned();
        tracing::error!(code, hint, "repo{}: {text}", verified.repo);
    }
    for branch in report.archives.iter().flat_map(|archive| &archive.branches) {
        branches::warn_of(branch, verified.repo);
    }
    for left_over in &report.left_over {
        let text = report::left_over(left_over, &TimeZone::system());
        tracing::info!("repo{}: {text}", verified.repo);
    }
}

/// Success only if every repository was verified and has no fault.
fn conclude(verified: Vec<Verified>) -> Result<u8> {
    let mut failures = Failures::new("verify", verified.len());
    let (mut worst, mut count) = (None::<FaultKind>, 0);
    for Verified { repo, result } in verified {
        if let Some(report) = failures.take(repo, result.map_err(Error::from))? {
            worst = worst.max(report.worst());
            count += report.faults.len();
        }
    }
    match worst {
        None => failures.finish().map(|()| 0),
        Some(worst) => {
            failures.log();
            Err(found(worst, count))
        }
    }
}

fn found(worst: FaultKind, count: usize) -> Error {
    let code: ErrorCode = worst.code();
    let (faults, hint) = match count {
        1 => ("1 fault".to_owned(), "see the report or the log for the object and what to do"),
        _ => {
            (format!("{count} faults"), "see the report or the log for each object and what to do")
        }
    };
    Error::Check {
        what: format!("verify found {faults}, the worst: {}", worst.word()),
        code,
        hint: hint.to_owned(),
    }
}

/// The labels of the backups that a fault affects.
fn affected(fault: &Fault) -> Vec<String> {
    fault.backups.iter().map(ToString::to_string).collect()
}
