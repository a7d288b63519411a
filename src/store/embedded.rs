//! The state in one file of this machine, by redb.
//!
//! A file is understood whole – every checksum, the format, every record – before a byte of it is changed; what is not
//! understood is refused and stays as it is, because it may be all that is left. A new file is made beside and renamed
//! into its place when it is complete, so that a file that is there but empty or short was never ours to fill.
//! Locks, threads and the order of changes are not here.

use std::any::Any;
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Weak};

use fourward_core::change::Key;
use fourward_core::state::State;
use fourward_core::stored::{self, Table};
use fourward_core::zone::ZoneParams;
use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase as _, ReadableTable as _, StorageBackend, TableDefinition, TableHandle as _};

use super::StoreError;
use super::held::Held;
use super::journal::{self, Journal};

/// The layout of the file as a whole. A store with a higher number is a later version's.
const FORMAT: u32 = 1;

/// Holds [`FORMAT`], in text, under [`FORMAT_KEY`].
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

const FORMAT_KEY: &str = "format";

/// What every redb file begins with.
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// The whole state is in memory anyway: the cache only has to carry one transaction.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// The file, open. Dropping it closes it cleanly.
pub(super) struct Embedded {
    db: Arc<Database>,
    journal: Journal,
    disk: Held,
}

/// What is written.
pub(super) struct Commit<'a> {
    /// The state before it, and after.
    pub(super) before: &'a State,
    pub(super) after: &'a State,
    /// What it touched.
    pub(super) touched: &'a BTreeSet<Key>,
    /// Those of them that have another record.
    pub(super) differing: &'a BTreeSet<Key>,
    /// What the configuration gives to zones that have secondaries.
    pub(super) journalled: Option<&'a ZoneParams>,
}

/// What keeps a file from being understood.
enum Fault {
    /// The disk did not give the bytes.
    Io(io::Error),
    /// The bytes are not a store, or not all of one.
    Torn(String),
    /// The format of a later version.
    Newer(u32),
}

impl Embedded {
    /// Opens the file at `path`, creating it where there is none.
    pub(super) fn open(path: &Path) -> Result<(Self, State), StoreError> {
        let failed = |source| StoreError::Io { path: path.into(), source: Arc::new(source) };
        if let Err(error) = fs::symlink_metadata(path) {
            if error.kind() != ErrorKind::NotFound {
                return Err(failed(error));
            }
            create(path)?;
        }
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(StoreError::Torn { path: path.into(), reason: "it is not even a file".into() });
        }
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        let disk = FileBackend::new(file).map_err(|error| Fault::from(error).at(path))?;
        Self::over(disk, path)
    }

    /// Opens the store on `disk`, called `path` in errors.
    pub(super) fn over(disk: impl StorageBackend, path: &Path) -> Result<(Self, State), StoreError> {
        let held = Held::over(disk).map_err(|error| Fault::Io(error).at(path))?;
        // redb trusts its files in places where a torn one makes it panic.
        let understood = catch_unwind(AssertUnwindSafe(|| understand(&held)));
        let (db, journal, state) =
            understood.unwrap_or_else(|panic| Err(Fault::Torn(said(panic.as_ref())))).map_err(|fault| fault.at(path))?;
        held.release().map_err(|error| Fault::Io(error).at(path))?;
        Ok((Self { db: Arc::new(db), journal, disk: held }, state))
    }

    /// For those who read beside the writer, as long as it is open.
    pub(super) fn reader(&self) -> Weak<Database> {
        Arc::downgrade(&self.db)
    }

    /// Writes `commit`, durably before it returns.
    pub(super) fn write(&self, commit: &Commit<'_>) -> Result<(), redb::Error> {
        let Commit { after: state, differing: keys, .. } = commit;
        let mut txn = self.db.begin_write()?;
        // A second fsync is the price for this: damage to the last commit is then told from a commit that was cut short, so
        // that redb never falls back to the one before it and what was acknowledged is never silently undone.
        txn.set_two_phase_commit(true);
        let places: Vec<_> = keys.iter().map(|key| (key, stored::place(key))).collect();
        for table in Table::ALL {
            let mut rows = places.iter().filter(|(_, (of, _))| *of == table).peekable();
            // Opening one costs as much as changing it.
            if rows.peek().is_none() {
                continue;
            }
            let mut open = txn.open_table(definition(table))?;
            for (key, (_, name)) in rows {
                match state.record(key) {
                    Some(record) => drop(open.insert(name.as_str(), encoded(&record)?.as_slice())?),
                    None => drop(open.remove(name.as_str())?),
                }
            }
        }
        self.journal.note(&txn, commit.journalled, (commit.before, commit.after), commit.touched)?;
        Ok(txn.commit()?)
    }

    /// With room for so much in the journal.
    #[cfg(test)]
    pub(super) fn limit_journal(&mut self, bytes: u64) {
        self.journal.set_limit(bytes);
    }

    /// Lets nothing reach the file any more, not even the closing.
    pub(super) fn cut(&self) {
        self.disk.cut();
    }
}

