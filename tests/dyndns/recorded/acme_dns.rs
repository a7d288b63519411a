//! Clients of acme-dns: what each posts, and exactly what it is answered.

/// A request, and what becomes of it.
pub(crate) struct Post {
    pub(crate) client: &'static str,
    /// With `{HOST}`, `{LABEL}`, `{PASSWORD}`, `{LENGTH}` and `{PROOF}` to fill in; a line feed for each end of a line, and the body behind
    /// an empty one.
    pub(crate) request: &'static str,
    pub(crate) status: u16,
    /// With `{PROOF}`.
    pub(crate) body: &'static str,
}

const fn post(client: &'static str, request: &'static str, status: u16, body: &'static str) -> Post {
    Post { client, request, status, body }
}

const DONE: &str = r#"{"txt": "{PROOF}"}"#;

const FORBIDDEN: &str = r#"{"error": "forbidden"}"#;

/// Clients of acme-dns. The value stands in the record afterwards where the status is 200, and nothing does elsewhere.
pub(crate) const ACME_DNS: &[Post] = &[
    post(
        "lego 4.9, acme-dns-client, cert-manager (goacmedns): keys in capitals",
        "POST /update HTTP/1.1
Host: gw.dyn.example.org
User-Agent: goacmedns (linux; amd64)
Content-Length: {LENGTH}
Content-Type: application/json
X-Api-Key: {PASSWORD}
X-Api-User: {LABEL}
Accept-Encoding: gzip

{\"SubDomain\":\"{LABEL}\",\"Txt\":\"{PROOF}\"}",
        200,
        DONE,
    ),
    post(
        "acme.sh, dns_acmedns: as if it were a form",
        "POST /update HTTP/1.1
Host: gw.dyn.example.org
User-Agent: acme.sh/3.0.8 (https://github.com/acmesh-official/acme.sh)
Accept: */*
X-Api-User: {LABEL}
X-Api-Key: {PASSWORD}
Content-Length: {LENGTH}
Content-Type: application/x-www-form-urlencoded

{\"subdomain\":\"{LABEL}\", \"txt\": \"{PROOF}\"}",
        200,
        DONE,
    ),
    post(
        "certbot by acme-dns-auth.py",
        "POST /update HTTP/1.1
Host: gw.dyn.example.org
User-Agent: python-requests/2.28.1
Accept-Encoding: gzip, deflate
Accept: */*
Connection: keep-alive
X-Api-User: {HOST}
X-Api-Key: {PASSWORD}
Content-Type: application/json
Content-Length: {LENGTH}

{\"subdomain\": \"{HOST}\", \"txt\": \"{PROOF}\"}",
        200,
        DONE,
    ),
    post(
        "Caddy (libdns/acmedns), the whole name of the record",
        "POST /update HTTP/1.1
Host: gw.dyn.example.org
User-Agent: Go-http-client/1.1
Content-Length: {LENGTH}
Content-Type: application/json
X-Api-Key: {PASSWORD}
X-Api-User: {LABEL}
Accept-Encoding: gzip

{\"subdomain\":\"_acme-challenge.{HOST}\",\"txt\":\"{PROOF}\"}",
        200,
        DONE,
    ),
    post(
        "a wrong key",
        "POST /update HTTP/1.1
Host: gw.dyn.example.org
X-Api-User: {LABEL}
X-Api-Key: wrong
Content-Length: {LENGTH}

{\"subdomain\":\"{LABEL}\",\"txt\":\"{PROOF}\"}",
        401,
        FORBIDDEN,
    ),
    post(
        "no key",
        "POST /update HTTP/1.1
Host: gw.dyn.example.org
Content-Type: application/json; charset=utf-8
Content-Length: {LENGTH}

{\"subdomain\":\"{LABEL}\",\"txt\":\"{PROOF}\"}",
        401,
        FORBIDDEN,
    ),
    post(
        "another's subdomain",
        "POST /update HTTP/1.1
Host: gw.dyn.example.org
X-Api-User: {LABEL}
X-Api-Key: {PASSWORD}
Content-Length: {LENGTH}

{\"subdomain\":\"cloud\",\"txt\":\"{PROOF}\"}",
        401,
        FORBIDDEN,
    ),
    post(
        "the zone's own record",
        "POST /update HTTP/1.1
Host: gw.dyn.example.org
X-Api-User: {LABEL}
X-Api-Key: {PASSWORD}
Content-Length: {LENGTH}

{\"subdomain\":\"_acme-challenge.dyn.example.org\",\"txt\":\"{PROOF}\"}",
        401,
        FORBIDDEN,
    ),
    post(
        "two subdomains, of which acme-dns knows none",
        "POST /update HTTP/1.1
Host: gw.dyn.example.org
X-Api-User: {LABEL}
X-Api-Key: {PASSWORD}
Content-Length: {LENGTH}

{\"subdomain\":\"{HOST},cloud.dyn.example.org\",\"txt\":\"{PROOF}\"}",
        401,
        FORBIDDEN,
    ),
    post(
        "no subdomain",
        "POST /update HTTP/1.1
Host: gw.dyn.example.org
X-Api-User: {LABEL}
X-Api-Key: {PASSWORD}
Content-Length: {LENGTH}

{\"subdomain\":\"\",\"txt\":\"{PROOF}\"}",
        400,
        r#"{"error": "bad_subdomain", "reason": "subdomain is missing: it is the host's, as the account has it"}"#,
    ),
    post(
        "what is no proof",
        "POST /update HTTP/1.1
Host: gw.dyn.example.org
X-Api-User: {LABEL}
X-Api-Key: {PASSWORD}
Content-Length: {LENGTH}

{\"subdomain\":\"{LABEL}\",\"txt\":\"v=spf1 +all\"}",
        400,
        r#"{"error": "bad_txt", "reason": "txt is no proof of an order: that has 43 letters, digits, - and _"}"#,
    ),
    post(
        "no JSON",
        "POST /update HTTP/1.1
Host: gw.dyn.example.org
X-Api-User: {LABEL}
X-Api-Key: {PASSWORD}
Content-Length: {LENGTH}

subdomain={LABEL}&txt={PROOF}",
        400,
        r#"{"error": "malformed_json_payload", "reason": "the body is no JSON object like {\"subdomain\": \"cloud\", \"txt\": \"…\"}"}"#,
    ),
    post(
        "goacmedns without an account",
        "POST /register HTTP/1.1
Host: gw.dyn.example.org
User-Agent: goacmedns (linux; amd64)
Content-Length: 0
Content-Type: application/json
Accept-Encoding: gzip
",
        403,
        r#"{"error": "forbidden", "reason": "accounts are made by the operator alone: `fourward host token NAME --acme-dns` on the server makes one, and prints the settings that your client wants, its file of accounts included"}"#,
    ),
];
