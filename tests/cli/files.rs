//! Commands that touch files only: `init`, `config check`, `--help`; and what is said where no server runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::program::{FOURWARD, Said, fourward, has};

fn init(folder: &Path, more: &[&str]) -> Said {
    let (config, state) = (folder.join("fourward.toml"), folder.join("state"));
    let (config, state) = (config.to_str().expect("UTF-8"), state.to_str().expect("UTF-8"));
    let fixed =
        ["init", "--zone", "dyn.example.org", "--ipv4", "192.0.2.11", "--ipv6", "2001:db8:a::11", "--config", config, "--state", state];
    fourward(&[&fixed, more].concat())
}

fn check(file: &Path) -> Said {
    fourward(&["config", "check", file.to_str().expect("UTF-8")])
}

#[test]
fn every_command_explains_itself() {
    let commands: [&[&str]; 16] = [
        &[],
        &["demo"],
        &["init"],
        &["run"],
        &["join"],
        &["host"],
        &["host", "add"],
        &["host", "set"],
        &["host", "list"],
        &["host", "show"],
        &["host", "remove"],
        &["host", "token"],
        &["status"],
        &["config"],
        &["config", "check"],
        &["help"],
    ];
    for command in commands {
        if command == ["help"] {
            assert!(fourward(command).ok().out.contains("Usage:"));
            continue;
        }
        let said = fourward(&[command, &["--help"]].concat()).ok();
        let first = said.out.lines().next().unwrap_or_default();
        assert!(first.split_whitespace().count() >= 3, "{command:?} begins with \"{first}\"");
        assert!(said.out.contains("Usage: fourward") && said.err.is_empty(), "{command:?}: {said:?}");
        assert!(!said.out.contains("--node") && !said.out.contains("loopback-demo"), "what is hidden stays hidden");
        for line in said.out.lines().filter(|line| line.trim_start().starts_with("--")) {
            assert!(line.split_whitespace().count() >= 2, "{command:?}: an option without a word: {line}");
        }
    }
    assert!(fourward(&["--version"]).ok().out.starts_with("fourward "));
}

#[test]
fn init_writes_what_config_check_accepts_and_says_what_to_enter_at_the_registrar() {
    let folder = TempDir::new().expect("folder");
    let said = init(folder.path(), &[]).ok();
    for line in [
        "At the registrar of example.org, enter:",
        "dyn.example.org.  NS    gw.dyn.example.org.",
        "gw.dyn.example.org.  A     192.0.2.11",
        "gw.dyn.example.org.  AAAA  2001:db8:a::11",
        "glue",
        "--name gw.example.org",
        "53/udp",
        "443/udp",
        "fourward run --config",
        "fourward host add cloud --config",
    ] {
        assert!(said.out.contains(line), "no \"{line}\" in:\n{}", said.out);
    }
    let checked = check(&folder.path().join("fourward.toml")).ok().out;
    assert!(checked.contains("is good") && checked.contains("gw.dyn.example.org") && checked.contains("192.0.2.11"), "{checked}");
    assert!(checked.contains("asks the name servers of /etc/resolv.conf"), "{checked}");
    let options = fs::read_to_string(folder.path().join("fourward.toml")).expect("written");
    let with_resolver = folder.path().join("resolver.toml");
    fs::write(&with_resolver, options.replace("# resolver", "resolver")).expect("written");
    assert!(check(&with_resolver).ok().out.contains("asks 192.0.2.53:53 whether"));
    let written_out =
        options.replace("# ttl", "ttl").replace("# tls", "tls").replace("# http", "http").replace("# nameservers", "nameservers");
    let written_out = written_out.replace("# limits", "limits").replace("# timeouts", "timeouts");
    let defaults = folder.path().join("defaults.toml");
    fs::write(&defaults, written_out).expect("written");
    let with_defaults = check(&defaults).ok().out;
    assert_eq!(
        with_defaults.lines().skip(1).collect::<Vec<_>>(),
        checked.lines().skip(1).collect::<Vec<_>>(),
        "every default, written out"
    );
}

