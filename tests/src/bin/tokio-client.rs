//! A tokio application: tokio-client NAME PORT COUNT.

use std::env;
use std::io;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For so long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name, port, count] = &arguments[..] else {
        return Err(io::Error::other("tokio-client NAME PORT COUNT"));
    };
    let port = port.parse().map_err(io::Error::other)?;
    let count = count.parse().map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for _ in 0..count {
        let result = runtime.block_on(async {
            timeout(PATIENCE, TcpStream::connect((name.as_str(), port)))
                .await
                .unwrap_or_else(|late| Err(late.into()))
        });
        let attempt = match result {
            Ok(_) => json!({ "ok": true, "error_type": "", "errno": null, "message": "" }),
            Err(error) => json!({
                "ok": false,
                "error_type": format!("{:?}", error.kind()),
                "errno": error.raw_os_error(),
                "message": error.to_string(),
            }),
        };
        println!("{attempt}");
    }
    Ok(())
}
