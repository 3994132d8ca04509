//! The worker threads. Units come in through a bounded queue; how many bytes are done, or the error
//! that ends the restore, goes out. When either end is dropped the threads stop after their unit.

use std::{sync::Arc, thread::JoinHandle};

use async_channel::{Receiver, Sender};
use tokio::runtime::Handle;

use super::{
    units::Unit,
    worker::{Shared, Worker},
};
use crate::{restore::Error, types::progress::ProgressSink};

/// Running worker threads.
pub(super) struct Pool {
    units: Sender<Unit>,
    done: Receiver<Result<u64, Error>>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts `threads` workers, for which `waiting` units may be ready.
    pub(super) fn start(
        shared: &Arc<Shared>,
        threads: usize,
        waiting: usize,
    ) -> Result<Self, Error> {
        let (units, queue) = async_channel::bounded(waiting);
        let (report, done) = async_channel::bounded(4 * threads);
        let started: Result<Vec<_>, Error> = (0..threads)
            .map(|number| {
                let worker = Worker::new(Arc::clone(shared), Handle::current());
                let (queue, report) = (queue.clone(), report.clone());
                std::thread::Builder::new()
                    .name(format!("restore-{number}"))
                    .spawn(move || work(worker, &queue, &report))
                    .map_err(Error::Thread)
            })
            .collect();
        Ok(Self { units, done, threads: started? })
    }

    /// Has the workers do all units that `produce` sends, and waits until the last is done.
    pub(super) async fn run<F>(
        self,
        produce: impl FnOnce(Sender<Unit>) -> F,
        progress: &dyn ProgressSink,
    ) -> Result<(), Error>
    where
        F: Future<Output = Result<(), Error>>,
    {
        let Self { units, done, threads } = self;
        let collect = async {
            while let Ok(result) = done.recv().await {
                progress.advance(result?);
            }
            Ok(())
        };
        // Both run to their end: a worker that fails closes the queue, which ends the producer, whose
        // own error then only says so.
        let (collected, produced) = tokio::join!(collect, produce(units));
        done.close();
        join(threads).await?;
        collected.and(produced)
    }
}

fn work(mut worker: Worker, queue: &Receiver<Unit>, report: &Sender<Result<u64, Error>>) {
    while let Ok(unit) = queue.recv_blocking() {
        let result = worker.run(&unit);
        let failed = result.is_err();
        if report.send_blocking(result).is_err() || failed {
            // No task waits any more, or the restore was cancelled.
            queue.close();
            return;
        }
    }
}

/// Waits until no thread writes any more.
async fn join(threads: Vec<JoinHandle<()>>) -> Result<(), Error> {
    let joined = tokio::task::spawn_blocking(move || {
        threads.into_iter().all(|thread| thread.join().is_ok())
    });
    match joined.await {
        Ok(true) => Ok(()),
        _ => Err(Error::WorkerLost),
    }
}
