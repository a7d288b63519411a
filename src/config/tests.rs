//! What a configuration may say, and what is said of one that may not.

use super::*;

const SERVER: &str = r#"
[public]
ipv4 = ["192.0.2.11"]
ipv6 = ["2001:db8:a::11"]
[dns]
zones = ["dyn.example.org"]
[gateway]
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("test.toml"))
}

#[track_caller]
fn refused(text: &str, words: &[&str]) {
    let message = parse(text).expect_err(text).to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

#[test]
fn a_short_configuration_has_all_defaults() {
    let config = parse(SERVER).expect("good");
    assert_eq!(config.state, Path::new(DEFAULT_STATE));
    let server = config.server.expect("server");
    assert_eq!(server.public.name.as_str(), "gw.dyn.example.org");
    let dns = server.dns.expect("dns");
    assert_eq!((dns.ttl, dns.nameservers), (60, vec![server.public.name]));
    let gateway = server.gateway.expect("gateway");
    assert_eq!((gateway.tls, gateway.http), (443, 80));
    assert!(config.agent.is_none() && !server.control.http_updates);
    let permitted = parse(&format!("{SERVER}[control]\nhttp-updates = true\n")).expect("good");
    assert!(permitted.server.expect("server").control.http_updates);
}

#[test]
fn every_default_can_be_written_out() {
    let written = SERVER.replace(
        "[gateway]",
        "listen = []\nttl = 60\nrate-limit = 200\nnameservers = [\"gw.dyn.example.org\"]\nkeys = []\nsecondaries = []\ndnssec = true\ndnssec-algorithm = \"ecdsap256sha256\"\n[gateway]\n",
    ) + "tls = 443\nhttp = 80\nresolver = []\nlimits = { connections = 16384, half-open = 4096, per-network = 1024 }\n\
           timeouts = { hello = 5, dial = 5, idle = 3600, half-closed = 300, drain = 30 }\n[control]\nhttp-updates = false\n";
    assert_eq!(parse(&written).expect("good"), parse(SERVER).expect("good"));
}

#[test]
fn zones_are_signed_unless_that_is_refused() {
    let dns = |line: &str| SERVER.replace("[gateway]", &format!("{line}\n[gateway]"));
    let dnssec = |line: &str| parse(&dns(line)).expect(line).server.expect("server").dns.expect("dns").dnssec;
    assert_eq!(dnssec(""), Some(Algorithm::EcdsaP256Sha256));
    assert_eq!(dnssec("dnssec-algorithm = \"ed25519\""), Some(Algorithm::Ed25519));
    assert_eq!(dnssec("dnssec = false"), None);
    refused(&dns("dnssec-algorithm = \"rsa\""), &["dns.dnssec-algorithm", "rsa", "ed25519"]);
    refused(&dns("dnssec = false\ndnssec-algorithm = \"ed25519\""), &["dns.dnssec-algorithm", "take one of the two out"]);
}

#[test]
fn secondaries_are_for_signed_zones() {
    let dns = |more: &str| SERVER.replace("[gateway]", &format!("secondaries = [{{ address = \"192.0.2.53\" }}]\n{more}[gateway]"));
    parse(&dns("")).expect("signed");
    refused(&dns("dnssec = false\n"), &["dns.secondaries", "dnssec = false", "take one of the two out"]);
}

#[test]
fn metrics_have_addresses_of_their_own_or_none() {
    let metrics = |line: &str| parse(&format!("{SERVER}[control]\n{line}\n")).map(|config| config.server.expect("server").control.metrics);
    let (v4, v6): (SocketAddr, SocketAddr) = ("127.0.0.1:9153".parse().expect("v4"), "[::]:9153".parse().expect("v6"));
    assert_eq!(metrics("").expect("none"), []);
    assert_eq!(metrics("metrics = \"127.0.0.1:9153\"").expect("one"), [v4]);
    assert_eq!(metrics("metrics = [\"127.0.0.1:9153\", \"[::]:9153\"]").expect("two"), [v4, v6]);
    let five: Vec<String> = (1..6).map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    for (line, words) in [
        ("metrics = true", ["metrics", "127.0.0.1:9153"]),
        ("metrics = \"127.0.0.1\"", ["metrics", "127.0.0.1:9153"]),
        ("metrics = \"127.0.0.1:0\"", ["control.metrics", "0 is no port"]),
        ("metrics = [\"127.0.0.1:1\", \"127.0.0.1:1\"]", ["control.metrics", "twice"]),
        (&format!("metrics = [{}]", five.join(", ")), ["control.metrics", "4 is the most"]),
    ] {
        refused(&format!("{SERVER}[control]\n{line}\n"), &words);
    }
    let home = "[agent]\nhost = \"cloud.dyn.example.org\"\ngateways = []\n[control]\nmetrics = \"127.0.0.1:9153\"\n";
    refused(home, &["control.metrics", "[dns]"]);
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    refused(&SERVER.replace("[gateway]", "colour = \"red\"\n[gateway]"), &["test.toml", "unknown field `colour`", "line 7"]);
    refused(&format!("{SERVER}[garden]\n"), &["unknown field `garden`"]);
}

#[test]
fn keys_of_later_versions_are_refused_by_name() {
    let later = [
        ("[store]\netcd = [\"https://10.0.0.1:2379\"]", "store.etcd"),
        ("[acme]\nexternal-account = { id = \"x\" }", "acme.external-account"),
    ];
    for (lines, key) in later {
        refused(&format!("{SERVER}{lines}\n"), &[key, "not yet"]);
    }
}

#[test]
fn what_is_sent_from_is_a_global_prefix_with_room_for_an_ipv4_address() {
    let with = |prefix: &str| format!("{SERVER}source-prefix = \"{prefix}\"\n");
    let config = Config::parse(&with("2001:db8:f::/96"), Path::new("test.toml")).expect("good");
    let gateway = config.server.and_then(|server| server.gateway).expect("a gateway");
    assert_eq!(gateway.source_prefix.map(|prefix| prefix.to_string()).as_deref(), Some("2001:db8:f::/96"));
    for (prefix, why) in [
        ("2001:db8:f::/64", "96"),
        ("2001:db8:f::1/96", "beyond"),
        ("fd00::/96", "private"),
        ("64:ff9b::/96", "NAT64"),
        ("2001:db8:a::/96", "this server's own address"),
        ("192.0.2.0/24", "no prefix"),
    ] {
        refused(&with(prefix), &["gateway.source-prefix", why]);
    }
}

#[test]
fn a_key_names_its_host_and_what_it_may_write() {
    let with = |key: &str| SERVER.replace("[gateway]", &format!("keys = [{{ {key} }}]\n[gateway]"));
    let good = "name = \"Cloud-Key\", secret-file = \"/etc/fourward/cloud.key\", host = \"cloud\", types = [\"AAAA\", \"_acme-challenge\"]";
    let keys = parse(&with(good)).expect("good").server.expect("server").dns.expect("dns").keys;
    let [Key { name, algorithm, secret_file, grant: Some(grant) }] = keys.as_slice() else { panic!("one key: {keys:?}") };
    assert_eq!((name.as_str(), algorithm.word(), grant.host.to_string().as_str()), ("cloud-key", "hmac-sha256", "cloud.dyn.example.org"));
    assert_eq!(secret_file, Path::new("/etc/fourward/cloud.key"));
    assert_eq!(grant.types.iter().map(|one| one.word()).collect::<Vec<_>>(), ["AAAA", "_acme-challenge"]);
    let secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=";
    for (old, new, words) in [
        ("\"Cloud-Key\"", "\"a b\"", ["dns.keys.name", "' '"]),
        ("\"cloud\"", "\"a.cloud\"", ["dns.keys.host", "one label"]),
        ("\"cloud\"", "\"gw\"", ["dns.keys.host", "reserved"]),
        ("\"/etc/fourward/cloud.key\"", "\"cloud.key\"", ["dns.keys.secret-file", "whole path"]),
        ("\"AAAA\"", "\"CNAME\"", ["dns.keys.types", "A, AAAA, _acme-challenge, TXT, SRV, MX"]),
        ("[\"AAAA\", \"_acme-challenge\"]", "[]", ["dns.keys.types", "nothing"]),
        ("host =", "algorithm = \"hmac-md5\", host =", ["dns.keys.algorithm", "hmac-sha256, hmac-sha384, hmac-sha512"]),
        (", types = [\"AAAA\", \"_acme-challenge\"]", "", ["dns.keys.types", "missing"]),
    ] {
        refused(&with(&good.replace(old, new)), &words);
    }
    refused(&SERVER.replace("[gateway]", &format!("keys = [{{ {good} }}, {{ {good} }}]\n[gateway]")), &["dns.keys.name", "twice"]);
    for place in ["Cloud-Key", "/etc/fourward/cloud.key", "\"cloud\"", "AAAA"] {
        let new = if place.starts_with('"') { format!("\"{secret}\"") } else { secret.into() };
        let said = parse(&with(&good.replace(place, &new))).expect_err("refused").to_string();
        assert!(!said.contains(&secret[..20]), "{said}");
    }
}

#[test]
fn a_certificate_is_ordered_where_there_is_acme_and_comes_from_files_where_they_are_named() {
    let server = |more: &str| parse(&format!("{SERVER}{more}")).expect(more).server.expect("server");
    assert_eq!((server("").acme, server("").control.certificate), (None, None));
    let acme = Acme { email: None, directory: DEFAULT_DIRECTORY.into(), root: None };
    assert_eq!(server("[acme]\n").acme, Some(acme.clone()));
    assert_eq!(server(&format!("[acme]\ndirectory = \"{DEFAULT_DIRECTORY}\"\n")).acme, Some(acme));
    let own = server("[acme]\nemail = \"me@example.org\"\ndirectory = \"https://10.0.0.1:14000/dir\"\nroot = \"/etc/ca.pem\"\n").acme;
    let (email, directory) = (Some("me@example.org".into()), "https://10.0.0.1:14000/dir".into());
    assert_eq!(own, Some(Acme { email, directory, root: Some("/etc/ca.pem".into()) }));
    let files = server("[control]\ncertificate = \"/a\"\nkey = \"/b\"\n").control.certificate;
    assert_eq!(files, Some(Files { certificate: "/a".into(), key: "/b".into() }));
}

#[test]
fn half_a_certificate_and_an_authority_that_cannot_be_asked_are_refused() {
    refused(&format!("{SERVER}[control]\ncertificate = \"/a\"\n"), &["control.key", "missing"]);
    refused(&format!("{SERVER}[control]\nkey = \"/a\"\n"), &["control.certificate", "missing"]);
    for directory in ["http://acme.example/dir", "acme.example", "https://", "/dir", ""] {
        refused(&format!("{SERVER}[acme]\ndirectory = \"{directory}\"\n"), &["acme.directory", "https://"]);
    }
    for email in ["", "me", "me@", "@example.org", "a@example.org,b@example.org", "a b@example.org", "mailto:a@example.org"] {
        refused(&format!("{SERVER}[acme]\nemail = \"{email}\"\n"), &["acme.email", "mail address"]);
    }
    let no_gateway = SERVER.replace("[gateway]", "");
    refused(&format!("{no_gateway}[acme]\n"), &["[acme]", "[gateway]"]);
    refused(&format!("{no_gateway}[control]\ncertificate = \"/a\"\nkey = \"/b\"\n"), &["control.certificate", "[gateway]"]);
}

#[test]
fn what_is_no_name_or_stands_there_twice_is_refused() {
    refused(&SERVER.replace("dyn.example.org", "dyn..org"), &["dns.zones", "dyn..org"]);
    refused(&SERVER.replace("dyn.example.org", "192.0.2.1"), &["dns.zones", "is an address"]);
    refused(&SERVER.replace("\"192.0.2.11\"", "\"192.0.2.11\", \"192.0.2.11\""), &["public.ipv4", "192.0.2.11", "twice"]);
    refused(&SERVER.replace("\"dyn.example.org\"", "\"example.org\", \"dyn.example.org\""), &["dns.zones", "inside"]);
    refused(&SERVER.replace("[gateway]", "nameservers = [\"ns.dyn.example.org\"]\n[gateway]"), &["dns.nameservers", "no address"]);
    refused(&SERVER.replace("192.0.2.11", "192.0.2.300"), &["ipv4", "line 3"]);
}

#[test]
fn what_nobody_can_mean_is_refused() {
    for seconds in ["0", "604801", "9223372036854775807"] {
        refused(&format!("{SERVER}timeouts = {{ dial = {seconds} }}\n"), &["gateway.timeouts.dial", "604800"]);
    }
    refused(&format!("{SERVER}tls = 0\n"), &["gateway.tls", "no port"]);
    refused(&SERVER.replace("[gateway]", "listen = [\"127.0.0.1:0\"]\n[gateway]"), &["dns.listen", "no port"]);
    refused(&SERVER.replace("192.0.2.11", "0.0.0.0"), &["public.ipv4", "0.0.0.0"]);
    refused(&SERVER.replace("2001:db8:a::11", "fe80::1"), &["public.ipv6", "fe80::1"]);
}

#[test]
fn a_resolver_is_an_address_with_or_without_a_port() {
    let config = parse(&format!("{SERVER}resolver = [\"192.0.2.53\", \"[2001:db8::53]:5353\", \"2001:db8::54\"]\n")).expect("good");
    let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let resolver = config.server.and_then(|server| server.gateway).expect("a gateway").resolver;
    assert_eq!(resolver, [at("192.0.2.53:53"), at("[2001:db8::53]:5353"), at("[2001:db8::54]:53")]);
    for (text, words) in [
        ("192.0.2.300", "neither an address"),
        ("dns.example.org", "neither an address"),
        ("192.0.2.53:0", "port 0"),
        ("0.0.0.0", "no address of one server"),
        ("[ff02::fb]:5353", "no address of one server"),
    ] {
        refused(&format!("{SERVER}resolver = [\"{text}\"]\n"), &["gateway.resolver", text, words]);
    }
    refused(&format!("{SERVER}resolver = [\"192.0.2.53\", \"192.0.2.53:53\"]\n"), &["gateway.resolver", "twice"]);
    refused(&format!("{SERVER}resolver = [\"::1\", \"::2\", \"::3\", \"::4\"]\n"), &["gateway.resolver", "3 is the most"]);
}

#[test]
fn our_own_name_server_is_no_resolver() {
    let with = |listen: &str, resolver: &str| {
        let server = SERVER.replace("[gateway]", &format!("listen = [{listen}]\n[gateway]"));
        parse(&format!("{server}resolver = [\"{resolver}\"]\n")).map(drop).map_err(|error| error.to_string())
    };
    for (listen, resolver) in [
        ("", "192.0.2.11"),
        ("", "[2001:db8:a::11]:53"),
        ("\"127.0.0.1:5353\"", "127.0.0.1:5353"),
        ("\"127.0.0.1:5353\"", "192.0.2.11:5353"),
        ("\"0.0.0.0:53\"", "127.0.0.1"),
    ] {
        let error = with(listen, resolver).expect_err(resolver);
        assert!(error.contains("gateway.resolver") && error.contains(resolver) && error.contains("own name server"), "{error}");
    }
    for (listen, resolver) in
        [("", "127.0.0.53"), ("", "192.0.2.11:5353"), ("\"[::]:53\"", "127.0.0.1"), ("\"127.0.0.1:5353\"", "192.0.2.11")]
    {
        assert_eq!(with(listen, resolver), Ok(()), "{resolver} while we listen on {listen}");
    }
}

#[test]
fn limits_fit_each_other() {
    let limits = |text: &str| {
        let gateway = parse(&format!("{SERVER}limits = {{ {text} }}\n"))?.server.expect("server").gateway.expect("gateway");
        Ok::<_, ConfigError>((gateway.connections, gateway.half_open, gateway.per_network))
    };
    assert_eq!(limits("connections = 400").expect("good"), (400, 100, 400), "what is not given follows what is");
    assert_eq!(limits("connections = 1").expect("good"), (1, 1, 1));
    assert_eq!(limits("half-open = 5, per-network = 6").expect("good"), (16_384, 5, 6));
    for (text, key) in [
        ("connections = 0", "gateway.limits.connections: 0 would serve nobody"),
        ("half-open = 0", "gateway.limits.half-open: 0 would serve nobody"),
        ("per-network = 0", "gateway.limits.per-network: 0 would serve nobody"),
        ("half-open = 20000", "gateway.limits.half-open: 20000 is more than gateway.limits.connections, 16384"),
        ("connections = 10, per-network = 11", "gateway.limits.per-network: 11 is more than gateway.limits.connections, 10"),
    ] {
        let message = limits(text).expect_err(text).to_string();
        assert!(message.starts_with(key), "{message}");
    }
}

#[test]
fn what_is_missing_is_named_with_the_reason() {
    refused("", &["no role"]);
    refused("[dns]\nzones = [\"dyn.example.org\"]\n", &["[public]", "missing"]);
    refused(&SERVER.replace("ipv6 = [\"2001:db8:a::11\"]", ""), &["public.ipv6", "missing", "IPv6"]);
    refused(&SERVER.replace("ipv4 = [\"192.0.2.11\"]", ""), &["public.ipv4", "missing"]);
    refused("[agent]\nhost = \"cloud.dyn.example.org\"\ngateways = []\n", &["agent.gateways", "join"]);
}

#[test]
fn no_file_says_how_to_get_one() {
    let error = Config::read(Path::new("/nowhere/fourward.toml")).expect_err("no such file").to_string();
    assert!(error.contains("/nowhere/fourward.toml") && error.contains("fourward init"), "{error}");
}

#[test]
fn a_secondary_is_an_address_and_may_have_a_key_of_its_own() {
    let dns = |lines: &str| SERVER.replace("[gateway]", &format!("{lines}\n[gateway]"));
    let key = r#"{ name = "to-second", secret-file = "/etc/fourward/to-second.key" }"#;
    let update = r#"{ name = "cloud", secret-file = "/a", host = "cloud", types = ["AAAA"] }"#;
    let good = format!(
        "keys = [{key}, {update}]\nsecondaries = [{{ address = \"192.0.2.53\" }}, {{ address = \"[2001:db8::53]:5353\", key = \"to-second\" }}]"
    );
    let dns_of = |lines: &str| parse(&dns(lines)).expect(lines).server.expect("server").dns.expect("dns");
    let parsed = dns_of(&good);
    let addresses: Vec<String> = parsed.secondaries.iter().map(|one| one.address.to_string()).collect();
    assert_eq!(addresses, ["192.0.2.53:53", "[2001:db8::53]:5353"]);
    assert_eq!(parsed.secondaries.iter().map(|one| one.key.is_some()).collect::<Vec<_>>(), [false, true]);
    assert_eq!(parsed.keys.iter().map(|key| key.grant.is_some()).collect::<Vec<_>>(), [false, true]);
    assert!(dns_of("").secondaries.is_empty());
    for (lines, words) in [
        ("secondaries = [{ address = \"ns2.example.org\" }]", ["dns.secondaries.address", "ns2.example.org"]),
        ("secondaries = [{ address = \"0.0.0.0\" }]", ["dns.secondaries.address", "no address of one server"]),
        ("secondaries = [{ address = \"192.0.2.53:0\" }]", ["dns.secondaries.address", "no address of one server"]),
        ("secondaries = [{ address = \"192.0.2.53\" }, { address = \"192.0.2.53:53\" }]", ["dns.secondaries.address", "twice"]),
        ("secondaries = [{ address = \"192.0.2.53\", key = \"to-second\" }]", ["dns.secondaries.key", "no to-second in dns.keys"]),
        (
            &format!("keys = [{update}]\nsecondaries = [{{ address = \"192.0.2.53\", key = \"cloud\" }}]"),
            ["dns.secondaries.key", "of its own"],
        ),
        (&format!("keys = [{key}]"), ["dns.keys", "for nothing"]),
        ("keys = [{ name = \"a\", secret-file = \"/a\", host = \"cloud\" }]", ["dns.keys.types", "missing"]),
        ("keys = [{ name = \"a\", secret-file = \"/a\", types = [\"AAAA\"] }]", ["dns.keys.host", "missing"]),
    ] {
        refused(&dns(lines), &words);
    }
}

#[test]
fn the_ports_that_are_this_servers_own_are_known() {
    let own = |text: &str| {
        let ports = parse(text).expect("good").server.expect("server").own_ports();
        ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(own(SERVER), "tcp/53 tcp/80 tcp/443 udp/53 udp/443");
    let other = SERVER
        .replace("[gateway]", "listen = [\"127.0.0.1:5353\"]\n[gateway]\ntls = 8443\nhttp = 8080\n[control]\nmetrics = \"127.0.0.1:9153\"");
    assert_eq!(own(&other), "tcp/5353 tcp/8080 tcp/8443 tcp/9153 udp/5353 udp/8443");
}

#[test]
fn an_agent_offers_ports_and_ranges_of_them() {
    let services = |list: &str| {
        let gateways = "gateways = [{ name = \"gw.dyn.example.org\", addresses = [\"192.0.2.11\"], pins = [\"PIN\"] }]"
            .replace("PIN", &"ab".repeat(32));
        let config = parse(&format!("[agent]\nhost = \"cloud.dyn.example.org\"\n{gateways}\nservices = [{list}]\n"))?;
        Ok::<_, ConfigError>(config.agent.expect("agent").services.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(services("\"tcp/22\", \"udp/5000-5002\"").expect("good"), "tcp/22 udp/5000 udp/5001 udp/5002");
    for (list, word) in [("\"tcp/5-4\"", "no service"), ("\"tcp/1-513\"", "512 is the most"), ("\"tcp/1-3\", \"tcp/2\"", "twice")] {
        let refused = services(list).expect_err(list).to_string();
        assert!(refused.contains("agent.services") && refused.contains(word), "{refused}");
    }
}
