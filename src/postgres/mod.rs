//! postgres
pub mod page;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct Error;
impl crate::types::Failure for Error {
    fn code(&self) -> crate::types::ErrorCode {
        crate::types::ErrorCode::Protocol
    }
}
