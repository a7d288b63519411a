//! The certificate that we sign ourselves, as long as there is no other.

use fourward_core::name::DnsName;
use fourward_core::renewal::Span;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{Certificate, CertificateError};

/// A certificate for `name` and, behind it, the one that signs it, with one `key` (PKCS #8). The second is what clients may be told to trust:
/// both are made anew at each start, and only an authority is known again by its name and key. It can speak for `name` alone.
///
/// # Errors
/// The key is unusable.
pub fn self_signed(name: &DnsName, key: &[u8]) -> Result<Certificate, CertificateError> {
    let pair = KeyPair::try_from(key)?;
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, format!("{name} (fourward, self-signed)"));
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let only = GeneralSubtree::DnsName(name.to_string());
    authority.name_constraints = Some(NameConstraints { permitted_subtrees: vec![only], excluded_subtrees: Vec::new() });
    let mut own = CertificateParams::new(vec![name.to_string()])?;
    own.distinguished_name.push(DnType::CommonName, "fourward");
    own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let root = authority.self_signed(&pair)?.into();
    let leaf = own.signed_by(&pair, &Issuer::from_params(&authority, &pair))?.into();
    // Said here and not read back: a server that never sees another certificate needs no reader of them in its memory.
    let (from, until) = (own.not_before.unix_timestamp(), own.not_after.unix_timestamp());
    let time = |seconds| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    let good = Span { from: time(from), until: time(until) };
    Certificate::with(vec![leaf, root], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec())), good)
}
