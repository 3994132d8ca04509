//! Many small requests to a store at once. One after the other they would take as long as the store
//! takes to answer, times their number; all at once they would be too many.

use tokio::task::JoinSet;

use super::Error;

/// How many requests are under way at a time: a store that takes 20 ms to answer then answers 1,500 a second.
pub const AT_ONCE_MAX: usize = 32;

/// Does `work` for every item, some at a time; the results are in the order of the items. The first
/// error ends it.
pub async fn map<T, R, E, F>(
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> F,
) -> Result<Vec<R>, E>
where
    R: Send + 'static,
    E: From<Error> + Send + 'static,
    F: Future<Output = Result<R, E>> + Send + 'static,
{
    let mut waiting = items.into_iter().enumerate();
    let mut running = JoinSet::new();
    let mut results = Vec::new();
    loop {
        while running.len() < AT_ONCE_MAX
            && let Some((index, item)) = waiting.next()
        {
            let future = work(item);
            running.spawn(async move { future.await.map(|result| (index, result)) });
        }
        match running.join_next().await {
            None => break,
            Some(Ok(result)) => results.push(result?),
            Some(Err(error)) => return Err(Error::Task(error).into()),
        }
    }
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    static RUNNING: AtomicUsize = AtomicUsize::new(0);

    #[tokio::test]
    async fn results_keep_their_order_and_few_run_at_once() {
        let work = |n: u64| async move {
            assert!(RUNNING.fetch_add(1, Ordering::SeqCst) < AT_ONCE_MAX);
            tokio::time::sleep(std::time::Duration::from_millis(7 - n % 7)).await;
            RUNNING.fetch_sub(1, Ordering::SeqCst);
            Ok::<u64, Error>(n * 2)
        };
        let results = map(0..100, work).await.unwrap();
        assert_eq!(results, (0..100).map(|n| n * 2).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn the_first_error_ends_it() {
        let work = |n| async move {
            if n == 50 { Err(Error::format("object", "it is the fiftieth")) } else { Ok(n) }
        };
        let error = map(0.., work).await.unwrap_err();
        assert!(error.to_string().contains("fiftieth"));
    }
}
