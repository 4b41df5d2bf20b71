//! The OpenAPI 3.1 document, made from the handlers. Committed at `docs/api/openapi.json`; a test keeps the two equal.

use crate::http::api;
use muster_api_types::{LiveMessage, LogMessage, Problem};
use std::sync::OnceLock;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Ref, RefOr, Response,
        content::ContentBuilder,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Muster",
        description = "The REST API of the Muster controller.\n\nEvery answer that is not a success is a problem document \
            (RFC 9457, `application/problem+json`) with a stable `code`. Requests refuse unknown fields. Lists are pages: \
            give `next_cursor` back as `cursor`. A session cookie needs the header `X-Muster-CSRF: 1` for whatever changes \
            something; an API token does not.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Problem, LogMessage, LiveMessage)),
    security(("bearer" = []), ("session" = [])),
    modifiers(&Security),
    tags(
        (name = "access", description = "Sessions and API tokens"),
        (name = "overview", description = "Are we fine, and if not, where?"),
        (name = "nodes", description = "Nodes, their resources, processes and figures"),
        (name = "convergence", description = "What hosts are and should be: plans, turns, modes, changes, restarts, inspections"),
        (name = "enrolments", description = "How hosts become nodes"),
        (name = "applications", description = "Applications, environments, releases, logs"),
        (name = "artifacts", description = "Upload of the files of releases"),
        (name = "rollouts", description = "Moving an environment to a release"),
        (name = "events", description = "What happened, and what happens now"),
        (name = "fleet-configuration", description = "What people declare"),
        (name = "secrets", description = "Values that arrive as variables of applications"),
        (name = "probes", description = "Health, the root certificate, this document")
    )
)]
struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("muster_api_<id>_<secret>")
            .description(Some("An API token"))
            .build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let cookie = ApiKeyValue::with_description("muster_session", "The session of a browser");
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let mut response = Response::new("What went wrong");
        response.content.insert("application/problem+json".to_owned(), RefOr::T(problem));
        components.responses.insert("Problem".to_owned(), RefOr::T(response));
    }
}

/// The whole document.
pub fn document() -> utoipa::openapi::OpenApi {
    let (ordinary, uploads) = api();
    let mut document = Document::openapi();
    document.merge(ordinary.into_openapi());
    document.merge(uploads.into_openapi());
    for item in document.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch, &mut item.head];
        for operation in operations.into_iter().flatten() {
            let problem = RefOr::Ref(Ref::from_response_name("Problem"));
            operation.responses.responses.insert("default".to_owned(), problem);
        }
    }
    document
}

/// The document as text: two spaces of indentation, a line feed at the end.
pub fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let mut text = document().to_pretty_json().expect("the document is made of texts");
        text.push('\n');
        text
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_document_is_the_one_of_the_handlers() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api/openapi.json");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == super::text(),
            "docs/api/openapi.json is stale: run `cargo run -p muster-controller -- openapi > docs/api/openapi.json`"
        );
    }
}
