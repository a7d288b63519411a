use super::*;

#[test]
fn a_secondary_is_told_from_an_address_that_it_knows() {
    let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    // Of the public addresses only the second one is this machine's own.
    let public = [ip("192.0.2.11"), ip("127.0.0.7"), ip("2001:db8:a::11")];
    assert_eq!(source(at("198.51.100.53:53"), &public), at("127.0.0.7:0"));
    assert_eq!(source(at("127.0.0.1:53"), &public), at("0.0.0.0:0"));
    assert_eq!(source(at("[2001:db8::53]:53"), &public), at("[::]:0"));
    assert_eq!(source(at("198.51.100.53:53"), &[]), at("0.0.0.0:0"));
}
