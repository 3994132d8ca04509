//! `restore`: brings a backup back into a data directory and tells PostgreSQL how to recover it.

mod options;
mod others;
mod report;

use std::{io::Write, path::PathBuf, sync::Arc};

use jiff::{Zoned, tz::TimeZone};

use super::{
    Error, Result,
    context::{self, Repo},
    own_place,
    signal::Signals,
};
use crate::{
    config::Config,
    repo::{
        self, foreign,
        lock::{self, Lock, LockKind},
        manifest::Manifest,
        stanza::StanzaHistory,
    },
    restore::{
        self, PlanOptions, Request,
        execute::{self, Options, Shortage},
        plan::RestorePlan,
    },
    types::ErrorCode,
    ui::{self, Ui},
    work,
};

/// Restores a backup, or says what it would do.
pub(super) async fn run(config: &Config, ui: &Ui, out: &mut dyn Write) -> Result<u8> {
    let stanza = context::stanza(config)?;
    let data = options::data_directory(config)?;
    lock::check_not_stopped(&context::lock_path(config), stanza)?;
    let mut signals = Signals::listen()?;
    let _lock = Lock::acquire(&context::lock_path(config), stanza, LockKind::Restore, "restore")?;
    let zone = TimeZone::system();
    let request = options::request(config, stanza, &zone)?;
    signals.guard(restore(config, ui, out, request, data, &zone)).await?;
    Ok(0)
}

/// Choose, plan, check, execute.
async fn restore(
    config: &Config,
    ui: &Ui,
    out: &mut dyn Write,
    request: Request,
    data: PathBuf,
    zone: &TimeZone,
) -> Result<()> {
    let (repo, manifest) = choose(config, &request).await?;
    let elsewhere = |error| elsewhere(config, &repo, error);
    let plan = plan(config, &repo, manifest, &request, data, zone).await.map_err(elsewhere)?;
    let only_repo = others::only_repo(config, &repo, &request).await?;
    let recovery = options::recovery(config, &request, &plan, only_repo)?;
    recovery.check(plan.manifest.cluster.version)?;
    let options = Options {
        threads: config.process_max.max(1),
        existing: options::existing(config),
        recovery,
        made_on: Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string(),
    };
    own_place::check(config, plan.layout.roots.iter().map(|root| root.directory.as_path()))?;
    execute::check(&plan.layout, options.existing)?;
    if config.dry_run {
        return report::write(out, config.output, &repo, &plan, &options, zone);
    }
    let progress = ui.progress("restore");
    let executed = execute::execute(&plan, &repo.storage, &options, &*progress).await;
    executed.map_err(|error| elsewhere(error.into()))?;
    report_done(&plan);
    Ok(())
}

/// The backup to restore, from the first repository that has one that fits.
async fn choose(config: &Config, request: &Request) -> Result<(Repo, Manifest)> {
    let mut failed = None;
    let repos = context::repos(config)?;
    let several = repos.len() > 1;
    for repo in repos {
        match request.choose(&repo.storage).await {
            Ok(Some(manifest)) => return Ok((repo, manifest)),
            Ok(None) if several => {
                // One that is away may look like one that is empty.
                if let Err(error) = StanzaHistory::read(&*repo.storage, &request.stanza).await {
                    tracing::warn!("repo{}: {error}", repo.key);
                    failed.get_or_insert((repo.key, error.into()));
                }
            }
            Ok(None) => {
                if let Err(error @ repo::Error::Foreign { .. }) =
                    StanzaHistory::read(&*repo.storage, &request.stanza).await
                {
                    failed.get_or_insert((repo.key, error.into()));
                }
            }
            Err(error) => {
                // What another program has there cannot be read as ours is, and is named for what it is.
                let foreign = foreign::of_stanza(&*repo.storage, &request.stanza).await;
                let error = foreign.ok().flatten().map_or(error, Into::into);
                tracing::warn!("repo{}: {error}", repo.key);
                failed.get_or_insert((repo.key, error));
            }
        }
    }
    Err(match failed {
        Some((repo, error)) if several => {
            Error::InRepo { repo, others: Vec::new(), source: Box::new(error.into()) }
        }
        Some((_, error)) => error.into(),
        None => request.none_found().into(),
    })
}

/// Names the repository in which something is missing or damaged, and those that may have it.
fn elsewhere(config: &Config, repo: &Repo, error: Error) -> Error {
    use restore::Error::{Block, Fetch, Frame, Refused, Repo as InRepository};
    let others: Vec<u16> = config.repos.keys().copied().filter(|key| *key != repo.key).collect();
    let is_of_repository = match &error {
        Error::Restore(Refused { code, .. }) => *code == ErrorCode::FileMissing,
        Error::Restore(Block { .. } | Fetch { .. } | Frame { .. } | InRepository(_)) => true,
        _ => false,
    };
    match is_of_repository && !others.is_empty() {
        true => Error::InRepo { repo: repo.key, others, source: Box::new(error) },
        false => error,
    }
}

/// Makes the plan, and says what is remarkable about it.
async fn plan(
    config: &Config,
    repo: &Repo,
    manifest: Manifest,
    request: &Request,
    data: PathBuf,
    zone: &TimeZone,
) -> Result<Arc<RestorePlan>> {
    tracing::info!(
        "repo{}: restore backup set {}, recovery will start at {}",
        repo.key,
        manifest.label,
        report::moment(manifest.timestamp().start, zone)
    );
    let options = PlanOptions {
        data,
        target: request.target.clone(),
        timeline: request.timeline,
        placement: options::placement(config),
        keep_links: config.delta,
        databases: options::databases(config),
    };
    let plan = restore::plan(&repo.storage, manifest, &options).await?;
    let existing = options::existing(config);
    // Of a target with millions of files that takes long, and a signal must be heard.
    let looking = work::blocking(move || {
        let shortages = execute::shortages(&plan, existing);
        (plan, shortages)
    });
    let (mut plan, shortages) = looking.await?;
    plan.warnings.extend(execute::dangers(&plan));
    plan.warnings.extend(shortages.iter().map(short_of_room));
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    if !plan.entries.emptied.is_empty() {
        tracing::info!(
            "{} files of excluded databases are restored without data; drop these databases after \
             recovery",
            plan.entries.emptied.len()
        );
    }
    for link in &plan.layout.links {
        tracing::info!("map link '{}' to '{}'", link.path, link.target.display());
    }
    Ok(Arc::new(plan))
}

fn short_of_room(shortage: &Shortage) -> String {
    let (needed, free) = (ui::size(shortage.needed), ui::size(shortage.free));
    let directory = shortage.directory.display();
    format!(
        "'{directory}' is on a file system with {free} free, and the restore may need {needed}: it may not fit"
    )
}

fn report_done(plan: &RestorePlan) {
    let size = ui::size(plan.entries.size());
    tracing::info!("restore size = {size}, file total = {}", plan.entries.files.len() + 1);
}
