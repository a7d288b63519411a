//! What the pages show in passing is so: commands and flags, settings, pieces of configuration, lines to import, records for the registrar.
//!
//! Whole shell blocks are followed in the lab.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use fourward_core::host::{Edit, EditError, Settings};
use tempfile::TempDir;
use toml::{Table, Value};

use super::program::{FOURWARD, Server, fourward, in_namespace};

/// Where the list of all settings stands.
const SETTINGS: &str = "docs/settings.md";

/// Where update clients' settings, and the parameters that they send, stand beside ours.
const UPDATES: &str = "docs/updates.md";

/// Of those, what looks like a setting of a host.
const THEIRS: [&str; 13] =
    ["protocol", "ssl", "server", "login", "username", "user", "password", "hostname", "myip", "txt", "offline", "praefix", "prefix"];

/// A page's text outside of its blocks, and the blocks with their languages.
struct Page {
    file: PathBuf,
    prose: String,
    blocks: Vec<(String, String)>,
}

impl Page {
    fn read(file: PathBuf) -> Self {
        let text = fs::read_to_string(&file).expect("a page");
        let (mut prose, mut blocks) = (String::new(), Vec::new());
        for (at, part) in text.split("```").enumerate() {
            match part.split_once('\n') {
                Some((language, block)) if at % 2 == 1 => blocks.push((language.to_owned(), block.to_owned())),
                _ => prose.push_str(part),
            }
        }
        Self { file, prose, blocks }
    }

    fn spans(&self) -> impl Iterator<Item = &str> {
        self.prose.split('`').skip(1).step_by(2)
    }

    fn blocks(&self, language: &str) -> impl Iterator<Item = &str> {
        self.blocks.iter().filter(move |(of, _)| of == language).map(|(_, block)| block.as_str())
    }
}

/// What operators read.
fn pages() -> Vec<Page> {
    let docs = fs::read_dir("docs").expect("docs").map(|entry| entry.expect("an entry").path());
    let files = docs.filter(|file| file.extension().is_some_and(|extension| extension == "md"));
    let pages: Vec<_> = files.chain([PathBuf::from("README.md")]).map(Page::read).collect();
    assert!(pages.len() >= 8, "{} pages", pages.len());
    pages
}

/// The words at the beginnings of the lines of a help's section.
fn section(help: &str, title: &str) -> BTreeSet<String> {
    let lines = help.lines().skip_while(|line| *line != title).skip(1).take_while(|line| !line.is_empty());
    lines
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect()
}

/// The flags of a command, and those of all commands below it.
fn flags(path: &[&str], below: &mut BTreeSet<String>) -> BTreeSet<String> {
    let help = fourward(&[path, &["--help"]].concat()).ok().out;
    for command in section(&help, "Commands:").iter().filter(|command| *command != "help") {
        flags(&[path, &[command]].concat(), below);
    }
    let own: BTreeSet<_> = help
        .split(|sign: char| sign.is_whitespace() || "[]<>,".contains(sign))
        .filter(|word| word.starts_with("--"))
        .map(|word| word.trim_end_matches('.').to_owned())
        .collect();
    below.extend(own.clone());
    own
}

/// Why `words` are no command line, if they are none.
fn fault(words: &[&str]) -> Option<String> {
    let (mut path, mut rest) = (Vec::new(), words);
    loop {
        let commands = section(&fourward(&[&path[..], &["--help"]].concat()).ok().out, "Commands:");
        match rest.split_first() {
            Some((word, others)) if commands.contains(*word) => {
                path.push(*word);
                rest = others;
            }
            // A group of commands may be named as such.
            Some((word, _)) if !commands.is_empty() && !path.is_empty() => return Some(format!("{path:?} has no {word}")),
            Some((word, _)) if path.is_empty() => return Some(format!("there is no command {word}")),
            _ => break,
        }
    }
    let known = flags(&path, &mut BTreeSet::new());
    rest.iter().filter(|word| word.starts_with("--")).find(|flag| !known.contains(**flag)).map(|flag| format!("{path:?} has no {flag}"))
}

