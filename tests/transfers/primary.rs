//! Our side: a name server on loopback over a store, its zone signed.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::Arc;

use fourward::config::{Dns, Key, Public};
use fourward::dns::{self, Keys, TransferMeter, Transfers};
use fourward::signer::{Signer, with_new_key};
use fourward::store::{Finish, Store};
use fourward_core::change::{Change, Said, Serial};
use fourward_core::dnssec::{Algorithm as ZoneAlgorithm, Phase};
use fourward_core::host::{Digest, JoinSecret};
use fourward_core::name::{DnsName, HostName};
use fourward_core::policy::Policy;
use fourward_core::transfer::Secondary;
use fourward_core::tsig::Algorithm;
use jiff::Timestamp;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{KEY, SECRET, ZONE};

/// A second key, of another secondary.
pub(crate) const OTHER_KEY: &str = "to-third";

pub(crate) struct Primary {
    pub(crate) address: SocketAddr,
    pub(crate) store: Store,
    pub(crate) transfers: Arc<Transfers>,
    _folder: TempDir,
    _stop: DropGuard,
}

pub(crate) fn name(text: &str) -> DnsName {
    text.parse().expect("a name")
}

fn host(label: &str) -> HostName {
    HostName::new(label, name(ZONE)).expect("a host")
}

/// A secondary at `address`, known by a key or by where it is.
pub(crate) fn secondary(address: SocketAddr, key: Option<&str>) -> Secondary {
    Secondary { address, key: key.map(name) }
}

impl Primary {
    /// A signed zone with a host `cloud`, given to `secondaries`.
    pub(crate) async fn start(secondaries: Vec<Secondary>) -> Self {
        Self::with(secondaries, true).await
    }

