//! Configurations that are wrong: `config check` and `run` refuse them alike, naming the key, and the line where there is one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::machines::SIGNS;
use crate::outcome::{USAGE, run, text};

const GOOD: &str = "state = \"STATE\"\n\n[public]\nipv4 = [\"192.0.2.11\"]\nipv6 = [\"2001:db8:a::11\"]\n\n\
                    [dns]\nzones = [\"dyn.example.org\"]\n\n[gateway]\n";

/// Line by line: what is replaced by what, and the words of the refusal.
const BAD: &[(&str, &str, &[&str])] = &[
    ("[gateway]\n", "[gateway]\ntls-port = 443\n", &["line 11", "unknown field `tls-port`", "expected one of", "`tls`"]),
    ("[gateway]\n", "[gatway]\n", &["line 10", "unknown field `gatway`", "`gateway`"]),
    ("[gateway]\n", "[gateway]\ntls = \"https\"\n", &["line 11", "invalid type: string \"https\""]),
    ("[gateway]\n", "[gateway]\ntls = 70000\n", &["line 11", "70000"]),
    ("[gateway]\n", "[gateway\n", &["line 10", "unclosed table"]),
    ("[gateway]\n", "[gateway]\nresolver = [\"192.0.2.11\"]\n", &["gateway.resolver", "192.0.2.11", "own name server", "name another"]),
    (
        "[gateway]\n",
        "[gateway]\nsource-prefix = \"2001:db8:f::/64\"\n",
        &["gateway.source-prefix", "2001:db8:f::/64 has 64 bits", "expected 96"],
    ),
    (
        "[gateway]\n",
        "[gateway]\nsource-prefix = \"2001:db8:a::/96\"\n",
        &["contains 2001:db8:a::11, this server's own", "take another /96"],
    ),
    ("[gateway]\n", "[gateway]\nsource-prefix = \"192.0.2.0/24\"\n", &["gateway.source-prefix", "is no prefix", "2001:db8:f::/96"]),
    ("[gateway]\n", "[gateway]\nhttp = 443\n", &["gateway.http", "port 443 is gateway.tls already"]),
    ("[gateway]\n", "[gateway]\n[store]\netcd = [\"https://10.0.0.1:2379\"]\n", &["store.etcd", "not yet"]),
    ("dyn.example.org", "dyn example org", &["dns.zones", "\"dyn example org\" is no name", "' '"]),
    ("dyn.example.org", "dyn..org", &["dns.zones", "a part between dots is empty"]),
    ("dyn.example.org", "192.0.2.1", &["dns.zones", "is an address, not a name"]),
    ("dyn.example.org", "dyn.bücher.example", &["dns.zones", "'ü'", "xn--"]),
    ("[\"dyn.example.org\"]", "[\"dyn.example.org\", \"DYN.example.org.\"]", &["dns.zones", "dyn.example.org stands there twice"]),
    ("[\"dyn.example.org\"]", "[\"dyn.example.org\", \"example.org\"]", &["dns.zones", "dyn.example.org is inside example.org"]),
    ("[\"dyn.example.org\"]", "[]", &["dns.zones", "empty"]),
    ("[\"192.0.2.11\"]", "[\"192.0.2.11\", \"192.0.2.11\"]", &["public.ipv4", "192.0.2.11 stands there twice", "take one out"]),
    (
        "[\"2001:db8:a::11\"]",
        "[\"2001:db8:a::11\", \"2001:db8:a:0:0:0:0:11\"]",
        &["public.ipv6", "2001:db8:a::11 stands there twice", "take one out"],
    ),
    ("\"192.0.2.11\"", "\"192.0.2\"", &["line 4", "invalid IPv4 address"]),
    ("\"192.0.2.11\"", "\"2001:db8::1\"", &["line 4", "invalid IPv4 address"]),
    ("[\"2001:db8:a::11\"]", "[]", &["public.ipv6", "missing", "this server's own IPv6 address"]),
    ("[dns]\n", "[dns]\nlisten = [\"192.0.2.11:53\", \"192.0.2.11:53\"]\n", &["dns.listen", "192.0.2.11:53 stands there twice"]),
    ("[dns]\n", "[dns]\nttl = 0\n", &["dns.ttl", "from 1 to 86400"]),
    (GOOD, "", &["[dns], [gateway], [agent]", "no role to start"]),
    (GOOD, "[agent]\nhost = \"cloud.dyn.example.org\"\ngateways = []\n", &["agent.gateways", "fourward join -"]),
    (GOOD, "\u{0}\u{7f}ELF", &["line 1"]),
];

#[test]
fn a_wrong_configuration_is_refused_with_its_key_by_check_and_by_run() {
    let dir = tempfile::tempdir().expect("a folder");
    let (config, state) = (dir.path().join("fourward.toml"), dir.path().join("state"));
    let check = |contents: &str| {
        fs::write(&config, contents.replace("STATE", &text(&state))).expect("write a config");
        run(&["config", "check", &text(&config)])
    };
    check(GOOD).succeeds();
    for (good, bad, words) in BAD {
        assert!(GOOD.contains(good), "{good}");
        check(&GOOD.replace(good, bad)).fails(USAGE, words);
        run(&["run", "--config", &text(&config)]).fails(USAGE, words);
        run(&["status", "--config", &text(&config)]).fails(USAGE, words);
        assert!(!state.exists(), "nothing was started");
    }
}

const KEY: &str = "keys = [{ name = \"k\", secret-file = \"SECRET\", host = \"cloud\", types = [\"AAAA\"] }]";

