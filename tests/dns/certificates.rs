//! Certificates at home by the usual clients (Debian: certbot with python3-certbot-dns-rfc2136, lego): each proves the host and its wildcard with a key
//! that writes nothing but proofs, to an authority (Debian: pebble) that asks this very name server.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Output};
use std::time::Instant;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::json;
use tempfile::TempDir;

use super::updates::{CLOUD, PROOF, SECRET, Updating};
use super::*;

/// An order takes a second or two; two of them, on a machine that is busy, less than this.
const ORDER: Duration = Duration::from_secs(60);

/// A certificate authority that asks `Updating` for proofs.
struct Authority {
    pebble: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = self.pebble.kill();
        let _ = self.pebble.wait();
    }
}

impl Authority {
    fn start(dns: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (address, management) = (free(), free());
        let (tls, key, config) = (folder.path().join("tls.pem"), folder.path().join("tls.key"), folder.path().join("pebble.json"));
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        fs::write(&tls, cert.pem()).expect("written");
        fs::write(&key, signing_key.serialize_pem()).expect("written");
        let settings = json!({ "pebble": {
            "listenAddress": address, "managementListenAddress": management, "certificate": tls, "privateKey": key, "httpPort": 80, "tlsPort": 443,
        }});
        fs::write(&config, settings.to_string()).expect("written");
        let log = || fs::OpenOptions::new().create(true).append(true).open(folder.path().join("pebble.log")).expect("a log");
        let mut command = Command::new("pebble");
        command.arg("-config").arg(&config).args(["-dnsserver", &dns.to_string()]).stdout(log()).stderr(log());
        let pebble = command.envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0")]).spawn().expect("pebble is installed");
        let started = Self { pebble, address, folder };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(
                began.elapsed() < ORDER,
                "pebble does not start: {}",
                fs::read_to_string(started.path("pebble.log")).unwrap_or_default()
            );
            std::thread::yield_now();
        }
        started
    }

    fn directory(&self) -> String {
        format!("https://{}/dir", self.address)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What `client`, told where this is, says, once it has ended well.
    fn ends_well(&self, client: &mut Command) {
        let (tls, limit) = (self.path("tls.pem"), ORDER.as_secs().to_string());
        let mut command = Command::new("timeout");
        command.arg(limit).arg(client.get_program()).args(client.get_args());
        command
            .envs(client.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("REQUESTS_CA_BUNDLE", &tls)
            .env("LEGO_CA_CERTIFICATES", &tls);
        let Output { status, stdout, stderr } = command.output().expect("it starts");
        let log = fs::read_to_string(self.path("pebble.log")).unwrap_or_default();
        let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{status}\n{out}\n{err}\npebble: {log}");
    }
}

/// An address that nobody has now.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// What the certificate in `file` speaks for.
fn names_in(file: &Path) -> String {
    let output =
        Command::new("openssl").args(["x509", "-noout", "-ext", "subjectAltName", "-in"]).arg(file).output().expect("openssl is installed");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn certbot_gets_a_certificate_for_a_host_and_its_wildcard() {
    let server = Updating::start().await;
    let authority = Authority::start(server.address);
    let (before, credentials) = (server.serial(), authority.path("rfc2136.ini"));
    let (ip, port) = (server.address.ip(), server.address.port());
    let text = [
        format!("dns_rfc2136_server = {ip}\ndns_rfc2136_port = {port}"),
        format!("dns_rfc2136_name = proof\ndns_rfc2136_secret = {SECRET}\ndns_rfc2136_algorithm = HMAC-SHA256\n"),
    ];
    fs::write(&credentials, text.join("\n")).expect("written");
    let folder = |name: &str| authority.path(name).into_os_string();
    let mut certbot = Command::new("certbot");
    certbot.args(["certonly", "--non-interactive", "--agree-tos", "-m", "me@example.org", "--server", &authority.directory()]);
    certbot.arg("--config-dir").arg(folder("etc")).arg("--work-dir").arg(folder("work")).arg("--logs-dir").arg(folder("logs"));
    certbot.args(["--dns-rfc2136", "--dns-rfc2136-propagation-seconds", "0", "--dns-rfc2136-credentials"]).arg(&credentials);
    authority.ends_well(certbot.args(["-d", CLOUD, "-d", &format!("*.{CLOUD}")]));
    holds(&names_in(&authority.path("etc/live").join(CLOUD).join("cert.pem")), &[&format!("DNS:{CLOUD}"), &format!("DNS:*.{CLOUD}")]);
    assert_eq!(server.values(PROOF, "TXT"), [""; 0], "what it set it took away");
    assert_eq!(server.serial(), before + 4, "two values came, and went");
}

#[tokio::test(flavor = "multi_thread")]
async fn lego_gets_a_certificate_for_a_host_and_its_wildcard() {
    let server = Updating::start().await;
    let authority = Authority::start(server.address);
    let (before, dns) = (server.serial(), server.address.to_string());
    let mut lego = Command::new("lego");
    lego.args(["--server", &authority.directory(), "--email", "me@example.org", "--accept-tos", "--path"]).arg(authority.path("lego"));
    lego.args([
        "--dns",
        "rfc2136",
        "--dns.resolvers",
        &dns,
        "--dns.disable-cp",
        "--domains",
        CLOUD,
        "--domains",
        &format!("*.{CLOUD}"),
        "run",
    ]);
    lego.envs([("RFC2136_NAMESERVER", dns.as_str()), ("RFC2136_TSIG_ALGORITHM", "hmac-sha256."), ("RFC2136_TSIG_KEY", "proof")]);
    authority.ends_well(lego.envs([("RFC2136_TSIG_SECRET", SECRET), ("RFC2136_SEQUENCE_INTERVAL", "1")]));
    holds(
        &names_in(&authority.path("lego/certificates").join(format!("{CLOUD}.crt"))),
        &[&format!("DNS:{CLOUD}"), &format!("DNS:*.{CLOUD}")],
    );
    assert_eq!(server.values(PROOF, "TXT"), [""; 0], "what it set it took away");
    assert_eq!(server.serial(), before + 4, "two values came, and went");
}
