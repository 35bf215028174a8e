//! Writes the JSON Schemas of what verbs print into a directory, a file each.

use std::path::PathBuf;
use std::{env, fs, io};

use limiter_user::cli;

fn main() -> io::Result<()> {
    let directory =
        env::args().nth(1).map(PathBuf::from).ok_or_else(|| io::Error::other("name a directory"))?;
    for (name, schema) in cli::schemas() {
        let text = serde_json::to_string_pretty(&schema)?;
        fs::write(directory.join(format!("{name}.json")), format!("{text}\n"))?;
    }
    Ok(())
}
