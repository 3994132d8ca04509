//! Order, bound, cancellation, panics, and a system that refuses threads.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
};

use futures_util::FutureExt;

use super::*;

/// A pool of two threads without a state, for which two jobs may wait.
fn pool() -> Pool<()> {
    Pool::start("test", [(), ()], 2).unwrap()
}

/// A job that reports its start, and ends when its gate is dropped.
fn gated() -> (impl FnOnce(&mut ()) + Send, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (begun, is_begun) = mpsc::channel();
    let (gate, opened) = mpsc::channel::<()>();
    let job = move |(): &mut ()| {
        let _ = begun.send(());
        let _ = opened.recv();
    };
    (job, is_begun, gate)
}

#[tokio::test]
async fn results_come_in_the_order_of_the_jobs_whichever_ends_first() {
    let (slow, is_begun, gate) = gated();
    let pool = pool();
    let first = pool.give(slow).await.unwrap();
    let second = pool.give(|()| 2).await.unwrap();
    is_begun.recv().unwrap();
    assert_eq!(second.await.unwrap(), 2);
    drop(gate);
    first.await.unwrap();
    let mut results = Vec::new();
    let jobs = (0..1000).map(|n| move |(): &mut ()| n);
    pool.run(jobs, |result| results.push(result.unwrap())).await.unwrap();
    assert_eq!(results, (0..1000).collect::<Vec<_>>());
}

#[tokio::test]
async fn each_thread_keeps_a_state_of_its_own() {
    let pool = Pool::start("test", [0_usize, 0, 0], 1).unwrap();
    let mut sum = 0;
    let count = |count: &mut usize| {
        *count += 1;
        *count
    };
    pool.run(vec![count; 100], |count| sum += usize::from(count.unwrap() == 1)).await.unwrap();
    assert!((1..=3).contains(&sum), "{sum} threads began to count");
}

#[tokio::test]
async fn no_more_jobs_wait_than_the_bound() {
    let (pool, mut gates, mut promised) = (pool(), Vec::new(), Vec::new());
    for _ in 0..2 {
        let (job, is_begun, gate) = gated();
        promised.push(pool.give(job).await.unwrap());
        is_begun.recv().unwrap();
        gates.push(gate);
    }
    promised.push(pool.give(|()| ()).await.unwrap());
    promised.push(pool.give(|()| ()).await.unwrap());
    let mut third = Box::pin(pool.give(|()| ()));
    assert!((&mut third).now_or_never().is_none(), "there was room for a third");
    drop(gates);
    third.await.unwrap().await.unwrap();
    pool.join().await.unwrap();
    for promised in promised {
        promised.now_or_never().unwrap().unwrap();
    }
}

#[tokio::test]
async fn jobs_without_a_receiver_are_not_started() {
    static BEGUN: AtomicUsize = AtomicUsize::new(0);
    let pool = Pool::start("test", [()], 8).unwrap();
    let (job, is_begun, gate) = gated();
    let under_way = pool.give(job).await.unwrap();
    is_begun.recv().unwrap();
    for _ in 0..8 {
        drop(pool.give(|()| BEGUN.fetch_add(1, SeqCst)).await.unwrap());
    }
    drop((under_way, gate));
    pool.join().await.unwrap();
    assert_eq!(BEGUN.load(SeqCst), 0);
}

/// The state of a thread: it is dropped when the thread ends.
struct State(#[expect(dead_code)] Arc<()>);

#[tokio::test]
async fn the_threads_end_when_the_pool_is_dropped() {
    let alive = Arc::new(());
    let pool = Pool::start("test", [State(Arc::clone(&alive))], 1).unwrap();
    let result = pool.give(|_| 7).await.unwrap();
    drop(pool);
    assert_eq!(result.await.unwrap(), 7, "the awaited job was not done");
    while Arc::strong_count(&alive) > 1 {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_panic_is_the_error_of_its_job_and_of_no_other() {
    let pool = Pool::start("test", [()], 4).unwrap();
    let bad = pool.give(|()| panic!("on {}", "purpose")).await.unwrap();
    let good = pool.give(|()| 7).await.unwrap();
    let error = Promised::<()>::await_error(bad).await;
    assert_eq!(error.to_string(), "a worker panicked: on purpose");
    assert_eq!(good.await.unwrap(), 7);
    pool.join().await.unwrap();
}

impl<R> Promised<R> {
    async fn await_error(self) -> Error {
        match self.await {
            Ok(_) => panic!("it was done"),
            Err(error) => error,
        }
    }
}

#[tokio::test]
async fn a_refused_thread_is_an_error_and_the_others_end() {
    let alive = Arc::new(());
    let given = std::cell::Cell::new(0);
    let two_at_most = |name, state, queue| {
        if given.replace(given.get() + 1) == 2 {
            return Err(Error::Thread(io::Error::from(io::ErrorKind::WouldBlock)));
        }
        thread(name, state, queue)
    };
    let states = (0..4).map(|_| State(Arc::clone(&alive)));
    let error = Pool::start_by(two_at_most, "test", states, 1).map(drop).unwrap_err();
    assert!(matches!(error, Error::Thread(_)), "{error}");
    while Arc::strong_count(&alive) > 1 {
        std::thread::yield_now();
    }
}
