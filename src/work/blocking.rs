//! Work that blocks on a disk or computes for long, outside of the thread that handles signals.

use super::Result;

/// Runs `work` on a thread where it may block. If this future is dropped, running work still continues to its end.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    Ok(tokio::task::spawn_blocking(work).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::Error;

    #[tokio::test]
    async fn a_panic_is_an_error_with_its_message() {
        assert_eq!(blocking(|| 7).await.unwrap(), 7);
        let error = blocking::<()>(|| panic!("on purpose")).await.unwrap_err();
        assert!(matches!(&error, Error::Panicked(text) if text == "on purpose"), "{error}");
    }
}
