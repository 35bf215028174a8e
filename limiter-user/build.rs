//! Builds the BPF object that `bpf::object` includes.
//!
//! `aya-build` does nearly this; it does not choose the BPF instruction set, and compare-and-swap needs version 3.

use std::env;
use std::path::PathBuf;
use std::process::{Command, exit};

const FLAGS: [&str; 4] = [
    "-Ctarget-cpu=v3",
    "-Ctarget-feature=+allows-misaligned-mem-access",
    "-Cdebuginfo=2",
    "-Clink-arg=--btf",
];

fn main() {
    let root = PathBuf::from(var("CARGO_MANIFEST_DIR")).join("..");
    let out = PathBuf::from(var("OUT_DIR"));
    for watched in
        ["limiter-ebpf", "limiter-common/src", "limiter-common/Cargo.toml", "Cargo.lock", "Cargo.toml"]
    {
        println!("cargo:rerun-if-changed={}", root.join(watched).display());
    }
    let target = match var("CARGO_CFG_TARGET_ENDIAN").as_str() {
        "big" => "bpfeb-unknown-none",
        _ => "bpfel-unknown-none",
    };
    // A target directory of its own: the outer cargo holds the lock of the other one.
    let target_dir = out.join("bpf");
    let status = Command::new(var("CARGO"))
        .current_dir(&root)
        .args(["build", "--release", "--locked", "--package", "limiter-ebpf", "--bin", "limiter"])
        .args(["-Z", "build-std=core", "--target", target])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"))
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status();
    match status {
        Ok(status) if status.success() => {}
        result => {
            eprintln!(
                "building limiter-ebpf failed ({result:?}); `cargo xtask setup` installs what it needs"
            );
            exit(1);
        }
    }
    println!("cargo:rustc-env=LIMITER_OBJECT={}", target_dir.join(target).join("release/limiter").display());
}

fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}
