//! The guest itself.

use std::{fs, process::Command, time::Duration};

use leakprobe_tests::vm::{self, GuestFile, Kernel};

const DEADLINE: Duration = Duration::from_secs(120);

/// Check that a guest runs the kernel that was asked for, has what leakprobe reads mounted, runs a
/// static program, and hands back files byte for byte and the script's exit code.
#[test]
fn guest_runs_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("answer.c");
    fs::write(
        &source,
        "#include <stdio.h>\nint main(void) { for (int i = 0; i < 256; i++) putchar(i); return 7; }\n",
    )
    .unwrap();
    let program = folder.path().join("answer");
    let built = Command::new("gcc").args(["-static", "-o"]).args([&program, &source]).status();
    assert!(built.is_ok_and(|status| status.success()));

    let script = "
        cat /proc/version >version
        ls /sys/kernel/btf /sys/kernel/tracing /sys/fs/bpf >mounts || exit 9
        mkdir sub
        answer >sub/bytes
    ";
    let outcome = vm::run(
        Kernel::named("6.1").unwrap(),
        &[GuestFile::program(&program, "/bin/answer")],
        script,
        DEADLINE,
    )
    .unwrap();
    assert_eq!(outcome.exit_code, 7, "{}", outcome.console);
    let version = String::from_utf8_lossy(&outcome.files["version"]);
    assert!(version.starts_with("Linux version 6.1."), "{version}");
    let mounts = String::from_utf8_lossy(&outcome.files["mounts"]);
    assert!(mounts.contains("vmlinux"), "{mounts}");
    assert!(mounts.contains("available_events"), "{mounts}");
    let all_bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(outcome.files["sub/bytes"], all_bytes);
}

/// Check that a script that hangs is an error in time, which shows the console.
#[test]
fn hanging_script_is_ended() {
    let error = vm::run(
        Kernel::named("6.1").unwrap(),
        &[],
        "echo about to hang; while true; do sleep 1; done",
        Duration::from_secs(25),
    )
    .unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("about to hang"), "{error}");
}