fn definition(table: Table) -> TableDefinition<'static, &'static str, &'static [u8]> {
    TableDefinition::new(table.name())
}

fn encoded(record: &fourward_core::change::Record) -> Result<Vec<u8>, redb::Error> {
    stored::encode(record).map_err(|error| redb::Error::Io(io::Error::other(error)))
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Makes an empty store at `path`, where nothing is.
fn create(path: &Path) -> Result<(), StoreError> {
    let new = path.with_extension("redb.new");
    let made = || -> Result<(), redb::Error> {
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {} // one that was cut short before anything was kept in it
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&new)?;
        initialise(FileBackend::new(file.try_clone()?)?)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        Ok(sync_directory_of(path)?)
    };
    made().map_err(|source| StoreError::Create { path: path.into(), source: Arc::new(source) })
}

fn initialise(disk: impl StorageBackend) -> Result<(), redb::Error> {
    let db = builder().create_with_backend(disk)?;
    let mut txn = db.begin_write()?;
    txn.set_two_phase_commit(true);
    txn.open_table(META)?.insert(FORMAT_KEY, FORMAT.to_string().as_bytes())?;
    for table in Table::ALL {
        txn.open_table(definition(table))?;
    }
    txn.commit()?;
    Ok(db.close()?)
}

/// Makes the directory `state`, for its owner and its group, where there is none, so that a power cut cannot take it away again.
pub(crate) fn make_directory(state: &Path) -> io::Result<()> {
    if state.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o750).create(state)?;
    sync_directory_of(state)
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn understand(held: &Held) -> Result<(Database, Journal, State), Fault> {
    check_beginning(held)?;
    // Checks every checksum, also of a file that was closed cleanly: a bit that flipped since would be served as the truth.
    let db = builder().set_check_integrity_on_open(true).create_with_backend(held.clone())?;
    let state = load(&db)?;
    let journal = Journal::load(&db.begin_read()?)?;
    Ok((db, journal, state))
}

fn check_beginning(held: &Held) -> Result<(), Fault> {
    let len = held.len().map_err(Fault::Io)?;
    if len == 0 {
        return Err(Fault::Torn("it is empty".into()));
    }
    let mut beginning = [0; MAGIC.len()];
    let there = usize::try_from(len).unwrap_or(MAGIC.len()).min(MAGIC.len());
    let (read, _) = beginning.split_at_mut(there);
    held.read(0, read).map_err(Fault::Io)?;
    if beginning == MAGIC { Ok(()) } else { Err(Fault::Torn("it does not begin like one".into())) }
}

fn load(db: &Database) -> Result<State, Fault> {
    let txn = db.begin_read()?;
    // First of all: a later version's tables are not ours to judge.
    let meta = txn.open_table(META).map_err(|_| Fault::Torn("it has no format record".into()))?;
    let format = meta.get(FORMAT_KEY)?.ok_or_else(|| Fault::Torn("it has no format record".into()))?;
    match std::str::from_utf8(format.value()).ok().and_then(|text| text.parse().ok()) {
        Some(FORMAT) => {}
        Some(newer) if newer > FORMAT => return Err(Fault::Newer(newer)),
        _ => return Err(Fault::Torn("its format record is no number of a format".into())),
    }
    let names: BTreeSet<String> = txn.list_tables()?.map(|table| table.name().to_owned()).collect();
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        return Err(Fault::Torn(format!("it has a table {unknown:?} that this version does not know")));
    }
    let mut state = State::default();
    for table in Table::ALL.into_iter().filter(|table| table.is_of_the_first_version() || names.contains(table.name())) {
        for entry in txn.open_table(definition(table))?.iter()? {
            let (key, value) = entry?;
            let record = stored::decode(table, key.value(), value.value());
            state.restore(record.map_err(|error| Fault::Torn(error.to_string()))?);
        }
    }
    Ok(state)
}

fn is_known(table: &str) -> bool {
    table == META.name() || journal::is_table(table) || Table::ALL.iter().any(|known| known.name() == table)
}

/// The words of a panic.
fn said(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("its structure is broken: {}", words.unwrap_or("no more is known"))
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Io(error) if !matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) => Self::Io(error),
            error => Self::Torn(error.to_string()),
        }
    }
}

impl Fault {
    fn at(self, path: &Path) -> StoreError {
        let path = path.into();
        match self {
            Self::Io(source) => StoreError::Io { path, source: Arc::new(source) },
            Self::Torn(reason) => StoreError::Torn { path, reason },
            Self::Newer(found) => StoreError::Newer { path, found, known: FORMAT },
        }
    }
}
