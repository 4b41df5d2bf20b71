//! Secrets: values go in and never come out.

use std::io::Read;

use chrono::Utc;
use muster_api_types::{Secret as SecretRecord, SecretSet};
use reqwest::Method;

use crate::arguments::Secret;
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::format::{ago, bytes};
use crate::output::{Output, Tone};
use crate::table::{Cell, Table};

/// The controller's limit.
const MAX_VALUE_BYTES: u64 = 64 * 1024;

pub(super) async fn run(output: &Output, client: &Client, command: Secret) -> Result<()> {
    match command {
        Secret::Set { name, environment, raw } => {
            let value = read_value(output, &name, raw)?;
            let place =
                environment.as_ref().map_or_else(String::new, |environment| format!(" for {environment}"));
            let body = SecretSet { value, environment };
            client.done(client.request(Method::PUT, &["secrets", &name], &[]).json(&body)).await?;
            output.note(&format!("set {name}{place}"));
            Ok(())
        }
        Secret::List => {
            let secrets: Vec<SecretRecord> = client.list(&["secrets"], &[]).await?;
            if output.json() {
                return output.object(&secrets);
            }
            let now = Utc::now();
            let mut table = Table::new(&["NAME", "ENVIRONMENT", "USED BY", "SET", "BY"]);
            for secret in &secrets {
                let environment = match &secret.environment {
                    Some(environment) => Cell::new(environment),
                    None => Cell::tone("all", Tone::Quiet),
                };
                let used_by = if secret.used_by.is_empty() {
                    Cell::tone("nothing", Tone::Warning)
                } else {
                    secret.used_by.join(", ").into()
                };
                table.row([
                    secret.name.as_str().into(),
                    environment,
                    used_by,
                    ago(secret.updated_at, now).into(),
                    secret.updated_by.as_str().into(),
                ]);
            }
            output.table(&table, "there are no secrets; set one with `muster secret set NAME`")
        }
        Secret::Delete { name, environment, yes } => {
            output.confirm(&format!("Delete {name}? Applications that need it cannot be deployed."), yes)?;
            let query = [("environment", environment)];
            client.done(client.request(Method::DELETE, &["secrets", &name], &query)).await?;
            output.note(&format!("deleted {name}"));
            Ok(())
        }
    }
}

fn read_value(output: &Output, name: &str, raw: bool) -> Result<String> {
    if output.interactive() {
        let prompt = dialoguer::Password::new().with_prompt(format!("Value of {name}"));
        let prompt = prompt.with_confirmation("Once more", "the two differ");
        return prompt.interact().map_err(|error| Failure::of("cannot ask for the value", &error));
    }
    let mut value = Vec::new();
    std::io::stdin()
        .take(MAX_VALUE_BYTES + 2)
        .read_to_end(&mut value)
        .map_err(|error| Failure::of("cannot read the value from standard input", &error))?;
    let mut value = String::from_utf8(value).map_err(|_| {
        Failure::usage("the value is not UTF-8 text").hint("encode it, for example with base64")
    })?;
    if !raw {
        // What `echo` and editors add is not meant.
        if value.ends_with('\n') {
            value.pop();
        }
        if value.ends_with('\r') {
            value.pop();
        }
    }
    if value.is_empty() {
        return Err(Failure::usage("the value is empty")
            .hint(format!("pass it: printf %s \"$VALUE\" | muster secret set {name}")));
    }
    if value.len() as u64 > MAX_VALUE_BYTES {
        return Err(Failure::usage(format!("the value has more than {}", bytes(MAX_VALUE_BYTES))));
    }
    Ok(value)
}
