//! `zone ds|roll`: what the registrar is to be told, and the steps from one key to the next. `zone export` has a file of its own.

use fourward_core::api::{KeyEntry, Reply, Request, SignedZone};
use fourward_core::dnssec::{Parent, Phase, Step};
use fourward_core::name::DnsName;

use super::client::ask;
use super::{CliError, ServerArgs, ZoneCommand, out, zone_export};
use crate::check::keys_above;

pub(super) async fn run(command: ZoneCommand) -> Result<(), CliError> {
    match command {
        ZoneCommand::Ds { zone, server } => {
            let Some(signed) = signed(&server, Request::ZoneDs { zone: name(&zone)? }).await? else { return Ok(()) };
            out::text(format_args!("{}", describe(&signed)))?;
            Ok(())
        }
        ZoneCommand::Export { zone, server } => zone_export::run(name(&zone)?, &server).await,
        ZoneCommand::Roll { zone, ds_seen, server } => {
            let zone = name(&zone)?;
            let parent = if ds_seen { Parent::Assumed } else { keys_above(&zone).await };
            let Some(signed) = signed(&server, Request::ZoneRoll { zone, parent }).await? else { return Ok(()) };
            out::text(format_args!("{}\n{}", done(&signed), describe(&signed)))?;
            Ok(())
        }
    }
}

fn name(text: &str) -> Result<DnsName, CliError> {
    text.parse().map_err(|error| CliError::Usage(format!("{error}")))
}

/// `None` if it was printed as JSON.
async fn signed(server: &ServerArgs, request: Request) -> Result<Option<SignedZone>, CliError> {
    match ask(server, &request).await? {
        Reply::ZoneKeys(signed) if server.json => out::json(&signed).map(|()| None),
        Reply::ZoneKeys(signed) => Ok(Some(signed)),
        _ => Err(CliError::OutOfTurn),
    }
}

/// What a step of a rollover did, which the next one tells.
fn done(signed: &SignedZone) -> String {
    match signed.next {
        Step::Replace => format!("{} shows a new key beside the one that signs it.\n", signed.zone),
        Step::Drop => format!("{} is signed by the new key from now on; the old one stays for those who remember it.\n", signed.zone),
        Step::Show => format!("{}: the old key is gone; the rollover is complete.\n", signed.zone),
    }
}

fn describe(signed: &SignedZone) -> String {
    let zone = &signed.zone;
    let mut text = format!("At the registrar, for {zone}:\n");
    let wanted = |key: &&KeyEntry| key.phase != Phase::Retired;
    for key in signed.keys.iter().filter(wanted) {
        text.push_str(&format!("  {zone}.  DS  {}\n", key.ds));
    }
    text.push_str("Some ask for the key instead (flags, protocol, algorithm, public key):\n");
    for key in signed.keys.iter().filter(wanted) {
        text.push_str(&format!("  {zone}.  DNSKEY  {}\n", key.dnskey));
    }
    text.push('\n');
    for key in &signed.keys {
        let role = match key.phase {
            Phase::Published => "is shown, and signs nothing but the keys",
            Phase::Active => "signs the zone",
            Phase::Retired => "is kept for those who remember it; its DS may go from the registrar",
        };
        text.push_str(&format!("key {}  {} {role}, since {:.0}\n", key.tag, key.algorithm, key.since));
    }
    if let Some(not_before) = signed.not_before {
        let first = if signed.next == Step::Replace { "enter the new DS beside the old one" } else { "take the old DS out" };
        text.push_str(&format!("next: {first} at the registrar; then, not before {not_before:.0}, `fourward zone roll {zone}`\n"));
    }
    text
}
