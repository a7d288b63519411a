//! Brings the real fourward up, on a VPS and at a home, the way that a user would.
//!
//! Where these are, and with which configuration, is the caller's to say: namespaces and loopback share this.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::clients::{Client, NAME};
use super::lookup::lookup;
use super::namespace::Place;
use super::roles::{RoleError, Roles};

/// The host's label in its zone.
const HOST: &str = "cloud";

/// Far more than any step takes on a slow machine: then something is broken.
const PATIENCE: Duration = Duration::from_secs(8);

/// Between two looks at whether a step is done.
const LOOK: Duration = Duration::from_millis(20);

/// Why fourward is not up.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// A child failed.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// Nothing failed, but nothing happened either.
    #[error("{what}: not within {} s\n{logs}", PATIENCE.as_secs())]
    Late {
        /// What was waited for.
        what: String,
        /// What the roles said last.
        logs: String,
    },
    /// `host add` printed something else than its JSON.
    #[error("`fourward host add` printed no join string")]
    NoJoin,
}

/// Starts the server's roles at `place` by the file `config`, and waits until the server answers. `arguments` follow `run`.
///
/// # Errors
/// It ended, or does not answer.
pub(super) async fn start_server(roles: &mut Roles, place: &Place, config: &Path, arguments: &[&OsStr]) -> Result<(), SettingError> {
    roles.start("server", place, &run(config, arguments))?;
    let status = ["status".as_ref(), "--json".as_ref(), "--config".as_ref(), config.as_os_str()];
    let until = Instant::now() + PATIENCE;
    while roles.command(place, &status, "").await.is_err() {
        pause(roles, until, "the server's answer to `fourward status`").await?;
    }
    Ok(())
}

/// Adds the host to the server at `place`; the join string for its home.
///
/// # Errors
/// The server refused.
pub(super) async fn add_host(roles: &Roles, place: &Place, config: &Path) -> Result<String, SettingError> {
    let add: [&OsStr; 6] = ["host".as_ref(), "add".as_ref(), HOST.as_ref(), "--json".as_ref(), "--config".as_ref(), config.as_os_str()];
    let printed = roles.command(place, &add, "").await?;
    let answer: serde_json::Value = serde_json::from_str(&printed).map_err(|_| SettingError::NoJoin)?;
    let join = answer.get("join").and_then(serde_json::Value::as_str);
    join.map(str::to_owned).ok_or(SettingError::NoJoin)
}

/// Joins the home at `place` by the string `join`, writing the file `config`.
///
/// # Errors
/// The gateway refused, or could not be reached.
pub(super) async fn join_home(roles: &Roles, place: &Place, config: &Path, join: &str) -> Result<(), SettingError> {
    let state = config.with_extension("state");
    let command = ["join".as_ref(), "-".as_ref(), "--config".as_ref(), config.as_os_str(), "--state".as_ref(), state.as_os_str()];
    roles.command(place, &command, &format!("{join}\n")).await?;
    Ok(())
}

/// Starts the agent at `place` by the file `config`, and waits until `client` is told that the name leads to `home`.
///
/// # Errors
/// The agent ended, or the name does not lead there.
pub(super) async fn start_home(
    roles: &mut Roles,
    place: &Place,
    config: &Path,
    arguments: &[&OsStr],
    client: &Client,
    home: IpAddr,
) -> Result<(), SettingError> {
    roles.start("home", place, &run(config, arguments))?;
    let until = Instant::now() + PATIENCE;
    while lookup(&client.place, client.resolver, NAME, client.family).await.ok() != Some(home) {
        pause(roles, until, &format!("{NAME} leading to {home}")).await?;
    }
    Ok(())
}

fn run<'a>(config: &'a Path, arguments: &[&'a OsStr]) -> Vec<&'a OsStr> {
    let mut run: Vec<&OsStr> = vec!["run".as_ref(), "--config".as_ref(), config.as_os_str()];
    run.extend(arguments);
    run
}

async fn pause(roles: &mut Roles, until: Instant, what: &str) -> Result<(), SettingError> {
    roles.check()?;
    if Instant::now() > until {
        return Err(SettingError::Late { what: what.into(), logs: roles.logs() });
    }
    sleep(LOOK).await;
    Ok(())
}
