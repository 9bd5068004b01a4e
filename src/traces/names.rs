//! What the semantic conventions for generative AI call things (opentelemetry.io, "Semantic conventions for generative
//! client AI spans", in development): operations and vendors.

/// By what their path contains, the first match counts; `None` is no generating operation.
const OPERATIONS: [(&str, Option<&str>); 11] = [
    ("count_tokens", None),
    ("countTokens", None),
    ("input_tokens", None),
    ("/embeddings", Some("embeddings")),
    ("mbedContent", Some("embeddings")),
    ("/chat/completions", Some("chat")),
    ("/messages", Some("chat")),
    ("/responses", Some("chat")),
    ("/completions", Some("text_completion")),
    ("enerateContent", Some("generate_content")),
    ("/images", Some("generate_content")),
];

/// The operation that a client's path asks for.
pub fn operation(path: &str) -> Option<&'static str> {
    OPERATIONS.iter().find(|(part, _)| path.contains(part))?.1
}

/// The vendor behind a type of provider. What the conventions have no name for keeps ours.
pub fn vendor(kind: &'static str) -> &'static str {
    match kind {
        "gemini" => "gcp.gemini",
        "vertex" => "gcp.vertex_ai",
        "azure" => "azure.ai.openai",
        "bedrock" => "aws.bedrock",
        "mistral" => "mistral_ai",
        "xai" => "x_ai",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_told_by_the_path() {
        let named = [
            ("/v1/chat/completions", Some("chat")),
            ("/v1/messages", Some("chat")),
            ("/v1/messages/count_tokens", None),
            ("/v1/completions", Some("text_completion")),
            ("/v1beta/models/m:streamGenerateContent", Some("generate_content")),
            ("/v1beta/models/m:embedContent", Some("embeddings")),
            ("/v1/files", None),
        ];
        for (path, name) in named {
            assert_eq!(operation(path), name, "{path}");
        }
    }
}
