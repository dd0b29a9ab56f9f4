use leakprobe::probe::*;
use std::time::Instant;
fn main() {
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Trace)
        .init();
    let t = Instant::now();
    let (mut s, notes) = Source::open(std::env::var_os("V").is_some());
    println!("open {:?} {} {:?}", t.elapsed(), s.name(), notes);
    let pids: Vec<u32> = std::env::args()
        .skip(1)
        .map(|a| a.parse().unwrap())
        .collect();
    let w = Watch {
        pids: (!pids.is_empty()).then_some(pids),
        kernel_stacks: std::env::var_os("K").is_some(),
    };
    for _ in 0..3 {
        let t = Instant::now();
        let p = s.read(&w).unwrap();
        println!(
            "pass {:?} {} tasks calibrated {}",
            t.elapsed(),
            p.tasks.len(),
            p.calibrated
        );
        if std::env::var_os("P").is_some() {
            for t in &p.tasks {
                println!("{t:x?}");
            }
            break;
        }
    }
}
