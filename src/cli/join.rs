//! `join`: the home's key and configuration, from the one line that `host add` printed.
//!
//! Nothing is lost whenever it stops: the key waits in a file of its own until the gateway has taken it, and the same join string is good
//! for the same key again. Each join string has its own waiting key, so that a wrong one in between spoils nothing.

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fourward_core::join::JoinString;
use fourward_core::link::Service;
use serde::Serialize;
use serde_json::json;

use super::{CliError, JoinArgs, files, out};
use crate::agent::{RegisterError, register};
use crate::config::{AGENT_KEY, DEFAULT_CONFIG};
use crate::crypto;

/// More than any join string, so that pasting a wrong file ends.
const INPUT_LIMIT: u64 = 64 * 1024;

/// Of a secret's digest so many digits tell join strings apart; nobody has more than a few.
const WAITING_MARK: usize = 16;

pub(super) async fn run(args: JoinArgs) -> Result<(), CliError> {
    let join: JoinString = read(&args.string)?.parse()?;
    // What is relative to this shell is not to the service.
    let state = std::path::absolute(&args.state).map_err(|source| CliError::file(&args.state, source))?;
    let args = JoinArgs { state, ..args };
    let key_file = args.state.join(AGENT_KEY);
    let waiting = args.state.join(waiting_name(&join));
    for path in [&args.config, &key_file] {
        // Without a configuration, the key that still waits is one that this very command has put there.
        if path.exists() && !(path == &key_file && !args.config.exists() && is_same_file(path, &waiting)) {
            let remedy = "this home has joined already: to join anew, move that file away first";
            return Err(CliError::Exists { path: path.clone(), remedy });
        }
    }
    files::state_directory(&args.state)?;
    let key = waiting_key(&waiting)?;
    let registered = match register(&join, &key).await {
        Err(error @ RegisterError::Refused(_)) => {
            let _ = fs::remove_file(&waiting);
            return Err(error.into());
        }
        registered => registered?,
    };
    // The configuration first under another name: whenever this stops, either the same command goes on, or all is there.
    let text = config(&args.state, &join)?;
    let written = args.config.with_extension("toml.new");
    let _ = fs::remove_file(&written);
    files::create(&written, 0o644, text.as_bytes(), "another `fourward join` is running; wait for it")?;
    files::give_to_owner_of_folder(&waiting)?;
    // The key has both names until the configuration is there: by the second one the same command knows it again.
    if !key_file.exists() {
        let linked = fs::hard_link(&waiting, &key_file).or_else(|_| fs::rename(&waiting, &key_file));
        linked.map_err(|source| CliError::file(&key_file, source))?;
    }
    files::sync_folder_of(&key_file).map_err(|source| CliError::file(&key_file, source))?;
    fs::rename(&written, &args.config).map_err(|source| CliError::file(&args.config, source))?;
    // All is there now; what fails from here on harms nothing.
    let _ = files::sync_folder_of(&args.config);
    let _ = fs::remove_file(&waiting);
    if args.json {
        return out::json(
            &json!({ "host": join.host, "names": { "dual": registered.dual, "twin": registered.twin }, "config": args.config }),
        );
    }
    out::line(format_args!("This home is {} now ({} for IPv6 alone).", registered.dual, registered.twin))?;
    out::line(format_args!("{} and the key are written. Start the agent:", args.config.display()))?;
    let option = if args.config.as_os_str() == DEFAULT_CONFIG { String::new() } else { format!(" --config {}", args.config.display()) };
    out::line(format_args!("  systemctl enable --now fourward      (or, in the foreground: fourward run{option})"))?;
    out::line(format_args!("In the home router's IPv6 firewall, open TCP 80 and 443 to this machine."))?;
    Ok(())
}

fn read(argument: &str) -> Result<String, CliError> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let input = io::stdin();
    if input.is_terminal() {
        eprint!("Paste the join string and press Enter: ");
        let mut line = String::new();
        input.read_line(&mut line)?;
        return Ok(line);
    }
    let mut text = String::new();
    input.take(INPUT_LIMIT).read_to_string(&mut text)?;
    Ok(text)
}

fn waiting_name(join: &JoinString) -> String {
    let digest = crypto::sha256(join.secret.reveal()).to_string();
    format!("{AGENT_KEY}.{}.new", digest.get(..WAITING_MARK).unwrap_or(&digest))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let inode = |path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    inode(one).is_some_and(|one| inode(other) == Some(one))
}

/// The key of a join that was interrupted, or a new one.
fn waiting_key(path: &Path) -> Result<Vec<u8>, CliError> {
    match fs::read(path) {
        Ok(key) if crypto::raw_key(&key).is_ok() => return Ok(key),
        Ok(_) => fs::remove_file(path).map_err(|source| CliError::file(path, source))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(CliError::file(path, source)),
    }
    let key = crypto::new_link_key()?;
    files::create(path, 0o600, &key, "another `fourward join` is running; wait for it")?;
    Ok(key)
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Written {
    state: PathBuf,
    agent: WrittenAgent,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct WrittenAgent {
    host: String,
    services: Vec<Service>,
    gateways: Vec<fourward_core::join::Peer>,
}

fn config(state: &Path, join: &JoinString) -> Result<String, CliError> {
    let agent = WrittenAgent { host: join.host.to_string(), services: Service::defaults(), gateways: join.gateways.clone() };
    let text = toml::to_string(&Written { state: state.into(), agent }).map_err(io::Error::other)?;
    Ok(format!(
        "# fourward at home. `fourward config check` explains this file.\n\
         # Under [agent] may also stand, to fix which address is published:\n\
         #   target = \"2001:db8::11\"   interface = \"eth0\"   suffix = \"::11\"\n\n{text}"
    ))
}
