//! Secrets: set, listed without values, deleted. A value leaves this module only into an assignment.

use crate::{Actor, App, AppError, Permission, hubs::Announcements};
use muster_db::secrets::{SealedSecret, SecretRecord};
use muster_domain::{
    EnvironmentName,
    event::{Severity, Subject},
};
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;

/// The longest value: a private key with its chain fits, a file does not belong here.
const MAX_SECRET_BYTES: usize = 64 * 1024;

/// Every value, opened. Lives as long as one compile; has no `Debug`.
pub(crate) struct OpenSecrets(BTreeMap<(String, String), SecretString>);

impl OpenSecrets {
    /// The values that hold in an environment: its own, else those for every environment.
    pub(crate) fn of(&self, environment: &EnvironmentName) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        for level in ["", environment.as_str()] {
            for ((_, name), value) in self.0.iter().filter(|((of, _), _)| of == level) {
                values.insert(name.clone(), value.expose_secret().to_owned());
            }
        }
        values
    }

    /// Every value of every environment.
    pub(crate) fn values(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(|value| value.expose_secret())
    }
}

/// A variable name that every shell and Node.js can read.
fn check_name(name: &str) -> Result<(), AppError> {
    let ok = (1..=128).contains(&name.len())
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if ok {
        Ok(())
    } else {
        Err(AppError::invalid("invalid_name", format!("secret name {:?} is not valid", crate::shorten(name)))
            .with_hint("use 1 to 128 upper-case letters, digits and underscores, not beginning with a digit: STRIPE_KEY"))
    }
}

/// What a sealed value is for; with [`row`] it binds the value to its place: moved to another row, it does not open.
const PURPOSE: &str = "secret";

fn row(environment: &str, name: &str) -> String {
    format!("{environment}/{name}")
}

impl App {
    /// Sets a secret and gives the nodes that use it a new assignment.
    pub async fn secret_set(
        &self,
        actor: &Actor,
        name: &str,
        environment: Option<&EnvironmentName>,
        value: SecretString,
    ) -> Result<(), AppError> {
        actor.require(Permission::SecretSet)?;
        check_name(name)?;
        let text = value.expose_secret();
        if text.len() > MAX_SECRET_BYTES {
            return Err(AppError::invalid(
                "too_large",
                format!("the value of secret {name:?} is over 64 KiB"),
            ));
        }
        if text.is_empty() || text.contains('\0') {
            return Err(AppError::invalid(
                "invalid_value",
                format!("the value of secret {name:?} is empty or holds a NUL, which no variable can hold"),
            ));
        }
        let scope = environment.map_or("", EnvironmentName::as_str).to_owned();
        let sealed = self.identity().seal.seal(PURPOSE, &row(&scope, name), text.as_bytes());
        let record = SecretRecord {
            environment: scope,
            name: name.to_owned(),
            updated_by: actor.name.clone(),
            updated_at: self.now(),
        };
        let mut announcements = Announcements::default();
        let mut tx = self.compile_begin().await?;
        if let Some(environment) = environment {
            self.environment_require(&mut tx, environment).await?;
        }
        muster_db::secrets::put(&mut tx, &record, &sealed).await?;
        let subject = Subject { environment: environment.cloned(), ..Subject::default() };
        let scope =
            environment.map_or_else(|| "every environment".to_owned(), |e| format!("environment {e}"));
        self.event_record(
            &mut tx,
            &mut announcements,
            &actor.name,
            (Severity::Info, "secret.set"),
            subject,
            format!("secret {name} was set for {scope}"),
        )
        .await?;
        self.recompile_all(&mut tx, &mut announcements).await?;
        tx.commit().await.map_err(muster_db::DbError::from)?;
        self.publish(announcements);
        Ok(())
    }

    /// Forgets a secret. Nodes whose applications still name it keep their assignment, and say why.
    pub async fn secret_delete(
        &self,
        actor: &Actor,
        name: &str,
        environment: Option<&EnvironmentName>,
    ) -> Result<(), AppError> {
        actor.require(Permission::SecretSet)?;
        let mut announcements = Announcements::default();
        let mut tx = self.compile_begin().await?;
        let scope = environment.map_or("", EnvironmentName::as_str);
        if !muster_db::secrets::delete(&mut tx, scope, name).await? {
            return Err(AppError::not_found("secret", crate::shorten(name))
                .with_hint("`muster secret list` shows them"));
        }
        self.event_record(
            &mut tx,
            &mut announcements,
            &actor.name,
            (Severity::Info, "secret.deleted"),
            Subject { environment: environment.cloned(), ..Subject::default() },
            format!("secret {name} was deleted"),
        )
        .await?;
        self.recompile_all(&mut tx, &mut announcements).await?;
        tx.commit().await.map_err(muster_db::DbError::from)?;
        self.publish(announcements);
        Ok(())
    }

    /// Every secret, without values, and the applications that use it.
    pub async fn secret_list(&self, actor: &Actor) -> Result<Vec<(SecretRecord, Vec<String>)>, AppError> {
        actor.require(Permission::FleetView)?;
        let mut conn = self.db().conn().await?;
        let records = muster_db::secrets::list(&mut conn).await?;
        let configuration = muster_db::fleet_configurations::current(&mut conn).await?;
        let used_by = |name: &str| {
            configuration
                .iter()
                .flat_map(|c| &c.configuration.applications)
                .filter(|(_, application)| application.secrets.iter().any(|s| s == name))
                .map(|(application, _)| application.to_string())
                .collect()
        };
        Ok(records
            .into_iter()
            .map(|record| {
                let users = used_by(&record.name);
                (record, users)
            })
            .collect())
    }

    pub(crate) async fn secrets_open(&self, conn: &mut muster_db::Conn) -> Result<OpenSecrets, AppError> {
        let mut values = BTreeMap::new();
        for SealedSecret { environment, name, sealed } in muster_db::secrets::all_sealed(conn).await? {
            let opened = self
                .identity()
                .seal
                .open(PURPOSE, &row(&environment, &name), &sealed)
                .map_err(|e| AppError::internal(format!("secret {name} cannot be opened"), e))?;
            let text = String::from_utf8(opened.to_vec())
                .map_err(|_| AppError::internal(format!("secret {name} is not text"), "invalid UTF-8"))?;
            values.insert((environment, name), SecretString::from(text));
        }
        Ok(OpenSecrets(values))
    }
}
