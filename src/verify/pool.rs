//! Worker threads that verify bundles, each one bundle at a time.

use std::{iter::repeat_with, sync::Arc};

use tokio::runtime::Handle;

use super::{
    Error,
    bundle::{BundleJob, BundleOutcome, Prover},
};
use crate::{storage::Storage, types::ProgressSink, work::Pool};

/// Bundles in the queue per worker, so that no worker is idle while the first bundle takes long.
const WAITING: usize = 4;

/// Verifies all bundles with `threads` workers. The outcomes are in the order of the jobs.
pub(super) async fn run(
    storage: &Arc<dyn Storage>,
    jobs: Vec<BundleJob>,
    threads: usize,
    progress: &dyn ProgressSink,
) -> Result<Vec<BundleOutcome>, Error> {
    let threads = threads.clamp(1, jobs.len().max(1));
    let prover = || Prover::new(Arc::clone(storage), Handle::current());
    let pool = Pool::start("verify", repeat_with(prover).take(threads), WAITING * threads)?;
    // After a panic the other bundles are still verified.
    let panicked: Vec<BundleOutcome> = jobs.iter().map(BundleOutcome::panicked).collect();
    let mut panicked = panicked.into_iter();
    let mut outcomes = Vec::with_capacity(jobs.len());
    let proofs = jobs.into_iter().map(|mut job| move |prover: &mut Prover| prover.prove(&mut job));
    pool.run(proofs, |proven| {
        let panicked = panicked.next();
        if let Some(outcome) = proven.ok().or(panicked) {
            if outcome.whole {
                progress.advance(outcome.read);
            }
            outcomes.push(outcome);
        }
    })
    .await?;
    Ok(outcomes)
}
