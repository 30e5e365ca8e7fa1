//! How an error of ours is told to a client.

use claudecluster_protocol::{ErrorBody, ErrorKind};
use tower_lsp::jsonrpc::{Error, ErrorCode};

/// `RequestFailed`: the request was in order and could not be carried out.
const REQUEST_FAILED: i64 = -32803;

/// One line for people: what is wrong, and what to do.
pub(crate) fn sentence(error: &ErrorBody) -> String {
    match &error.hint {
        Some(hint) => format!("{}: {hint}", error.message),
        None => error.message.clone(),
    }
}

/// The error as a reply; its data is the whole [`ErrorBody`].
pub(crate) fn reply(error: &ErrorBody) -> Error {
    Error {
        code: match error.kind {
            ErrorKind::User | ErrorKind::Config | ErrorKind::Environment => {
                ErrorCode::ServerError(REQUEST_FAILED)
            }
            ErrorKind::Stale => ErrorCode::ContentModified,
            ErrorKind::Internal => ErrorCode::InternalError,
        },
        message: sentence(error).into(),
        data: serde_json::to_value(error).ok(),
    }
}

/// The request's parameters are not in order.
pub(crate) fn bad_params(message: impl Into<String>) -> Error {
    let error = ErrorBody::user(message);
    Error {
        code: ErrorCode::InvalidParams,
        message: error.message.clone().into(),
        data: serde_json::to_value(&error).ok(),
    }
}
