//! Keys that a program of the administrator prints.

use std::{process::Stdio, time::Duration};

use tokio::{io::AsyncReadExt, process::Command};

use super::{super::super::Result, Fetched, answer, failure};
use crate::types::ErrorCode;

const ENDS_WITHIN: Duration = Duration::from_secs(60);
const OUTPUT_MAX: u64 = 64 << 10;

/// Runs the program, without a shell. Its output is never shown; what it complains of goes where our own complaints go.
pub(super) async fn fetch(command: &[String]) -> Result<Fetched> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(failure("a program").caused_by("repoN-s3-process-cmd is empty"));
    };
    let failed = |why: String| failure(program).caused_by(why).with_code(ErrorCode::Execute);
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let run = async {
        let mut output = String::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(OUTPUT_MAX).read_to_string(&mut output).await?;
        }
        Ok::<_, std::io::Error>((child.wait().await?, output))
    };
    let ended = tokio::time::timeout(ENDS_WITHIN, run).await;
    let ended = ended
        .map_err(|_| failed(format!("it did not finish within {} s", ENDS_WITHIN.as_secs())))?;
    let (status, output) = ended.map_err(|error| failed(error.to_string()))?;
    match status.success() {
        true => answer::from_json(program, &output),
        false => Err(failed(format!("it failed with {status}"))),
    }
}
