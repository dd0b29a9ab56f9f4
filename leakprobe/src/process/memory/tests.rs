use std::{
    io::Write,
    process::{Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::*;

const PAGES: usize = 48;

/// Anonymous memory of ours, of which some pages were never touched.
struct Region {
    start: u64,
    touched: Vec<bool>,
}

impl Region {
    fn new(touched: Vec<bool>) -> Region {
        // SAFETY: a new mapping of our own.
        let start = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let size = touched.len() * PAGE as usize;
            let start = libc::mmap(std::ptr::null_mut(), size, protection, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            // Or touching one page could bring others.
            libc::madvise(start, size, libc::MADV_NOHUGEPAGE);
            start as u64
        };
        let region = Region { start, touched };
        for (page, touched) in region.touched.iter().enumerate() {
            if *touched {
                for word in 0..PAGE / 8 {
                    let at = start + page as u64 * PAGE + word * 8;
                    // SAFETY: within the mapping made above.
                    unsafe { (at as *mut u64).write(at) };
                }
            }
        }
        region
    }

    fn is_present(&self, page: usize) -> bool {
        let pagemap = File::open("/proc/self/pagemap").unwrap();
        let mut entry = [0; 8];
        pagemap.read_exact_at(&mut entry, (self.start / PAGE + page as u64) * 8).unwrap();
        u64::from_le_bytes(entry) >> 63 == 1
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: made by mmap in `new`, nothing else refers to it.
        unsafe { libc::munmap(self.start as *mut _, self.touched.len() * PAGE as usize) };
    }
}

fn own() -> Memory {
    let pid = std::process::id();
    Memory::open(pid, pid, Path::new("/proc/self")).unwrap()
}

fn word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn exactly_what_is_present(
        touched in proptest::collection::vec(any::<bool>(), PAGES),
        ranges in proptest::collection::vec((0..PAGES as u64 * 512, 1..4096u64), 1..40),
        by_mem in any::<bool>(),
    ) {
        // Check that a range is readable just if all its pages are present, by either way of
        // reading, and that absent pages stay absent.
        let region = Region::new(touched);
        let memory = own();
        memory.by_mem.store(by_mem, Relaxed);
        let end = region.start + PAGES as u64 * PAGE;
        let ranges: Vec<Range<u64>> = ranges
            .iter()
            .map(|(word, words)| {
                let start = region.start + word * 8;
                start..(start + words * 8).min(end)
            })
            .collect();
        let batch = memory.read_many(&ranges);
        for range in &ranges {
            let first = ((range.start - region.start) / PAGE) as usize;
            let last = ((range.end - 1 - region.start) / PAGE) as usize;
            let present = region.touched[first..=last].iter().all(|touched| *touched);
            let bytes = batch.bytes(range.clone());
            prop_assert_eq!(bytes.is_some(), present);
            if let Some(bytes) = bytes {
                prop_assert_eq!(bytes.len() as u64, range.end - range.start);
                prop_assert_eq!(word(bytes), range.start);
                prop_assert_eq!(word(&bytes[bytes.len() - 8..]), range.end - 8);
                prop_assert_eq!(batch.u64(range.start), Some(range.start));
            }
        }
        for (page, touched) in region.touched.iter().enumerate() {
            prop_assert_eq!(region.is_present(page), *touched);
        }
    }

    #[test]
    fn any_ranges(ranges in proptest::collection::vec(any::<(u64, u64)>(), 0..20)) {
        // Check that no range makes reading fail as a whole, or read too much.
        let ranges: Vec<Range<u64>> = ranges.iter().map(|(a, b)| *a..*b).collect();
        for (a, b) in merged(&ranges).iter().zip(merged(&ranges).iter().skip(1)) {
            prop_assert!(a.end + MERGE_GAP < b.start);
        }
        let small: Vec<Range<u64>> = ranges
            .iter()
            .map(|r| r.start..r.start.saturating_add(r.end % 9000))
            .collect();
        let batch = own().read_many(&small);
        for range in small {
            prop_assert!(batch.bytes(range.clone()).is_none_or(|b| !b.is_empty() || range.is_empty()));
        }
    }
}

#[test]
fn unreadable_page_between_others() {
    // Check that a page that the kernel refuses to read costs just itself.
    let region = Region::new(vec![true; 5]);
    let refused = region.start + 2 * PAGE;
    // SAFETY: a page of the mapping made above.
    unsafe { libc::mprotect(refused as *mut _, PAGE as usize, libc::PROT_NONE) };
    let memory = own();
    // Our own descriptors could hold a userfaultfd of another test; this is about the other way.
    memory.by_mem.store(false, Relaxed);
    let range = region.start..region.start + 5 * PAGE;
    let batch = memory.read_many(&[range]);
    assert_eq!(batch.u64(refused - 8), Some(refused - 8));
    assert_eq!(batch.u64(refused), None);
    assert_eq!(batch.u64(refused + PAGE), Some(refused + PAGE));
    assert_eq!(batch.bytes(refused - 8..refused + 8), None);
    assert_eq!(memory.missed().failed_pages, 1);
}

#[test]
fn many_ranges_in_one_batch() {
    // Check that more ranges than one system call takes are all read, around one that is refused.
    let region = Region::new(vec![true; 6000]);
    // SAFETY: a page of the mapping made above.
    unsafe { libc::mprotect((region.start + 3000 * PAGE) as *mut _, PAGE as usize, 0) };
    let memory = own();
    memory.by_mem.store(false, Relaxed);
    let ranges: Vec<Range<u64>> =
        (0..2000).map(|i| region.start + i * 3 * PAGE).map(|start| start..start + 16).collect();
    let batch = memory.read_many(&ranges);
    for range in &ranges {
        let refused = range.start == region.start + 3000 * PAGE;
        assert_eq!(batch.u64(range.start), (!refused).then_some(range.start));
    }
}

#[test]
fn userfaultfd_does_not_block() {
    // Check that a page that a userfaultfd handler should serve, and doesn't, is not waited for;
    // not even if it is read although it is absent.
    let Some(start) = registered_page() else {
        eprintln!("skipped: userfaultfd is not allowed here");
        return;
    };
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let memory = own();
        assert!(memory.by_mem.load(Relaxed));
        let one = memory.u64(start);
        let range = start..start + 8;
        let mut batch = Batch::new(vec![range]);
        let failed = batch.fill_by_mem(&memory.mem);
        let _ = send.send((one, failed, batch.u64(start)));
    });
    let read = receive.recv_timeout(Duration::from_secs(10));
    assert_eq!(read.expect("reading blocked"), (None, 1, None));
}

