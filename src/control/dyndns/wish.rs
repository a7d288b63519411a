//! What a request says, and in which way.

use std::error::Error;

use fourward_core::dyndns::acme_dns::{self, BadPost};
use fourward_core::dyndns::{Credentials, Dialect, Malformed, Query, TARGET_LIMIT, Update};
use http_body_util::{BodyExt, Limited};
use hyper::body::Body;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request};

/// Where accounts of acme-dns say who they are.
const USER: &str = "x-api-user";
const KEY: &str = "x-api-key";

/// A request, read.
pub(super) struct Wish {
    pub(super) dialect: Dialect,
    /// Who asks, by its header,
    pub(super) header: Option<Credentials>,
    /// or by its address line.
    pub(super) line: Option<Credentials>,
    pub(super) update: Result<Update, Malformed>,
}

impl Wish {
    /// Reads `request`, whose `dialect` is as [`dialect_of`] says.
    ///
    /// # Errors
    /// It is longer than any client's.
    pub(super) async fn read<B>(request: Request<B>, dialect: Dialect) -> Result<Self, Malformed>
    where
        B: Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let account = by_account(&request).filter(|_| dialect == Dialect::AcmeDns);
        let header = account.or_else(|| Credentials::parse(text(&request, AUTHORIZATION.as_str())?));
        if dialect == Dialect::AcmeDns {
            let update = body(request).await.map_or(Err(BadPost::Long.into()), |body| Update::posted(&body));
            return Ok(Self { dialect, header, line: None, update });
        }
        let query = Query::read(&whole(request).await.ok_or(Malformed::Long)?)?;
        Ok(Self { dialect: query.dialect(), header, line: query.credentials(), update: query.update() })
    }
}

/// In which dialect `request` is refused before it is read. Only that of acme-dns is known so early: others use its path, too.
pub(super) fn dialect_of<B>(request: &Request<B>) -> Dialect {
    let json =
        || text(request, CONTENT_TYPE.as_str()).is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("application/json"));
    let account = || [USER, KEY].into_iter().any(|name| request.headers().contains_key(name));
    let posted = request.method() == Method::POST && acme_dns::is_posted_to(request.uri().path());
    if posted && (account() || json()) { Dialect::AcmeDns } else { Dialect::DynDns }
}

fn by_account<B>(request: &Request<B>) -> Option<Credentials> {
    let (user, password) = (text(request, USER)?.to_owned(), text(request, KEY)?.to_owned());
    Some(Credentials { user: Some(user), password })
}

fn text<'a, B>(request: &'a Request<B>, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

/// Path and query of `request`, and what its form says after them; `None` if that is too long or does not come.
async fn whole<B>(request: Request<B>) -> Option<String>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut target = request.uri().path_and_query().map_or("", |target| target.as_str()).to_owned();
    if request.method() != Method::GET {
        let form = body(request).await?;
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(&form);
    }
    Some(target)
}

async fn body<B>(request: Request<B>) -> Option<String>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let body = Box::pin(Limited::new(request.into_body(), TARGET_LIMIT)).collect().await.ok()?.to_bytes();
    Some(String::from_utf8_lossy(&body).into_owned())
}
