//! Headers of the PROXY protocol: whatever is read is written, by either version, as bytes that read the same.

use fourward_core::proxy_protocol::{Header, ProxyProtocol, read};

/// The longest that a header of version 2 can be.
const LONGEST: usize = 16 + u16::MAX as usize;

pub fn check(bytes: &[u8]) {
    let Ok(Header { ends, length }) = read(bytes) else { return };
    assert!(length <= bytes.len() && length <= LONGEST, "{length} of {}", bytes.len());
    let again = read(&bytes[..length]);
    assert_eq!(again, Ok(Header { ends, length }), "what stands behind it does not count");
    assert!(read(&bytes[..length - 1]).is_err(), "a part of one is none");
    let Some(ends) = ends else { return };
    for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
        let header = version.header(ends);
        let written = Header { ends: Some(ends), length: header.len() };
        assert_eq!(read(&header), Ok(written), "{version:?}");
        assert_eq!(read(&[&header[..], &bytes[length..]].concat()), Ok(written), "{version:?}, and more");
    }
}
