//! `zone export`: a zone as a master file, page by page, all of one version however long that takes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fourward_core::api::{PAGE_BYTES, PAGE_LINES, Reply, ZoneCursor};
use fourward_core::master::page;
use fourward_core::name::DnsName;
use fourward_core::state::State;
use fourward_core::zone::ZoneView;

use super::{Control, Failure};
use crate::dns;

/// Exports at once. Each keeps a version of the state alive; one more takes the place of the oldest.
const AT_ONCE: usize = 4;

/// Nobody asked for the next page for so long: the export is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Exports that are under way.
#[derive(Default)]
pub(super) struct Exports(Mutex<(u64, VecDeque<Export>)>);

struct Export {
    id: u64,
    state: Arc<State>,
    asked: Instant,
}

impl Exports {
    fn begin(&self, state: &Arc<State>, now: Instant) -> u64 {
        let (last, exports) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = last.wrapping_add(1);
        exports.retain(|export| now.saturating_duration_since(export.asked) < FORGOTTEN);
        if exports.len() >= AT_ONCE {
            exports.pop_front();
        }
        exports.push_back(Export { id: *last, state: Arc::clone(state), asked: now });
        *last
    }

    fn go_on(&self, id: u64, now: Instant) -> Option<Arc<State>> {
        let (_, exports) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        exports.retain(|export| now.saturating_duration_since(export.asked) < FORGOTTEN);
        let export = exports.iter_mut().find(|export| export.id == id)?;
        export.asked = now;
        Some(Arc::clone(&export.state))
    }

    fn end(&self, id: u64) {
        let (_, exports) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        exports.retain(|export| export.id != id);
    }
}

impl Control {
    pub(super) fn zone_page(&self, zone: DnsName, after: Option<ZoneCursor>) -> Result<Reply, Failure> {
        let (params, now) = (dns::params(self.serving(&zone)?, &self.server.public), Instant::now());
        let known = after.map(|cursor| (self.exports.go_on(cursor.export, now), cursor));
        let (state, from, id) = match known {
            None => (self.store.snapshot(), String::new(), None),
            Some((Some(state), cursor)) => (state, cursor.name, Some(cursor.export)),
            Some((None, _)) => return Err(Failure::Stale(zone)),
        };
        let Some(view) = ZoneView::new(&zone, &state, &params) else { return Err(Failure::UnknownZone(zone)) };
        let page = page(&view, &from, PAGE_LINES, PAGE_BYTES);
        let next = page.next.map(|name| ZoneCursor { export: id.unwrap_or_else(|| self.exports.begin(&state, now)), name });
        if let (Some(id), None) = (id, &next) {
            self.exports.end(id);
        }
        Ok(Reply::ZoneLines { lines: page.lines, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_of_one_version_and_not_for_ever() {
        let (exports, now) = (Exports::default(), Instant::now());
        let states: Vec<Arc<State>> = (0..=AT_ONCE).map(|_| Arc::default()).collect();
        let ids: Vec<u64> = states.iter().map(|state| exports.begin(state, now)).collect();
        assert!(exports.go_on(ids[0], now).is_none(), "the oldest went");
        let is = |at: usize, when| exports.go_on(ids[at], when).is_some_and(|state| Arc::ptr_eq(&state, &states[at]));
        assert!((1..=AT_ONCE).all(|at| is(at, now)));
        let later = now + FORGOTTEN / 2;
        assert!(is(1, later));
        exports.end(ids[2]);
        assert!(!is(2, later));
        let end = now + FORGOTTEN;
        assert!(is(1, end) && !is(3, end), "nobody asked for that one");
    }
}
