//! FRITZ!Boxes: HTTP/1.0, and values in the URL as they are.

use super::{AT4, AT6, Row, row};

/// What FRITZ!Boxes send, by the URLs that their owners enter.
pub(crate) const FRITZ_BOX: &[Row] = &[
    row(
        "both families",
        "GET /nic/update?hostname={LABEL}-router.dyn.example.org&myip=100.64.9.9&myipv6=2001:db8:100:7::1 HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: Fritz!Box DDNS/1.0.1
",
        200,
        "good 192.0.2.11,2001:db8:100:7::1\n",
        ["2001:db8:100:7::1", "100.64.9.9", "2001:db8:100:7::1"],
    ),
    row(
        "no IPv4 (DS-Lite), the placeholder left in place",
        "GET /nic/update?hostname={LABEL}-router.dyn.example.org&myip=<ipaddr>&myipv6=2001:db8:100:7::1 HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: Fritz!Box DDNS/1.0.1
",
        200,
        "good 2001:db8:100:7::1\n",
        ["2001:db8:100:7::1", AT4, "2001:db8:100:7::1"],
    ),
    row(
        "no IPv6, the placeholders left in place",
        "GET /nic/update?hostname=<domain>&myip=100.64.9.9&myipv6=<ip6addr>&ip6lanprefix=<ip6lanprefix>&dualstack=<dualstack> HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: Fritz!Box DDNS/1.0.1
",
        200,
        "good 192.0.2.11\n",
        [AT6, "100.64.9.9", AT6],
    ),
    row(
        "no IPv6, nothing in its place",
        "GET /nic/update?hostname={HOST}&myip=100.64.9.9&myipv6=&ip6lanprefix= HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: Fritz!Box DDNS/1.0.1
",
        200,
        "good 192.0.2.11\n",
        [AT6, "100.64.9.9", AT6],
    ),
    row(
        "the prefix at home, which its own address is not in",
        "GET /nic/update?hostname={HOST}&myip=100.64.9.9&myipv6=2001:db8:ffff::1&ip6lanprefix=2001:db8:100:7::/64&dualstack=1 HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: Fritz!Box DDNS/1.0.1
",
        200,
        "good 192.0.2.11,2001:db8:100:7::11\n",
        ["2001:db8:100:7::11", "100.64.9.9", "2001:db8:ffff::1"],
    ),
    row(
        "a prefix shorter than a /64: the subnet stays",
        "GET /nic/update?hostname={HOST}&ip6lanprefix=2001:db8:100:7720::/59 HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: Fritz!Box DDNS/1.0.1
",
        200,
        "good 2001:db8:100:7725::11\n",
        ["2001:db8:100:7725::11", AT4, AT6],
    ),
    row(
        "the address of a machine behind it: its prefix, and what the owner wrote after it",
        "GET /nic/update?hostname={HOST}&myip=100.64.9.9&myipv6=2001:db8:ffff::1&ip6lanprefix=2001:db8:100:7::/64::22 HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: Fritz!Box DDNS/1.0.1
",
        200,
        "good 192.0.2.11,2001:db8:100:7::22\n",
        ["2001:db8:100:7::22", "100.64.9.9", "2001:db8:ffff::1"],
    ),
    row(
        "prefix and interface identifier run together, repaired",
        "GET /nic/update?hostname={HOST}&myip=<ipaddr>&myipv6=2001:db8:100:7::/647656:11ff:fe22:3344 HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: Fritz!Box DDNS/1.0.1
",
        200,
        "good 2001:db8:100:7:7656:11ff:fe22:3344\n",
        ["2001:db8:100:7:7656:11ff:fe22:3344", AT4, "2001:db8:100:7:7656:11ff:fe22:3344"],
    ),
    row(
        "run together, and not to be repaired",
        "GET /nic/update?hostname={HOST}&myipv6=2001:db8:100:7::/6411ff:fe22:3344 HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: Fritz!Box DDNS/1.0.1
",
        200,
        "dnserr myipv6=\"2001:db8:100:7::/6411ff:fe22:3344\" is a prefix and the rest of an address run together, and can be read in more ways \
         than one: send the whole of the rest (four groups, or beginning with ::), or the prefix alone as ip6lanprefix=…\n",
        [AT6, AT4, AT6],
    ),
    row(
        "two URLs in one field, the firmware knows of one",
        "GET /nic/update?hostname={HOST}&myip=100.64.9.9 https://gw.dyn.example.org/nic/update?hostname={HOST}&myip=2001:db8:100:7::1 HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: Fritz!Box DDNS/1.0.1
",
        200,
        "good 192.0.2.11,2001:db8:100:7::1\n",
        ["2001:db8:100:7::1", "100.64.9.9", "2001:db8:100:7::1"],
    ),
    row(
        "two URLs, sent one after another: the first",
        "GET /nic/update?hostname={HOST}&myip=100.64.9.9 HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: Fritz!Box DDNS/1.0.1
",
        200,
        "good 192.0.2.11\n",
        [AT6, "100.64.9.9", AT6],
    ),
    row(
        "values with spaces around them",
        "GET /nic/update?hostname={HOST}&myip= 100.64.9.9 &myipv6= 2001:db8:100:7::1 HTTP/1.0
Host: gw.dyn.example.org
Authorization: Basic {BASIC}
User-Agent: Fritz!Box DDNS/1.0.1
",
        200,
        "good 192.0.2.11,2001:db8:100:7::1\n",
        ["2001:db8:100:7::1", "100.64.9.9", "2001:db8:100:7::1"],
    ),
    row(
        "user and password in the URL",
        "GET /nic/update?user={LABEL}&pass={PASSWORD}&hostname={HOST}&myip=100.64.9.9&myipv6=<ip6addr> HTTP/1.0
Host: gw.dyn.example.org
User-Agent: Fritz!Box DDNS/1.0.1
",
        200,
        "good 192.0.2.11\n",
        [AT6, "100.64.9.9", AT6],
    ),
];
