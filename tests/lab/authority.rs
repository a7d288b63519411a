//! A certificate authority of the lab: pebble, beside the resolver and asking it, so that it validates as a real one does.
//!
//! It has its own TLS by the lab's web authority, refuses some nonces at random, and keeps all in memory: started again, it knows nobody.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::lab::Lab;
use crate::netns::succeed;
use crate::topology::Node::Dns;
use crate::topology::RESOLVER4;
use crate::web;

/// The directory, as `init` is told.
pub(crate) const DIRECTORY: &str = "https://acme.example.org:14000/dir";

/// The same with renewal information, where that was started.
pub(crate) const DIRECTORY_WITH_RENEWAL: &str = "https://acme.example.org:14001/dir";

/// Let's Encrypt's certificates live that long.
pub(crate) const DAYS90: u64 = 90 * 86_400;

/// It starts in well under a second; the machine may be busy.
const START: Duration = Duration::from_secs(20);

/// The running authority.
pub(crate) struct Authority {
    pub(crate) daemon: Daemon,
    log: PathBuf,
}

impl Lab {
    /// An authority whose certificates live for `seconds`, and which gives none for names in `blocked`.
    pub(crate) fn start_authority(&self, seconds: u64, blocked: &[&str]) -> Authority {
        let home = self.dir().join("authority");
        fs::create_dir_all(&home).expect("make the authority's folder");
        certify(self.dir(), &home.join("tls"), "acme.example.org");
        let config = home.join("pebble.json");
        let path = |name: &str| home.join(name).display().to_string();
        let settings = json!({ "pebble": {
            "listenAddress": format!("{RESOLVER4}:14000"), "managementListenAddress": format!("{RESOLVER4}:15000"),
            "certificate": path("tls.pem"), "privateKey": path("tls.key"), "httpPort": 80, "tlsPort": 443,
            "certificateValidityPeriod": seconds, "domainBlocklist": blocked,
        }});
        fs::write(&config, settings.to_string()).expect("write pebble's configuration");
        let (log, resolver) = (self.log("pebble"), format!("{RESOLVER4}:53"));
        // Its random sleeps before a validation are for clients that do not wait; ours is asked by their own tests.
        let arguments = ["PEBBLE_VA_NOSLEEP=1", "pebble", "-config", &config.display().to_string(), "-dnsserver", &resolver];
        let mut daemon = Daemon::start(self.ns(Dns), log.clone(), "env", &arguments);
        let question = ["-sS", "--cacert", &web::authority(self.dir()).display().to_string(), DIRECTORY];
        daemon.ready("pebble", START, || self.ns(Dns).run("curl", &question).status.success());
        Authority { daemon, log }
    }

    /// A directory beside the authority's own, with what that lacks: renewal information (RFC 9773), which wishes every certificate renewed
    /// now. Everything else is asked of the authority itself.
    pub(crate) fn start_renewal_information(&self) -> Daemon {
        let home = self.dir().join("authority");
        let root = web::authority(self.dir()).display().to_string();
        let output = self.ns(Dns).run("curl", &["-sS", "--cacert", &root, DIRECTORY]);
        let mut directory: Value = serde_json::from_slice(&output.stdout).expect("the directory");
        directory["renewalInfo"] = "https://acme.example.org:14001/renewal".into();
        fs::write(home.join("dir"), directory.to_string()).expect("write the directory");
        let window = json!({ "suggestedWindow": { "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z" } });
        fs::write(home.join("window"), window.to_string()).expect("write the window");
        fs::create_dir_all(home.join("nothing")).expect("make an empty folder");
        let config = home.join("apache.conf");
        let log = self.log("renewal-information");
        fs::write(&config, apache_config(&home, &log)).expect("write Apache's configuration");
        let mut daemon = Daemon::start(self.ns(Dns), log, "apache2", &["-X", "-f", &config.display().to_string()]);
        let question = ["-sSf", "--cacert", &root, DIRECTORY_WITH_RENEWAL];
        daemon.ready("apache2", START, || self.ns(Dns).run("curl", &question).status.success());
        daemon
    }

    /// The root of what the authority signs, as a file.
    pub(crate) fn issuer(&self) -> PathBuf {
        self.try_issuer().expect("the authority's root")
    }

    /// The same, of an authority that may not be there yet.
    pub(crate) fn try_issuer(&self) -> Option<PathBuf> {
        let url = format!("https://{RESOLVER4}:15000/roots/0");
        let output = self.ns(Dns).run("curl", &["-sS", "--insecure", &url]);
        let file = self.dir().join("authority/issuer.pem");
        fs::write(&file, &output.stdout).expect("write the root");
        (output.status.success() && output.stdout.starts_with(b"-----BEGIN")).then_some(file)
    }
}

impl Authority {
    /// How often its log has this.
    pub(crate) fn count(&self, words: &str) -> usize {
        fs::read_to_string(&self.log).unwrap_or_default().matches(words).count()
    }
}

/// Makes `FILE.pem` and `FILE.key` for `name`, by the lab's web authority.
pub(crate) fn certify(lab: &Path, file: &Path, name: &str) {
    let config = file.with_extension("cnf");
    let text = format!(
        "[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN={name}\n\
         [ext]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:{name}\n"
    );
    fs::write(&config, text).expect("write openssl's configuration");
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-config"]).arg(&config);
    command.arg("-CA").arg(web::authority(lab)).arg("-CAkey").arg(lab.join("web/ca.key"));
    // The key first: who reads in between has a pair that does not fit, as with any tool that writes two files.
    succeed(command.arg("-keyout").arg(file.with_extension("key")).arg("-out").arg(file.with_extension("pem")));
}

fn apache_config(home: &Path, log: &Path) -> String {
    let modules = ["mpm_event", "authz_core", "alias", "ssl"];
    let modules: String =
        modules.iter().map(|module| format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n")).collect();
    let (home, log) = (home.display(), log.display());
    format!(
        "{modules}
ServerRoot {home}
ServerName acme.example.org
DefaultRuntimeDir {home}
PidFile {home}/apache.pid
User www-data
Group www-data
Listen {RESOLVER4}:14001
DocumentRoot {home}/nothing
ErrorLog {log}
LogFormat \"%r %>s\" asked
CustomLog {log} asked
Alias /dir {home}/dir
AliasMatch ^/renewal/ {home}/window
<Directory {home}>
    Require all granted
</Directory>
SSLEngine on
SSLCertificateFile {home}/tls.pem
SSLCertificateKeyFile {home}/tls.key
"
    )
}
