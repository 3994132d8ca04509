//! Retries, time limits and rates, on a clock that tokio moves.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

fn failure(kind: ErrorKind) -> Error {
    Error::new(kind, "read", "x")
}

async fn attempts_of(requests: &Requests, fails: u32, kind: ErrorKind) -> (u32, Option<ErrorKind>) {
    let count = AtomicU32::new(0);
    let done = requests
        .run("read", "x", 0, || async {
            match count.fetch_add(1, Ordering::SeqCst) < fails {
                true => Err(failure(kind)),
                false => Ok(()),
            }
        })
        .await;
    (count.into_inner(), done.err().map(|error| error.kind()))
}

#[tokio::test(start_paused = true)]
async fn transient_failures_are_tried_again() {
    let requests = Requests::new(&RequestOptions::default());
    assert_eq!(attempts_of(&requests, 3, ErrorKind::Transient).await, (4, None));
    for kind in [ErrorKind::NotFound, ErrorKind::Denied, ErrorKind::Other] {
        assert_eq!(attempts_of(&requests, 3, kind).await, (1, Some(kind)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_the_attempts() {
    let requests = Requests::new(&RequestOptions::default());
    let began = tokio::time::Instant::now();
    let (count, error) = attempts_of(&requests, u32::MAX, ErrorKind::Transient).await;
    assert_eq!(error, Some(ErrorKind::Transient));
    assert!((10..30).contains(&count), "{count}");
    let took = began.elapsed();
    assert!(took <= Duration::from_secs(120) && took > Duration::from_secs(90), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_store_asks_for_is_waited() {
    let requests = Requests::new(&RequestOptions::default());
    let asked = |seconds| failure(ErrorKind::Transient).retry_later(Duration::from_secs(seconds));
    let began = tokio::time::Instant::now();
    let first = AtomicU32::new(0);
    let done = requests.run("read", "x", 0, || async {
        if first.fetch_add(1, Ordering::SeqCst) == 0 { Err(asked(40)) } else { Ok(()) }
    });
    done.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 40);
    // Longer than it is waited at all: at once.
    let error = requests.run("read", "x", 0, || async { Err::<(), _>(asked(4000)) }).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Transient);
    assert_eq!(began.elapsed().as_secs(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_is_given_up() {
    let requests = Requests::new(&RequestOptions::default());
    let first = AtomicU32::new(0);
    let done = requests.run("read", "x", 0, || async {
        if first.fetch_add(1, Ordering::SeqCst) == 0 {
            std::future::pending::<()>().await;
        }
        Ok(())
    });
    done.await.unwrap();
    assert_eq!(first.into_inner(), 2);
}

#[tokio::test(start_paused = true)]
async fn few_requests_run_at_once() {
    let requests = Requests::new(&RequestOptions { at_once_max: 3, ..RequestOptions::default() });
    let (running, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (requests, running, most) = (requests.clone(), running.clone(), most.clone());
        tasks.spawn(async move {
            let send = || async {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            };
            requests.run("read", "x", 0, send).await.unwrap();
        });
    }
    tasks.join_all().await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn bytes_keep_to_the_rate() {
    let options = RequestOptions { rate_max: Some(1000), ..RequestOptions::default() };
    let requests = Requests::new(&options);
    let began = tokio::time::Instant::now();
    for _ in 0..11 {
        requests.run("write", "x", 500, || async { Ok(()) }).await.unwrap();
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_millis(5100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn any_time_that_a_store_asks_for_is_taken() {
    let mut attempts = RetryPolicy::default().begin();
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(attempts.next_wait(Some(Duration::from_secs(u64::MAX))), None);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_rate_leaves_time_to_try_again() {
    let options = RequestOptions { rate_max: Some(1), ..RequestOptions::default() };
    let requests = Requests::new(&options);
    // What others have booked before lasts longer than it is tried.
    requests.spend(1000).await;
    let count = AtomicU32::new(0);
    let failing = requests.run("write", "x", 1, || async {
        match count.fetch_add(1, Ordering::SeqCst) {
            0 => Err(failure(ErrorKind::Transient)),
            _ => Ok(()),
        }
    });
    failing.await.unwrap();
}

/// A request in which something moves `times` times, `apart` from each other.
async fn moves(requests: &Requests, bytes: u64, times: u32, apart: u64) -> Result<()> {
    let work = async {
        for _ in 0..times {
            tokio::time::sleep(Duration::from_secs(apart)).await;
            Progress::current().made();
        }
        Ok(())
    };
    requests.bounded("write", "x", bytes, work).await
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_waited_for_as_long_as_it_moves() {
    let requests = Requests::new(&RequestOptions::default());
    moves(&requests, 64 << 20, 20, 40).await.unwrap();
    let began = Instant::now();
    let stalled = moves(&requests, 64 << 20, 1, 600).await.unwrap_err();
    assert_eq!(stalled.kind(), ErrorKind::Transient);
    assert_eq!(began.elapsed().as_secs(), 60);
    // One that hardly moves is not waited for without an end.
    let began = Instant::now();
    moves(&requests, 1 << 20, 1000, 40).await.unwrap_err();
    assert!(began.elapsed().as_secs() <= 60 + 64 + 60, "{:?}", began.elapsed());
}

#[cfg(feature = "_object-store")]
#[tokio::test]
async fn a_watched_body_is_the_same_body_in_slices() {
    use http_body::Body as _;
    use http_body_util::{BodyExt, Full};
    let data: bytes::Bytes = (0..600_000_u32).map(|n| (n % 251) as u8).collect();
    let progress = Progress::default();
    let body = progress.of(async { Watched::new(Full::new(data.clone())) }).await;
    assert_eq!(body.size_hint().exact(), Some(600_000));
    assert_eq!(body.collect().await.unwrap().to_bytes(), data);
    assert_eq!(progress.count(), 3);
    let empty = Watched::new(Full::new(bytes::Bytes::new()));
    assert!(empty.is_end_stream() && empty.size_hint().exact() == Some(0));
}
