//! The worker threads that prove bundles, one bundle at a time each.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
};

use async_channel::{Receiver, Sender};
use tokio::runtime::Handle;

use super::{
    Error,
    bundle::{Job, Outcome, Prover},
};
use crate::{storage::Storage, types::ProgressSink};

/// Has `threads` workers prove all bundles.
pub(super) async fn run(
    storage: &Arc<dyn Storage>,
    jobs: Vec<Job>,
    threads: usize,
    progress: &dyn ProgressSink,
) -> Result<Vec<Outcome>, Error> {
    let count = jobs.len();
    let (give, take) = async_channel::bounded(count.max(1));
    let (report, reported) = async_channel::bounded(2 * threads.max(1));
    for job in jobs {
        give.send(job).await.map_err(|_| Error::WorkerLost)?;
    }
    drop(give);
    let workers: Result<Vec<_>, Error> = (0..threads.clamp(1, count.max(1)))
        .map(|number| spawn(number, Arc::clone(storage), take.clone(), report.clone()))
        .collect();
    let workers = workers?;
    drop((take, report));
    let mut outcomes = Vec::with_capacity(count);
    while let Ok(outcome) = reported.recv().await {
        if outcome.whole {
            progress.advance(outcome.read);
        }
        outcomes.push(outcome);
    }
    join(workers).await?;
    match outcomes.len() == count {
        true => Ok(outcomes),
        false => Err(Error::WorkerLost),
    }
}

fn spawn(
    number: usize,
    storage: Arc<dyn Storage>,
    queue: Receiver<Job>,
    report: Sender<Outcome>,
) -> Result<JoinHandle<()>, Error> {
    let mut prover = Prover::new(storage, Handle::current());
    let work = move || {
        while let Ok(mut job) = queue.recv_blocking() {
            // A panic says nothing of the other bundles; what the prover keeps is only buffers.
            let proven = catch_unwind(AssertUnwindSafe(|| prover.prove(&mut job)));
            let outcome = proven.unwrap_or_else(|_| Outcome::panicked(&job));
            if report.send_blocking(outcome).is_err() {
                // The receiver is gone: a signal ended the verification.
                return;
            }
        }
    };
    std::thread::Builder::new().name(format!("verify-{number}")).spawn(work).map_err(Error::Thread)
}

async fn join(workers: Vec<JoinHandle<()>>) -> Result<(), Error> {
    let joined = tokio::task::spawn_blocking(move || {
        workers.into_iter().all(|worker| worker.join().is_ok())
    });
    match joined.await {
        Ok(true) => Ok(()),
        _ => Err(Error::WorkerLost),
    }
}