/// A page of ours that nobody serves; stays so to the end of the tests.
fn registered_page() -> Option<u64> {
    #[repr(C)]
    struct Api {
        api: u64,
        features: u64,
        ioctls: u64,
    }
    #[repr(C)]
    struct Register {
        start: u64,
        len: u64,
        mode: u64,
        ioctls: u64,
    }
    // From include/uapi/linux/userfaultfd.h: _IOWR(0xAA, 0x3F, …) and _IOWR(0xAA, 0x00, …).
    const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;
    const UFFDIO_REGISTER: libc::c_ulong = 0xc020_aa00;
    let region = std::mem::ManuallyDrop::new(Region::new(vec![false]));
    let mut api = Api { api: 0xaa, features: 0, ioctls: 0 };
    let mut register = Register { start: region.start, len: PAGE, mode: 1, ioctls: 0 };
    // SAFETY: the structures have the kernel's layout and outlive the calls; the page is ours.
    unsafe {
        let fd = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) as i32;
        let registered = fd >= 0
            && libc::ioctl(fd, UFFDIO_API, &mut api) == 0
            && libc::ioctl(fd, UFFDIO_REGISTER, &mut register) == 0;
        registered.then_some(region.start)
    }
}

#[test]
fn another_program_is_not_read() {
    // Check that after an exec the memory that was opened reads nothing, and says so.
    let mut child = Killed(
        Command::new("/bin/sh")
            .args(["-c", "read line; exec sleep 600"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let folder = format!("/proc/{}", child.id());
    let deadline = Instant::now() + Duration::from_secs(10);
    let exe = || std::fs::read_link(format!("{folder}/exe")).unwrap();
    while exe() == std::env::current_exe().unwrap() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    let memory = Memory::open(child.id(), child.id(), Path::new(&folder)).unwrap();
    memory.by_mem.store(true, Relaxed);
    // Its mappings come one by one; it has read its own header as soon as it is loaded.
    let first_mapping = || {
        let maps = std::fs::read_to_string(format!("{folder}/maps")).unwrap();
        u64::from_str_radix(maps.split('-').next().unwrap(), 16).unwrap_or(0)
    };
    let mut start = first_mapping();
    while memory.u32(start) != Some(u32::from_le_bytes(*b"\x7fELF")) {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
        start = first_mapping();
    }
    assert!(memory.is_current());
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    while memory.is_current() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert_eq!(memory.u32(start), None);
}

/// A child that doesn't outlive its test, however that ends: it would hold the test's output open.
struct Killed(std::process::Child);

impl std::ops::Deref for Killed {
    type Target = std::process::Child;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl std::ops::DerefMut for Killed {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
