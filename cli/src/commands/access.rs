//! Signing in and out, and API tokens.

use std::io::Read;
use std::time::Duration;

use chrono::Utc;
use muster_api_types::{SessionCreate, Token as ApiToken, TokenCreate, TokenCreated};
use reqwest::{Method, Url, header};
use serde_json::json;

use super::ca_pem;
use crate::arguments::{Global, Login, Token};
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::format::{ago, clock};
use crate::output::{Output, Tone};
use crate::profile::{Profile, ProfileFile, controller_url};
use crate::table::{Cell, Table};
use crate::trust;

pub(super) async fn login(output: &Output, global: &Global, login: Login) -> Result<()> {
    let file = ProfileFile::standard()?;
    let mut profiles = file.load()?;
    let text = login.controller.as_ref().or(global.url.as_ref()).or(profiles.current.as_ref());
    let text = text.ok_or_else(|| {
        Failure::usage("which controller?").hint("give its URL: muster login https://muster.example.com:8443")
    })?;
    let url = controller_url(text)?;
    let former = profiles.controllers.get(url.as_str()).cloned();
    let known = former.as_ref().and_then(|profile| profile.ca_pem.clone());
    let ca_pem = whom_to_trust(output, global, &login, &url, known).await?;
    let username = username(output, &login)?;
    let password = password(output, &login)?;

    let anonymous = Client::new(url.clone(), ca_pem.as_deref(), None)?;
    let created = create_token(&anonymous, &username, password, &login.token_ttl).await?;
    let profile =
        Profile { username: username.clone(), token_id: created.token.id, token: created.secret, ca_pem };
    profiles.current = Some(url.to_string());
    profiles.controllers.insert(url.to_string(), profile);
    file.save(&profiles)?;
    if let Some(former) = former {
        // The token of the former sign-in is no use any more. If it cannot be withdrawn now, it ends by itself.
        let client = Client::new(url.clone(), former.ca_pem.as_deref(), Some(former.token))?;
        drop(withdraw(&client, &former.token_id.to_string()).await);
    }
    let address = url.as_str().trim_end_matches('/');
    output.note(&format!(
        "signed in to {address} as {username}; the token is kept in {}",
        file.path().display()
    ));
    if output.json() {
        return output.object(&json!({ "url": address, "username": username, "token": created.token }));
    }
    Ok(())
}

/// The certificate authority to keep with the sign-in; `None`: those of the system, or plain HTTP to this machine.
async fn whom_to_trust(
    output: &Output,
    global: &Global,
    login: &Login,
    url: &Url,
    known: Option<String>,
) -> Result<Option<String>> {
    if url.scheme() == "http" {
        return Ok(None);
    }
    if let Some(pem) = ca_pem(global)? {
        return Ok(Some(pem));
    }
    if let Some(wanted) = &login.ca_sha256 {
        let chain = trust::presented_chain(url).await?;
        let found = chain.iter().find(|certificate| trust::fingerprint(certificate) == *wanted);
        return found.map(|certificate| Some(trust::pem(certificate))).ok_or_else(|| {
            let presented: Vec<String> = chain.iter().map(trust::fingerprint).collect();
            Failure::failed(format!("{url} presents no certificate with the fingerprint {wanted}"))
                .hint(format!("it presents {}", presented.join(", ")))
        });
    }
    if known.is_some() {
        return Ok(known);
    }
    // Any answer will do: the question is whether the system trusts the certificate.
    let client = Client::new(url.clone(), None, None)?;
    let answer = client.request(Method::GET, &["session"], &[]).timeout(Duration::from_secs(30)).send().await;
    match answer {
        Ok(_) => Ok(None),
        Err(error) if trust::untrusted(&error) => {
            let chain = trust::presented_chain(url).await?;
            let root = chain.last().expect("a chain that was presented is not empty");
            let fingerprint = trust::fingerprint(root);
            if !output.interactive() {
                return Err(client.unreachable(&error).hint(format!(
                    "give --ca-file FILE, or compare the fingerprint with the controller's and give --ca-sha256 {fingerprint}"
                )));
            }
            output.note(&format!(
                "{url} has a certificate that this system does not know.\nIts authority has the SHA-256 fingerprint\n  {fingerprint}\nCompare it with what the controller printed at its first start."
            ));
            output.confirm("Trust this authority from now on?", false)?;
            Ok(Some(trust::pem(root)))
        }
        Err(error) => Err(client.unreachable(&error)),
    }
}

fn username(output: &Output, login: &Login) -> Result<String> {
    if let Some(username) = &login.username {
        return Ok(username.clone());
    }
    if !output.interactive() || login.password_stdin {
        return Err(Failure::usage("who signs in?").hint("add --username NAME"));
    }
    let prompt = dialoguer::Input::new().with_prompt("User name").default("admin".to_owned());
    prompt.interact_text().map_err(|error| Failure::of("cannot ask for the user name", &error))
}

