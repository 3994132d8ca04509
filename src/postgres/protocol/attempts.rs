//! Chooses the next connection attempt after a failed one: sslmode `allow` and `prefer` make two. A failure that is
//! unrelated to encryption ends them at once. If both fail, the error of the first is returned, unless pg_hba.conf
//! rejected it: then the second is more specific.

use crate::postgres::{
    ConnectOptions, Error, Result, ServerError,
    connect::{Encryption, plan},
};

/// The remaining attempts and the error of the earlier one.
pub(crate) struct Attempts {
    plan: &'static [Encryption],
    earlier: Option<Error>,
}

impl Attempts {
    pub(crate) fn new(options: &ConnectOptions) -> Self {
        Self { plan: plan(options), earlier: None }
    }

    pub(crate) fn current(&self) -> Encryption {
        self.plan.first().copied().unwrap_or(Encryption::Required)
    }

    /// Selects the next attempt, or returns the most specific error.
    pub(crate) fn failed(&mut self, error: Error) -> Result<()> {
        let retry = match self.current() {
            Encryption::Offered => matches!(error, Error::Tls { .. } | Error::Refused { .. }),
            Encryption::Plain => matches!(error, Error::Refused { .. }),
            Encryption::Required => false,
        };
        if !retry || self.plan.len() < 2 {
            return Err(match self.earlier.take() {
                Some(earlier) if !is_access_rule(&earlier) => earlier,
                _ => error,
            });
        }
        self.plan = &self.plan[1..];
        self.earlier = Some(error);
        Ok(())
    }
}

/// Whether pg_hba.conf rejected the connection.
fn is_access_rule(error: &Error) -> bool {
    error.server_error().is_some_and(|e| e.code == ServerError::INVALID_AUTHORIZATION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::ConnectSettings;

    fn attempts(mode: &str) -> Attempts {
        let settings = ConnectSettings {
            host: Some("db".to_owned()),
            user: Some("me".to_owned()),
            ssl_mode: Some(mode.to_owned()),
            ..Default::default()
        };
        Attempts::new(&ConnectOptions::resolve(&settings, &|_| None).unwrap())
    }

    fn refused(code: &str) -> Error {
        let source = ServerError { code: code.to_owned(), ..Default::default() };
        Error::Refused { endpoint: "db".to_owned(), source: Box::new(source) }
    }

    fn code(error: &Error) -> &str {
        &error.server_error().unwrap().code
    }

    #[test]
    fn the_cause_is_not_hidden_by_the_fallback() {
        let mut prefer = attempts("prefer");
        prefer.failed(refused("28P01")).unwrap();
        assert_eq!(prefer.current(), Encryption::Plain);
        assert_eq!(code(&prefer.failed(refused("28000")).unwrap_err()), "28P01");

        let mut allow = attempts("allow");
        allow.failed(refused("28000")).unwrap();
        assert_eq!(allow.current(), Encryption::Required);
        assert_eq!(code(&allow.failed(refused("28P01")).unwrap_err()), "28P01");
    }

    #[test]
    fn only_encryption_is_tried_the_other_way() {
        let mut prefer = attempts("prefer");
        let error = Error::Protocol("x".to_owned());
        assert!(matches!(prefer.failed(error), Err(Error::Protocol(_))));
        assert!(attempts("require").failed(refused("28000")).is_err());
    }
}