/// The same for keys of updates.
const BAD_KEYS: &[(&str, &str, &[&str])] = &[
    ("\"k\"", "\"\"", &["dns.keys.name"]),
    ("\"SECRET\"", "\"k.key\"", &["dns.keys.secret-file", "k", "whole path", "/etc/fourward/k.key"]),
    ("secret-file", "secret", &["line 8", "unknown field `secret`", "`secret-file`"]),
    ("\"cloud\"", "\"cloud.example.net\"", &["dns.keys.host", "cloud.example.net", "in a zone served here"]),
    ("\"cloud\"", "\"cloud-ip6only\"", &["dns.keys.host", "cloud-ip6only", "reserved"]),
    ("[\"AAAA\"]", "\"AAAA\"", &["line 8", "expected a sequence"]),
    ("[\"AAAA\"]", "[\"NS\"]", &["dns.keys.types", "\"NS\" is none", "there are A, AAAA, _acme-challenge, TXT, SRV, MX"]),
    ("[\"AAAA\"]", "[]", &["dns.keys.types", "k", "empty"]),
    ("host", "algorithm = \"hmac-md5\", host", &["dns.keys.algorithm", "\"hmac-md5\" is none", "hmac-sha256"]),
];

/// What a secret's file has, its mode, and the words of the refusal.
const BAD_SECRETS: &[(&str, u32, &[&str])] = &[
    (SIGNS, 0o604, &["mode 604", "everybody", "chmod 640"]),
    (SIGNS, 0o642, &["mode 642", "everybody", "chmod 640"]),
    ("", 0o600, &["no secret", "base64", "tsig-keygen -a hmac-sha256 k"]),
    ("no base64!", 0o600, &["no secret", "base64", "tsig-keygen -a hmac-sha256 k"]),
    ("c2hvcnQ=", 0o600, &["5 bytes", "guessed", "openssl rand -base64 32"]),
];

#[test]
fn a_key_that_is_wrong_is_refused_by_check_and_by_run_and_its_secret_is_not_shown() {
    let dir = tempfile::tempdir().expect("a folder");
    let (config, state, secret) = (dir.path().join("fourward.toml"), dir.path().join("state"), dir.path().join("k.key"));
    let refused = |key: &str, words: &[&str]| {
        let written = GOOD.replace("[dns]\n", &format!("[dns]\n{key}\n")).replace("STATE", &text(&state)).replace("SECRET", &text(&secret));
        fs::write(&config, written).expect("write a config");
        for command in [&["config", "check", &text(&config)][..], &["run", "--config", &text(&config)]] {
            let outcome = run(command);
            assert!(!format!("{outcome:?}").contains(&SIGNS[..8]), "{outcome:?}");
            outcome.fails(USAGE, words);
        }
        assert!(!state.exists(), "nothing was started");
    };
    refused(KEY, &["dns.keys.secret-file", "k.key", "No such file"]);
    for (contents, mode, words) in BAD_SECRETS {
        fs::write(&secret, contents).expect("a secret");
        fs::set_permissions(&secret, fs::Permissions::from_mode(*mode)).expect("set");
        refused(KEY, &[&["dns.keys.secret-file", "k.key"], *words].concat());
    }
    for (good, bad, words) in BAD_KEYS {
        assert!(KEY.contains(good), "{good}");
        refused(&KEY.replace(good, bad), words);
    }
    refused(
        &KEY.replace("[{", "[{ name = \"K\", secret-file = \"SECRET\", host = \"nas\", types = [\"TXT\"] }, {"),
        &["dns.keys.name", "twice"],
    );
    fs::remove_file(&secret).expect("removed");
    fs::create_dir(&secret).expect("a folder");
    refused(KEY, &["dns.keys.secret-file", "k.key", "directory"]);
}

#[test]
fn a_configuration_that_is_not_there_or_not_text_is_named_with_who_writes_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let absent = text(&dir.path().join("fourward.toml"));
    let refused = |path: &str, words: &[&str]| {
        run(&["config", "check", path]).fails(USAGE, words);
        run(&["run", "--config", path]).fails(USAGE, words);
    };
    refused(&absent, &[&absent, "No such file", "fourward init", "fourward join -"]);
    refused(&text(dir.path()), &[&text(dir.path()), "directory"]);
    fs::write(&absent, b"state = \"\xff\xfe\"").expect("write a config");
    refused(&absent, &[&absent, "UTF-8"]);
}

#[test]
fn init_refuses_what_it_could_not_read_again_and_overwrites_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("fourward.toml");
    let init = |zone: &str, ipv4: &str, ipv6: &str| {
        run(&["init", "--zone", zone, "--ipv4", ipv4, "--ipv6", ipv6, "--no-acme", "--config", &text(&config), "--state", "/nowhere"])
    };
    init("dyn example org", "192.0.2.11", "2001:db8:a::11").fails(USAGE, &["--zone", "\"dyn example org\" is no name"]);
    assert_eq!(init("dyn.example.org", "192.0.2", "2001:db8:a::11").code, Some(USAGE));
    assert_eq!(init("dyn.example.org", "192.0.2.11", "192.0.2.11").code, Some(USAGE));
    assert!(!config.exists());

    init("dyn.example.org", "192.0.2.11", "2001:db8:a::11").succeeds();
    let before = fs::read(&config).expect("the config");
    let again = init("other.example.org", "192.0.2.11", "2001:db8:a::11");
    again.fails(1, &["exists already and is not overwritten", "move it away first"]);
    assert_eq!(fs::read(&config).expect("the config"), before);
    assert!(!Path::new("/nowhere").exists());
}
