//! Clients of dyndns2 and its nearest kin.

use super::{AT4, AT6, Row, over6, row};

/// Clients of dyndns2.
pub(crate) const DYNDNS2: &[Row] = &[
    row(
        "ddclient 3.10, IPv4",
        "GET /nic/update?system=dyndns&hostname={HOST}&myip=100.64.9.9 HTTP/1.1
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: ddclient/3.10.0
Connection: close
",
        200,
        "good 192.0.2.11\n",
        [AT6, "100.64.9.9", AT6],
    ),
    row(
        "ddclient 3.10, IPv6",
        "GET /nic/update?system=dyndns&hostname={HOST}&myip=2001:db8:100:7::22 HTTP/1.1
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: ddclient/3.10.0
Connection: close
",
        200,
        "good 2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", AT4, "2001:db8:100:7::22"],
    ),
    row(
        "ddclient 3.11 and later, both families",
        "GET /nic/update?hostname={HOST}&myip=100.64.9.9,2001:db8:100:7::22 HTTP/1.1
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: ddclient/3.11.2
Accept: */*
",
        200,
        "good 192.0.2.11,2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", "100.64.9.9", "2001:db8:100:7::22"],
    ),
    row(
        "ddclient 3.11 and later, all that it can add",
        "GET /nic/update?hostname={HOST}&myip=2001:db8:100:7::22&wildcard=ON&mx=mail.example.org&backmx=NO HTTP/1.1
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: ddclient/4.0.0
",
        200,
        "good 2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", AT4, "2001:db8:100:7::22"],
    ),
    row(
        "ddclient, a repetition",
        "GET /nic/update?hostname={HOST}&myip=100.64.0.7,2001:db8:100:5::11 HTTP/1.1
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: ddclient/3.11.2
",
        200,
        "nochg 192.0.2.11,2001:db8:100:5::11\n",
        [AT6, AT4, AT6],
    ),
    row(
        "inadyn 2.10",
        "GET /nic/update?hostname={HOST}&myip=2001:db8:100:7::22&wildcard=ON HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: inadyn/2.10.0 https://github.com/troglobit/inadyn/issues
",
        200,
        "good 2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", AT4, "2001:db8:100:7::22"],
    ),
    row(
        "OPNsense, IPv4",
        "GET /nic/update?hostname={HOST}&myip=100.64.9.9&wildcard=NOCHG HTTP/1.1
Host: gw.dyn.example.org
User-Agent: OPNsense-dyndns
Accept-Encoding: gzip, deflate
Accept: */*
Connection: keep-alive
Authorization: Basic {BASIC}
",
        200,
        "good 192.0.2.11\n",
        [AT6, "100.64.9.9", AT6],
    ),
    row(
        "OPNsense, IPv6",
        "GET /nic/update?hostname={HOST}&myip=2001%3Adb8%3A100%3A7%3A%3A22&wildcard=ON HTTP/1.1
Host: gw.dyn.example.org
User-Agent: OPNsense-dyndns
Accept-Encoding: gzip, deflate
Accept: */*
Connection: keep-alive
Authorization: Basic {BASIC}
",
        200,
        "good 2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", AT4, "2001:db8:100:7::22"],
    ),
    row(
        "OPNsense, a custom POST",
        "POST /nic/update?hostname={HOST}&myip=2001:db8:100:7::22 HTTP/1.1
Host: gw.dyn.example.org
User-Agent: OPNsense-dyndns
Connection: keep-alive
Content-Length: 0
Authorization: Basic {BASIC}
",
        200,
        "good 2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", AT4, "2001:db8:100:7::22"],
    ),
    row(
        "pfSense",
        "GET /nic/update?system=dyndns&hostname={HOST}&myip=100.64.9.9&wildcard=ON&mx=&backmx=NO HTTP/1.1
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: phpDynDNS/0.7
Accept: */*
",
        200,
        "good 192.0.2.11\n",
        [AT6, "100.64.9.9", AT6],
    ),
    row(
        "OpenWrt, dyndns.org",
        "GET /v3/update?hostname={HOST}&myip=2001:db8:100:7::22 HTTP/1.1
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: curl/8.6.0
Accept: */*
",
        200,
        "good 2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", AT4, "2001:db8:100:7::22"],
    ),
    row(
        "OpenWrt, dynu.com, IPv6",
        "GET /nic/update?hostname={HOST}&myip=no&myipv6=2001:db8:100:7::22&username={LABEL}&password={PASSWORD} HTTP/1.1
Host: gw.dyn.example.org
User-Agent: Wget/1.21
",
        200,
        "good 2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", AT4, "2001:db8:100:7::22"],
    ),
    row(
        "OpenWrt, he.net",
        "GET /nic/update?hostname={HOST}&password={PASSWORD}&myip=2001:db8:100:7::22 HTTP/1.1
Host: gw.dyn.example.org
User-Agent: uclient-fetch
",
        200,
        "good 2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", AT4, "2001:db8:100:7::22"],
    ),
    row(
        "OpenWrt, do.de",
        "GET /?myip=100.64.9.9&hostname={HOST}&username={LABEL}&password={PASSWORD} HTTP/1.1
Host: gw.dyn.example.org
User-Agent: curl/8.6.0
",
        200,
        "good 100.64.9.9\n",
        [AT6, "100.64.9.9", AT6],
    ),
    row(
        "UniFi (inadyn inside, IPv4 alone)",
        "GET /nic/update?hostname={HOST}&myip=100.64.9.9 HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: inadyn/2.9.1 https://github.com/troglobit/inadyn/issues
",
        200,
        "good 192.0.2.11\n",
        [AT6, "100.64.9.9", AT6],
    ),
    row(
        "Synology, a provider of the owner's own",
        "GET /nic/update?hostname={HOST}&myip=100.64.9.9&username={LABEL}&password={PASSWORD} HTTP/1.1
Host: gw.dyn.example.org
User-Agent: DDNS Updater/1.0
Accept: */*
",
        200,
        "good 192.0.2.11\n",
        [AT6, "100.64.9.9", AT6],
    ),
    row(
        "Hikvision: an empty myip is where it comes from",
        "GET /nic/update?hostname={HOST}&myip=&wildcard=NOCHG&mx=NOCHG&backmx=NOCHG&offline=NO HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: hikvision
",
        200,
        "good 192.0.2.11\n",
        [AT6, "192.0.2.4", AT6],
    ),
    over6(row(
        "Hikvision, over IPv6",
        "GET /nic/update?hostname={HOST}&myip=&wildcard=NOCHG&mx=NOCHG&backmx=NOCHG&offline=NO HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: hikvision
",
        200,
        "good 2001:db8:100::11\n",
        ["2001:db8:100::11", AT4, "2001:db8:100::11"],
    )),
    row(
        "freedyn: two addresses by two parameters",
        "GET /nic/update?host={HOST}&myip=100.64.9.9&myip2=2001:db8:100:7::22 HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
",
        200,
        "good 192.0.2.11,2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", "100.64.9.9", "2001:db8:100:7::22"],
    ),
    row(
        "nsupdate.info: no host, the user is it",
        "GET /nic/update?myip=2001:db8:100:7::22 HTTP/1.1
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
",
        200,
        "good 2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", AT4, "2001:db8:100:7::22"],
    ),
    row(
        "nsupdate.info: taken away",
        "GET /nic/delete?hostname={HOST}&myip=:: HTTP/1.1
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
",
        200,
        "deleted AAAA\n",
        ["", AT4, ""],
    ),
    row(
        "inadyn 2.12, ipv64.net: the token is the name",
        "GET /nic/update?token={HOST}&ip6=2001:db8:100:7::22 HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: inadyn/2.12.0 https://github.com/troglobit/inadyn/issues
",
        200,
        "good 2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", AT4, "2001:db8:100:7::22"],
    ),
    row(
        "OpenWrt, ipv64.net",
        "GET /nic/update?domain={HOST}&key={PASSWORD}&ipv6=2001:db8:100:7::22 HTTP/1.1
Host: gw.dyn.example.org
User-Agent: curl/8.6.0
",
        200,
        "good 2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", AT4, "2001:db8:100:7::22"],
    ),
    row(
        "ipv64.net, a prefix",
        "GET /update.php?key={PASSWORD}&domain={HOST}&praefix=2001:db8:100:7::/64 HTTP/1.1
Host: gw.dyn.example.org
",
        200,
        "good 2001:db8:100:7::11\n",
        ["2001:db8:100:7::11", AT4, AT6],
    ),
    row(
        "no credentials",
        "GET /nic/update?hostname={HOST}&myip=100.64.9.9 HTTP/1.0
Host: gw.dyn.example.org
",
        401,
        "badauth\n",
        [AT6, AT4, AT6],
    ),
    row(
        "another host's name among ours",
        "GET /nic/update?hostname=nobody.dyn.example.org,{HOST}&myip=2001:db8:100:7::22 HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
",
        200,
        "nohost\ngood 2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", AT4, "2001:db8:100:7::22"],
    ),
];
