//! Verifies the key objects of an encrypted repository. Each is the access of one recipient, so a damaged one is a fault
//! even if every backup can still be read with another one.

use super::{Error, FaultKind, Options, findings::Findings};
use crate::{
    repo::{
        layout,
        metadata::object_name,
        recipient::{Recipient, RecipientId},
    },
    storage::{EntryKind, ObjectPath, Storage},
};

const LOST_HINT: &str = "its pass phrase no longer opens the repository: bring the object back from a \
                         copy of key/, or remove it with repo-key remove --recipient=<id> and add its \
                         pass phrase again";

pub(super) async fn check(
    storage: &dyn Storage,
    options: &Options,
    findings: &mut Findings,
) -> Result<(), Error> {
    let directory = layout::key_directory()?;
    for entry in storage.list(&directory, true).await? {
        let EntryKind::Object { size } = entry.kind else { continue };
        match id_of(&entry.path, &directory) {
            Some(id) => {
                findings.count(size, 0);
                recipient(storage, options, &entry.path, id, findings).await;
            }
            None if options.set.is_none() => {
                let what = "its name is not that of a key object";
                findings.add(entry.path.as_str(), FaultKind::Orphan, what);
            }
            None => {}
        }
    }
    Ok(())
}

fn id_of(path: &ObjectPath, directory: &ObjectPath) -> Option<RecipientId> {
    path.file_name().parse().ok().filter(|_| path.parent() == *directory)
}

async fn recipient(
    storage: &dyn Storage,
    options: &Options,
    path: &ObjectPath,
    id: RecipientId,
    findings: &mut Findings,
) {
    let read = match (Recipient::read(storage, id).await, options.data_key) {
        (Ok(recipient), Some(key)) => recipient.expect(key, &object_name(storage, path)),
        (read, _) => read,
    };
    match read {
        // Removed since the listing.
        Err(error) if error.is_not_found() => {}
        Err(error) => LOST_HINT.clone_into(&mut findings.add_error(path.as_str(), &error).hint),
        Ok(_) => {}
    }
}
