//! Where `/metrics` is served.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::str::FromStr;

use tokio::net::TcpListener;

use crate::failure::Failure;

/// Where it is served unless somebody says otherwise: for processes of this machine only.
pub const DEFAULT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9469));
const OFF: &str = "off";

/// Where it is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Endpoint {
    /// At [`DEFAULT`], if that is free.
    #[default]
    Usual,
    /// Here.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

impl Endpoint {
    /// Listens there. That the default place is taken is worth a warning, and no reason not to limit
    /// anything.
    ///
    /// # Errors
    ///
    /// An address that was asked for cannot be had.
    pub async fn listen(self) -> Result<Option<TcpListener>, Failure> {
        match self {
            Self::Off => Ok(None),
            Self::At(address) => {
                TcpListener::bind(address).await.map(Some).map_err(|error| taken(address, &error))
            }
            Self::Usual => match TcpListener::bind(DEFAULT).await {
                Ok(listener) => Ok(Some(listener)),
                Err(error) => {
                    let failure = taken(DEFAULT, &error);
                    eprintln!("limiterctl: {}\n  {}", failure.cause, failure.cure);
                    Ok(None)
                }
            },
        }
    }
}

impl FromStr for Endpoint {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        if text == OFF {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| {
            Failure::new(
                format!("'{text}' is no address with a port"),
                format!("write it as in {DEFAULT} or [::1]:9469; '{OFF}' serves no metrics"),
            )
        })
    }
}

fn taken(address: SocketAddr, error: &io::Error) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there".into(),
        io::ErrorKind::AddrNotAvailable => "no interface that is up has this address".into(),
        _ => error.to_string(),
    };
    Failure::new(
        format!("cannot serve metrics at {address}: {why}"),
        format!("serve them elsewhere, or not at all: --metrics ADDRESS, --metrics {OFF}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_anything_else_has_a_cure() {
        for (text, endpoint) in [
            ("off", Endpoint::Off),
            ("127.0.0.1:9469", Endpoint::At(DEFAULT)),
            ("[::1]:80", Endpoint::At("[::1]:80".parse().unwrap())),
        ] {
            assert_eq!(text.parse(), Ok(endpoint));
        }
        for text in ["", "9469", ":9469", "localhost:9469", "127.0.0.1", "127.0.0.1:65536", "Off", "::1:80"] {
            let failure = text.parse::<Endpoint>().unwrap_err();
            assert!(failure.cure.contains("127.0.0.1:9469"), "{text}: {failure:?}");
        }
    }

    #[tokio::test]
    async fn a_place_that_was_asked_for_must_be_free() {
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let failure = Endpoint::At(other.local_addr().unwrap()).listen().await.unwrap_err();
        assert!(failure.cause.contains("another process listens there"), "{failure:?}");
        assert!(failure.cure.contains("--metrics off"), "{failure:?}");
        let failure = Endpoint::At("192.0.2.1:1".parse().unwrap()).listen().await.unwrap_err();
        assert!(failure.cause.contains("no interface that is up has this address"), "{failure:?}");
        assert!(Endpoint::Off.listen().await.unwrap().is_none());
    }
}
