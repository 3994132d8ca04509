//! Executes a plan. Until the very last step the control file is missing, so PostgreSQL cannot start
//! from half a restore; and no byte counts as restored before the digest of its block was checked.

mod by_time;
mod cancel;
mod clean;
mod delta;
mod durable;
mod emptied;
mod existing;
mod fetched_range;
mod file_job;
mod finish;
mod frame_cache;
mod linked_files;
mod mend;
mod owner;
mod pool;
mod read_ahead;
mod small_file;
mod source;
mod space;
mod target;
mod tree;
mod units;
mod worker;
mod writeback;

use std::{collections::HashMap, sync::Arc};

use tokio::runtime::Handle;

pub use existing::Existing;
pub use space::{Shortage, shortages};
pub use target::check;

use self::{
    cancel::blocking,
    durable::FileSystems,
    file_job::FileJob,
    frame_cache::FrameCache,
    owner::Owner,
    pool::Units,
    read_ahead::{ReadAhead, UNITS_AHEAD_MAX},
    source::Source,
    units::{Unit, UnitBuilder},
    worker::{Shared, Worker},
};
use super::{
    Error,
    plan::{CONTROL_FILE_PENDING, MISSING_TO_VERIFY, RestorePlan},
    recovery::RecoverySettings,
};
use crate::{
    postgres::{PlainFile, manifest_without, plain_manifest},
    repo::{
        block_map::BlockMap, file_list::FileEntry, manifest::ChangesBy, map_reader::MapReader,
        pg_manifest,
    },
    storage::Storage,
    types::{DataPath, progress::ProgressSink},
};

/// Reads of all workers together, in bytes; a single one is never less than a frame can take.
const READS_MAX: u64 = 64 << 20;
const READ_MIN: u64 = 2 << 20;
const READ_MAX: u64 = 8 << 20;

/// What is dangerous about executing the plan as the user that runs the program.
pub fn dangers(plan: &RestorePlan) -> Vec<String> {
    let control = &plan.entries.control;
    match rustix::process::geteuid().is_root() {
        true => owner::dangers_as_root(&plan.layout, (control.uid, control.gid)),
        false => Vec::new(),
    }
}

/// How a plan is executed.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many worker threads there are.
    pub threads: usize,
    /// What may be done with files that are in the way.
    pub existing: Existing,
    /// What recovery is told.
    pub recovery: RecoverySettings,
    /// The time of the restore, for comments in the settings.
    pub made_on: String,
}

/// Executes the plan.
pub async fn execute(
    plan: &Arc<RestorePlan>,
    storage: &Arc<dyn Storage>,
    options: &Options,
    progress: &dyn ProgressSink,
) -> Result<(), Error> {
    // Read first: without it the copy would not be complete, and now nothing is touched yet.
    let backup_manifest = backup_manifest(plan, &**storage).await?;
    let existing = options.existing;
    let Prepared { owner, systems, kept } = {
        let plan = Arc::clone(plan);
        blocking(move |cancelled| prepare(&plan, existing, cancelled)).await?
    };
    let shared = Arc::new(Shared {
        source: Source::new(Arc::clone(storage), &plan.manifest)?,
        owner,
        cache: FrameCache::default(),
        read_max: (READS_MAX / options.threads.max(1) as u64).clamp(READ_MIN, READ_MAX),
    });
    progress.start(Some(plan.entries.size()));
    let threads = options.threads.max(1);
    let waiting = if storage.is_far() { UNITS_AHEAD_MAX } else { 2 * threads };
    let produce = |units| produce(plan, &shared, existing.reuses(), &kept, units);
    pool::run(&shared, threads, waiting, produce, progress).await?;
    restore_control_file(plan, &shared).await?;
    let (plan, recovery) = (Arc::clone(plan), options.recovery.clone());
    let made_on = options.made_on.clone();
    blocking(move |cancelled| {
        if finish::recovery_settings(&plan, &recovery, &made_on, owner)? {
            tracing::info!("write updated {}/postgresql.auto.conf", plan.layout.data.display());
        }
        // It would not be true of files without content.
        if plan.entries.emptied.is_empty() {
            finish::backup_manifest(&plan, &backup_manifest, owner)?;
        }
        systems.sync()?;
        cancelled.check()?;
        tracing::info!(
            "restore global/pg_control (performed last to ensure aborted restores cannot be started)"
        );
        finish::publish(&plan)
    })
    .await?;
    progress.finish();
    Ok(())
}

/// PostgreSQL's manifest byte for byte, but with the whole files that an incremental backup lists by their
/// changes, and without a file that is not restored, which pg_verifybackup would miss.
async fn backup_manifest(plan: &Arc<RestorePlan>, storage: &dyn Storage) -> Result<Vec<u8>, Error> {
    let bytes = pg_manifest::read(storage, &plan.manifest).await?;
    let plan = Arc::clone(plan);
    blocking(move |_| edited_manifest(&plan, bytes)).await
}

fn edited_manifest(plan: &RestorePlan, mut bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    if plan.manifest.changes.as_ref().is_some_and(|changes| changes.by == ChangesBy::Summaries) {
        bytes = whole_files(plan, &bytes)?;
    }
    for missing in MISSING_TO_VERIFY {
        if contains(&bytes, missing.as_bytes()) {
            bytes = manifest_without(&bytes, missing)?;
        }
    }
    Ok(bytes)
}

