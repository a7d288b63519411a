//! Certificates for the home by DNS-01, ordered at home with an account of acme-dns: Debian's own lego and certbot, by the settings that
//! are printed, at an authority that asks the lab's resolver. Debian's lego is built without acme-dns, and so has the same hook as certbot.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use super::acme::ORDERED;
use crate::authority::{Authority, DAYS90, DIRECTORY};
use crate::lab::Lab;
use crate::roles::{ALIAS, DUAL, Role, said};
use crate::topology::Node::{Dns, Server};
use crate::topology::VPS4;
use crate::web;

const WILDCARD: &str = "*.cloud.dyn.example.org";

/// The record, and that of the user's own name, which is a CNAME of it.
const RECORD: &str = "_acme-challenge.cloud.dyn.example.org";

/// An order takes seconds; the machine may be busy, and pebble refuses some nonces.
const PATIENCE: Duration = Duration::from_secs(120);

/// The home, where clients of an authority run.
struct Home<'a> {
    lab: &'a Lab,
    vps: &'a Role,
    /// For people: what `host token --acme-dns` said.
    told: String,
    folder: PathBuf,
}

impl<'a> Home<'a> {
    /// A home that trusts the lab's authorities, with the settings of a new account.
    fn new(lab: &'a Lab, vps: &'a Role) -> Self {
        let folder = lab.dir().join("clients");
        fs::create_dir_all(&folder).expect("a folder");
        let roots = [lab.issuer(), web::authority(lab.dir())].map(|file| fs::read_to_string(file).expect("a root")).concat();
        fs::write(folder.join("roots.pem"), roots).expect("the roots");
        let told = vps.tell(&["host", "token", "cloud", "--acme-dns"]);
        assert!(told.status.success(), "{}", said(&told));
        Self { lab, vps, told: said(&told), folder }
    }

    /// The two parts of the settings for `client`: what its file is to have, and how it is called then.
    fn settings(&self, client: &str) -> (String, Vec<&str>) {
        let lines = self.told.lines().skip_while(|line| !line.starts_with(&format!("  {client}"))).skip(1);
        let mut lines = lines.take_while(|line| !line.is_empty()).map(|line| line.strip_prefix("    ").unwrap_or(line));
        let file: String = lines.by_ref().take_while(|line| !line.starts_with("  and then")).map(|line| format!("{line}\n")).collect();
        let calls: Vec<_> = lines.collect();
        assert!(!file.is_empty() && calls.len() == 2, "{}", self.told);
        (file, calls)
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> String {
        let file = self.folder.join(name);
        fs::write(&file, text).expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("its mode");
        file.display().to_string()
    }

    /// Types `lines` into a shell at home.
    fn types(&self, lines: &str) -> Output {
        let roots = self.path("roots.pem");
        let roots = ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"].map(|name| format!("{name}={roots}"));
        let limit = PATIENCE.as_secs().to_string();
        let arguments: Vec<&str> = roots.iter().map(String::as_str).chain(["timeout", &limit, "sh", "-c", lines]).collect();
        self.lab.ns(Server).run("env", &arguments)
    }

    /// The hook as it is printed, and the call of `client`, at the lab's authority, for these names.
    fn orders(&self, client: &str, names: &[&str]) -> Output {
        let (hook, calls) = self.settings("certbot");
        let hook = self.write("hook", &hook, 0o700);
        let call =
            calls.into_iter().find(|call| call.contains(&format!("{client} "))).expect("a call").replace("/etc/acme-dns-hook", &hook);
        let quoted = |option: &str| names.iter().map(|name| format!("{option} '{name}' ")).collect::<String>();
        let call = match client {
            "lego" => call.replace("lego --email", &format!("lego --path {} --server {DIRECTORY} --email", self.path("lego"))),
            _ => {
                let folders = ["config", "work", "logs"].map(|name| format!("--{name}-dir {}", self.path(&format!("certbot-{name}"))));
                format!("{call} --server {DIRECTORY} --non-interactive --agree-tos --email me@example.org {}", folders.join(" "))
            }
        };
        let call = call.replace(&format!("--domains {DUAL} "), &quoted("--domains")).replace(&format!("-d {DUAL} "), &quoted("-d"));
        assert!(names.iter().all(|name| call.contains(&format!("'{name}'"))), "{call}");
        self.types(&call)
    }

    /// The values of the record, as everybody's resolver has them.
    fn proofs(&self) -> usize {
        self.lab.dig(Dns, Some(VPS4), RECORD, "TXT").of("TXT").len()
    }
}

/// The names in a certificate, in order.
fn names_in(certificate: &Path) -> Vec<String> {
    let output = std::process::Command::new("openssl").args(["x509", "-noout", "-ext", "subjectAltName", "-in"]).arg(certificate).output();
    let text = said(&output.expect("openssl"));
    let mut names: Vec<String> = text.split("DNS:").skip(1).map(|name| name.trim().trim_end_matches(',').to_owned()).collect();
    names.sort();
    names
}

/// An authority, and a server with the host `cloud`, whose own certificate is that authority's.
fn start(lab: &Lab) -> (Authority, Role) {
    let authority = lab.start_authority(DAYS90, &[]);
    let vps = lab.start_vps_ordering(&[]);
    vps.wait_for_certificate("acme", ORDERED);
    vps.add_host("cloud", &[&format!("alias={ALIAS}")]);
    (authority, vps)
}

#[test]
fn lego_gets_certificates_for_a_name_its_wildcard_and_an_own_domain() {
    let lab = Lab::beside_others();
    let (authority, vps) = start(&lab);
    let home = Home::new(&lab, &vps);
    let orders = |names: &[&str]| {
        let output = home.orders("lego", names);
        assert!(output.status.success(), "{}", said(&output));
        names_in(&home.folder.join("lego/certificates").join(format!("{}.crt", names[0].replace('*', "_"))))
    };
    assert_eq!(orders(&[DUAL]), [DUAL]);
    assert_eq!(home.proofs(), 1);
    assert_eq!(orders(&[WILDCARD, DUAL]), [WILDCARD, DUAL], "one value beside the other");
    assert!(home.proofs() >= 2, "{}", home.proofs());

    // The user's own domain, as the printed settings have it for the registrar.
    let line = home.told.lines().find(|line| line.contains("CNAME") && line.contains(ALIAS)).expect("a line for the registrar").trim();
    lab.edit_registrar(|zone| format!("{zone}{line}\n"));
    assert_eq!(orders(&[ALIAS, DUAL]), [DUAL, ALIAS]);
    assert_eq!(authority.count("Issued certificate"), 4, "with the server's own");
}

#[test]
fn certbot_gets_a_certificate_for_a_name_and_its_wildcard_until_the_account_is_void() {
    let lab = Lab::beside_others();
    let (_authority, vps) = start(&lab);
    let home = Home::new(&lab, &vps);
    // It writes all values before it has the first one looked at.
    let output = home.orders("certbot", &[DUAL, WILDCARD]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(names_in(&home.folder.join("certbot-config/live/cloud.dyn.example.org/cert.pem")), [WILDCARD, DUAL]);
    assert_eq!(home.proofs(), 2);

    assert!(home.vps.tell(&["host", "token", "cloud", "--acme-dns"]).status.success());
    let output = home.orders("certbot", &["www.cloud.dyn.example.org", DUAL]);
    assert!(!output.status.success() && said(&output).contains("401"), "{}", said(&output));
    assert_eq!(home.proofs(), 2, "nothing came to the record");
}