#[test]
fn commands_and_flags_that_are_named_exist() {
    let top = section(&fourward(&["--help"]).ok().out, "Commands:");
    let mut all = BTreeSet::new();
    flags(&[], &mut all);
    let mut seen = 0;
    for page in pages() {
        for span in page.spans() {
            let words: Vec<&str> = span.split_whitespace().collect();
            let wrong = match words.split_first() {
                Some((&"fourward", [])) => continue,
                Some((&"fourward", words)) => fault(words),
                Some((command, _)) if top.contains(*command) => fault(&words),
                Some((flag, _)) if flag.starts_with("--") => (!all.contains(*flag)).then(|| format!("no command has {flag}")),
                _ => continue,
            };
            seen += 1;
            assert_eq!(wrong, None, "{}: `{span}`", page.file.display());
        }
    }
    assert!(seen > 50, "only {seen} commands are named");
}

/// Whether a setting is one, values and all.
fn is_whole_setting(text: &str) -> Result<(), EditError> {
    Settings::default().edit(&text.parse::<Edit>()?)
}

/// The same, values that stand for others aside.
fn is_setting(text: &str) -> Result<(), EditError> {
    let placeholder = text.contains(|sign: char| sign.is_ascii_uppercase() || sign == '…');
    match is_whole_setting(text) {
        Err(EditError::Value { .. }) if placeholder => Ok(()),
        judged => judged,
    }
}

/// The settings in a span: the whole where its value has spaces in it, else its words.
fn settings_of(span: &str) -> Vec<&str> {
    if is_whole_setting(span).is_ok() { vec![span] } else { span.split_whitespace().collect() }
}

#[test]
fn settings_that_are_named_exist_and_the_list_of_them_is_whole() {
    let mut seen = 0;
    for page in pages() {
        let theirs = if page.file == Path::new(UPDATES) { &THEIRS[..] } else { &[] };
        for word in page.spans().flat_map(settings_of) {
            let Some((key, _)) = word.split_once('=') else { continue };
            let key = key.trim_end_matches(['+', '-']);
            if key.is_empty() || !key.chars().all(|sign| sign.is_ascii_lowercase() || sign == '-') || key.starts_with('-') {
                continue;
            }
            if theirs.contains(&key) {
                continue;
            }
            seen += 1;
            // The list says what the parts of one are.
            let judged = is_setting(word).or_else(|error| is_setting(&format!("home-port={word}")).map_err(|_| error));
            assert_eq!(judged, Ok(()), "{}: `{word}`", page.file.display());
        }
    }
    assert!(seen > 20, "only {seen} settings are named");

    let refused = is_setting("colour=red").expect_err("no setting").to_string();
    let keys: BTreeSet<_> = refused.split_once("there are ").expect("a list").1.split(", ").map(str::to_owned).collect();
    let page = Page::read(SETTINGS.into());
    let rows = page.prose.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.map(str::to_owned).collect::<BTreeSet<_>>(), keys, "{SETTINGS}");
}

fn merged(mut whole: Table, piece: Table) -> Table {
    for (key, value) in piece {
        let value = match (whole.remove(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => Value::Table(merged(old, new)),
            (_, value) => value,
        };
        whole.insert(key, value);
    }
    whole
}

/// Whether `piece`, with an example around it, is a configuration.
fn is_configuration(folder: &Path, piece: &Table) -> bool {
    let example = if piece.contains_key("agent") { "examples/home.toml" } else { "examples/vps.toml" };
    let example: Table = fs::read_to_string(example).expect("an example").parse().expect("TOML");
    let file = folder.join("fourward.toml");
    // A file that is named must be there: so is the one that the page has made.
    let (text, secret) = (merged(example, piece.clone()).to_string(), folder.join("cloud-key"));
    fs::write(&secret, "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=").expect("written");
    fs::set_permissions(&secret, Permissions::from_mode(0o640)).expect("set");
    let there = secret.to_str().expect("UTF-8");
    fs::write(&file, text.replace("/etc/fourward/cloud-key", there).replace("/etc/fourward/to-second", there)).expect("written");
    fourward(&["config", "check", file.to_str().expect("UTF-8")]).code == 0
}

#[test]
fn pieces_of_configuration_are_accepted() {
    let folder = TempDir::new().expect("a folder");
    let (mut blocks, mut lines) = (0, 0);
    for page in pages() {
        for block in page.blocks("toml") {
            let piece = block.parse().unwrap_or_else(|error| panic!("{}: {error}: {block}", page.file.display()));
            assert!(is_configuration(folder.path(), &piece), "{}: {block}", page.file.display());
            blocks += 1;
        }
        for line in page.spans().filter(|span| span.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))) {
            let piece: Table = line.parse().unwrap_or_else(|error| panic!("{}: {error}: {line}", page.file.display()));
            let tables = ["public", "dns", "gateway", "control", "acme", "agent"];
            let below = |table: &str| Table::from_iter([(table.to_owned(), Value::Table(piece.clone()))]);
            assert!(tables.iter().any(|table| is_configuration(folder.path(), &below(table))), "{}: `{line}`", page.file.display());
            lines += 1;
        }
    }
    assert!(blocks >= 2 && lines >= 4, "{blocks} blocks, {lines} lines");
    assert!(!is_configuration(folder.path(), &"[gateway]\nresolvers = []\n".parse().expect("TOML")), "what is wrong is refused");
}

