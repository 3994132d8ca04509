//! Requests that go to another host than the one they name: to a proxy, or a private endpoint.

use http::{
    Request, Uri,
    header::HOST,
    uri::{Authority, Scheme},
};

use super::{super::Result, Place, unusable};

/// What is connected to in place of what a request names.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Reached {
    scheme: Scheme,
    authority: Authority,
}

impl Reached {
    pub(in crate::storage) fn new(place: &Place) -> Result<Self> {
        let scheme = if place.plain { Scheme::HTTP } else { Scheme::HTTPS };
        let authority = place.authority().parse();
        let authority = authority.map_err(|_| unusable(&place.host, "it is no host"))?;
        Ok(Self { scheme, authority })
    }

    /// The name goes with the request, as it was signed. TLS is with the host that is connected to.
    pub(in crate::storage) fn lead<B>(&self, request: &mut Request<B>) -> http::Result<()> {
        let mut parts = request.uri().clone().into_parts();
        if let Some(named) = parts.authority.replace(self.authority.clone()) {
            request.headers_mut().insert(HOST, named.as_str().try_into()?);
        }
        parts.scheme = Some(self.scheme.clone());
        *request.uri_mut() = Uri::from_parts(parts)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_elsewhere_and_keeps_its_name() {
        let lead = |place: &str, uri: &str| {
            let mut request = Request::get(uri).body(()).unwrap();
            Reached::new(&Place::parse(place).unwrap()).unwrap().lead(&mut request).unwrap();
            (request.uri().to_string(), request.headers()[HOST].to_str().unwrap().to_owned())
        };
        let (uri, name) = lead("http://proxy:7", "https://store.example:8/a%20b?c=d");
        assert_eq!((uri.as_str(), name.as_str()), ("http://proxy:7/a%20b?c=d", "store.example:8"));
        let (uri, name) = lead("fd00::5", "https://store.example/a");
        assert_eq!((uri.as_str(), name.as_str()), ("https://[fd00::5]/a", "store.example"));
    }
}
