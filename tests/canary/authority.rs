//! A certificate authority at the home's machine: pebble, asking the server itself for what an order proves.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::json;

use crate::machines::daemon::Daemon;
use crate::machines::{Machines, VPS4};
use crate::outcome::text;

/// The directory of what [`start`] starts.
pub(crate) const DIRECTORY: &str = "https://192.0.2.4:14000/dir";

/// It starts in well under a second; the machine may be busy.
const START: Duration = Duration::from_secs(20);

/// Starts it.
pub(crate) fn start(machines: &Machines) -> Daemon {
    let (tls, key, config) = (machines.path("authority.pem"), machines.path("authority.key"), machines.path("pebble.json"));
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["192.0.2.4".to_owned()]).expect("a certificate");
    fs::write(&tls, cert.pem()).expect("a certificate");
    fs::write(&key, signing_key.serialize_pem()).expect("a key");
    let settings = json!({ "pebble": {
        "listenAddress": "192.0.2.4:14000", "managementListenAddress": "192.0.2.4:15000",
        "certificate": text(&tls), "privateKey": text(&key), "httpPort": 80, "tlsPort": 443,
    }});
    fs::write(&config, settings.to_string()).expect("pebble's configuration");
    let arguments = ["PEBBLE_VA_NOSLEEP=1", "pebble", "-config", &text(&config), "-dnsserver", &format!("{VPS4}:53")];
    let mut daemon = Daemon::start(&machines.home, machines.path("pebble.log"), "env", &arguments);
    let question = ["--silent", "--cacert", &text(&tls), DIRECTORY];
    daemon.ready("pebble", START, || machines.home.run("curl", &question).status.success());
    daemon
}

/// Has the server by `config` order there, and show its metrics.
pub(crate) fn order_there(machines: &Machines, config: &Path) {
    let written = fs::read_to_string(config).expect("a config").replace("# metrics", "metrics");
    let acme = format!("[acme]\ndirectory = \"{DIRECTORY}\"\nroot = \"{}\"\n", text(&machines.path("authority.pem")));
    fs::write(config, written + &acme).expect("a config");
}
