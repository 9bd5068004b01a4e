//! What the document says of errors: every call may be answered by one, in the words of its client's protocol.

use utoipa::openapi::{
    ComponentsBuilder, Content, ObjectBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder,
    path::{Operation, PathItem},
    schema::Type,
};

/// The schema that all protocols' errors have in common.
const ERROR: &str = "AnyError";

/// Adds the shape of errors to every call that has one.
pub fn add_errors(document: &mut OpenApi) {
    let message = ObjectBuilder::new().schema_type(Type::String).description(Some("What is wrong, in English"));
    let error = ObjectBuilder::new().property("message", message).required("message");
    let whole = ObjectBuilder::new().property("error", error).required("error");
    let whole = whole.description(Some("An error; what else it tells, and where, is up to the client's protocol"));
    let components = document.components.take().unwrap_or_default();
    document.components = Some(ComponentsBuilder::from(components).schema(ERROR, whole).build());
    document.paths.paths.values_mut().flat_map(operations).filter(|call| fails_in_json(call)).for_each(add);
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
}

fn fails_in_json(call: &Operation) -> bool {
    call.tags.iter().flatten().any(|tag| tag == "client" || tag == "admin")
}

fn add(call: &mut Operation) {
    let responses = &mut call.responses.responses;
    let other = ResponseBuilder::new().description("Any other error").build();
    responses.entry("default".to_owned()).or_insert(RefOr::T(other));
    for (status, response) in responses {
        let RefOr::T(Response { content, .. }) = response else { continue };
        if content.is_empty() && !status.starts_with(['1', '2', '3']) {
            content.insert("application/json".to_owned(), RefOr::T(Content::new(Some(Ref::from_schema_name(ERROR)))));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::http::openapi;

    #[test]
    fn every_call_of_clients_and_operators_says_how_it_fails() {
        let document = serde_json::to_value(openapi()).unwrap();
        let shape = "#/components/schemas/AnyError";
        let of = |path: &str, status: &str| {
            let call = document["paths"][path]["post"]["responses"][status].clone();
            call["content"]["application/json"]["schema"]["$ref"].clone()
        };
        for path in ["/v1/chat/completions", "/v1/messages", "/v1/batches", "/admin/keys"] {
            assert_eq!(of(path, "default"), shape, "{path}");
        }
        assert_eq!(of("/v1/chat/completions", "401"), shape);
        assert!(document["components"]["schemas"]["AnyError"]["required"] == serde_json::json!(["error"]));
        assert!(document["paths"]["/healthz"]["get"]["responses"]["default"].is_null());
    }
}