    pub(crate) async fn with(secondaries: Vec<Secondary>, signed: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), Policy::default()).expect("a store");
        let secret_file = folder.path().join("key");
        fs::write(&secret_file, SECRET).expect("written");
        fs::set_permissions(&secret_file, Permissions::from_mode(0o600)).expect("set");
        let key = |key: &str| Key { name: name(key), algorithm: Algorithm::HmacSha256, secret_file: secret_file.clone(), grant: None };
        let dns = Dns {
            zones: vec![name(ZONE)],
            listen: vec![(Ipv4Addr::LOCALHOST, 0).into()],
            ttl: 60,
            rate_limit: 0,
            nameservers: vec![name("gw.dyn.example.org")],
            keys: vec![key(KEY), key(OTHER_KEY)],
            secondaries,
            dnssec: signed.then_some(ZoneAlgorithm::EcdsaP256Sha256),
        };
        let (ipv4, ipv6) = (vec![Ipv4Addr::new(192, 0, 2, 11)], vec!["2001:db8:a::11".parse().expect("v6")]);
        let public = Public { ipv4, ipv6, name: name("gw.dyn.example.org") };
        let sockets = dns::bind(&dns, []).expect("a free port");
        let address = sockets.addresses()[0];
        let settings = dns::settings(&dns, &public);
        let transfers = Transfers::new(&dns.secondaries, store.clone()).expect("secondaries");
        store.keep_journal(settings.params.clone());
        let signer = Signer::new(settings.params.clone());
        store.finish_by(Arc::clone(&signer) as Arc<dyn Finish>);
        store.commit(Change::Serve { zone: name(ZONE), apex: Digest([0; 32]), at: Timestamp::now() }).await.expect("served");
        if let Some(algorithm) = dns.dnssec {
            let keys = with_new_key(&name(ZONE), None, algorithm, Phase::Active, Timestamp::now()).expect("a key");
            store.commit(Change::ZoneKeys { zone: name(ZONE), keys: Some(keys) }).await.expect("kept");
        }
        let settings = dns::Settings {
            transfers: Some(Arc::clone(&transfers)),
            keys: Arc::new(Keys::read(&dns.keys).expect("good keys")),
            ..settings
        };
        let cancel = CancellationToken::new();
        tokio::spawn(dns::run(sockets, settings, store.watch(), [7; 32], cancel.clone()));
        let primary = Self { address, store, transfers, _folder: folder, _stop: cancel.drop_guard() };
        primary
            .add("cloud", &["wildcard=on", "record=TXT \"v=spf1 -all\"", "record+=MX 10 @", "caa=issue ca.example.org", "alpn=h2"])
            .await;
        primary
    }

    pub(crate) async fn commit(&self, change: Change) {
        self.store.commit(change).await.expect("a good change");
    }

    pub(crate) async fn add(&self, label: &str, edits: &[&str]) {
        let join = JoinSecret { secret: Digest([1; 32]), expires: Timestamp::UNIX_EPOCH, spent_by: None };
        let edits = ["address-from=update"].iter().chain(edits).map(|edit| edit.parse().expect("an edit")).collect();
        self.commit(Change::Add { host: host(label), edits, join, update: Digest([2; 32]), reuse: true }).await;
    }

    pub(crate) async fn remove(&self, label: &str) {
        self.commit(Change::Remove { host: host(label), at: Timestamp::now() }).await;
    }

    pub(crate) async fn challenge(&self, label: &str, values: &[String]) {
        let before = self.store.snapshot().host(&host(label)).expect("there").challenge.clone();
        self.commit(Change::Challenge { host: host(label), before, values: values.iter().cloned().collect() }).await;
    }

    pub(crate) async fn moved(&self, label: &str, at: u32) {
        let said = Said::addresses(None, Some((0x2001_0db8_0001_u128 << 80 | u128::from(at)).into()));
        self.commit(Change::Update { host: host(label), said, at: Timestamp::now() }).await;
    }

    /// `count` changes of every kind, as fast as the disk takes them; each has another number.
    pub(crate) async fn churn(&self, from: u32, count: u32) {
        for at in from..from + count {
            let label = format!("h{}", at % 7);
            match at % 10 {
                0 if self.store.snapshot().host(&host(&label)).is_none() => self.add(&label, &["wildcard=on"]).await,
                1 if self.store.snapshot().host(&host(&label)).is_some() => self.remove(&label).await,
                2 => self.challenge("cloud", &[format!("proof-{at}"), "another".into()]).await,
                3 => self.challenge("cloud", &[]).await,
                _ => self.moved("cloud", at).await,
            }
        }
    }

    /// What a new configuration does: nothing that was before leads to this version.
    pub(crate) async fn reconfigure(&self, digest: u8) {
        self.commit(Change::Serve { zone: name(ZONE), apex: Digest([digest; 32]), at: Timestamp::now() }).await;
    }

    pub(crate) fn serial(&self) -> Serial {
        self.store.snapshot().zone(&name(ZONE)).expect("served").serial
    }

    /// Transfers that came to their end: whole ones, step by step, and those where there was nothing new.
    pub(crate) fn given(&self) -> [u64; 3] {
        self.meter().given().map(|(_, count)| count)
    }

    pub(crate) fn meter(&self) -> &TransferMeter {
        self.transfers.meter()
    }

    /// The records of the zone, as whoever has the key gets them.
    pub(crate) fn zone(&self) -> Vec<String> {
        records(&said(self.address, &["-y", &format!("hmac-sha256:{KEY}:{SECRET}"), "+onesoa", ZONE, "AXFR"]))
    }
}

/// What dig prints, asked of `server` once.
pub(crate) fn said(server: SocketAddr, arguments: &[&str]) -> String {
    let (at, port) = (format!("@{}", server.ip()), format!("-p{}", server.port()));
    let common = ["+norec", "+tries=1", "+time=5", &at, &port];
    let output = Command::new("dig").args(common).args(arguments).output().expect("dig is in bind9-dnsutils");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The records in `text`, sorted, a blank between two fields; without the signature of the message.
pub(crate) fn records(text: &str) -> Vec<String> {
    let plain = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_record = |line: &&str| !line.starts_with(';') && !line.trim().is_empty() && !line.contains("\tTSIG\t");
    let mut records: Vec<String> = text.lines().filter(is_record).map(plain).collect();
    records.sort_unstable();
    records
}
