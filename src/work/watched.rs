//! Work whose thread may hang in a system call, under the eyes of a thread that does not.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use super::{Error, Result};

/// How often the watching thread looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Stack size of the thread, in bytes: the usual size of a main thread.
const STACK_BYTES: usize = 8 << 20;

/// Runs `work` on a separate thread. Returns its result, or what `give_up` returns first; then the work continues.
pub fn watched<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    mut give_up: impl FnMut() -> Option<T>,
) -> Result<T> {
    let (done, ended) = mpsc::channel();
    let work = move || {
        // The receiver is gone if the work was given up.
        let _ = done.send(work());
    };
    thread::Builder::new().stack_size(STACK_BYTES).spawn(work).map_err(Error::Thread)?;
    loop {
        match ended.recv_timeout(LOOK_EVERY) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Disconnected) => return Err(Error::Cancelled),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(result) = give_up() {
                    return Ok(result);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_hangs_is_given_up() {
        assert_eq!(watched(|| 7, || None).unwrap(), 7);
        let (end, ended) = mpsc::channel::<()>();
        let stuck = move || {
            let _ = ended.recv();
            1
        };
        assert_eq!(watched(stuck, || Some(2)).unwrap(), 2);
        drop(end);
        assert!(watched(|| panic!("on purpose"), || None::<u8>).is_err());
    }
}
