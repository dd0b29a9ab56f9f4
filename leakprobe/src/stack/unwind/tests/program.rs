//! A C program that is compiled and run for a test, and the stacks of its blocked threads.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    probe::Registers,
    process::{ModuleFiles, Target},
    stack::{RawFrame, RawStack, ThreadStart, Unwinder},
};

pub const PATIENCE: Duration = Duration::from_secs(20);
/// Number of read() on x86-64.
pub const READ: u64 = 0;
/// Number of futex() on x86-64.
pub const FUTEX: u64 = 202;

/// Whether a program is installed.
pub fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

/// A program in a folder of its own.
pub struct Program {
    folder: TempDir,
}

impl Program {
    /// Compiles C text.
    pub fn compile(compiler: &str, flags: &[&str], text: &str) -> Program {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("program.c"), text).unwrap();
        let program = Program { folder };
        let mut all = vec!["program.c", "-o", "program", "-pthread"];
        all.extend(flags);
        program.run(compiler, &all);
        program
    }

    /// Runs a command in its folder.
    pub fn run(&self, command: &str, arguments: &[&str]) {
        let status = Command::new(command).args(arguments).current_dir(self.folder.path()).status();
        assert!(status.unwrap().success(), "{command} {arguments:?}");
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("program")
    }

    /// Starts it and waits for its first line.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut child = Command::new(self.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Running { child }
    }
}

/// A running program, killed at the end.
pub struct Running {
    pub child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn target(&self) -> Target {
        Target::open_now(self.pid()).unwrap()
    }

    pub fn leader_is_zombie(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('Z')
    }

    pub fn tids(&self) -> Vec<u32> {
        let mut tids: Vec<u32> = fs::read_dir(format!("/proc/{}/task", self.pid()))
            .unwrap()
            .map(|task| task.unwrap().file_name().to_str().unwrap().parse().unwrap())
            .collect();
        tids.sort_unstable();
        tids
    }

    /// Registers of `count` threads that are blocked in this system call, without rbp.
    pub fn blocked_in(&self, syscall: u64, count: usize) -> Vec<(u32, Registers)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let blocked: Vec<(u32, Registers)> = self
                .tids()
                .into_iter()
                .filter_map(|tid| Some((tid, self.registers(tid)?)))
                .filter(|(_, registers)| registers.syscall == Some(syscall))
                .collect();
            if blocked.len() >= count {
                return blocked;
            }
            assert!(Instant::now() < deadline, "{} of {count} blocked", blocked.len());
            std::thread::yield_now();
        }
    }

    /// From /proc/PID/task/TID/syscall: number, six arguments, sp, ip.
    fn registers(&self, tid: u32) -> Option<Registers> {
        let path = format!("/proc/{}/task/{tid}/syscall", self.pid());
        let line = fs::read_to_string(path).ok()?;
        let mut fields = line.split_whitespace();
        let syscall = fields.next()?.parse().ok()?;
        let mut hex = fields.map(|f| u64::from_str_radix(f.trim_start_matches("0x"), 16).unwrap());
        let args = std::array::from_fn(|_| hex.next().unwrap_or(0));
        let (sp, ip) = (hex.next()?, hex.next()?);
        Some(Registers { ip, sp, bp: None, syscall: Some(syscall), args, all: None })
    }

    /// The same with rbp, for which the thread is stopped for a moment.
    pub fn with_bp(&self, tid: u32, registers: Registers) -> Registers {
        let tid = tid as libc::pid_t;
        // SAFETY: plain system calls on a child of ours; `regs` outlives the call that fills it.
        let bp = unsafe {
            let none = std::ptr::null_mut::<libc::c_void>();
            assert_eq!(libc::ptrace(libc::PTRACE_SEIZE, tid, none, none), 0);
            assert_eq!(libc::ptrace(libc::PTRACE_INTERRUPT, tid, none, none), 0);
            let mut status = 0;
            assert_eq!(libc::waitpid(tid, &mut status, libc::__WALL), tid);
            let mut regs: libc::user_regs_struct = std::mem::zeroed();
            assert_eq!(libc::ptrace(libc::PTRACE_GETREGS, tid, none, &mut regs), 0);
            assert_eq!(libc::ptrace(libc::PTRACE_DETACH, tid, none, none), 0);
            assert_eq!((regs.rip, regs.rsp), (registers.ip, registers.sp));
            regs.rbp
        };
        Registers { bp: Some(bp), ..registers }
    }

    /// The stack of the one thread that waits in read(), by its raw function names.
    pub fn names(&self, with_bp: bool) -> Vec<String> {
        names(&self.stack(with_bp))
    }

    /// The stack of the one thread that waits in read().
    pub fn stack(&self, with_bp: bool) -> RawStack {
        let (tid, registers) = self.blocked_in(READ, 1)[0];
        let registers = if with_bp { self.with_bp(tid, registers) } else { registers };
        let mut target = self.target();
        target.modules(&mut ModuleFiles::new());
        let threads = [ThreadStart { registers }];
        let stacks = Unwinder::new().unwind(&target, &threads, Instant::now() + PATIENCE);
        assert!(target.still_there().expect("readable"));
        stacks[0].clone()
    }
}

/// Raw function names of a stack.
pub fn names(stack: &RawStack) -> Vec<String> {
    stack
        .iter()
        .map(|frame| match frame {
            RawFrame::At { module, svma } => {
                let symbols = module.symbols();
                let covering = symbols
                    .iter()
                    .find(|(_, start, size)| (*start..*start + (*size).max(1)).contains(svma));
                let file = module.module().file_name();
                covering.map_or(format!("{file}+{svma:#x}"), |(name, ..)| name.to_owned())
            }
            RawFrame::Unknown { address, why } => format!("{why:?} {address:#x}"),
        })
        .collect()
}

/// The address of a frame, whatever its kind.
pub fn address(frame: &RawFrame) -> u64 {
    match frame {
        RawFrame::At { svma, .. } => *svma,
        RawFrame::Unknown { address, .. } => *address,
    }
}
