mod archives;
mod backups;
mod documented;

mod properties;
mod support;
