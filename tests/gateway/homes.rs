//! Web servers from Debian as homes that expect the header of the PROXY protocol, each by the lines that docs/home.md gives for it.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::rig::{HERE, PATIENCE};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    Apache,
    Nginx,
    HaProxy,
}

/// A server that runs for as long as this lives.
pub(crate) struct Home {
    make: Make,
    child: Child,
    pub(crate) port: u16,
    folder: TempDir,
}

impl Home {
    /// One of this make, with TLS where it ends TLS itself here: nginx.
    pub(crate) fn start(make: Make) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = TcpListener::bind((HERE, 0)).and_then(|free| free.local_addr()).expect("a port").port();
        if make == Make::Nginx {
            certificate(folder.path());
        }
        fs::write(folder.path().join("conf"), make.configuration(folder.path(), port)).expect("written");
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let mut command = match make {
            Make::Apache => Command::new("apache2"),
            Make::Nginx => Command::new("nginx"),
            Make::HaProxy => Command::new("haproxy"),
        };
        match make {
            Make::Apache => command.args(["-X", "-f"]),
            Make::Nginx => command.arg("-p").arg(folder.path()).arg("-c"),
            Make::HaProxy => command.args(["-db", "-f"]),
        };
        command.arg(folder.path().join("conf")).stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{make:?}: {error}; tests/run installs it"));
        let home = Self { make, child, port, folder };
        home.wait("serves", || std::net::TcpStream::connect((HERE, port)).is_ok());
        home
    }

    /// Waits until its log has a line with this.
    pub(crate) fn logs(&self, what: &str) {
        self.wait(what, || self.log("access").contains(what) || self.log("log").contains(what));
    }

    fn wait(&self, what: &str, held: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !held() {
            assert!(Instant::now() < until, "{:?}: {what}: {}\n{}", self.make, self.log("access"), self.log("log"));
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

impl Make {
    /// All of them answer with the client's address, and log it and its port.
    fn configuration(self, folder: &Path, port: u16) -> String {
        let folder = folder.display();
        match self {
            Self::Apache => {
                let modules: String = ["mpm_event", "authz_core", "remoteip", "alias", "headers", "setenvif"]
                    .map(|module| format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"))
                    .concat();
                fs::write(format!("{folder}/index.html"), "home\n").expect("a page");
                format!(
                    "{modules}ServerRoot {folder}\nServerName still.dyn.example.org\nDefaultRuntimeDir {folder}\nPidFile {folder}/pid\n\
                     User www-data\nGroup www-data\nListen [::1]:{port}\nDocumentRoot {folder}\nErrorLog {folder}/error\n\
                     LogFormat \"%a %{{remote}}p %v %r\" who\nCustomLog {folder}/access who\n\
                     <Directory {folder}>\nRequire all granted\n</Directory>\n\
                     <VirtualHost *:{port}>\nRemoteIPProxyProtocol On\nRedirectMatch 204 ^/who\n\
                     Header always set X-Client \"expr=%{{REMOTE_ADDR}}\"\n</VirtualHost>\n"
                )
            }
            Self::Nginx => format!(
                "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n\
                 client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d;\n\
                 scgi_temp_path {folder}/e;\nlog_format who '$remote_addr $remote_port $proxy_protocol_server_addr';\naccess_log {folder}/access who;\n\
                 server {{\nlisten [::1]:{port} ssl proxy_protocol;\nset_real_ip_from ::1;\nreal_ip_header proxy_protocol;\n\
                 ssl_certificate {folder}/cert.pem;\nssl_certificate_key {folder}/key.pem;\n\
                 add_header X-Client \"$remote_addr $remote_port\" always;\nadd_header X-Reached \"$proxy_protocol_server_addr\" always;\nreturn 204;\n}}\n}}\n"
            ),
            Self::HaProxy => format!(
                "global\nlog stdout format raw local0\ndefaults\nmode http\nlog global\ntimeout client 30s\ntimeout connect 5s\ntimeout server 30s\n\
                 frontend home\nbind [::1]:{port} accept-proxy\nlog-format \"%ci %cp %fi\"\n\
                 http-request return status 200 hdr X-Client \"%[src] %[src_port]\" hdr X-Reached \"%[dst]\"\n"
            ),
        }
    }
}

fn certificate(folder: &Path) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let certificate = rcgen::CertificateParams::new(["still.dyn.example.org".to_owned()])
        .and_then(|params| params.self_signed(&key))
        .expect("a certificate");
    fs::write(folder.join("cert.pem"), pem("CERTIFICATE", certificate.der())).expect("written");
    fs::write(folder.join("key.pem"), pem("PRIVATE KEY", &key.serialize_der())).expect("written");
}

fn pem(kind: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", base64::engine::general_purpose::STANDARD.encode(der))
}