/// A quick look that spares parsing a manifest of many files.
fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// The manifest of the server's incremental backup as that of the plain copy which is restored from it.
fn whole_files(plan: &RestorePlan, manifest: &[u8]) -> Result<Vec<u8>, Error> {
    let files = plan.entries.files.iter().chain(&plan.entries.emptied);
    let sizes: HashMap<&DataPath, u64> = files.map(|file| (&file.path, file.size())).collect();
    let plain = plain_manifest(manifest, &|path| {
        let size = *sizes.get(path)?;
        Some(PlainFile { size, crc32c: None })
    })?;
    Ok(plain.into_owned())
}

/// What there is before the first file is written.
struct Prepared {
    owner: Owner,
    systems: FileSystems,
    /// The files of the plan that are as they must be, by their times.
    kept: Vec<bool>,
}

/// Makes room for the files.
fn prepare(
    plan: &RestorePlan,
    existing: Existing,
    cancelled: &cancel::Cancelled,
) -> Result<Prepared, Error> {
    // Once more, right before the first change: the plan may have been made a while ago.
    let occupied = check(&plan.layout, existing)?;
    let control = &plan.entries.control;
    let owner = Owner::for_target(&plan.layout.data, (control.uid, control.gid));
    let removals = match occupied {
        true => Some(clean::find(plan, existing, cancelled)?),
        false => None,
    };
    tree::begin(plan, owner)?;
    if let Some(removals) = removals {
        // From here on PostgreSQL cannot be started, whichever of the following steps reach the disk.
        clean::withdraw_control_file(plan)?;
        let removed = removals.remove(cancelled)?;
        tracing::info!("removed {removed} files, links and paths that are not in the backup");
    }
    cancelled.check()?;
    tree::make(plan, owner)?;
    emptied::make(plan, owner, cancelled)?;
    let kept = match existing {
        Existing::UpdateByTime => by_time::kept(plan, owner, cancelled)?,
        _ => Vec::new(),
    };
    Ok(Prepared { owner, systems: FileSystems::of(plan)?, kept })
}

/// Looks up the block maps of all files, in order, and sends the units that they make.
async fn produce(
    plan: &RestorePlan,
    shared: &Arc<Shared>,
    reuse: bool,
    kept: &[bool],
    units: Units,
) -> Result<(), Error> {
    let mut units = Route::new(shared, units);
    let mut maps = map_reader(plan, shared)?;
    let mut builder = UnitBuilder::new(shared.source.block_size);
    let mut ready = Vec::new();
    let files = &plan.entries.files;
    for (index, entry) in files.iter().enumerate() {
        if kept.get(index) == Some(&true) {
            continue;
        }
        let map = map_of(&mut maps, entry, &files[index + 1..]).await?;
        let job = FileJob::new(entry.clone(), plan.layout.resolve(&entry.path), reuse);
        builder.push(job, map, &mut ready);
        units.send(&mut ready).await?;
    }
    builder.finish(&mut ready);
    units.send(&mut ready).await?;
    units.finish().await
}

fn map_reader(plan: &RestorePlan, shared: &Shared) -> Result<MapReader, Error> {
    Ok(MapReader::of(Arc::clone(&shared.source.storage), &plan.manifest)?)
}

/// The map of a file, empty for an empty file; `ahead` are the files whose maps are asked for next.
async fn map_of(
    maps: &mut MapReader,
    entry: &FileEntry,
    ahead: &[FileEntry],
) -> Result<Arc<BlockMap>, Error> {
    let Some(place) = entry.map_location() else { return Ok(Arc::default()) };
    let read =
        maps.read(&place, entry.size(), ahead.iter().filter_map(FileEntry::map_location)).await;
    let read = read.map_err(|source| Error::Fetch { file: entry.path.clone(), source })?;
    Ok(read.map)
}

/// The way of the units to the workers.
enum Route {
    /// What they need is read by the workers.
    Direct(Units),
    /// It is fetched before.
    Ahead(ReadAhead),
}

impl Route {
    fn new(shared: &Arc<Shared>, to: Units) -> Self {
        match shared.source.storage.is_far() {
            true => Self::Ahead(ReadAhead::new(Arc::clone(shared), to)),
            false => Self::Direct(to),
        }
    }

    async fn send(&mut self, ready: &mut Vec<Unit>) -> Result<(), Error> {
        for unit in ready.drain(..) {
            match self {
                Self::Direct(to) => to.give(unit).await?,
                Self::Ahead(ahead) => ahead.send(unit).await?,
            }
        }
        Ok(())
    }

    async fn finish(self) -> Result<(), Error> {
        match self {
            Self::Direct(_) => Ok(()),
            Self::Ahead(mut ahead) => ahead.flush().await,
        }
    }
}

/// Restores the control file under its temporary name.
async fn restore_control_file(plan: &Arc<RestorePlan>, shared: &Arc<Shared>) -> Result<(), Error> {
    let control = &plan.entries.control;
    let map = map_of(&mut map_reader(plan, shared)?, control, &[]).await?;
    let pending = plan.layout.data.join(CONTROL_FILE_PENDING);
    let job = FileJob::new(control.clone(), pending.clone(), false);
    let mut ready = Vec::new();
    let mut builder = UnitBuilder::new(shared.source.block_size);
    builder.push(job, map, &mut ready);
    builder.finish(&mut ready);
    let mut worker = Worker::new(Arc::clone(shared), Handle::current());
    blocking(move |_| {
        clean::remove_file(&pending)?;
        ready.iter().try_for_each(|unit| worker.run(unit).map(drop))
    })
    .await
}

#[cfg(test)]
mod tests;
