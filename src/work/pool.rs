//! Worker threads that take jobs from one bounded queue.
//!
//! Jobs start in the order in which they are given. Each has a [`Promised`] result, so a caller that awaits the results in
//! the same order keeps that order with any number of threads. Each thread has its own state, such as a compressor, which
//! its jobs use one after the other.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
    thread::JoinHandle,
};

use async_channel::{Receiver, Sender};
use tokio::sync::oneshot;

use super::{Error, Result, blocking};

type Job<W> = Box<dyn FnOnce(&mut W) + Send>;

/// Running worker threads with a state `W` each. The threads end when the pool and every [`Giver`] are dropped. Before
/// that they do the waiting jobs whose [`Promised`] result still exists; the others are not started.
#[derive(Debug)]
pub struct Pool<W> {
    giver: Giver<W>,
    threads: Vec<JoinHandle<()>>,
}

/// Gives jobs to a pool.
#[derive(Debug)]
pub struct Giver<W> {
    jobs: Sender<Job<W>>,
}

impl<W> Clone for Giver<W> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone() }
    }
}

/// The future result of a job. If it is dropped before the job starts, the job is cancelled.
#[derive(Debug)]
pub struct Promised<R>(oneshot::Receiver<Result<R>>);

impl<W: Send + 'static> Pool<W> {
    /// Starts a thread for each of `workers`, named `<name>-<number>`. At most `waiting` jobs wait in the queue.
    pub fn start(name: &str, workers: impl IntoIterator<Item = W>, waiting: usize) -> Result<Self> {
        Self::start_by(thread, name, workers, waiting)
    }

    fn start_by(
        thread: impl Fn(String, W, Receiver<Job<W>>) -> Result<JoinHandle<()>>,
        name: &str,
        workers: impl IntoIterator<Item = W>,
        waiting: usize,
    ) -> Result<Self> {
        let (jobs, queue) = async_channel::bounded(waiting.max(1));
        let start = |(number, worker)| thread(format!("{name}-{number}"), worker, queue.clone());
        let threads: Result<Vec<_>> = workers.into_iter().enumerate().map(start).collect();
        // On an error the threads that did start end, because `jobs` is dropped.
        Ok(Self { giver: Giver { jobs }, threads: threads? })
    }

    /// A handle that gives jobs to this pool.
    pub fn giver(&self) -> Giver<W> {
        self.giver.clone()
    }

    /// Adds a job, once there is room in the queue.
    pub async fn give<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut W) -> R + Send + 'static,
    ) -> Result<Promised<R>> {
        self.giver.give(job).await
    }

    /// Does all jobs and passes their results to `take` in order. The threads have ended when this returns.
    pub async fn run<R: Send + 'static, J>(
        self,
        jobs: impl IntoIterator<Item = J>,
        take: impl FnMut(Result<R>),
    ) -> Result<()>
    where
        J: FnOnce(&mut W) -> R + Send + 'static,
    {
        let done = self.give_all(jobs.into_iter(), take).await;
        let joined = self.join().await;
        done.and(joined)
    }

    async fn give_all<R: Send + 'static, J>(
        &self,
        mut jobs: impl Iterator<Item = J>,
        mut take: impl FnMut(Result<R>),
    ) -> Result<()>
    where
        J: FnOnce(&mut W) -> R + Send + 'static,
    {
        let mut given = VecDeque::new();
        // One for each thread and each place in the queue: with fewer, a thread could be idle.
        let given_max = self.threads.len() + self.giver.jobs.capacity().unwrap_or(1);
        loop {
            while given.len() < given_max
                && let Some(job) = jobs.next()
            {
                given.push_back(self.give(job).await?);
            }
            let Some(first) = given.pop_front() else { return Ok(()) };
            take(first.await);
        }
    }

    /// Waits until the threads have ended. They end only after every [`Giver`] is dropped.
    pub async fn join(self) -> Result<()> {
        let Self { giver, threads } = self;
        drop(giver);
        blocking(move || threads.into_iter().try_for_each(|thread| thread.join()))
            .await?
            .map_err(|payload| Error::panicked(&*payload))
    }
}

impl<W: 'static> Giver<W> {
    /// Adds a job, once there is room in the queue.
    pub async fn give<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut W) -> R + Send + 'static,
    ) -> Result<Promised<R>> {
        let (job, promised) = promise(job);
        self.jobs.send(job).await.map_err(|_| Error::Cancelled)?;
        Ok(promised)
    }

    /// The same, for a caller on a thread that may block.
    pub fn give_blocking<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut W) -> R + Send + 'static,
    ) -> Result<Promised<R>> {
        let (job, promised) = promise(job);
        self.jobs.send_blocking(job).map_err(|_| Error::Cancelled)?;
        Ok(promised)
    }
}

/// A job that sends its result. A panic ends the job and not the thread: the state of a worker consists of buffers and
/// contexts that every job resets.
fn promise<W: 'static, R: Send + 'static>(
    job: impl FnOnce(&mut W) -> R + Send + 'static,
) -> (Job<W>, Promised<R>) {
    let (keep, promised) = oneshot::channel();
    let job = move |worker: &mut W| {
        if keep.is_closed() {
            return;
        }
        let done = catch_unwind(AssertUnwindSafe(|| job(worker)));
        // The receiver may have been dropped while the job ran.
        let _ = keep.send(done.map_err(|payload| Error::panicked(&*payload)));
    };
    (Box::new(job), Promised(promised))
}

/// Starts a thread. The runtime's own threads panic if the system refuses one; this is an error.
fn thread<W: Send + 'static>(
    name: String,
    mut worker: W,
    queue: Receiver<Job<W>>,
) -> Result<JoinHandle<()>> {
    let work = move || {
        while let Ok(job) = queue.recv_blocking() {
            job(&mut worker);
        }
    };
    std::thread::Builder::new().name(name).spawn(work).map_err(Error::Thread)
}

impl<R> Future for Promised<R> {
    type Output = Result<R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let done = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(done.unwrap_or(Err(Error::Cancelled)))
    }
}

#[cfg(test)]
mod tests;
