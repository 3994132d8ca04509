//! `repo-ls`: lists what is in a repository, a directory at a time, so that memory does not grow with
//! what is below.

use std::io::Write;

use regex::Regex;
use serde::Serialize;

use super::{
    Error, Result,
    context::{self, Repo},
    repo_path,
};
use crate::{
    config::{Config, OutputFormat, RepoAccessConfig, SortOrder},
    repo::foreign,
    storage::{Entry, EntryKind, ObjectPath},
    types::ErrorCode,
};

/// An entry in JSON.
#[derive(Serialize)]
struct Shown {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<i64>,
}

/// Writes entries as they are found.
struct Printer<'a> {
    out: &'a mut dyn Write,
    format: OutputFormat,
    filter: Option<Regex>,
    any: bool,
}

/// Lists the path that the command line names, or the whole repository.
pub(super) async fn run(config: &Config, out: &mut dyn Write) -> Result<u8> {
    context::no_more_arguments(config, 1)?;
    let (repo, _) = context::repo(config)?;
    repo.unlock().await?;
    if let Some(error) = foreign::of_root(&*repo.storage).await? {
        tracing::warn!("{error}");
    }
    let path = repo_path::parse(&repo, config.arguments.first().map_or("", String::as_str))?;
    let filter = filter(&config.repo_access)?;
    let printer = Printer { out, format: config.output, filter, any: false };
    match list(&repo, &path, &config.repo_access, printer).await {
        // The reader closed the pipe, as `head` does.
        Err(Error::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(0),
        result => result.map(|()| 0),
    }
}

fn filter(options: &RepoAccessConfig) -> Result<Option<Regex>> {
    let invalid = |error: regex::Error| Error::Parameter {
        what: format!("option 'filter' is not a regular expression: {error}"),
        code: ErrorCode::OptionInvalidValue,
    };
    options.filter.as_deref().map(Regex::new).transpose().map_err(invalid)
}

async fn list(
    repo: &Repo,
    path: &ObjectPath,
    options: &RepoAccessConfig,
    mut printer: Printer<'_>,
) -> Result<()> {
    printer.begin()?;
    match object(repo, path).await? {
        Some(entry) => printer.entry(".", &entry)?,
        None => walk(repo, path, options, &mut printer).await?,
    }
    printer.end()
}

/// The object at `path`, where it is one.
async fn object(repo: &Repo, path: &ObjectPath) -> Result<Option<Entry>> {
    if path.as_str().is_empty() {
        return Ok(None);
    }
    match repo.storage.stat(path).await {
        Ok(entry) => Ok(matches!(entry.kind, EntryKind::Object { .. }).then_some(entry)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn walk(
    repo: &Repo,
    path: &ObjectPath,
    options: &RepoAccessConfig,
    printer: &mut Printer<'_>,
) -> Result<()> {
    printer.root()?;
    let prefix = match path.as_str() {
        "" => 0,
        path => path.len() + 1,
    };
    let mut open = vec![directory(repo, path, options.sort).await?];
    while let Some(entries) = open.last_mut() {
        let Some(entry) = entries.next() else {
            open.pop();
            continue;
        };
        printer.entry(&entry.path.as_str()[prefix..], &entry)?;
        if options.recurse && entry.kind == EntryKind::Directory {
            open.push(directory(repo, &entry.path, options.sort).await?);
        }
    }
    Ok(())
}

async fn directory(
    repo: &Repo,
    path: &ObjectPath,
    sort: SortOrder,
) -> Result<std::vec::IntoIter<Entry>> {
    let mut entries = repo.storage.list(path, false).await?;
    if sort == SortOrder::Desc {
        entries.reverse();
    }
    Ok(entries.into_iter())
}

impl Printer<'_> {
    fn begin(&mut self) -> Result<()> {
        self.json_only("{")
    }

    fn end(&mut self) -> Result<()> {
        self.json_only("}\n")
    }

    fn json_only(&mut self, text: &str) -> Result<()> {
        match self.format {
            OutputFormat::Json => Ok(self.out.write_all(text.as_bytes())?),
            OutputFormat::Text => Ok(()),
        }
    }

    /// The directory that is listed; it is there whatever the store knows of directories.
    fn root(&mut self) -> Result<()> {
        if self.format == OutputFormat::Text {
            return Ok(());
        }
        let root = Entry { path: ObjectPath::root(), kind: EntryKind::Directory, modified: None };
        self.entry(".", &root)
    }

    fn entry(&mut self, name: &str, entry: &Entry) -> Result<()> {
        if self.filter.as_ref().is_some_and(|filter| !filter.is_match(name)) {
            return Ok(());
        }
        match self.format {
            OutputFormat::Text => writeln!(self.out, "{name}")?,
            OutputFormat::Json => {
                let shown = match entry.kind {
                    EntryKind::Directory => Shown { kind: "path", size: None, time: None },
                    EntryKind::Object { size } => {
                        Shown { kind: "file", size: Some(size), time: entry.modified }
                    }
                };
                let name = serde_json::to_string(name).map_err(std::io::Error::from)?;
                let shown = serde_json::to_string(&shown).map_err(std::io::Error::from)?;
                let comma = if self.any { "," } else { "" };
                write!(self.out, "{comma}{name}:{shown}")?;
            }
        }
        self.any = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing;

    const OPTIONS: RepoAccessConfig = RepoAccessConfig {
        recurse: true,
        filter: None,
        sort: SortOrder::Asc,
        ignore_missing: false,
        raw: false,
    };

    async fn show(path: &str, format: OutputFormat, options: &RepoAccessConfig) -> String {
        let dir = tempfile::tempdir().unwrap();
        let repo = testing::repo(dir.path(), 1);
        for (path, content) in [("a/b/1", "x"), ("a/b/2", "xy"), ("a-b", "xyz"), ("z\"", "")] {
            repo.storage.put(&ObjectPath::new(path).unwrap(), content.into()).await.unwrap();
        }
        let (mut out, path) = (Vec::new(), repo_path::parse(&repo, path).unwrap());
        let filter = filter(options).unwrap();
        let printer = Printer { out: &mut out, format, filter, any: false };
        list(&repo, &path, options, printer).await.unwrap();
        let text = String::from_utf8(out).unwrap();
        Regex::new(r#""time":\d{10}"#).unwrap().replace_all(&text, r#""time":0"#).into_owned()
    }

    #[tokio::test]
    async fn json_is_as_recorded() {
        let shown = show("", OutputFormat::Json, &OPTIONS).await;
        let expected = concat!(
            r#"{".":{"type":"path"},"a-b":{"type":"file","size":3,"time":0},"a":{"type":"path"},"#,
            r#""a/b":{"type":"path"},"a/b/1":{"type":"file","size":1,"time":0},"#,
            r#""a/b/2":{"type":"file","size":2,"time":0},"#,
            r#""z\"":{"type":"file","size":0,"time":0}}"#,
            "\n"
        );
        let sorted = |text: &str| {
            serde_json::from_str::<serde_json::Value>(text).unwrap().as_object().unwrap().clone()
        };
        assert_eq!(sorted(&shown), sorted(expected));
        assert!(shown.starts_with(r#"{".":{"type":"path"},"#) && shown.ends_with("}}\n"));
    }

    #[tokio::test]
    async fn text_has_a_name_a_line() {
        assert_eq!(show("a", OutputFormat::Text, &OPTIONS).await, "b\nb/1\nb/2\n");
        let flat = RepoAccessConfig { recurse: false, ..OPTIONS };
        assert_eq!(show("a", OutputFormat::Text, &flat).await, "b\n");
        let reverse = RepoAccessConfig { sort: SortOrder::Desc, ..OPTIONS };
        assert_eq!(show("a", OutputFormat::Text, &reverse).await, "b\nb/2\nb/1\n");
        let filtered = RepoAccessConfig { filter: Some("1$".to_owned()), ..OPTIONS };
        assert_eq!(show("", OutputFormat::Text, &filtered).await, "a/b/1\n");
    }

    #[tokio::test]
    async fn an_object_is_shown_as_a_dot_and_absence_as_empty() {
        let expected = "{\".\":{\"type\":\"file\",\"size\":2,\"time\":0}}\n";
        assert_eq!(show("a/b/2", OutputFormat::Json, &OPTIONS).await, expected);
        let nothing = show("none", OutputFormat::Json, &OPTIONS).await;
        assert_eq!(nothing, "{\".\":{\"type\":\"path\"}}\n");
        assert_eq!(show("none", OutputFormat::Text, &OPTIONS).await, "");
    }
}