#[test]
fn init_orders_a_certificate_unless_it_is_told_not_to() {
    let folder = TempDir::new().expect("folder");
    let file = folder.path().join("fourward.toml");
    let told = |more: &[&str], printed: &[&str], explained: &[&str]| {
        let _ = fs::remove_file(&file);
        let said = init(folder.path(), more).ok().out;
        printed.iter().for_each(|part| assert!(said.contains(part), "{more:?}: no {part:?} in:\n{said}"));
        let said = check(&file).ok().out;
        explained.iter().for_each(|part| assert!(said.contains(part), "{more:?}: no {part:?} in:\n{said}"));
    };
    let default = "https://acme-v02.api.letsencrypt.org/directory";
    told(&[], &["Let's Encrypt", "terms of service", "--email"], &["orders a certificate for gw.dyn.example.org", default, "by DNS"]);
    told(&["--email", "me@example.org"], &["terms of service"], &["it may write to me@example.org"]);
    told(&["--name", "gw.example.org"], &["gw.example.org is ordered"], &["by HTTP"]);
    told(&["--no-acme"], &["--no-acme", "self-signed"], &["self-signed"]);

    let pem = rcgen::generate_simple_self_signed(["ca.example".into()]).expect("a certificate").cert.pem();
    fs::write(folder.path().join("ca.pem"), &pem).expect("written");
    let _ = fs::remove_file(&file);
    let (config, state) = (file.to_str().expect("UTF-8"), folder.path().join("state"));
    let mut command = Command::new(FOURWARD);
    command.current_dir(folder.path()).args(["init", "--zone", "dyn.example.org", "--ipv4", "192.0.2.11", "--ipv6", "2001:db8:a::11"]);
    command.args(["--acme-directory", "https://acme.example/dir", "--acme-root", "ca.pem", "--config", config, "--state"]).arg(state);
    Said::of(command.output().expect("init")).ok();
    let written = fs::read_to_string(&file).expect("written");
    let root = folder.path().join("ca.pem").display().to_string();
    assert!(written.contains(&format!("root = \"{root}\"")) && written.contains("directory = \"https://acme.example/dir\""), "{written}");
    check(&file).ok();
    fs::write(folder.path().join("ca.pem"), "no PEM").expect("written");
    check(&file).failed(2, &["acme.root", &root, "no certificate in it"]);
}

#[test]
fn a_certificate_of_the_owner_s_is_explained_and_refused_where_it_cannot_be_used() {
    let folder = TempDir::new().expect("folder");
    let file = folder.path().join("fourward.toml");
    init(folder.path(), &[]).ok();
    let base = fs::read_to_string(&file).expect("written");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let made = |names: &[&str], name: &str| {
        let made = rcgen::generate_simple_self_signed(names.iter().map(ToString::to_string).collect::<Vec<_>>()).expect("a certificate");
        fs::write(path(&format!("{name}.pem")), made.cert.pem()).expect("written");
        fs::write(path(&format!("{name}.key")), made.signing_key.serialize_pem()).expect("written");
    };
    made(&["gw.dyn.example.org"], "own");
    made(&["other.example.org"], "other");
    let checked = |certificate: &str, key: &str| {
        let files = format!("[control]\ncertificate = \"{}\"\nkey = \"{}\"\n", path(certificate), path(key));
        fs::write(&file, base.replace("[control]", &files)).expect("written");
        check(&file)
    };
    let said = checked("own.pem", "own.key").ok().out;
    assert!(said.contains("own.pem, good until") && said.contains("orders nothing") && !said.contains("warning"), "{said}");
    let said = checked("other.pem", "other.key").ok().out;
    assert!(said.contains("warning: it is not for gw.dyn.example.org"), "{said}");
    checked("own.pem", "other.key").failed(2, &["control.key", "other.key", "not the key"]);
    checked("own.key", "own.key").failed(2, &["control.certificate", "own.key", "no certificate in it"]);
    checked("own.pem", "own.pem").failed(2, &["control.key", "own.pem", "no private key"]);
    checked("none.pem", "own.key").failed(2, &["control.certificate", "none.pem", "No such file"]);
}

#[test]
fn init_with_a_name_outside_the_zone_needs_no_glue() {
    let folder = TempDir::new().expect("folder");
    let said = init(folder.path(), &["--name", "gw.example.org", "--ipv4", "192.0.2.12"]).ok();
    for line in ["dyn.example.org.  NS    gw.example.org.", "gw.example.org.  A     192.0.2.12", "no glue is needed"] {
        assert!(said.out.contains(line), "no \"{line}\" in:\n{}", said.out);
    }
    check(&folder.path().join("fourward.toml")).ok();
    let folder = TempDir::new().expect("folder");
    let json = init(folder.path(), &["--json"]).json();
    has(&json, &["config", "state", "zone", "name", "records"]);
    assert_eq!(json["records"].as_array().expect("records").len(), 3);
}

