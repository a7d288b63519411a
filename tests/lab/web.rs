//! The service at home: Apache with TLS by a certificate authority of the lab, and WebDAV at `/dav/`.
//!
//! Every answer names the address that it was served at (`X-Home-Address`), so that a probe
//! can tell the new home from the old one, and the home from the gateway's own pages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::daemon::Daemon;
use crate::netns::{Ns, succeed};

/// Content of the page at `/`.
pub(crate) const PAGE: &str = "This is the cloud at home.\n";
/// Content of the page at `/` on port 8443, where another service listens.
pub(crate) const OTHER_PAGE: &str = "This is another service at home.\n";
/// Under which every answer of the home tells its address.
pub(crate) const HOME_HEADER: &str = "X-Home-Address";

/// Apache starts in well under a second; the machine may be busy.
const START: Duration = Duration::from_secs(10);
/// Where Debian keeps Apache's modules.
const MODULES: &str = "/usr/lib/apache2/modules";
const NAMES: &str = "DNS:cloud.dyn.example.org,DNS:cloud-ip6only.dyn.example.org,DNS:owncloud.example.org,DNS:*.cloud.dyn.example.org";

/// The CA's certificate, by which clients verify the home.
pub(crate) fn authority(dir: &Path) -> PathBuf {
    dir.join("web/ca.pem")
}

/// Clients that verify the home. None takes up where another stopped: each shakes hands in full.
pub(crate) fn clients(dir: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority(dir)).expect("the lab's authority")).expect("a certificate");
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// Makes the certificates, starts Apache and waits until it serves.
pub(crate) fn start(ns: &Ns, dir: &Path) -> Daemon {
    let home = dir.join("web");
    fs::create_dir_all(home.join("site")).expect("make the site's folder");
    fs::write(home.join("site/index.html"), PAGE).expect("write the page");
    fs::create_dir_all(home.join("other")).expect("make the other site's folder");
    fs::write(home.join("other/index.html"), OTHER_PAGE).expect("write the other page");
    succeed(Command::new("install").args(["-d", "-o", "www-data", "-g", "www-data"]).args([home.join("site/dav"), home.join("locks")]));
    make_certificates(&home);
    let config = home.join("apache.conf");
    fs::write(&config, apache_config(dir)).expect("write Apache's configuration");
    // -X is one process with many threads: one pid to own, and to kill.
    let mut apache = Daemon::start(ns, dir.join("logs/apache"), "apache2", &["-X", "-f", &config.display().to_string()]);
    apache.ready("apache2", START, || {
        let output = ns.run("curl", &["-sS", "http://127.0.0.1/"]);
        output.stdout == PAGE.as_bytes()
    });
    apache
}

fn make_certificates(home: &Path) {
    let openssl = |subject: &str, extensions: &str, name: &str, signed_by_ca: bool| {
        let config = home.join(format!("{name}.cnf"));
        fs::write(
            &config,
            format!("[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN={subject}\n[ext]\n{extensions}\n"),
        )
        .expect("write openssl's configuration");
        let mut command = Command::new("openssl");
        command.current_dir(home).args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]);
        command.arg("-config").arg(&config).args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]);
        if signed_by_ca {
            command.args(["-CA", "ca.pem", "-CAkey", "ca.key"]);
        }
        succeed(&mut command);
    };
    openssl("The lab's authority", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign", "ca", false);
    openssl("cloud.dyn.example.org", &format!("basicConstraints=critical,CA:FALSE\nsubjectAltName={NAMES}"), "server", true);
}

/// `LimitRequestBody 0` because Apache's default refuses bodies of 1 GiB.
fn apache_config(dir: &Path) -> String {
    let home = dir.join("web");
    let (home, logs) = (home.display(), dir.join("logs"));
    let logs = logs.display();
    let modules: String = ["mpm_event", "authz_core", "dir", "headers", "setenvif", "ssl", "dav", "dav_fs"]
        .iter()
        .map(|module| format!("LoadModule {module}_module {MODULES}/mod_{module}.so\n"))
        .collect();
    format!(
        "{modules}
ServerRoot {home}
ServerName cloud.dyn.example.org
DefaultRuntimeDir {home}
PidFile {home}/apache.pid
User www-data
Group www-data
Listen 80
Listen 443
Listen 8443
ThreadsPerChild 64
MaxRequestWorkers 64
LimitRequestBody 0
DocumentRoot {home}/site
DirectoryIndex index.html
ErrorLog {logs}/apache-error
CustomLog {logs}/apache-access \"%a %A:%p %v \\\"%r\\\" %>s %B\"
SetEnvIf Server_Addr (.*) home=$1
Header always set {HOME_HEADER} %{{home}}e
<Directory {home}>
    Require all granted
</Directory>
DavLockDB {home}/locks/db
<Directory {home}/site/dav>
    Dav On
    DirectoryIndex disabled
</Directory>
<VirtualHost *:80>
</VirtualHost>
<VirtualHost *:443>
    SSLEngine on
    SSLCertificateFile {home}/server.pem
    SSLCertificateKeyFile {home}/server.key
</VirtualHost>
<VirtualHost *:8443>
    DocumentRoot {home}/other
    SSLEngine on
    SSLCertificateFile {home}/server.pem
    SSLCertificateKeyFile {home}/server.key
</VirtualHost>
"
    )
}
