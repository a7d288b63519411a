//! ClientHellos as bytes (RFC 8446 §4.1.2, RFC 6066 §3), with any name in them.

/// A whole ClientHello in one record that asks for `name`, whatever bytes that is.
pub(crate) fn asking_for(name: &[u8]) -> Vec<u8> {
    with_names(&[name])
}

/// A ClientHello with several names where one belongs.
pub(crate) fn with_names(names: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = names.iter().flat_map(|name| [&[0][..], &vec16(name)].concat()).collect();
    let server_name = [&[0, 0][..], &vec16(&vec16(&list))].concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]); // no session, one suite, no compression
    body.extend(vec16(&server_name));
    let message = [&[1, 0][..], &vec16(&body)].concat();
    [&[22, 3, 1][..], &vec16(&message)].concat()
}

fn vec16(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a short vector");
    [&length.to_be_bytes()[..], bytes].concat()
}