#[test]
fn init_overwrites_nothing_and_refuses_what_cannot_be_served() {
    let folder = TempDir::new().expect("folder");
    let file = folder.path().join("fourward.toml");
    fs::write(&file, "mine").expect("written");
    init(folder.path(), &[]).failed(1, &["fourward.toml", "exists already", "move it away"]);
    assert_eq!(fs::read_to_string(&file).expect("there"), "mine");
    fs::remove_file(&file).expect("removed");
    init(folder.path(), &["--acme-directory", "http://acme.example/dir"]).failed(2, &["acme.directory", "https://"]);
    init(folder.path(), &["--acme-root", "/nowhere/ca.pem"]).failed(2, &["--acme-root", "/nowhere/ca.pem"]);
    init(folder.path(), &["--email", "me"]).failed(2, &["acme.email", "mail address"]);
    init(folder.path(), &["--no-acme", "--email", "me@example.org"]).failed(2, &["--no-acme", "--email"]);
    init(folder.path(), &["--ipv4", "192.0.2.11"]).failed(2, &["192.0.2.11", "twice"]);
    init(folder.path(), &["--name", "no_name..x"]).failed(2, &["--name"]);
    fourward(&["init", "--zone", "dyn.example.org", "--ipv4", "2001:db8::1", "--ipv6", "2001:db8::1"])
        .failed(2, &["--ipv4", "invalid IPv4"]);
    fourward(&["init", "--ipv4", "192.0.2.1", "--ipv6", "2001:db8::1"]).failed(2, &["--zone"]);
    assert!(!file.exists(), "nothing was written");
}

#[test]
fn every_example_is_accepted() {
    let examples = fs::read_dir("examples").expect("examples").map(|entry| entry.expect("entry").path());
    let examples: Vec<_> = examples.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
    assert!(examples.len() >= 3, "{examples:?}");
    for example in examples {
        let said = check(&example).ok();
        assert!(said.out.lines().count() > 3, "explained: {}", said.out);
        let json = fourward(&["config", "check", "--json", example.to_str().expect("UTF-8")]).json();
        assert_eq!(json["ok"], true);
        assert!(!json["roles"].as_array().expect("roles").is_empty());
    }
}

#[test]
fn keys_are_explained_and_their_files_looked_at() {
    let folder = TempDir::new().expect("folder");
    let (file, secret) = (folder.path().join("fourward.toml"), folder.path().join("cloud-key"));
    let key = format!(
        "keys = [{{ name = \"cloud-key\", secret-file = \"{}\", host = \"cloud\", types = [\"AAAA\", \"TXT\"] }}]",
        secret.display()
    );
    let example = fs::read_to_string("examples/vps.toml").expect("an example");
    fs::write(&file, example.replace("[dns]", &format!("[dns]\n{key}"))).expect("written");
    check(&file).failed(2, &["dns.keys.secret-file", "cloud-key", "No such file"]);
    let text = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=";
    fs::write(&secret, text).expect("written");
    for (mode, parts) in [(0o644, ["mode 644", "chmod 640"]), (0o666, ["mode 666", "everybody"])] {
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).expect("set");
        let said = check(&file);
        assert!(!said.err.contains(&text[..8]), "{}", said.err);
        said.failed(2, &parts);
    }
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o640)).expect("set");
    let said = check(&file).ok();
    assert!(said.out.contains("lets cloud-key (hmac-sha256) update AAAA, TXT of cloud.dyn.example.org"), "{}", said.out);
    assert!(!said.out.contains(&text[..8]), "{}", said.out);
    fs::write(&secret, &text[..24]).expect("written");
    check(&file).failed(2, &["18 bytes", "openssl rand"]);
}

