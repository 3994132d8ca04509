//! Which source the backups of a test come from. A test runs on a thread of its own, and so it is the
//! thread that knows: the sites that it makes are configured accordingly.

use std::cell::Cell;

/// The values of `backup-source`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// As users have it who set nothing.
    Auto,
    Stream,
    Local,
}

impl Source {
    /// That of the running test.
    pub(crate) fn of_this_test() -> Self {
        SOURCE.get()
    }

    /// The value of the option; none where it is not set.
    pub(crate) fn option(self) -> Option<&'static str> {
        match self {
            Self::Auto => None,
            Self::Stream => Some("stream"),
            Self::Local => Some("local"),
        }
    }
}

thread_local! {
    static SOURCE: Cell<Source> = const { Cell::new(Source::Auto) };
}

/// Runs a test whose backups come from `source`.
pub(crate) fn backing_up_from(source: Source, test: impl FnOnce()) {
    SOURCE.set(source);
    test();
}
