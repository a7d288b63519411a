//! `status`.

use fourward_core::api::{CertificateSource, CertificateStatus, Reply, Request, Status};

use super::client::ask;
use super::{CliError, ServerArgs, host, out};

pub(super) async fn run(server: ServerArgs) -> Result<(), CliError> {
    let Reply::Status(status) = ask(&server, &Request::Status).await? else { return Err(CliError::OutOfTurn) };
    if server.json {
        return out::json(&status);
    }
    out::text(format_args!("{}", describe(&status)))?;
    Ok(())
}

fn describe(status: &Status) -> String {
    let zones: Vec<String> = status.zones.iter().map(|zone| format!("{} (serial {})", zone.name, zone.serial)).collect();
    let gateway = status.gateway;
    let head = format!(
        "fourward {}\nzones    {}\ngateway  {} connections open, {} bytes relayed\n",
        status.version,
        zones.join(", "),
        gateway.connections,
        gateway.bytes
    ) + &status.certificate.as_ref().map(certificate).unwrap_or_default();
    if status.hosts.is_empty() {
        return format!("{head}no host yet: fourward host add cloud\n");
    }
    format!("{head}\n{}", host::list(&status.hosts))
}

fn certificate(certificate: &CertificateStatus) -> String {
    let what = match certificate.source {
        CertificateSource::Files => "from your files (control.certificate)",
        CertificateSource::Acme => "ordered by ACME",
        CertificateSource::SelfSigned => "self-signed",
    };
    let mut text = format!("certificate  {what}, good until {:.0}", certificate.not_after);
    if let Some(next) = certificate.next {
        text.push_str(&format!("; the next is ordered at {next:.0}"));
    }
    if let Some(error) = &certificate.last_error {
        text.push_str(&format!("\n  trouble  {error}"));
    }
    text + "\n"
}
