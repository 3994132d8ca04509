//! Makes a plan that fits what is in the repository, and finds every object that goes with it.

use jiff::{Timestamp, tz::TimeZone};

use super::{
    Error, ExpireOptions, Result,
    inventory::{self, is_unchanged},
    removal::Removal,
};
use crate::repo::retention::{self, ExpirePlan, Inventory};

/// Plans that are made, at most, while the repository keeps changing.
const PLANS_MAX: usize = 5;

/// The plan of an expire with every object that it removes. [`execute`](super::execute) removes them; a dry run shows them.
#[derive(Debug)]
pub struct ExpireJob {
    /// The inventory that the plan was made from.
    pub(super) inventory: Inventory,
    /// The backups and WAL to remove, and why the others stay.
    pub plan: ExpirePlan,
    /// The objects that go.
    pub removal: Removal,
}

/// Plans, and plans again where a backup began or was marked meanwhile, until the plan fits what is there.
pub async fn prepare(options: &ExpireOptions) -> Result<ExpireJob> {
    for _ in 0..PLANS_MAX {
        let Some(inventory) = inventory::read(options).await? else { continue };
        let plan = plan(options, &inventory)?;
        let removal = Removal::find(options, &inventory, &plan).await?;
        // A lock binds the commands of one host. A backup of another host that begins before this look is seen by its
        // notice. One that begins later looks for the backups that it builds on before and after it writes its manifest.
        if is_unchanged(options, &inventory, &plan).await? {
            return Ok(ExpireJob { inventory, plan, removal });
        }
    }
    Err(Error::Unsettled { location: options.storage.location() })
}

pub(super) fn plan(options: &ExpireOptions, inventory: &Inventory) -> Result<ExpirePlan> {
    let now = Timestamp::now().as_second();
    let zone = TimeZone::system();
    Ok(retention::plan(inventory, &options.settings, &options.scope, now, &zone)?)
}
