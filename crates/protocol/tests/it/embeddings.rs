//! Recorded exchanges about embeddings, of OpenAI's API and of Google's.

use base64::{Engine, prelude::BASE64_STANDARD};
use llm_protocol::{
    ir::Losses,
    operations::{
        embeddings::{Call, Embeddings},
        read_answer,
    },
    splice::Members,
};
use serde_json::{Value, json};

use crate::fixtures::{Fixture, check_all, recorded};

fn body(fixture: &Fixture) -> Value {
    serde_json::from_slice(&fixture.body).unwrap()
}

fn decode(request: &Value) -> (Embeddings, Losses) {
    let (text, mut losses) = (request.to_string(), Losses::default());
    let embeddings = Call::OpenAi.read(&Members::read(text.as_bytes()).unwrap(), &mut losses);
    (embeddings.unwrap_or_else(|error| panic!("{request}: {}", error.message)), losses)
}

#[test]
fn openais_requests_are_read_and_their_answers_counted() {
    let fixtures = recorded("embeddings");
    let answered = fixtures.iter().filter(|fixture| fixture.status < 400 && body(fixture)["data"].is_array());
    check_all("recorded embeddings of OpenAI's API", answered, |fixture| {
        let (request, losses) = decode(&fixture.request);
        let texts = fixture.request["input"].as_array().map_or(1, Vec::len);
        let told = read_answer(&fixture.body).unwrap().map(|usage| usage.input);
        let mut wrong = Vec::new();
        if request.inputs.len() != texts && losses.refusals().next().is_none() {
            wrong.push(format!("{} of {texts} texts", request.inputs.len()));
        }
        if told != body(fixture)["usage"]["prompt_tokens"].as_u64() {
            wrong.push(format!("{told:?} tokens"));
        }
        wrong
    });
}

#[test]
fn googles_recorded_exchanges_are_what_is_asked_and_their_numbers_arrive() {
    let fixtures = recorded("embeddings");
    let answered = fixtures.iter().filter(|fixture| fixture.status < 400 && body(fixture)["embeddings"].is_array());
    check_all("recorded embeddings of Google's API", answered, |fixture| {
        let asked = &fixture.request["requests"];
        let texts: Vec<&Value> =
            asked.as_array().unwrap().iter().map(|item| &item["content"]["parts"][0]["text"]).collect();
        let mut request = json!({"model": "m", "input": texts});
        if let Some(dimensions) = asked[0].get("outputDimensionality") {
            request["dimensions"] = dimensions.clone();
        }
        let mut wrong = Vec::new();
        let (embeddings, _) = decode(&request);
        let sent = Call::GeminiBatch.write(&embeddings, asked[0]["model"].as_str().unwrap());
        let sent: Value = serde_json::from_slice(&sent).unwrap();
        let mut expected = fixture.request.clone();
        // OpenAI's API has no word for what the texts are for.
        expected["requests"].as_array_mut().unwrap().iter_mut().for_each(|item| {
            item.as_object_mut().unwrap().remove("taskType");
        });
        if sent != expected {
            wrong.push(format!("asks {sent}"));
        }
        let answer = |embeddings: &Embeddings| -> Value {
            let (body, _) = Call::OpenAi.answer(Call::GeminiBatch, embeddings, &fixture.body, "m").unwrap();
            serde_json::from_slice(&body).unwrap()
        };
        let list = answer(&embeddings)["data"][0]["embedding"].clone();
        if list != body(fixture)["embeddings"][0]["values"] {
            wrong.push("other numbers".to_owned());
        }
        let packed = answer(&Embeddings { base64: true, ..embeddings });
        let bytes = BASE64_STANDARD.decode(packed["data"][0]["embedding"].as_str().unwrap()).unwrap();
        let unpacked: Vec<f32> = bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        if unpacked != serde_json::from_value::<Vec<f32>>(list).unwrap() {
            wrong.push("other numbers in base64".to_owned());
        }
        wrong
    });
}
