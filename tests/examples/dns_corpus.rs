//! Writes the corpus of DNS answers into a directory, a file each: what the fuzzer begins with.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use limiter_tests::corpus::seeds;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(env::args_os().nth(1).ok_or("usage: dns_corpus DIRECTORY")?);
    fs::create_dir_all(&directory)?;
    for seed in seeds() {
        fs::write(directory.join(seed.what), seed.message)?;
    }
    Ok(())
}
