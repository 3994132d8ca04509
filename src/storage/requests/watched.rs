//! The body of an HTTP request, which shows by its progress that the request still moves.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use super::Progress;

/// Bytes that are handed to the connection at a time.
const SLICE: usize = 256 << 10;

/// A body that goes out in slices, each of which is a sign of life when the connection asks for it.
#[derive(Debug)]
pub struct Watched<B> {
    body: B,
    left: Bytes,
    progress: Progress,
}

impl<B> Watched<B> {
    /// The body of a request that is being made in this task.
    pub fn new(body: B) -> Self {
        Self { body, left: Bytes::new(), progress: Progress::current() }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        if !this.left.has_remaining() {
            match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => this.left = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                other => return other,
            }
        }
        this.progress.made();
        let slice = this.left.split_to(SLICE.min(this.left.len()));
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        !self.left.has_remaining() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, left) = (self.body.size_hint(), self.left.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + left);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + left);
        }
        hint
    }
}
