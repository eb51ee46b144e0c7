//! What an error of kube's means: an answer by its code, a transport's by what is found among
//! its causes.

use std::error::Error;
use std::io;

use kube::client::AuthError;
use kube::core::Status;
use rustls::CertificateError;

use super::super::rights::Missing;
use super::{AnyError, ConnectFailure, Doing, KubeError, NoAnswer};

impl KubeError {
    /// Finds out what an error of kube's means for a request.
    pub fn of(error: kube::Error, doing: Doing) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(&status, doing),
            error => Self::of_transport(Box::new(error), doing),
        }
    }

    /// Finds out what the API server's answer means.
    fn of_status(status: &Status, doing: Doing) -> Self {
        let message = message(status);
        match status.code {
            401 => Self::Unauthorized { message },
            403 => match Missing::read(&message, &doing) {
                Some(missing) => Self::Forbidden(Box::new(missing)),
                None => Self::Denied { doing, message },
            },
            404 => Self::NotFound { doing, message },
            409 => Self::Conflict { doing, message },
            410 => Self::Gone { doing, message },
            code => Self::Refused {
                doing,
                code,
                message,
            },
        }
    }

    /// Finds out why there was no answer.
    fn of_transport(error: AnyError, doing: Doing) -> Self {
        if let Some(reason) = find::<AuthError>(&*error).map(login) {
            return Self::Login { reason };
        }
        let Some(failure) = find::<ConnectFailure>(&*error) else {
            return match find::<NoAnswer>(&*error) {
                Some(NoAnswer { limit }) => Self::Silent {
                    doing,
                    limit: *limit,
                },
                None if find::<hyper::Error>(&*error).is_some() => Self::Broken {
                    doing,
                    source: error,
                },
                None => Self::Other {
                    doing,
                    source: error,
                },
            };
        };
        let server = failure.server.clone();
        if let Some(error) = find::<rustls::Error>(failure) {
            let reason = tls(error);
            return Self::Tls { server, reason };
        }
        let source = crate::causes::causes(&*failure.source).into();
        Self::Unreachable { server, source }
    }
}

/// What the API server said, without the name of its reason.
fn message(status: &Status) -> String {
    match status.message.trim() {
        "" => status.reason.clone(),
        message => message.to_owned(),
    }
}

/// Finds an error of one type among an error's causes; I/O errors hide theirs.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let hidden = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match hidden {
            Some(hidden) => Some(hidden as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

/// Credentials that could not be got; what a plugin printed is said in its own words.
fn login(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { cmd, out } => {
            let said = String::from_utf8_lossy(&out.stderr);
            format!("`{cmd}` failed ({}): {}", out.status, said.trim())
        }
        error => crate::causes::causes(error),
    }
}

fn tls(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(problem) = error else {
        return error.to_string();
    };
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "its certificate is not from the authority that the configuration names".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name".to_owned()
        }
        _ => error.to_string(),
    }
}
