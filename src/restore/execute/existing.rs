//! What `--delta` and `--force` allow with files that exist.

/// What may be done with files that are in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Nothing: the directories must be empty.
    Refuse,
    /// They are removed (`--force`).
    Replace,
    /// Those that are as they must be stay, blocks that differ are written (`--delta`).
    Update,
    /// The same, but size and time of a file tell whether it is as it must be (`--delta --force`).
    UpdateByTime,
}

impl Existing {
    /// Whether files that are there already are completed.
    pub(super) fn reuses(self) -> bool {
        matches!(self, Self::Update | Self::UpdateByTime)
    }
}
