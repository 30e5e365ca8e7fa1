//! One request of a session, from the broker to the provider and back.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode, Uri, Version,
    header::{CONTENT_TYPE, HOST},
};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use serde_json::json;

use super::{
    KeyBroker,
    headers::{leave_out_of_answer, leave_out_of_request},
    paths::PathRefusal,
    upstream::{ProviderConnection, SendFailure},
};

/// The body of an answer: the provider's, or our own.
type AnswerBody = Either<Incoming, Full<Bytes>>;

/// Answers one request. What goes wrong becomes an answer as the provider gives it, so that every agent understands it.
pub(super) async fn forward_request(
    broker: &Arc<KeyBroker>,
    connection: &ProviderConnection,
    mut request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let asked = match broker.paths.check(request.uri()) {
        Ok(asked) => asked.parse::<Uri>(),
        Err(refusal) => return Ok(refuse_path(refusal)),
    };
    let Ok(asked) = asked else {
        return Ok(refuse_path(PathRefusal::Crooked));
    };
    let headers = request.headers_mut();
    leave_out_of_request(headers);
    if !broker.login.put_into(headers) {
        return Ok(answer_error(
            StatusCode::UNAUTHORIZED,
            "authentication_error",
            "the login of this request is not the one that its session was given",
        ));
    }
    headers.insert(HOST, broker.provider.authority.clone());
    *request.uri_mut() = asked;
    *request.version_mut() = Version::HTTP_11;
    Ok(match connection.send(request).await {
        Ok(mut answer) => {
            leave_out_of_answer(answer.headers_mut());
            answer.map(Either::Left)
        }
        Err(SendFailure::Denied(why)) => {
            answer_error(StatusCode::FORBIDDEN, "permission_error", &why)
        }
        Err(SendFailure::Unanswered(why)) => {
            tracing::debug!(why, "a provider does not answer");
            answer_error(StatusCode::BAD_GATEWAY, "api_error", &why)
        }
    })
}

fn refuse_path(refusal: PathRefusal) -> Response<AnswerBody> {
    match refusal {
        PathRefusal::Crooked => answer_error(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "this is not a plain path below the provider's address",
        ),
        PathRefusal::Unknown => answer_error(
            StatusCode::NOT_FOUND,
            "not_found_error",
            "a session has no use for this path, so it is not passed on to the provider",
        ),
    }
}

/// Makes an answer in the form of the provider's errors.
fn answer_error(status: StatusCode, kind: &str, words: &str) -> Response<AnswerBody> {
    let error = json!({"type": kind, "message": format!("claudecluster: {words}")});
    let body = json!({"type": "error", "error": error}).to_string();
    let mut answer = Response::new(Either::Right(Full::from(body)));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}
