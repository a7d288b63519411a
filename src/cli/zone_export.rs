//! `zone export`: a zone as a master file, a page in memory at a time.

use std::io::{self, ErrorKind, Write as _};

use fourward_core::api::{Reply, Request};
use fourward_core::name::DnsName;
use serde_json::json;

use super::client::Door;
use super::{CliError, ServerArgs};

pub(super) async fn run(zone: DnsName, server: &ServerArgs) -> Result<(), CliError> {
    let door = Door::of(server)?;
    let (mut after, mut stdout) = (None, io::stdout().lock());
    loop {
        let request = Request::ZoneExport { zone: zone.clone(), after };
        let Reply::ZoneLines { lines, next } = door.ask(&request).await? else { return Err(CliError::OutOfTurn) };
        let page: String = lines.iter().map(|line| if server.json { as_json(line) } else { line.clone() } + "\n").collect();
        match stdout.write_all(page.as_bytes()).and_then(|()| stdout.flush()) {
            // A reader that has seen enough is no failure.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// A line of the file as an object: its fields have a tab between two, and none inside.
fn as_json(line: &str) -> String {
    let mut fields = line.splitn(5, '\t');
    let mut next = || fields.next().unwrap_or_default();
    let (name, ttl, _class, kind, data) = (next(), next(), next(), next(), next());
    json!({ "name": name, "ttl": ttl.parse::<u32>().unwrap_or_default(), "type": kind, "data": data }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_object() {
        let line = "a.org.\t60\tIN\tTXT\t\"x \\009\"";
        assert_eq!(as_json(line), r#"{"data":"\"x \\009\"","name":"a.org.","ttl":60,"type":"TXT"}"#);
    }
}
