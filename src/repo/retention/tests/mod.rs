mod archives;
mod backups;

mod properties;
mod support;