#[test]
fn lines_of_an_export_can_be_imported() {
    in_namespace(|| {
        let server = Server::start();
        let lines: Vec<String> = pages().iter().flat_map(|page| page.blocks("json").map(str::to_owned).collect::<Vec<_>>()).collect();
        assert!(!lines.is_empty());
        let count = lines.iter().flat_map(|block| block.lines()).count();
        let told = server.ask_reading(&lines.concat(), &["host", "import", "-", "--json"]).json();
        assert_eq!(told["hosts"].as_u64().expect("hosts") + told["removed"].as_u64().expect("removed"), count as u64, "{told}");
    });
}

#[test]
fn what_the_page_has_for_the_registrar_is_what_init_prints() {
    let folder = TempDir::new().expect("a folder");
    let page = Page::read("docs/vps.md".into());
    let command = page.blocks("sh").find_map(|block| block.strip_prefix("fourward init ")).expect("the command").trim().to_owned();
    let file = folder.path().join("fourward.toml");
    let arguments: Vec<&str> = command.split(' ').chain(["--config", file.to_str().expect("UTF-8")]).collect();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let printed: Vec<_> = fourward(&[&["init"], &arguments[..]].concat()).ok().out.lines().map(words).collect();
    let records = page.blocks("text").next().expect("the records");
    for record in records.lines() {
        assert!(printed.contains(&words(record)), "{record} is not printed: {printed:?}");
    }
}

#[test]
fn a_copied_program_needs_the_libraries_that_the_page_names_and_no_newer_ones() {
    let page = Page::read("docs/vps.md".into());
    let named: BTreeSet<&str> = page.spans().filter(|span| span.starts_with("lib") && span.contains(".so")).collect();
    let linked = Command::new("ldd").arg(FOURWARD).output().expect("ldd");
    let linked = String::from_utf8(linked.stdout).expect("text");
    let linked: BTreeSet<&str> = linked.lines().filter_map(|line| line.trim().split_once(" => ")).map(|(name, _)| name).collect();
    assert_eq!(named, linked);

    let program = fs::read(FOURWARD).expect("the program");
    let version = |bytes: &[u8]| {
        let digits: String = bytes.iter().map(|byte| char::from(*byte)).take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    };
    let wanted = program.windows(11).filter_map(|bytes| version(bytes.strip_prefix(b"GLIBC_2.")?)).max().expect("versions of glibc");
    assert!(page.prose.contains(&format!("glibc 2.{wanted} ")), "the page names another glibc than 2.{wanted}");
}

#[test]
fn the_update_url_of_the_page_is_what_host_add_prints() {
    let page = Page::read("docs/fritzbox.md".into());
    let url = page.spans().find(|span| span.starts_with("https://") && span.contains("<domain>")).expect("the update URL").to_owned();
    in_namespace(move || {
        let added = Server::start().ask(&["host", "add", "box", "address-from=update"]).ok().out;
        assert!(added.lines().any(|line| line.trim_start().strip_prefix("Update-URL").is_some_and(|rest| rest.trim() == url)), "{added}");
    });
}