fn password(output: &Output, login: &Login) -> Result<String> {
    if login.password_stdin {
        let mut text = String::new();
        std::io::stdin()
            .take(64 * 1024)
            .read_to_string(&mut text)
            .map_err(|error| Failure::of("cannot read the password from standard input", &error))?;
        return Ok(text.trim_end_matches(['\n', '\r']).to_owned());
    }
    if !output.interactive() {
        return Err(Failure::usage("nobody can type the password here").hint(
            "give it on standard input with --password-stdin, or set MUSTER_TOKEN instead of signing in",
        ));
    }
    let prompt = dialoguer::Password::new().with_prompt("Password");
    prompt.interact().map_err(|error| Failure::of("cannot ask for the password", &error))
}

/// Opens a session, makes a token under it, and closes the session.
async fn create_token(
    client: &Client,
    username: &str,
    password: String,
    ttl: &Duration,
) -> Result<TokenCreated> {
    let body = SessionCreate { username: username.to_owned(), password };
    let request =
        client.request(Method::POST, &["session"], &[]).json(&body).timeout(Duration::from_secs(60));
    let response = client.send(request).await?;
    let cookie = response
        .headers()
        .get_all(header::SET_COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok()?.split(';').next())
        .find(|pair| pair.trim_start().starts_with("muster_session="))
        .map(|pair| pair.trim().to_owned())
        .ok_or_else(|| Failure::failed("the controller opened no session").hint("compare the versions"))?;
    let in_session = |method, path: &[&str]| {
        client
            .request(method, path, &[])
            .header(header::COOKIE, &cookie)
            .header("X-Muster-CSRF", "1")
            .timeout(Duration::from_secs(60))
    };
    let body = TokenCreate { name: token_name(), ttl_s: Some(ttl.as_secs()) };
    let response = client.send(in_session(Method::POST, &["tokens"]).json(&body)).await?;
    let created = response.json().await;
    // An open session would only end later, by itself.
    drop(client.send(in_session(Method::DELETE, &["session"])).await);
    created.map_err(|error| Failure::of("the answer of the controller cannot be understood", &error))
}

/// So that people know what they revoke.
fn token_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "unknown host" } else { host.trim() };
    match std::env::var("USER") {
        Ok(user) if !user.is_empty() => format!("muster login of {user} on {host}"),
        _ => format!("muster login on {host}"),
    }
}

async fn withdraw(client: &Client, id: &str) -> Result<()> {
    client.done(client.request(Method::DELETE, &["tokens", id], &[])).await
}

pub(super) async fn logout(output: &Output, global: &Global) -> Result<()> {
    let file = ProfileFile::standard()?;
    let mut profiles = file.load()?;
    let text = global.url.clone().or_else(|| profiles.current.clone());
    let url = text.as_deref().map(controller_url).transpose()?;
    let Some((url, profile)) =
        url.and_then(|url| Some((url.clone(), profiles.controllers.remove(url.as_str())?)))
    else {
        output.note("not signed in");
        return Ok(());
    };
    if profiles.current.as_deref() == Some(url.as_str()) {
        profiles.current = None;
    }
    file.save(&profiles)?;
    let ca_pem = ca_pem(global)?.or(profile.ca_pem);
    let client = Client::new(url.clone(), ca_pem.as_deref(), Some(profile.token))?;
    match withdraw(&client, &profile.token_id.to_string()).await {
        Ok(()) => output.note(&format!("signed out of {url}")),
        // Already withdrawn.
        Err(failure) if matches!(failure.status, Some(401 | 404)) => {
            output.note(&format!("signed out of {url}"))
        }
        Err(failure) => {
            output.warning(&format!(
                "signed out here, but the token could not be withdrawn: {}",
                failure.message
            ));
        }
    }
    Ok(())
}

pub(super) async fn token(output: &Output, client: &Client, command: Token) -> Result<()> {
    match command {
        Token::Create { name, ttl } => {
            let body = TokenCreate { name, ttl_s: ttl.map(|ttl| ttl.as_secs()) };
            let created: TokenCreated = client.post(&["tokens"], &body).await?;
            if output.json() {
                return output.object(&created);
            }
            output.note("the token is shown this once; give it to programs as MUSTER_TOKEN");
            output.line(&created.secret)
        }
        Token::List => {
            let tokens: Vec<ApiToken> = client.list(&["tokens"], &[]).await?;
            if output.json() {
                return output.object(&tokens);
            }
            let now = Utc::now();
            let mut table = Table::new(&["ID", "NAME", "USER", "STATE", "CREATED", "LAST USED", "ENDS"]);
            for token in &tokens {
                let state = if token.revoked_at.is_some() {
                    Cell::tone("revoked", Tone::Quiet)
                } else if token.expires_at.is_some_and(|at| at <= now) {
                    Cell::tone("expired", Tone::Quiet)
                } else {
                    Cell::tone("valid", Tone::Good)
                };
                table.row([
                    token.id.to_string().into(),
                    token.name.as_str().into(),
                    token.username.as_str().into(),
                    state,
                    ago(token.created_at, now).into(),
                    Cell::maybe(token.last_used_at.map(|at| ago(at, now))),
                    Cell::maybe(token.expires_at.map(clock)),
                ]);
            }
            output.table(&table, "there are no tokens")
        }
        Token::Revoke { id, yes } => {
            output.confirm(&format!("Revoke the token {id}? Programs that use it are locked out."), yes)?;
            withdraw(client, &id.to_string()).await?;
            output.note(&format!("revoked {id}"));
            Ok(())
        }
    }
}