#[test]
fn a_config_that_is_refused_is_a_matter_of_usage() {
    let folder = TempDir::new().expect("folder");
    let file = folder.path().join("fourward.toml");
    let refused = |text: &str, parts: &[&str]| {
        fs::write(&file, text).expect("written");
        check(&file).failed(2, parts);
    };
    let public = "[public]\nipv4 = [\"192.0.2.11\"]\nipv6 = [\"2001:db8:a::11\"]\n";
    let dns = "[dns]\nzones = [\"dyn.example.org\"]\n";
    refused(&format!("{public}{dns}colour = \"red\"\n"), &["colour", "line 6"]);
    refused(&format!("{public}[dns]\nzones = [\"no zone\"]\n"), &["dns.zones"]);
    refused(
        "[public]\nipv4 = [\"192.0.2.11\", \"192.0.2.11\"]\nipv6 = [\"2001:db8:a::11\"]\n[dns]\nzones = [\"a.org\"]\n",
        &["public.ipv4", "twice"],
    );
    refused(&format!("{public}{dns}dnssec-algorithm = \"rsa\"\n"), &["dns.dnssec-algorithm", "rsa", "ed25519"]);
    refused(
        &format!("{public}{dns}secondaries = [{{ address = \"ns2.example.org\" }}]\n"),
        &["dns.secondaries.address", "ns2.example.org"],
    );
    refused(&format!("{public}{dns}[gateway]\nsource-prefix = \"2001:db8:f::/64\"\n"), &["gateway.source-prefix", "96"]);
    refused("", &["[dns]", "[agent]"]);
    let later =
        [("[store]\netcd = [\"https://10.0.0.1:2379\"]", "store.etcd"), ("[acme]\nexternal-account = \"x\"", "acme.external-account")];
    for (text, key) in later {
        refused(&format!("{public}{text}\n"), &[key, "not yet"]);
    }
    check(Path::new("/nowhere/fourward.toml")).failed(2, &["/nowhere/fourward.toml", "fourward init", "fourward join"]);
}

#[test]
fn without_a_server_the_owner_is_told_what_to_start() {
    let folder = TempDir::new().expect("folder");
    init(folder.path(), &[]).ok();
    let config = folder.path().join("fourward.toml");
    let config = config.to_str().expect("UTF-8");
    for command in [&["status"][..], &["host", "list"], &["host", "add", "cloud"]] {
        let said = fourward(&[command, &["--config", config]].concat());
        said.failed(1, &["no server answers at", "control.sock", "is it running?", "fourward run"]);
    }
    // A socket that a killed server left behind.
    fs::create_dir_all(folder.path().join("state")).expect("folder");
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("state/control.sock")).expect("socket"));
    fourward(&["status", "--config", config]).failed(1, &["no server answers at", "is it running?"]);
    fourward(&["status", "--config", "examples/home.toml"]).failed(2, &["home.toml", "no server runs by it", "--config"]);
    fourward(&["status", "--config", "/nowhere.toml"]).failed(2, &["/nowhere.toml"]);
}

#[test]
fn misspelt_commands_are_a_matter_of_usage() {
    let all: [&[&str]; 6] =
        [&["dance"], &["host"], &["host", "add"], &["host", "set", "cloud"], &["join"], &["host", "add", "cloud", "--colour"]];
    for arguments in all {
        assert_eq!(fourward(arguments).code, 2, "{arguments:?}");
    }
    for (setting, part) in [("mode=terminate", "mode=terminate: not yet"), ("colour=red", "no such setting"), ("alias", "KEY=VALUE")] {
        fourward(&["host", "add", "cloud", setting]).failed(2, &[part]);
        fourward(&["host", "set", "cloud", setting]).failed(2, &[part]);
    }
}

#[test]
fn what_is_not_permitted_is_told_from_what_failed() {
    let folder = TempDir::new().expect("folder");
    init(folder.path(), &[]).ok();
    fs::create_dir_all(folder.path().join("state")).expect("folder");
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("state/control.sock")).expect("socket");
    let program = folder.path().join("fourward-copy");
    fs::copy(FOURWARD, &program).expect("copied");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("mode");
    let as_nobody = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program).args(arguments);
        Said::of(command.stdin(Stdio::null()).output().expect("setpriv"))
    };
    let config = folder.path().join("fourward.toml");
    let config = config.to_str().expect("UTF-8");
    as_nobody(&["status", "--config", config]).failed(3, &["control.sock", "permission denied", "group fourward"]);
    let elsewhere = folder.path().join("new.toml");
    let elsewhere = elsewhere.to_str().expect("UTF-8");
    let init = ["init", "--zone", "a.org", "--ipv4", "192.0.2.1", "--ipv6", "2001:db8::1", "--config", elsewhere];
    as_nobody(&init).failed(3, &["new.toml", "permission denied"]);
    fs::set_permissions(config, fs::Permissions::from_mode(0o600)).expect("mode");
    as_nobody(&["config", "check", config]).failed(3, &["fourward.toml", "ermission denied"]);
}
