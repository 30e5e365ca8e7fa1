//! Conversion of errors for clients.

use claudecluster_protocol::{ErrorBody, ErrorKind};
use tower_lsp::jsonrpc::{Error, ErrorCode};

/// `RequestFailed`: the request was valid but could not be carried out.
const REQUEST_FAILED: i64 = -32803;

/// Formats an error as one line for users: the message and the hint.
pub(crate) fn to_sentence(error: &ErrorBody) -> String {
    match &error.hint {
        Some(hint) => format!("{}: {hint}", error.message),
        None => error.message.clone(),
    }
}

/// Converts an error to a reply. The `data` of the reply is the whole [`ErrorBody`].
pub(crate) fn to_reply(error: &ErrorBody) -> Error {
    Error {
        code: match error.kind {
            ErrorKind::User | ErrorKind::Config | ErrorKind::Environment => {
                ErrorCode::ServerError(REQUEST_FAILED)
            }
            ErrorKind::Stale => ErrorCode::ContentModified,
            ErrorKind::Internal => ErrorCode::InternalError,
        },
        message: to_sentence(error).into(),
        data: serde_json::to_value(error).ok(),
    }
}

/// Creates the reply to a request with invalid parameters.
pub(crate) fn invalid_params(message: impl Into<String>) -> Error {
    let error = ErrorBody::user(message);
    Error {
        code: ErrorCode::InvalidParams,
        message: error.message.clone().into(),
        data: serde_json::to_value(&error).ok(),
    }
}
