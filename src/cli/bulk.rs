//! `host export` and `host import`: all hosts as lines, a page in memory at a time.
//!
//! Lines are not understood here: the server judges each, and says which one it refuses. How far it is shows on standard error, if that is a
//! terminal.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use fourward_core::api::{Imported, PAGE_BYTES, PAGE_LINES, Reply, Request};
use fourward_core::export::LINE_LIMIT;

use super::client::Door;
use super::{CliError, ServerArgs, out};

/// How often the progress is written anew.
const BEAT: Duration = Duration::from_millis(100);

/// Standard input, where a file is asked for.
const STDIN: &str = "-";

pub(super) async fn export(server: &ServerArgs) -> Result<(), CliError> {
    let door = Door::of(server)?;
    let (mut after, mut progress, mut stdout) = (None, Progress::new("exported"), io::stdout().lock());
    loop {
        let Reply::Exported { lines, next } = door.ask(&Request::HostExport { after }).await? else { return Err(CliError::OutOfTurn) };
        let mut page = lines.join("\n");
        if !page.is_empty() {
            page.push('\n');
        }
        match stdout.write_all(page.as_bytes()).and_then(|()| stdout.flush()) {
            // A reader that has seen enough is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
        progress.add(lines.len());
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

pub(super) async fn import(file: &Path, replace: bool, reuse: bool, server: &ServerArgs) -> Result<(), CliError> {
    let door = Door::of(server)?;
    let mut lines = Lines::open(file)?;
    let (mut all, mut last, mut progress) = (Imported::default(), 0, Progress::new("imported"));
    loop {
        let page = lines.page().map_err(|fault| fault.after(last))?;
        let Some(end) = page.numbers.last().copied() else { break };
        let request = Request::HostImport { lines: page.lines, replace, reuse };
        match door.ask(&request).await.map_err(|error| told(error, last))? {
            Reply::Imported(done) => {
                all.hosts = all.hosts.saturating_add(done.hosts);
                all.removed = all.removed.saturating_add(done.removed);
            }
            Reply::LineRefused { at, host, reason } => {
                progress.clear();
                let line = page.numbers.get(at).copied().unwrap_or(end);
                return Err(Fault { line, host, reason }.after(last));
            }
            _ => return Err(CliError::OutOfTurn),
        }
        progress.add(page.numbers.len());
        last = end;
    }
    progress.clear();
    if server.json {
        return out::json(&all);
    }
    let removed = if all.removed == 0 { String::new() } else { format!("; removed names that stay protected: {}", all.removed) };
    out::line(format_args!("{} hosts are imported{removed}.", all.hosts))
}

/// An error between two pages, with how far it had come.
fn told(error: CliError, last: u64) -> CliError {
    match error {
        CliError::Refused(reason) => CliError::Refused(format!("{reason}; {}", so_far(last))),
        CliError::Failed(reason) => CliError::Failed(format!("{reason}; {}", so_far(last))),
        other => other,
    }
}

fn so_far(last: u64) -> String {
    match last {
        0 => "nothing was imported".into(),
        last => format!(
            "all up to line {last} is imported and nothing after it; repeat the whole with --replace; credentials that were changed since the export become the file's again"
        ),
    }
}

/// A line that is in the way.
struct Fault {
    line: u64,
    host: Option<String>,
    reason: String,
}

impl Fault {
    fn after(self, last: u64) -> CliError {
        let host = self.host.map(|host| format!(" ({host})")).unwrap_or_default();
        CliError::Refused(format!("line {}{host}: {}\n{}", self.line, self.reason, so_far(last)))
    }
}

/// The lines of a file or of standard input.
struct Lines {
    from: Box<dyn BufRead>,
    number: u64,
}

/// Lines that go together, and their numbers from 1. Empty ones are left out.
#[derive(Default)]
struct Page {
    lines: Vec<String>,
    numbers: Vec<u64>,
}

impl Lines {
    fn open(file: &Path) -> Result<Self, CliError> {
        let from: Box<dyn BufRead> = if file == Path::new(STDIN) {
            Box::new(BufReader::new(io::stdin()))
        } else {
            Box::new(BufReader::new(File::open(file).map_err(|source| CliError::file(file, source))?))
        };
        Ok(Self { from, number: 0 })
    }

    /// The next lines; none at the end.
    fn page(&mut self) -> Result<Page, Fault> {
        let (mut page, mut bytes) = (Page::default(), 0_usize);
        while page.lines.len() < PAGE_LINES && bytes < PAGE_BYTES {
            let Some(line) = self.line().map_err(|reason| Fault { line: self.number, host: None, reason })? else { break };
            if line.trim().is_empty() {
                continue;
            }
            bytes = bytes.saturating_add(line.len());
            page.lines.push(line);
            page.numbers.push(self.number);
        }
        Ok(page)
    }

    fn line(&mut self) -> Result<Option<String>, String> {
        let mut line = Vec::new();
        let most = u64::try_from(LINE_LIMIT).unwrap_or(u64::MAX).saturating_add(2);
        self.number = self.number.saturating_add(1);
        (&mut self.from).take(most).read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
        if line.len() > LINE_LIMIT && line.last() != Some(&b'\n') {
            return Err(format!("it is longer than {LINE_LIMIT} bytes; is the file an export?"));
        }
        let text = String::from_utf8(line).map_err(|_| "it is no text (UTF-8); is the file an export?".to_owned())?;
        Ok((!text.is_empty()).then(|| text.trim_end().to_owned()))
    }
}

/// How far it is, on a terminal.
struct Progress {
    done: &'static str,
    terminal: bool,
    count: usize,
    shown: Option<Instant>,
}

impl Progress {
    fn new(done: &'static str) -> Self {
        Self { done, terminal: io::stderr().is_terminal(), count: 0, shown: None }
    }

    fn add(&mut self, lines: usize) {
        self.count = self.count.saturating_add(lines);
        if self.terminal && self.shown.is_none_or(|shown| shown.elapsed() >= BEAT) {
            // What cannot be shown is no failure.
            let _ = write!(io::stderr(), "\r{} {}", self.count, self.done);
            self.shown = Some(Instant::now());
        }
    }

    /// Takes the progress off the terminal.
    fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
