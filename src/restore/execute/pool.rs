//! Units go to the worker threads through a bounded queue; the number of restored bytes comes back in order.

use std::{iter::repeat_with, sync::Arc};

use tokio::{runtime::Handle, sync::mpsc};

use super::{
    units::Unit,
    worker::{Shared, Worker},
};
use crate::{
    restore::Error,
    types::progress::ProgressSink,
    work::{self, Giver, Pool, Promised},
};

/// Finished units that wait for an earlier one that takes long, for example because its reads are retried.
const DONE_MAX: usize = 1024;

/// Gives units to the workers.
pub(super) struct Units {
    workers: Giver<Worker>,
    given: mpsc::Sender<Promised<Result<u64, Error>>>,
}

impl Units {
    /// Gives a unit, once there is room for it. An error means that the restore has failed.
    pub(super) async fn give(&self, unit: Unit) -> Result<(), Error> {
        let done = self.workers.give(move |worker| worker.run(&unit)).await?;
        self.given.send(done).await.map_err(|_| work::Error::Cancelled.into())
    }

    /// Waits until the restore has failed.
    pub(super) async fn given_up(&self) {
        self.given.closed().await;
    }
}

/// Has `threads` workers do all units that `produce` gives, at most `waiting` of them in the queue. No thread writes any
/// more when this returns, also after an error.
pub(super) async fn run<F>(
    shared: &Arc<Shared>,
    threads: usize,
    waiting: usize,
    produce: impl FnOnce(Units) -> F,
    progress: &dyn ProgressSink,
) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>>,
{
    let worker = || Worker::new(Arc::clone(shared), Handle::current());
    let pool = Pool::start("restore", repeat_with(worker).take(threads), waiting)?;
    let (given, mut waited_for) = mpsc::channel(waiting + DONE_MAX);
    let collect = async move {
        while let Some(done) = waited_for.recv().await {
            progress.advance(done.await??);
        }
        Ok(())
    };
    // Both run to their end: a failed unit ends `collect`, and that ends the producer with an error that only says so.
    let units = Units { workers: pool.giver(), given };
    let (collected, produced) = tokio::join!(collect, produce(units));
    let joined = pool.join().await;
    collected.and(produced)?;
    Ok(joined?)
}
