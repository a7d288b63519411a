//! What a certificate is good for, and what becomes of files that change under our feet.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use fourward_core::api::CertificateSource;
use jiff::SignedDuration;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;

fn own() -> DnsName {
    "gw.dyn.example.org".parse().expect("a name")
}

fn write(folder: &Path, names: &[&str]) -> Files {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).expect("names");
    let files = Files { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
    fs::write(&files.certificate, params.self_signed(&key).expect("a certificate").pem()).expect("written");
    fs::write(&files.key, key.serialize_pem()).expect("written");
    files
}

fn made(folder: &Path, names: &[&str]) -> Certificate {
    write(folder, names).read().expect("a good pair")
}

#[test]
fn a_certificate_knows_its_names_and_its_faults() {
    let folder = TempDir::new().expect("a folder");
    let now = Timestamp::now();
    for names in [&["gw.dyn.example.org"][..], &["a.example.org", "gw.dyn.example.org"], &["*.dyn.example.org"]] {
        assert_eq!(made(folder.path(), names).fault(&own(), now), None, "{names:?}");
    }
    let other = made(folder.path(), &["dyn.example.org"]).fault(&own(), now).expect("a fault");
    assert!(other.contains("not for gw.dyn.example.org"), "{other}");
    let good = made(folder.path(), &["gw.dyn.example.org"]);
    let (before, after) = (good.good().from - SignedDuration::from_secs(1), good.good().until);
    assert!(good.fault(&own(), before).is_some_and(|fault| fault.contains("clock")));
    assert!(good.fault(&own(), after).is_some_and(|fault| fault.contains("ended on")));
    assert!(!good.is_public(&own()), "no public authority signed it");
}

#[test]
fn the_self_signed_one_fits_its_name_for_as_long_as_anybody_runs_it() {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key").serialize_der();
    let one = self_signed(&own(), &key).expect("a certificate");
    let century = SignedDuration::from_hours(24 * 365 * 100);
    assert_eq!(one.fault(&own(), Timestamp::now() + century), None);
    assert!(self_signed(&own(), b"no key").is_err());
}

#[tokio::test(start_paused = true)]
async fn files_that_change_are_shown_and_broken_ones_leave_the_one_before() {
    let folder = TempDir::new().expect("a folder");
    let files = write(folder.path(), &["gw.dyn.example.org"]);
    let shown = Shown::new(own(), CertificateSource::Files, files.read().expect("a good pair"));
    let first = shown.current().1.leaf().to_vec();
    let cancel = CancellationToken::new();
    let follower = tokio::spawn(files.clone().follow(Arc::clone(&shown), cancel.clone()));
    let after = |change: Box<dyn FnOnce()>| async {
        change();
        // The clock is the test's: this is no waiting.
        tokio::time::sleep(std::time::Duration::from_secs(30)).await;
        (shown.current().1.leaf().to_vec(), shown.status().last_error)
    };

    assert_eq!(after(Box::new(|| {})).await, (first.clone(), None));
    let key = files.key.clone();
    let (leaf, error) = after(Box::new(move || fs::write(key, "no key").expect("written"))).await;
    assert!(leaf == first && error.as_ref().is_some_and(|error| error.contains("control.key")), "{error:?}");
    let gone = files.certificate.clone();
    let (leaf, error) = after(Box::new(move || fs::remove_file(gone).expect("removed"))).await;
    assert!(leaf == first && error.as_ref().is_some_and(|error| error.contains("No such file")), "{error:?}");
    let path = folder.path().to_owned();
    let (leaf, error) = after(Box::new(move || drop(write(&path, &["gw.dyn.example.org"])))).await;
    assert!(leaf != first && error.is_none(), "{error:?}");
    cancel.cancel();
    follower.await.expect("it ends");
}

#[tokio::test(start_paused = true)]
async fn what_mends_a_file_need_not_be_seen_from_outside() {
    let folder = TempDir::new().expect("a folder");
    let files = write(folder.path(), &["gw.dyn.example.org"]);
    let key = fs::read(&files.key).expect("a key");
    let put = |bytes: &[u8]| {
        fs::write(&files.key, bytes).expect("written");
        fs::File::options().append(true).open(&files.key).and_then(|file| file.set_modified(UNIX_EPOCH)).expect("a time");
    };
    put(&vec![b'x'; key.len()]);
    let own_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key").serialize_der();
    let shown = Shown::new(own(), CertificateSource::SelfSigned, self_signed(&own(), &own_key).expect("a certificate"));
    let cancel = CancellationToken::new();
    let follower = tokio::spawn(files.clone().follow(Arc::clone(&shown), cancel.clone()));
    let waited = || tokio::time::sleep(std::time::Duration::from_secs(30));
    waited().await;
    assert!(shown.last_error().is_some_and(|error| error.contains("control.key")));
    // As long and as old as before: so a right to read it would come, which root does not need.
    put(&key);
    waited().await;
    assert_eq!((shown.current().0, shown.last_error()), (CertificateSource::Files, None));
    cancel.cancel();
    follower.await.expect("it ends");
}

#[test]
fn an_authority_s_file_has_to_have_one() {
    let folder = TempDir::new().expect("a folder");
    let files = write(folder.path(), &["ca.example"]);
    assert_eq!(authorities("acme.root", &files.certificate).expect("one").len(), 1);
    for (path, part) in [(files.key.as_path(), "no certificate in it"), (Path::new("/nowhere"), "No such file")] {
        let error = authorities("acme.root", path).expect_err("refused").to_string();
        assert!(error.contains("acme.root") && error.contains(part), "{error}");
    }
}
