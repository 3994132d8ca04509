//! Many small requests to a store at once. In sequence they would take the latency of the store times their number;
//! without a bound they would overload it.

use std::{collections::HashMap, future::Future, iter::Enumerate};

use tokio::task::{Id, JoinSet};

use super::{Error, Result};

/// Does `work` for every item, at most `at_once` at a time. The results are in the order of the items. A panic is an error
/// in the place of its item, and the other items are done.
pub async fn map<T, R, F>(
    items: impl IntoIterator<Item = T>,
    at_once: usize,
    work: impl FnMut(T) -> F,
) -> Vec<Result<R>>
where
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    map_watched(items, at_once, work, |_| ()).await
}

/// The same; `done` is called with the index of an item as soon as it is done, for progress.
pub async fn map_watched<T, R, F>(
    items: impl IntoIterator<Item = T>,
    at_once: usize,
    work: impl FnMut(T) -> F,
    mut done: impl FnMut(usize),
) -> Vec<Result<R>>
where
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    let mut running = Running::new(items, at_once, work);
    let mut results = Vec::new();
    while let Some((index, result)) = running.next().await {
        done(index);
        results.push((index, result));
    }
    in_order(results)
}

/// Does `work` for every item, at most `at_once` at a time. The results are in the order of the items. On the first error
/// running tasks are aborted and waiting items are not started.
pub async fn try_map<T, R, E, F>(
    items: impl IntoIterator<Item = T>,
    at_once: usize,
    work: impl FnMut(T) -> F,
) -> std::result::Result<Vec<R>, E>
where
    R: Send + 'static,
    E: From<Error> + Send + 'static,
    F: Future<Output = std::result::Result<R, E>> + Send + 'static,
{
    let mut running = Running::new(items, at_once, work);
    let mut results = Vec::new();
    while let Some((index, result)) = running.next().await {
        results.push((index, result??));
    }
    Ok(in_order(results))
}

fn in_order<R>(mut results: Vec<(usize, R)>) -> Vec<R> {
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The tasks of a map.
struct Running<I: Iterator, W, R> {
    waiting: Enumerate<I>,
    at_once: usize,
    work: W,
    tasks: JoinSet<R>,
    /// The item of each task: a task that panicked has no result to name it.
    items: HashMap<Id, usize>,
}

impl<I, W, F, R> Running<I, W, R>
where
    I: Iterator,
    W: FnMut(I::Item) -> F,
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    fn new(
        items: impl IntoIterator<IntoIter = I, Item = I::Item>,
        at_once: usize,
        work: W,
    ) -> Self {
        let waiting = items.into_iter().enumerate();
        let at_once = at_once.max(1);
        Self { waiting, at_once, work, tasks: JoinSet::new(), items: HashMap::new() }
    }

    /// Index and result of the next item that is done, in any order; `None` after the last.
    async fn next(&mut self) -> Option<(usize, Result<R>)> {
        while self.tasks.len() < self.at_once
            && let Some((index, item)) = self.waiting.next()
        {
            let task = self.tasks.spawn((self.work)(item));
            self.items.insert(task.id(), index);
        }
        let (id, result) = match self.tasks.join_next_with_id().await? {
            Ok((id, result)) => (id, Ok(result)),
            Err(error) => (error.id(), Err(error.into())),
        };
        self.items.remove(&id).map(|index| (index, result))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use tokio::task::yield_now;

    use super::*;

    const AT_ONCE: usize = 32;

    /// Counts how many run at a time, and ends out of order.
    #[derive(Clone, Default)]
    struct Counted {
        running: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
    }

    impl Counted {
        async fn double(self, n: usize) -> usize {
            self.most.fetch_max(self.running.fetch_add(1, SeqCst) + 1, SeqCst);
            for _ in 0..7 - n % 7 {
                yield_now().await;
            }
            self.running.fetch_sub(1, SeqCst);
            2 * n
        }
    }

    #[tokio::test]
    async fn results_keep_their_order_and_few_run_at_once() {
        let counted = Counted::default();
        let mut done = 0;
        let work = |n| counted.clone().double(n);
        let results = map_watched(0..100, AT_ONCE, work, |_| done += 1).await;
        let results: Vec<usize> = results.into_iter().map(Result::unwrap).collect();
        assert_eq!(results, (0..100).map(|n| 2 * n).collect::<Vec<_>>());
        assert_eq!((done, counted.most.load(SeqCst)), (100, AT_ONCE));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_in_its_place_and_the_others_are_done() {
        let work = |n| async move { if n == 5 { panic!("the fifth") } else { n } };
        let results = map(0..10, 3, work).await;
        for (n, result) in results.into_iter().enumerate() {
            match result {
                Ok(done) => assert_eq!(done, n),
                Err(error) => assert!(n == 5 && error.to_string().contains("the fifth"), "{error}"),
            }
        }
    }

    #[tokio::test]
    async fn the_first_error_ends_it() {
        let work =
            |n| async move { if n == 50 { Err(Error::Cancelled) } else { Ok::<_, Error>(n) } };
        assert!(matches!(try_map(0.., AT_ONCE, work).await, Err(Error::Cancelled)));
    }

    #[tokio::test]
    async fn an_error_aborts_running_tasks() {
        let counted = Counted::default();
        let work = |n: usize| {
            let counted = counted.clone();
            async move {
                counted.running.fetch_add(1, SeqCst);
                if n == 1 {
                    return Err(Error::Cancelled);
                }
                // Held until the task is dropped.
                let _here = Arc::clone(&counted.most);
                std::future::pending::<()>().await;
                Ok(n)
            }
        };
        assert!(try_map(0..100, 2, work).await.is_err());
        while Arc::strong_count(&counted.most) > 1 {
            yield_now().await;
        }
        assert_eq!(counted.running.load(SeqCst), 2, "a waiting item was started");
    }
}
