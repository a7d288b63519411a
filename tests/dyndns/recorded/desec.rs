//! Clients of deSEC and dynv6.

use super::{AT4, AT6, Row, over6, row};

/// Clients of deSEC and dynv6.
pub(crate) const DESEC_AND_DYNV6: &[Row] = &[
    row(
        "inadyn 2.12, deSEC, IPv4: it looks for its own address in the answer",
        "GET /?username={HOST}&passwword={PASSWORD}&hostname={HOST}&myipv4=100.64.9.9 HTTP/1.0
Host: gw.dyn.example.org
User-Agent: inadyn/2.12.0 https://github.com/troglobit/inadyn/issues
",
        200,
        "good 100.64.9.9\n",
        [AT6, "100.64.9.9", AT6],
    ),
    row(
        "inadyn 2.12, deSEC, IPv6",
        "GET /?username={HOST}&passwword={PASSWORD}&hostname={HOST}&myipv6=2001:db8:100:7::22 HTTP/1.0
Host: gw.dyn.example.org
User-Agent: inadyn/2.12.0 https://github.com/troglobit/inadyn/issues
",
        200,
        "good 2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", AT4, "2001:db8:100:7::22"],
    ),
    row(
        "OpenWrt, deSEC, IPv4",
        "GET /update?username={HOST}&password={PASSWORD}&hostname={HOST}&myipv4=100.64.9.9&myipv6=preserve HTTP/1.1
Host: gw.dyn.example.org
User-Agent: curl/8.6.0
",
        200,
        "good 100.64.9.9\n",
        [AT6, "100.64.9.9", AT6],
    ),
    row(
        "OpenWrt, deSEC, IPv6",
        "GET /update?username={HOST}&password={PASSWORD}&hostname={HOST}&myipv6=2001:db8:100:7::22&myipv4=preserve HTTP/1.1
Host: gw.dyn.example.org
User-Agent: curl/8.6.0
",
        200,
        "good 2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", AT4, "2001:db8:100:7::22"],
    ),
    row(
        "OPNsense, deSEC, by token",
        "GET /nic/update?hostname={HOST}&myipv6=2001%3Adb8%3A100%3A7%3A%3A22&myipv4=preserve HTTP/1.1
Host: gw.dyn.example.org
User-Agent: OPNsense-dyndns
Accept: */*
Authorization: Token {PASSWORD}
",
        200,
        "good 2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", AT4, "2001:db8:100:7::22"],
    ),
    row(
        "OPNsense, deSEC, prune: what is empty is kept here",
        "GET /nic/update?hostname={HOST}&myipv4=100.64.9.9&myipv6= HTTP/1.1
Host: gw.dyn.example.org
User-Agent: OPNsense-dyndns
Authorization: Token {PASSWORD}
",
        200,
        "good 192.0.2.11\n",
        [AT6, "100.64.9.9", AT6],
    ),
    row(
        "OPNsense, deSEC by a custom URL",
        "GET /?hostname={HOST}&myip=preserve&myipv6=2001:db8:100:7::22 HTTP/1.1
Host: gw.dyn.example.org
User-Agent: OPNsense-dyndns
Authorization: Basic {BASIC}
",
        200,
        "good 2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", AT4, "2001:db8:100:7::22"],
    ),
    row(
        "deSEC, a prefix",
        "GET /update?username={HOST}&password={PASSWORD}&myipv6=2001:db8:100:7::/64&myipv4=preserve HTTP/1.1
Host: gw.dyn.example.org
",
        200,
        "good 2001:db8:100:7::11\n",
        ["2001:db8:100:7::11", AT4, AT6],
    ),
    row(
        "deSEC, an address for one host alone",
        "GET /update?hostname={HOST}&myipv6=2001:db8:100:7::/64&myipv6:{HOST}=2001:db8:100:8::33&myipv4=preserve HTTP/1.1
Host: gw.dyn.example.org
Authorization: Token {PASSWORD}
",
        200,
        "good 2001:db8:100:8::33\n",
        ["2001:db8:100:8::33", AT4, "2001:db8:100:8::33"],
    ),
    row(
        "deSEC, several hosts: all or none",
        "GET /?hostname={HOST},nobody.dyn.example.org&myipv6=2001:db8:100:7::22 HTTP/1.1
Host: gw.dyn.example.org
Authorization: Token {PASSWORD}
",
        404,
        "nohost\n",
        [AT6, AT4, AT6],
    ),
    over6(row(
        "inadyn 2.10, dynv6, IPv6: where it comes from",
        "GET /api/update?ipv6=auto&hostname={HOST}&token={PASSWORD} HTTP/1.0
Host: gw.dyn.example.org
User-Agent: inadyn/2.10.0 https://github.com/troglobit/inadyn/issues
",
        200,
        "addresses updated\n",
        ["2001:db8:100::11", AT4, "2001:db8:100::11"],
    )),
    row(
        "inadyn 2.10, dynv6, IPv4",
        "GET /api/update?ipv4=auto&hostname={HOST}&token={PASSWORD} HTTP/1.0
Host: gw.dyn.example.org
User-Agent: inadyn/2.10.0 https://github.com/troglobit/inadyn/issues
",
        200,
        "addresses updated\n",
        [AT6, "192.0.2.4", AT6],
    ),
    row(
        "OpenWrt, dynv6",
        "GET /api/update?hostname={HOST}&token={PASSWORD}&ipv6=2001:db8:100:7::22 HTTP/1.1
Host: gw.dyn.example.org
User-Agent: Wget/1.21
",
        200,
        "addresses updated\n",
        ["2001:db8:100:7::22", AT4, "2001:db8:100:7::22"],
    ),
    row(
        "dynv6's own script, a repetition, with the length of the prefix",
        "GET /api/update?zone={HOST}&ipv6=2001:db8:100:5::11/64&token={PASSWORD} HTTP/1.1
Host: gw.dyn.example.org
User-Agent: curl/8.6.0
",
        200,
        "addresses unchanged\n",
        [AT6, AT4, AT6],
    ),
    row(
        "dynv6, a prefix",
        "GET /api/update?zone={HOST}&token={PASSWORD}&ipv6prefix=2001:db8:100:7700::/56 HTTP/1.1
Host: gw.dyn.example.org
",
        200,
        "addresses updated\n",
        ["2001:db8:100:7705::11", AT4, AT6],
    ),
    row(
        "dynv6, taken away",
        "GET /api/update?Hostname={HOST}&token={PASSWORD}&ipv4=-&ipv6=- HTTP/1.1
Host: gw.dyn.example.org
",
        200,
        "addresses updated\n",
        ["", "", ""],
    ),
    row(
        "dynv6, a prefix that would have to be guessed",
        "GET /api/update?zone={HOST}&token={PASSWORD}&ipv6prefix=auto HTTP/1.1
Host: gw.dyn.example.org
",
        400,
        "dnserr ipv6prefix=auto is not guessed: the network that a router's own address is in need not be the one at home; send the prefix itself\n",
        [AT6, AT4, AT6],
    ),
    row(
        "dynv6, a wrong token",
        "GET /api/update?zone={HOST}&token=wrong&ipv6=2001:db8:100:7::22 HTTP/1.1
Host: gw.dyn.example.org
",
        401,
        "badauth\n",
        [AT6, AT4, AT6],
    ),
    row(
        "dynv6, an unknown zone",
        "GET /api/update?zone=nobody.dyn.example.org&token={PASSWORD}&ipv6=2001:db8:100:7::22 HTTP/1.1
Host: gw.dyn.example.org
",
        401,
        "badauth\n",
        [AT6, AT4, AT6],
    ),
];
